"""Rendered examples: the same seed gives the same music, and the facts are true of the sound."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import InputError
from probes.rendering import render_example
from probes.rendering.composing import Facts, Note, Part, Piece, compose, draw_facts
from probes.rendering.instruments import BY_NAME, INSTRUMENTS
from probes.rendering.soundfont import load_soundfont
from probes.rendering.synth import play, render

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


def level(audio: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(audio**2))))


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


def sound(notes: list[Note], name: str, seconds: float, **changes: object) -> np.ndarray:
    return play(notes, facts(parts=(Part("melody", BY_NAME[name]),), **changes), seconds, RATE)


@pytest.mark.parametrize("start", [0.0, 0.1234, 0.777])
def test_a_note_starts_when_it_is_written(start: float) -> None:
    audio = sound([Note(start, start + 0.3, 72.0, 100, 0)], "xylophone", 1.5)
    first = np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max())[0] / RATE
    assert first == pytest.approx(start, abs=0.003)


def test_the_synthesiser_adds_no_room() -> None:
    audio = sound([Note(0.0, 0.5, 72.0, 100, 0)], "harmonica", 1.0)
    assert np.abs(audio[int(0.7 * RATE) :]).max() < 1e-3 * np.abs(audio).max()


def test_a_note_outlasts_an_earlier_one_on_its_key() -> None:
    written = [Note(0.0, 0.52, 60.0, 90, 0), Note(0.5, 1.5, 60.0, 90, 0)]
    audio = sound(written, "church organ", 1.5)
    assert level(audio[int(1.2 * RATE) : int(1.4 * RATE)]) > level(audio[int(0.2 * RATE) : int(0.4 * RATE)]) - 1


def test_amplitude_goes_with_velocity() -> None:
    loud, quiet = (sound([Note(0.0, 1.0, 60.0, velocity, 0)], "flute", 1.0) for velocity in (100, 50))
    assert level(loud) - level(quiet) == pytest.approx(20 * np.log10(2), abs=0.3)


def test_many_loud_notes_do_not_clip() -> None:
    one, many = (sound([Note(0.0, 1.0, 60.0, 127, 0)] * n, "trumpet", 1.0) for n in (1, 32))
    assert np.corrcoef(one, many)[0, 1] > 0.999


@pytest.mark.parametrize("name", ["midirenderer", "pretty_midi"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load_soundfont.cache_clear()
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=f"pip install .*{name}"):
        render_example(0, 1.0)
