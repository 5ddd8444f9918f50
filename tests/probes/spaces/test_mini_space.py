"""The bundled latent space on notes it has not seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.apple import OnAppleGPU

from probes.attributes import get_attribute
from probes.errors import InputError
from probes.rendering import render_example
from probes.spaces import load_space
from probes.spaces.base import Space
from probes.spaces.mini.codec import Codec, CodecConfig, invert
from probes.spaces.mini.space import MiniSpace

SEED = 900_000_000


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("mini")


def tone(pitch: float, seconds: float = 2.0, level: float = 0.2) -> np.ndarray:
    """Five falling partials of a note."""
    t = np.arange(int(seconds * 22050)) / 22050
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    wave = sum(0.5**k * np.sin(2 * np.pi * hertz * (k + 1) * t) for k in range(5))
    return (level * wave / np.sqrt(np.mean(wave**2))).astype(np.float32)


def test_frames_and_shapes(space: Space) -> None:
    assert (space.channels, space.hop, space.sample_rate, space.audio_channels) == (64, 1024, 22050, 1)
    latents = space.encode(torch.zeros(2, 1, 10 * 1024 + 1))
    assert latents.shape == (2, 11, 64)
    audio = space.decode(latents)
    assert audio.shape == (2, 1, 11 * 1024)
    assert audio.abs().max() < 1e-2  # silence stays silent


def test_latents_are_standardised(space: Space) -> None:
    audio = np.stack([render_example(SEED + i, 6.0).audio for i in range(24)])
    frames = space.encode(torch.from_numpy(audio)[:, None]).flatten(0, 1)
    assert frames.mean(0).abs().max() < 0.6
    assert 0.5 < frames.std(0).min() < frames.std(0).max() < 1.6


def test_encoding_and_decoding_are_deterministic_and_do_not_depend_on_the_batch(space: Space) -> None:
    audio = torch.from_numpy(np.stack([render_example(SEED + i, 2.0).audio for i in range(3)]))[:, None]
    together = space.encode(audio)
    alone = torch.cat([space.encode(clip[None]) for clip in audio])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert torch.equal(space.decode(together), space.decode(together))


def test_a_long_clip_has_no_seams(space: Space) -> None:
    audio = torch.from_numpy(render_example(SEED, 60.0).audio)[None, None]
    frames = space.frames(audio.shape[-1])
    assert frames > 2 * space.chunk_frames
    whole = space._encode(torch.nn.functional.pad(audio, (0, frames * space.hop - audio.shape[-1])))
    torch.testing.assert_close(space.encode(audio), whole, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("level", [0.02, 0.2])
def test_loudness_comes_back(space: Space, level: float) -> None:
    audio = torch.from_numpy(tone(60, level=level))[None, None]
    decoded = space.decode(space.encode(audio))[..., 4096:-4096]
    assert decoded.square().mean().sqrt().item() == pytest.approx(level, rel=0.3)


def test_solo_pitch_comes_back(space: Space) -> None:
    pitch = get_attribute("pitch", model="tiny")
    close = []
    for seed in range(SEED, SEED + 60):
        example = render_example(seed, 3.0)
        if example.facts.texture != "solo" or len(close) == 3:
            continue
        frames = len(example.audio) // space.hop
        audio = example.audio[: frames * space.hop]
        decoded = space.decode(space.encode(torch.from_numpy(audio)[None, None]))[0, 0].numpy()
        before, voiced = pitch.measure(audio, 22050, frames, space.hop)
        after, _ = pitch.measure(decoded, 22050, frames, space.hop)
        close.append(np.abs(before - after)[voiced] < 0.5)
    assert np.concatenate(close).mean() > 0.7


def test_real_recordings_come_back(space: Space, shared: Path) -> None:
    librosa = pytest.importorskip("librosa")
    pitch = get_attribute("pitch", model="tiny")
    close = []
    for path in sorted((shared / "data" / "notes").rglob("*.mp3"))[::12][:6]:
        audio = librosa.load(path, sr=22050, duration=2.0)[0]
        frames = len(audio) // space.hop
        audio = audio[: frames * space.hop]
        decoded = space.decode(space.encode(torch.from_numpy(audio)[None, None]))[0, 0].numpy()
        before, voiced = pitch.measure(audio, 22050, frames, space.hop)
        after, _ = pitch.measure(decoded, 22050, frames, space.hop)
        close.append(np.abs(before - after)[voiced] < 0.5)
    assert np.concatenate(close).mean() > 0.6


def test_inversion_finds_a_sine_from_its_magnitudes() -> None:
    config = CodecConfig()
    codec = Codec(config)
    t = torch.arange(22 * 1024) / 22050
    sine = 0.3 * torch.sin(2 * torch.pi * 331.0 * t)[None]
    rebuilt = invert(codec.magnitudes(codec.spectra(sine)), config.step, config.n_fft, 8)
    assert rebuilt.shape == sine.shape
    spectrum = torch.fft.rfft(rebuilt[0, 4096:-4096] * torch.hann_window(14 * 1024), 8 * 14 * 1024).abs()
    assert spectrum.argmax().item() * 22050 / (8 * 14 * 1024) == pytest.approx(331.0, abs=0.5)
    assert rebuilt[0, 4096:-4096].square().mean().sqrt().item() == pytest.approx(0.3 / 2**0.5, rel=0.02)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        MiniSpace(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text('{"breadth": 3}')
    with pytest.raises(InputError, match="does not describe"):
        MiniSpace(str(tmp_path))


@pytest.mark.parametrize(
    "settings",
    [
        '{"hop": 0}',
        '{"hop": "1024"}',
        '{"width": 384.5}',
        '{"noise": null}',
        '{"head": 1e12}',
        "[1]",
        "null",
        "[" * 10**5,
    ],
    ids=lambda text: text[:20],
)
def test_a_description_that_no_codec_has_is_one_line(settings: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(settings)
    with pytest.raises(InputError, match=r"config\.json") as refused:
        MiniSpace(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_no_frequency_whistles(space: Space) -> None:
    """A bin that is wrong by itself, unlike its neighbours, is a tone that no music asked for."""
    assert isinstance(space, MiniSpace)
    audio = torch.from_numpy(np.stack([render_example(SEED + i, 6.0).audio[: 128 * 1024] for i in range(8)]))
    spectra = space.codec.spectra(audio)
    decoded = space.codec.decode(space.codec.encode(spectra))
    error = (decoded - spectra).view(-1, space.codec.config.bins).mean(0)
    alone = error[1:-1] - (error[:-2] + error[2:]) / 2
    assert alone.abs().max() < 0.4


def test_phases_are_found_where_there_is_no_float64() -> None:
    spectra = torch.rand(1, 9, 2 * 64, generator=torch.Generator().manual_seed(0))
    magnitude = Codec(CodecConfig(n_fft=128, hop=64)).magnitudes(spectra)
    found = invert(magnitude.as_subclass(OnAppleGPU), 32, 128, 2)
    assert isinstance(found, OnAppleGPU)
    assert torch.equal(found.cpu(), invert(magnitude, 32, 128, 2))
