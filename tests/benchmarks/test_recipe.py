"""The training recipe from its first command to a model that generates, a few seconds for each stage."""

import importlib
import sys

import numpy as np
import pytest
import torch

from benchmarks.mini_training.codec import draw_batch
from benchmarks.mini_training.data import FIRST_PITCH, HOP, SAMPLE_RATE
from probes.readout import Readout
from probes.rendering import render_example
from probes.spaces import load_space
from tracer.generators import load_generator


@pytest.fixture
def recipe(monkeypatch):
    def run(stage, *arguments):
        module = importlib.import_module(f"benchmarks.mini_training.{stage}")
        monkeypatch.setattr(sys, "argv", [stage, *map(str, arguments)])
        module.main()

    return run


def test_the_recipe_leads_from_nothing_to_a_model(recipe, tmp_path):
    short, long, codec, flow = (tmp_path / name for name in ("short", "long", "codec", "flow"))
    recipe("data", "--out", short, "--count", 8, "--first-seed", 10)
    recipe("data", "--out", long, "--count", 1, "--first-seed", 90, "--seconds", 48.1)
    recipe("codec", "--cache", short, "--out", tmp_path / "codec.pt", "--minutes", 0.02)
    recipe("export", "codec", tmp_path / "codec.pt", codec, "--cache", short)
    audio = torch.from_numpy(render_example(5, 4.0).audio)[None, None]
    before = load_space("mini", str(codec))
    latents, heard = before.encode(audio), before.decode(before.encode(audio))

    recipe("codec", "--cache", short, "--out", tmp_path / "decoder.pt", "--decoder-of", codec, "--minutes", 0.02)
    recipe("export", "codec", tmp_path / "decoder.pt", codec, "--cache", short)
    after = load_space("mini", str(codec))
    torch.testing.assert_close(after.encode(audio), latents, rtol=0, atol=1e-5)  # flow and readout still fit
    assert not torch.allclose(after.decode(latents), heard, atol=1e-3)

    for cache, seed in ((short, 10), (long, 90)):
        recipe("latents", "--cache", cache, "--codec", codec, "--first-seed", seed)
    encoded = np.load(short / "latents.npy").astype(np.float32)
    assert np.abs(encoded.mean((0, 1))).max() < 0.05
    assert np.abs(encoded.std((0, 1)) - 1).max() < 0.05
    recipe("flow", "--caches", short, long, "--out", tmp_path / "flow.pt", "--minutes", 0.02, "--word-steps", 20)
    recipe("export", "flow", tmp_path / "flow.pt", flow)
    model = load_generator("mini", str(flow))
    clip = model.generate(["a quiet piano"], [1], steps=3, seconds=2.0, guidance=2.0)
    assert clip.shape == (1, model.frames(2.0), 64)
    assert torch.isfinite(clip).all()


def test_training_goes_on_from_its_checkpoint(recipe, tmp_path, capsys):
    recipe("data", "--out", tmp_path, "--count", 4, "--first-seed", 10, "--seconds", 3)
    options = ("--cache", tmp_path, "--out", tmp_path / "codec.pt", "--batch", 2, "--frames", 8)
    recipe("codec", *options, "--minutes", 0.04)
    first = torch.load(tmp_path / "codec.pt", weights_only=True)
    recipe("codec", *options, "--minutes", 0.08)
    second = torch.load(tmp_path / "codec.pt", weights_only=True)
    assert second["step"] > first["step"] > 0
    assert second["seconds"] > first["seconds"]


def test_the_readout_is_trained_by_calls_and_reads_latents(recipe, tmp_path):
    options = ("--work", tmp_path, "--hours", 0.03, "--out", tmp_path / "readout", "--steps", 4)
    recipe("readout", *options)
    readout = Readout.from_pretrained(str(tmp_path / "readout"))
    space = load_space("mini")
    latents = space.encode(torch.from_numpy(render_example(5, 4.0).audio)[None, None])
    for name, p in readout(latents).items():
        assert p.shape == (1, readout.probes.classes[name])
        torch.testing.assert_close(p.sum(1), torch.ones(1))


def test_the_pitch_head_is_told_only_the_notes_that_sound():
    """Where a crop is played faster or slower, or mixed with another piece, nothing is said of its pitch."""
    frames, notes = 8, (48, 67)
    half = frames // 2 * HOP
    hertz = [440 * 2 ** ((note - 69) / 12) for note in notes]
    sound = np.concatenate([np.sin(2 * np.pi * one * np.arange(half) / SAMPLE_RATE) for one in hertz])
    audio = np.int16(16000 * sound)[None]
    pitches = np.repeat(np.uint8(notes) - FIRST_PITCH + 1, frames // 2)[None]
    clips, classes = draw_batch(audio, pitches, 300, frames, np.random.default_rng(0))
    told = (classes != -1).all(1)
    assert torch.equal(classes[told], torch.from_numpy(np.int64(pitches)).expand(int(told.sum()), -1))
    assert (classes[~told] == -1).all()
    assert 0.6 < told.float().mean() < 0.75  # 0.7 keep their speed, and 0.95 of these are alone
    spectra = torch.fft.rfft(clips.view(-1, 2, half) * torch.hann_window(half)).abs()
    places = torch.tensor([round(one * half / SAMPLE_RATE) for one in hertz])
    loudest, there = spectra.argmax(-1), spectra[..., places]  # [clips, halves], [clips, halves, notes]
    right = ((loudest - places).abs() <= 1).all(1) & (there[:, [0, 1], [1, 0]] < 0.1 * spectra.amax(-1)).all(1)
    assert right[told].all()
    assert right[~told].float().mean() < 0.2  # a few are played hardly faster or slower
