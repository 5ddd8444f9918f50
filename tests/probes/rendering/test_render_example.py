"""Rendered examples: the same seed gives the same music, and the facts are true of the sound."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import InputError
from probes.rendering import render_example
from probes.rendering.compose import Facts, Note, Part, Piece, compose, draw_facts
from probes.rendering.instruments import BY_NAME, INSTRUMENTS
from probes.rendering.synth import render

RATE = 22050


def facts(**changes: object) -> Facts:
    plain = {
        "tonic": 0, "scale": "major", "tempo": 100.0, "meter": 4, "register": "middle", "dynamics": "medium",
        "contour": "steady", "tone": "neutral", "articulation": "normal", "activity": "even", "reverb": 0.0,
        "tuning": 0.0, "level": -20.0, "parts": (Part("melody", BY_NAME["flute"]),), "drums": False,
    }  # fmt: skip
    return Facts(**{**plain, **changes})  # type: ignore[arg-type]


def strongest(audio: np.ndarray) -> float:
    """Frequency of the strongest spectral peak, Hz."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    return float(np.argmax(spectrum) * RATE / (8 * len(audio)))


def centroid(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio))
    return float((spectrum * np.fft.rfftfreq(len(audio), 1 / RATE)).sum() / spectrum.sum())


def test_equal_seeds_give_equal_examples_whatever_was_rendered_before() -> None:
    first = render_example(7, 3.0)
    render_example(8, 2.0)
    again = render_example(7, 3.0)
    assert np.array_equal(first.audio, again.audio)
    assert (first.caption, first.facts, first.notes) == (again.caption, again.facts, again.notes)
    assert not np.array_equal(first.audio, render_example(9, 3.0).audio)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**9), seconds=st.sampled_from([0.5, 2.0, 3.3]))
def test_every_example_is_sound_of_the_length_asked_for(seed: int, seconds: float) -> None:
    example = render_example(seed, seconds, 16000)
    assert example.audio.shape == (round(seconds * 16000),)
    assert example.audio.dtype == np.float32
    assert np.abs(example.audio).max() <= 1.0
    assert np.isfinite(example.audio).all()
    assert example.caption.strip()
    assert all(0 <= note.start < note.end <= seconds + 1e-9 for note in example.notes)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_notes_keep_to_scale_register_and_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = draw_facts(rng)
    piece = compose(drawn, 8.0, rng)
    melody = [note.pitch - drawn.tuning / 100 for note in piece.notes if note.part == 0]
    one = drawn.parts[0].instrument
    assert all(one.low - 1e-6 <= pitch <= one.high + 1e-6 for pitch in melody)
    if melody and drawn.register == "low" and one.low <= 36:
        assert np.median(melody) < 60
    if melody and drawn.register == "high" and one.high >= 88:
        assert np.median(melody) > 64


@pytest.mark.parametrize(
    ("pitch", "name"), [(69.0, "flute"), (57.0, "clarinet"), (69.3, "violin"), (48.0, "church organ")]
)
def test_a_note_sounds_at_its_pitch(pitch: float, name: str) -> None:
    tuned = facts(parts=(Part("melody", BY_NAME[name]),), tuning=100 * (pitch - round(pitch)))
    piece = Piece(tuned, (Note(0.0, 1.0, pitch, 90, 0),))
    audio = render(piece, 1.0, RATE, np.random.default_rng(0))
    heard = 69 + 12 * np.log2(strongest(audio[RATE // 4 : 3 * RATE // 4]) / 440)
    partials = 12 * np.log2(np.array([1, 2, 3, 4]))  # the strongest partial need not be the first
    assert np.abs(heard - pitch - partials).min() < 0.15


@pytest.mark.parametrize("level", [-35.0, -20.0])
def test_the_sound_has_the_level_that_the_facts_name(level: float) -> None:
    wanted = facts(level=level, parts=(Part("melody", BY_NAME["church organ"]),))
    rng = np.random.default_rng(1)
    audio = render(compose(wanted, 3.0, rng), 3.0, RATE, rng)
    assert 20 * np.log10(np.sqrt(np.mean(audio**2))) == pytest.approx(level, abs=0.1)


def test_tone_moves_the_centroid() -> None:
    heard = {}
    for tone in ("dark", "neutral", "bright"):
        wanted = facts(tone=tone, parts=(Part("melody", BY_NAME["violin"]),))
        rng = np.random.default_rng(2)
        heard[tone] = centroid(render(compose(wanted, 3.0, rng), 3.0, RATE, rng))
    assert heard["dark"] < 0.8 * heard["neutral"] < heard["neutral"] < heard["bright"] / 1.1


def test_there_are_instruments_of_many_families() -> None:
    assert len(INSTRUMENTS) >= 16
    assert len({instrument.family for instrument in INSTRUMENTS}) >= 6
    assert len({instrument.name for instrument in INSTRUMENTS}) == len(INSTRUMENTS)
    assert all(0 <= instrument.program < 128 and instrument.low < instrument.high for instrument in INSTRUMENTS)


def test_a_missing_synthesiser_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from probes.rendering import synth

    synth._soundfont.cache_clear()
    synth._synth.cache_clear()
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    with pytest.raises(InputError, match="pip install --no-deps tinysoundfont"):
        render_example(0, 1.0)
    synth._soundfont.cache_clear()
