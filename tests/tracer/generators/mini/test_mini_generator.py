"""The bundled generator: offline, seeded per clip, and obedient to its prompts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hooks import Event, capture
from probes.errors import InputError
from probes.spaces.mini import space
from probes.spaces.mini.space import MiniSpace
from tracer.generators import load_generator, prompt_seed
from tracer.generators.base import Generator
from tracer.generators.mini import generator
from tracer.generators.mini.text import TextEncoder, words_of


@pytest.fixture(scope="module")
def mini() -> Generator:
    return load_generator("mini")


def clips(mini: Generator, captions: list[str], seconds: float = 3.0, steps: int = 12) -> np.ndarray:
    seeds = [prompt_seed(5, i) for i in range(len(captions))]
    return mini.decode(mini.generate(captions, seeds, steps=steps, seconds=seconds, guidance=mini.default_guidance))


def test_shapes_and_lengths(mini: Generator) -> None:
    assert mini.frames(12.0) == 258
    assert mini.frames(95.0) == 2045
    for seconds in (0.0, 0.01, 96.0):
        with pytest.raises(InputError, match="clips of"):
            mini.frames(seconds)
    audio = clips(mini, ["a piano"], seconds=1.0, steps=3)
    assert audio.shape == (1, 1, 21 * 1024)
    assert np.isfinite(audio).all()


@pytest.mark.parametrize("load", [lambda folder: load_generator("mini", weights=folder), MiniSpace])
def test_weights_that_are_not_finite_are_refused(load: Callable[[str], object], tmp_path: Path) -> None:
    bundled = space.BUNDLED if load is MiniSpace else generator.BUNDLED
    shutil.copy(bundled / "config.json", tmp_path)
    tensors = load_file(bundled / "model.safetensors")
    name = sorted(tensors)[-1]
    tensors[name].view(-1)[0] = -torch.inf
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=rf"not finite, or too large \({name}\)"):
        load(str(tmp_path))


def test_a_clip_depends_on_its_own_seed_and_caption_alone(mini: Generator) -> None:
    options = {"steps": 4, "seconds": 1.0, "guidance": 2.0}
    together = mini.generate(["a loud trumpet", "soft piano chords and drums"], [3, 4], **options)
    alone = mini.generate(["soft piano chords and drums"], [4], **options)
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-4)
    other = mini.generate(["soft piano chords and drums"], [5], **options)
    assert not torch.allclose(alone, other, atol=0.1)


def test_hooks_see_every_state(mini: Generator) -> None:
    seen: list[Event] = []
    with capture(mini.sampler, seen.append):
        final = mini.generate(["a violin"], [0], steps=5, seconds=1.0, guidance=2.0)
    assert [event.index for event in seen] == [0, 1, 2, 3, 4]
    assert torch.equal(seen[-1].state, final)


def test_unknown_words_change_nothing() -> None:
    text = TextEncoder(["low", "piano"])
    known, mixed = (text(text.tokens([caption])) for caption in ("low piano", "Low, zyxgrk piano!"))
    assert torch.equal(known, mixed)
    assert torch.equal(text(text.tokens(["zyxgrk", ""])), text.null_style().expand(2, -1))
    torch.testing.assert_close(known.norm(dim=-1), torch.ones(1))


def test_words() -> None:
    assert words_of("A high-pitched, 8-bit FLUTE.") == ["a", "high", "pitched", "8", "bit", "flute"]


def test_quiet_and_loud_are_heard(mini: Generator) -> None:
    quiet = clips(mini, ["a quiet piano", "soft, hushed flute", "quiet strings", "a gentle, quiet guitar"])
    loud = clips(mini, ["a loud piano", "loud, powerful flute", "loud strings", "a forceful, loud guitar"])
    level = [20 * np.log10(np.median(np.sqrt(np.mean(x**2, axis=(1, 2))))) for x in (quiet, loud)]
    assert level[1] - level[0] > 4


def test_dark_and_bright_are_heard(mini: Generator) -> None:
    def centroid(captions: list[str]) -> float:
        spectrum = np.abs(np.fft.rfft(clips(mini, captions)[:, 0]))
        hertz = np.fft.rfftfreq(64 * 1024, 1 / 22050)
        return float(np.median((spectrum * hertz).sum(1) / spectrum.sum(1)))

    dark = centroid(["a dark cello", "a muffled electric piano", "a warm french horn"])
    assert centroid(["a bright violin", "a bright harpsichord", "a brilliant trumpet"]) > 1.3 * dark


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        load_generator("mini", weights=str(tmp_path))


@pytest.mark.parametrize("state", [0, 1, 4])
def test_a_sampling_goes_on_from_a_state_to_the_same_latent(mini: Generator, state: int) -> None:
    seen: list[Event] = []
    options = {"steps": 6, "guidance": 2.0}
    with capture(mini.sampler, seen.append):
        final = mini.generate(["a violin", "loud drums"], [0, 1], seconds=1.0, **options)
    again = mini.go_on(["a violin", "loud drums"], seen[state].state, state, **options)
    assert torch.equal(again, final)
