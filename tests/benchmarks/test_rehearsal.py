"""What the dress rehearsal writes is what the hub would give, at a small size."""

from pathlib import Path

import pytest
import torch

from benchmarks import rehearsal
from probes.spaces import load_space
from tracer.generators.catalogue import entry_of, here
from tracer.generators.diffrhythm import DiffRhythm, DiTConfig
from tracer.generators.diffrhythm.style import StyleCache, read_style
from tracer.prompts import load_prompts

SMALL = {"dim": 64, "depth": 2, "ff_mult": 2, "text_dim": 512, "conv_layers": 1}


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from probes.support.torchaudio_stub import ensure_torchaudio

    ensure_torchaudio()
    import diffusers

    whole = diffusers.AutoencoderOobleck
    small = {"encoder_hidden_size": 128, "channel_multiples": [1] * 5, "decoder_channels": 8}
    monkeypatch.setattr(diffusers, "AutoencoderOobleck", lambda: whole(**small))
    monkeypatch.setattr(rehearsal, "DiTConfig", lambda: DiTConfig(**SMALL))
    rehearsal.prepare(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    return tmp_path


def test_what_it_writes_is_found_and_loaded(prepared: Path) -> None:
    for kind in ("generator", "space"):
        assert here(entry_of(kind, "diffrhythm")) == "yes"
    (checkpoint,) = prepared.rglob("cfm_model.pt")
    assert set(torch.load(checkpoint, weights_only=True)) == {"model_state_dict"}
    model = DiffRhythm.from_checkpoint(checkpoint, config=SMALL)
    style, null = read_style(prepared / "vocal.npy"), read_style(prepared / "vocal.npy")
    noise = torch.randn(1, 20, 64)
    assert torch.isfinite(model.sample(noise=noise, style=style, negative_style=null, steps=3)).all()
    (vae,) = prepared.rglob("vae_model.pt")
    space = load_space("diffrhythm", str(vae))
    latents = space.encode(torch.randn(1, 2, 5 * 2048))
    assert latents.shape == (1, 5, 64)
    assert space.decode(latents).shape == (1, 2, 5 * 2048)
    (captions,) = prepared.rglob("musiccaps-public.csv")
    prompts = load_prompts(str(captions), n=3)
    assert StyleCache.open(prepared / "styles.safetensors").get([p.caption for p in prompts]).shape == (3, 512)


def test_the_peak_is_that_of_the_stage() -> None:
    memory = object.__new__(rehearsal.Memory)
    memory.samples = [(1.0, 5, 50), (2.0, 9, 90), (3.0, 7, 70)]
    assert memory.peak(1.5, 2.5, 1) == 9
    assert memory.peak(2.5, 9.0, 2) == 70
    assert memory.peak(2.1, 2.2, 1) == 9
