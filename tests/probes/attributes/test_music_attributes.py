"""Onset, beat, chord, key, tempo, family, drums and voice: on sounds whose answer is known, and from scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.attributes import ATTRIBUTES, get_attribute
from probes.attributes.bins import NOTES
from probes.attributes.chord import NONE
from probes.attributes.key import MAJOR, MINOR, best_key
from probes.attributes.onset import score_onsets
from probes.attributes.score import Harmony, Note, Score
from probes.attributes.tempo import near
from probes.attributes.windows import window_slices
from probes.errors import InputError
from probes.rendering.instruments import INSTRUMENTS

RATE, HOP = 22050, 1024
FRAME_RATE = RATE / HOP
SCALE = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}


def tones(pitches: list[int], seconds: float) -> np.ndarray:
    """Notes of five partials together, fading, as mono float32."""
    time = np.arange(round(seconds * RATE)) / RATE
    hertz = [440 * 2 ** ((pitch - 69) / 12) for pitch in pitches]
    partials = [np.sin(2 * np.pi * k * f * time) / k**2 for f in hertz for k in range(1, 6)]
    return (0.1 * np.sum(partials, 0) * np.exp(-2 * time / seconds)).astype(np.float32)


def clicks(every: float, seconds: float) -> np.ndarray:
    """Short bursts of noise, the first after half a second."""
    audio = np.zeros(round(seconds * RATE), np.float32)
    burst = np.random.default_rng(0).normal(0, 0.3, 400) * np.exp(-np.arange(400) / 80)
    for start in np.arange(0.5, seconds - 0.1, every):
        audio[round(start * RATE) :][: len(burst)] += burst
    return audio


def measured(name: str, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return get_attribute(name).measure(audio, RATE, len(audio) // HOP, HOP)


def labels(name: str, score: Score, seconds: float = 4.0) -> np.ndarray:
    """Exact values, NaN where there are none."""
    values, known = get_attribute(name).of_score(score, int(seconds * FRAME_RATE), FRAME_RATE)
    return np.where(known, values, np.nan)


def test_clicks_are_onsets_and_have_their_tempo() -> None:
    audio = clicks(0.5, 10.0)
    marks, valid = measured("onset", audio)
    assert valid.all()
    wanted = np.arange(0.5, 9.9, 0.5)
    found = (np.flatnonzero(marks) + 0.5) / FRAME_RATE
    assert len(found) == len(wanted)
    assert np.abs(found - wanted).max() < 0.05
    values, valid = measured("tempo", audio)
    assert valid.all()
    assert set(values) == {values[0]}
    assert values[0] == pytest.approx(120, rel=0.04)
    for steady in (tones([60], 4.0), np.zeros(4 * RATE, np.float32)):
        assert not measured("tempo", steady)[1].any()


def test_each_window_has_its_own_tempo_or_none() -> None:
    audio = np.concatenate([clicks(0.5, 6.0), clicks(0.4, 6.0), np.zeros(6 * RATE, np.float32)])
    values, valid = measured("tempo", audio)
    windows = window_slices(len(values), FRAME_RATE)
    assert len(windows) == 3
    assert [set(valid[window]) for window in windows] == [{True}, {True}, {False}]
    found = [float(values[window][0]) for window in windows[:2]]
    assert [len(set(values[window])) for window in windows[:2]] == [1, 1]
    assert near(np.array(found), np.array([120.0, 150.0])).all()


def test_near_tempos() -> None:
    found, wanted = np.array([100.0, 103.9, 104.1, 200.0, 50.0, 0.0]), np.full(6, 100.0)
    assert near(found, wanted).tolist() == [True, True, False, True, True, False]
    assert near(found, wanted, folded=False).tolist() == [True, True, False, False, False, False]


@given(frames=st.integers(1, 20_000), rate=st.floats(5, 100))
def test_windows_are_equally_long_and_near_to_six_seconds(frames: int, rate: float) -> None:
    windows = window_slices(frames, rate)
    sizes = np.array([window.stop - window.start for window in windows])
    assert [place for window in windows for place in range(frames)[window]] == list(range(frames))
    assert sizes.min() >= 1
    assert np.ptp(sizes) <= 1
    assert len(sizes) == 1 or 4.4 < frames / len(sizes) / rate < 7.6


@pytest.mark.parametrize(("pitches", "name"), [([48, 64, 67], "C"), ([57, 60, 64], "Am"), ([54, 58, 61], "F#")])
def test_triads_have_their_chord_and_single_notes_have_none(pitches: list[int], name: str) -> None:
    bins = get_attribute("chord").fit_bins(np.empty(0))
    values, valid = measured("chord", tones(pitches, 3.0))
    assert valid.mean() > 0.9
    assert {bins.label(int(value)) for value in values[valid]} == {name}
    assert not measured("chord", tones(pitches[:1], 3.0))[1].any()


def test_silence_has_the_chord_none_and_no_key() -> None:
    silence = np.zeros(2 * RATE, np.float32)
    values, valid = measured("chord", silence)
    assert valid.all()
    assert set(values) == {NONE}
    assert not measured("key", silence)[1].any()


@pytest.mark.parametrize(("tonic", "mode"), [(0, "major"), (7, "major"), (9, "minor"), (1, "minor")])
def test_a_scale_that_rests_on_its_tonic_has_its_key(tonic: int, mode: str) -> None:
    first, second, third, fourth, fifth, *_ = (48 + tonic + step for step in SCALE[mode])
    pitches = [first, second, third, fourth, fifth, third, first, fifth, third, first]
    audio = np.concatenate([tones([pitch], 0.8 if pitch == first else 0.4) for pitch in pitches])
    values, valid = measured("key", audio)
    assert valid.all()
    assert set(values) == {tonic + 12 * (mode == "minor")}
    assert get_attribute("key").names[int(values[0])] == f"{NOTES[tonic]} {mode}"


def test_onsets_of_a_score_count_chords_once_and_drums_too() -> None:
    notes = (Note(0.0, 1.0, 60), Note(1.0, 2.0, 60), Note(1.004, 2.0, 64), Note(1.2, 2.0, 64))
    np.testing.assert_allclose(score_onsets(Score(notes, hits=(3.0,))), [0, 1.002, 1.2, 3.0])
    marks = labels("onset", Score(notes, hits=(3.0, 99.0)))
    assert np.flatnonzero(marks).tolist() == [int(start * FRAME_RATE) for start in (0, 1.002, 1.2, 3.0)]
    assert len(score_onsets(Score(()))) == 0


def test_chords_of_a_score_are_triads_in_force() -> None:
    harmonies = (Harmony(1, 2, frozenset({0, 4, 7})), Harmony(2, 3, frozenset({0, 3, 6})))
    chords = labels("chord", Score((Note(1.0, 1.1, 60), Note(3.0, 3.5, 60)), harmonies=harmonies))
    at = [int((second + 0.25) * FRAME_RATE) for second in (0, 1, 2, 3)]
    # Silence is no chord, a triad is one throughout its bar, what is no triad has no label, and neither has one voice.
    np.testing.assert_array_equal(chords[at], [NONE, 0, np.nan, np.nan])
    assert chords[-1] == NONE


def test_no_chord_and_an_unknown_chord_are_told_apart() -> None:
    harmonies = (Harmony(0.0, 2.0, frozenset()), Harmony(2.0, 4.0, None))
    chords = labels("chord", Score((Note(0.0, 4.0, 60),), harmonies=harmonies))
    assert set(chords[: int(1.9 * FRAME_RATE)]) == {NONE}
    assert np.isnan(chords[int(2.1 * FRAME_RATE) :]).all()


def test_what_a_score_says_of_a_clip_stands_in_all_its_frames() -> None:
    score = Score((), hits=(2.0,), key=(9, True), tempo=96.5, family="brass")
    assert set(labels("key", score)) == {21}
    assert set(labels("tempo", score)) == {np.float32(96.5)}
    assert set(labels("family", score)) == {8}
    assert set(labels("drums", score)) == {1}
    assert set(labels("drums", Score((), hits=()))) == {0}
    assert set(labels("voice", Score((), voice=True))) == {1}


def test_a_frame_lies_in_an_eighth_of_its_beat() -> None:
    found = labels("beat", Score((), beats=(1.0, 1.5, 2.5)))
    times = (np.arange(len(found)) + 0.5) / FRAME_RATE
    # Beats of half a second and of a second; nothing before the first beat and behind the last.
    np.testing.assert_array_equal(np.isnan(found), (times < 1) | (times >= 2.5))
    inside = (times >= 1) & (times < 2.5)
    wanted = np.where(times < 1.5, (times - 1) / 0.5, times - 1.5)
    np.testing.assert_array_equal(found[inside], np.floor(wanted[inside] * 8))


def test_the_beat_of_clicks_is_found() -> None:
    values, valid = measured("beat", clicks(0.5, 8.0))
    wanted = np.floor(np.mod((np.arange(len(values)) + 0.5) / FRAME_RATE, 0.5) / 0.5 * 8)
    away = np.abs((values - wanted + 4) % 8 - 4)
    assert valid.mean() > 0.7
    # The tracker's own onsets lie up to half a frame of 12 ms off, a fifth of an eighth.
    assert (away[valid] <= 1).mean() > 0.95


def test_every_instrument_has_a_family() -> None:
    assert {instrument.family for instrument in INSTRUMENTS} == set(get_attribute("family").names)


@pytest.mark.parametrize("name", ["chord", "key", "tempo", "family", "drums", "voice", "beat"])
def test_notes_alone_do_not_say_everything(name: str) -> None:
    with pytest.raises(InputError, match=f"the annotation does not say {name}: "):
        labels(name, Score((Note(0, 1, 60),)))


@pytest.mark.parametrize("name", ["family", "drums", "voice"])
def test_what_cannot_be_heard_says_so_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} has no estimator for recordings: .*rendered") as told:
        measured(name, tones([60], 1.0))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_every_registered_attribute_says_what_it_is(name: str) -> None:
    one = get_attribute(name)
    assert one.name == name
    assert one.grid in ("frame", "window", "clip")
    assert one.measurable or one.notated
    assert ("grid" in one.describe()) == (one.grid != "frame")
    assert one.describe_notated()["labels"] == "annotation"
    assert one.scales == ("names",) or not one.names
    if not one.notated:
        with pytest.raises(InputError, match="the annotation does not say"):
            one.of_score(Score(()), 3, FRAME_RATE)


@given(st.lists(st.floats(0, 1), min_size=12, max_size=12).filter(lambda energies: np.std(energies) > 1e-3))
def test_the_key_is_that_of_the_highest_correlation(energies: list[float]) -> None:
    """Pearson's correlation with each of the 24 profiles, as numpy has it."""
    profiles = [np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)]
    wanted = np.corrcoef([energies, *profiles])[0, 1:]
    found, correlation = best_key(np.array(energies))
    assert correlation == pytest.approx(wanted.max(), abs=1e-6)
    assert wanted[found] == pytest.approx(wanted.max(), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "count", "scale", "says"),
    [
        ("chroma", 5, None, "chroma has 12 classes, not 5"),
        ("chroma", None, "octave", "no octave bins"),
        ("key", 5, None, "key has 24 classes, not 5"),
        ("onset", 7, None, "onset has 2 classes, not 7"),
        ("tempo", 300, None, "at most 256, not 300"),
        ("loudness", 1, None, "at least 2 classes"),
    ],
)
def test_classes_that_an_attribute_cannot_have_are_refused(
    name: str, count: int | None, scale: str | None, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        get_attribute(name).fit_bins(np.linspace(60, 200, 999), count, scale)
    assert len(get_attribute("key").fit_bins(np.zeros(9), 24)) == 24
