"""The latent spaces of the other generators, on small random networks in the released formats, and RAVE look-alikes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.codecs import Rave
from support.pipelines import BUILDERS, save
from torch import Tensor, nn

from probes.errors import InputError
from probes.spaces import load_space
from tracer.generators import load_generator

PIPELINES = ["audioldm", "audioldm2", "musicldm", "ace-step", "stable-audio-3", "longcat-audio"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    saved: dict[str, str] = {}

    def get(name: str) -> str:
        if name not in saved:
            saved[name] = save(name, tmp_path_factory.mktemp(name))
        return saved[name]

    return get


@pytest.mark.parametrize("name", PIPELINES)
def test_a_space_and_its_generator_hold_the_same_latents(folder: Any, name: str) -> None:
    space, model = load_space(name, folder(name)), load_generator(name, folder(name))
    assert (space.name, space.channels, space.sample_rate) == (model.space, model.channels, model.sample_rate)
    assert space.frame_rate == pytest.approx(model.frame_rate)
    latents = torch.randn(2, 12, model.channels)
    np.testing.assert_allclose(space.decode(latents).numpy(), model.decode(latents), atol=1e-5)


@pytest.mark.parametrize("name", PIPELINES)
def test_encoding_is_deterministic_and_counts_frames(folder: Any, name: str) -> None:
    space = load_space(name, folder(name))
    audio = torch.randn(2, space.audio_channels, 9 * space.hop + 3) * 0.1
    latents = space.encode(audio)
    assert latents.shape == (2, 10, space.channels)
    assert latents.isfinite().all()
    assert torch.equal(latents, space.encode(audio))
    torch.testing.assert_close(space.encode(audio[:1]), latents[:1], rtol=1e-4, atol=1e-5)
    assert space.mean.shape == space.std.shape == (space.channels,)
    assert space.describe()["fingerprint"] == load_space(name, folder(name)).fingerprint()


@pytest.mark.parametrize("name", ["ace-step", "stable-audio-3", "longcat-audio"])
def test_pieces_equal_the_whole(folder: Any, name: str) -> None:
    space = load_space(name, folder(name))
    audio, latents = torch.randn(1, space.audio_channels, 80 * space.hop) * 0.1, torch.randn(1, 80, space.channels)
    whole, sound = space.encode(audio), space.decode(latents)
    space.chunk_frames = 30
    torch.testing.assert_close(space.encode(audio), whole, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(space.decode(latents), sound, rtol=1e-3, atol=1e-4)


def test_the_ace_step_space_is_not_stable_audios(folder: Any) -> None:
    assert load_space("ace-step", folder("ace-step")).spaces == ("ace-step",)
    vae_alone = str(Path(folder("ace-step")) / "vae")
    assert load_space("ace-step", vae_alone).fingerprint() == load_space("ace-step", folder("ace-step")).fingerprint()


def test_audioldm_latents_are_the_scaled_mode_in_the_samplers_layout(folder: Any) -> None:
    space: Any = load_space("audioldm", folder("audioldm"))
    audio = torch.randn(1, 1, space.hop * 8) * 0.1
    maps = space.vae.encode(space._mel(audio)).latent_dist.mode() * space.vae.config.scaling_factor
    latents = space.encode(audio)
    for frame, channel, band in ((0, 0, 0), (5, 2, 1), (7, 3, 3)):
        assert latents[0, frame, channel * maps.shape[3] + band] == pytest.approx(maps[0, channel, frame, band].item())


def test_mel_frames_are_log_magnitudes_on_the_hop_grid(folder: Any) -> None:
    from librosa.feature import melspectrogram

    space: Any = load_space("audioldm", folder("audioldm"))
    audio = torch.randn(1, 1, 16000).mul_(0.2)
    mel = space._mel(audio)[0, 0].numpy()
    reference = melspectrogram(
        y=audio[0, 0].numpy(), sr=16000, n_fft=1024, hop_length=160, n_mels=space.bands, fmax=8000, power=1.0,
        pad_mode="reflect",
    )  # fmt: skip
    np.testing.assert_allclose(mel, np.log(np.maximum(reference.T[:100], 1e-5)), atol=2e-4)
    click = torch.zeros(1, 1, 16000)
    click[..., 8000] = 1.0
    assert space._mel(click)[0, 0].sum(1).argmax().item() == 50
    assert space._mel(torch.zeros(1, 1, 160)).shape == (1, 1, 1, space.bands)


def test_long_mel_inputs_go_through_in_clips(folder: Any) -> None:
    space: Any = load_space("audioldm", folder("audioldm"))
    space.chunk_frames = 8
    audio = torch.randn(1, 1, space.hop * 20) * 0.1
    latents = space.encode(audio)
    assert latents.shape == (1, 20, space.channels)
    mel = space._mel(audio)
    for start in (0, 8, 16):
        torch.testing.assert_close(latents[:, start : start + 8], space._latents(mel[:, :, start * 4 : start * 4 + 32]))
    assert space.decode(latents).shape == (1, 1, space.hop * 20)


class StreamingRave(Rave):
    """One that remembers the last frame of the call before."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pad", torch.zeros(1, 4, 1))

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        mean = self.down(x)
        delayed = torch.cat([self.pad[:, :, :1].expand(x.shape[0], -1, -1), mean[:, :, :-1]], 2)
        self.pad.copy_(mean[:1, :, -1:])
        return mean + delayed


class DiscreteRave(Rave):
    """One whose latents are codes."""

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        return torch.round(self.down(x) * 100)


class OldRave(nn.Module):
    """An export without its parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Any:
    def write(module: nn.Module) -> str:
        path = tmp_path_factory.mktemp("rave") / "model.ts"
        torch.jit.save(torch.jit.script(module), str(path))
        return str(path)

    return write


@pytest.mark.parametrize("kind", [Rave, StreamingRave])
def test_rave_gives_a_clip_the_same_latents_always(export: Any, kind: type[Rave]) -> None:
    torch.manual_seed(0)
    space: Any = load_space("rave", export(kind()))
    assert (space.channels, space.hop, space.sample_rate, space.audio_channels) == (4, 64, 44100, 1)
    assert space.stateful == (kind is StreamingRave)
    clips = torch.randn(3, 1, 64 * 10)
    state = torch.random.get_rng_state()
    latents = space.encode(clips)
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's random numbers were touched"
    assert latents.shape == (3, 10, 4)
    for row in (2, 0, 1):
        assert torch.equal(space.encode(clips[row : row + 1])[0], latents[row])
        assert torch.equal(space.decode(latents[row : row + 1]), space.decode(latents)[row : row + 1])
    assert space.decode(latents).shape == (3, 1, 640)
    assert space.fingerprint() == load_space("rave", space.weights).fingerprint()


def test_rave_refusals(export: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"give an exported \.ts file"):
        load_space("rave")
    with pytest.raises(InputError, match="no such file"):
        load_space("rave", str(tmp_path / "missing.ts"))
    with pytest.raises(InputError, match="indices"):
        load_space("rave", export(DiscreteRave()))
    with pytest.raises(InputError, match="no encode_params"):
        load_space("rave", export(OldRave()))
    (tmp_path / "text.ts").write_text("hello")
    with pytest.raises(InputError, match="not a TorchScript file"):
        load_space("rave", str(tmp_path / "text.ts"))


@pytest.mark.parametrize("name", PIPELINES)
def test_weights_that_are_not_there_are_refused(name: str, tmp_path: Path) -> None:
    assert name in BUILDERS
    with pytest.raises(InputError, match="no such file or folder"):
        load_space(name, str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"has no config\.json"):
        load_space(name, str(tmp_path))
