"""DiffRhythm's TorchScript VAE and Stable Audio Open's, on small random ones in the released formats."""

import json
from pathlib import Path

import pytest
import torch
from support.codecs import ScriptedVae
from torch import nn

from probes.errors import InputError
from probes.spaces import load_space


@pytest.fixture(scope="module")
def vae_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("diffrhythm") / "vae_model.pt"
    torch.manual_seed(0)
    torch.jit.save(torch.jit.script(ScriptedVae()), str(path))
    return path


@pytest.fixture(scope="module")
def oobleck_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from probes.support.torchaudio_stub import ensure_torchaudio

    ensure_torchaudio()
    from diffusers import AutoencoderOobleck

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pipeline") / "vae"
    vae = AutoencoderOobleck(
        encoder_hidden_size=16,
        downsampling_ratios=[2, 4, 4, 8, 8],
        channel_multiples=[1, 1, 1, 1, 1],
        decoder_channels=8,
        decoder_input_channels=8,
    )
    vae.save_pretrained(folder)
    return folder


def test_diffrhythm_latent_is_the_mean(vae_file: Path) -> None:
    space = load_space("diffrhythm", str(vae_file))
    audio = torch.randn(2, 2, 2048 * 6)
    latents = space.encode(audio)
    exported = torch.jit.load(str(vae_file)).encode_export(audio)
    assert latents.shape == (2, 6, 64)
    torch.testing.assert_close(latents, exported[:, :64].transpose(1, 2))
    assert space.decode(latents).shape == (2, 2, 2048 * 6)
    assert space.frame_rate == pytest.approx(21.533, abs=1e-3)
    assert space.mean.shape == space.std.shape == (64,)


def test_diffrhythm_pieces_equal_the_whole(vae_file: Path) -> None:
    space = load_space("diffrhythm", str(vae_file.parent))
    audio = torch.randn(1, 2, 2048 * 300 + 5)
    latents = space.encode(audio)
    decoded = space.decode(latents)
    space.chunk_frames = 10_000
    torch.testing.assert_close(space.encode(audio), latents, atol=1e-5, rtol=0)
    torch.testing.assert_close(space.decode(latents), decoded, atol=1e-5, rtol=0)


def test_diffrhythm_refuses_other_files(tmp_path: Path) -> None:
    text = tmp_path / "vae_model.pt"
    text.write_text("hello")
    with pytest.raises(InputError, match="not a TorchScript file"):
        load_space("diffrhythm", str(text))
    other = tmp_path / "other.pt"
    torch.jit.save(torch.jit.script(nn.Conv1d(1, 1, 1)), str(other))
    with pytest.raises(InputError, match="no encode_export and no decode_export"):
        load_space("diffrhythm", str(other))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"has no vae_model\.pt"):
        load_space("diffrhythm", str(empty))


def test_the_two_share_one_latent_space(vae_file: Path, oobleck_folder: Path) -> None:
    ours = load_space("diffrhythm", str(vae_file))
    theirs = load_space("stable-audio", str(oobleck_folder))
    assert set(ours.spaces) == set(theirs.spaces) == {"diffrhythm", "stable-audio"}


def test_stable_audio_takes_the_folder_or_its_pipeline(oobleck_folder: Path) -> None:
    direct = load_space("stable-audio", str(oobleck_folder))
    nested = load_space("stable-audio", str(oobleck_folder.parent))
    audio = torch.randn(1, 2, 5000)
    latents = direct.encode(audio)
    assert latents.shape == (1, 3, 8)
    torch.testing.assert_close(latents, nested.encode(audio))
    torch.testing.assert_close(latents, direct.encode(audio))
    assert direct.decode(latents).shape == (1, 2, 3 * 2048)


def test_stable_audio_pieces_equal_the_whole(oobleck_folder: Path) -> None:
    space = load_space("stable-audio", str(oobleck_folder))
    audio = torch.randn(1, 2, 2048 * 45)
    space.chunk_frames = 20
    latents, pieces = space.encode(audio), 20
    decoded = space.decode(latents)
    space.chunk_frames = 1000
    assert pieces < latents.shape[1]
    torch.testing.assert_close(space.encode(audio), latents, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(space.decode(latents), decoded, atol=1e-5, rtol=1e-5)


def test_stable_audio_names_wrong_weights(oobleck_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in oobleck_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    gone = next(key for key in state if key.startswith("encoder.conv1"))
    save_file({("extra" if key == gone else key): value for key, value in state.items()}, weights)
    with pytest.raises(InputError, match=rf"missing {gone}; unexpected extra"):
        load_space("stable-audio", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(InputError):
        load_space("stable-audio", str(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"has no config\.json"):
        load_space("stable-audio", str(empty))
