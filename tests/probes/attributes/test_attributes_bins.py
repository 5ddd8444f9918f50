"""Bins: fitting, classes, names, and what a user may type."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.attributes import get_attribute
from probes.attributes.bins import Bins
from probes.errors import InputError

VALUES = np.random.default_rng(0).uniform(0.01, 1, 5000)


def fitted(name: str, scale: str | None = None) -> Bins:
    values = {"pitch": 40 + 50 * VALUES, "timbre": 8000 * VALUES, "tempo": 55 + 125 * VALUES}.get(name, VALUES)
    return get_attribute(name).fit_bins(values, scale=scale)


ALL = [
    ("pitch", None),
    ("loudness", None),
    ("loudness", "db"),
    ("timbre", None),
    ("timbre", "octave"),
    ("chroma", None),
    ("onset", None),
    ("chord", None),
    ("key", None),
    ("tempo", None),
    ("family", None),
    ("drums", None),
    ("voice", None),
    ("beat", None),
]
COUNTS = {"pitch": 66, "chroma": 12, "chord": 25, "key": 24, "family": 12, "beat": 8}
COUNTS |= {"onset": 2, "drums": 2, "voice": 2}


@pytest.mark.parametrize(("name", "scale"), ALL)
def test_counts_centres_and_a_round_trip(name: str, scale: str | None) -> None:
    bins = fitted(name, scale)
    assert len(bins) == COUNTS.get(name, 20)
    np.testing.assert_array_equal(bins.classes(bins.centers), np.arange(len(bins)))
    assert Bins.from_dict(json.loads(json.dumps(bins.to_dict()))) == bins
    assert len({bins.label(index) for index in range(len(bins))}) == len(bins)


@pytest.mark.parametrize(("name", "scale"), [pair for pair in ALL if pair[0] != "timbre"])
def test_labels_parse_to_their_class(name: str, scale: str | None) -> None:
    bins = fitted(name, scale)
    for index in range(len(bins)):
        assert bins.parse(bins.label(index)) == bins.parse(str(index)) == index


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
@settings(max_examples=50, deadline=None)
def test_every_value_has_its_bin(values: list[float]) -> None:
    bins = fitted("timbre")
    edges = np.array(bins.edges)
    array = np.array(values)
    classes = bins.classes(array)
    inside = (array >= edges[0]) & (array < edges[-1])
    assert np.all((edges[classes] <= array)[inside] & (array < edges[classes + 1])[inside])
    assert np.all(classes[array < edges[0]] == 0)
    assert np.all(classes[array >= edges[-1]] == 19)


def test_masked_values_have_no_class() -> None:
    bins = fitted("loudness")
    classes = bins.classes(np.array([0.5, np.nan, 0.5]), np.array([True, True, False]))
    assert list(classes) == [bins.classes(np.array([0.5]))[0], -1, -1]


def test_pitch_classes_are_chosen_from_the_training_range() -> None:
    pitch = get_attribute("pitch")
    narrow = pitch.fit_bins(np.array([60.0, 61.2, 64.0]))
    assert len(narrow) == 66
    assert {-1} & set(narrow.classes(np.array([60.0, 61.2, 64.0]))) == set()
    # 80 notes, and far more of the upper ones: the 66 with most values win.
    wide = np.concatenate([np.arange(20, 100), np.repeat(np.arange(34, 100), 50)]).astype(float)
    bins = pitch.fit_bins(wide)
    assert (bins.label(0), bins.label(65)) == ("A#1", "D#7")
    assert bins.classes(np.array([33.0, 34.0, 99.4, 99.6])).tolist() == [-1, 0, 65, -1]


def test_db_and_octave_bins_are_equal_ratios() -> None:
    for name, scale in (("loudness", "db"), ("timbre", "octave")):
        edges = np.array(fitted(name, scale).edges)
        np.testing.assert_allclose(edges[1:] / edges[:-1], edges[1] / edges[0])
    linear = np.array(fitted("loudness").edges)
    np.testing.assert_allclose(np.diff(linear), linear[1] - linear[0])


def test_what_a_user_types() -> None:
    pitch, level, centroid = fitted("pitch"), fitted("loudness", "db"), fitted("timbre")
    assert pitch.label(pitch.parse("C5")) == pitch.label(pitch.parse("523.25Hz")) == "C5"
    assert pitch.parse("Db4") == pitch.parse("c#4") == pitch.parse("C♯4")
    assert level.parse("-20dB") == level.parse("0.1") == level.parse("-20 db")
    assert centroid.parse("2000Hz") == centroid.parse("2 kHz") == centroid.parse("2000.0")
    assert fitted("chroma").parse("F#") == 6
    assert pitch.parse("0") == 0
    key, tempo = fitted("key"), fitted("tempo")
    assert key.label(key.parse("Bb  Minor")) == "A# minor"
    assert key.parse("C major") == 0
    assert fitted("chord").parse("am") == 21
    assert tempo.parse("120 bpm") == tempo.parse("120BPM") == tempo.parse("120.0")
    assert fitted("family").parse("Brass") == 8


def test_only_attributes_with_names_clips_or_windows_say_so() -> None:
    """What is kept of the others stays as it was: fingerprints are taken of it."""
    for name in ("pitch", "loudness", "timbre", "chroma"):
        assert set(fitted(name).to_dict()) == {"attribute", "unit", "scale", "edges"}
    assert {name for name, _ in ALL if fitted(name).grid == "clip"} == {"drums", "family", "key", "voice"}
    assert {name for name, _ in ALL if fitted(name).grid == "window"} == {"tempo"}
    assert fitted("tempo").summary.endswith("(octave scale, BPM), one for each window")
    assert fitted("key").summary == "24 classes from C major to B minor (names scale, key), one for each clip"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("pitch", "H4", "write C5 or 440Hz"),
        ("pitch", "66", "classes 0 to 65"),
        ("pitch", "C9", "outside the classes"),
        ("pitch", "-20dB", "is no pitch"),
        ("loudness", "loud", "write -20dB or 0.1"),
        ("loudness", "40dB", "outside the classes"),
        ("timbre", "C5", "write 2000Hz"),
        ("timbre", "0Hz", "is no timbre"),
        ("chroma", "C5", "write F#"),
        ("loudness", "", "is no loudness"),
        ("chord", "H", "is no chord: write C or C#"),
        ("drums", "loud", "write no drums or drums"),
        ("tempo", "fast", "write 120BPM"),
        ("tempo", "400BPM", "outside the classes"),
    ],
)
def test_what_a_user_should_not_type(name: str, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        fitted(name).parse(text)


def test_too_little_data() -> None:
    with pytest.raises(InputError, match="3 different values cannot fill 20 classes"):
        get_attribute("loudness").fit_bins(np.array([0.1, 0.2, 0.3] * 10))
    with pytest.raises(InputError, match="no voiced frame"):
        get_attribute("pitch").fit_bins(np.array([]))
    with pytest.raises(InputError, match="choose linear or db"):
        get_attribute("loudness").fit_bins(VALUES, scale="octave")
    with pytest.raises(InputError, match="at least 2 classes"):
        get_attribute("loudness").fit_bins(VALUES, count=1)


def test_bins_say_what_they_are() -> None:
    bins = Bins("timbre", "Hz", "octave", (100.0, 200.0, 400.0))
    assert repr(bins) == "Bins of timbre: 2 classes from 141 Hz to 283 Hz (octave scale, Hz)"
