"""One number for a song, and back."""

import math

import numpy as np
import pytest

from probes.attributes.songs import frame_value, song_value


@pytest.mark.parametrize(
    ("unit", "values", "song"),
    [
        ("RMS", [0.1, 0.1], -20.0),
        ("RMS", [0.0, 0.2], 20 * math.log10(0.2 / math.sqrt(2))),
        ("RMS", [0.0, 0.0], -100.0),
        ("Hz", [1024.0, 512.0, 2048.0], 10.0),
        ("MIDI", [60.0, 72.0, 61.0], 61.0),
    ],
)
def test_known_songs(unit: str, values: list[float], song: float) -> None:
    assert song_value(unit, np.array(values), np.ones(len(values), bool)) == pytest.approx(song)


@pytest.mark.parametrize(("unit", "value"), [("RMS", 0.05), ("Hz", 740.0), ("MIDI", 55.5)])
def test_a_song_of_one_value_leads_back_to_it(unit: str, value: float) -> None:
    assert frame_value(unit, song_value(unit, np.array([value]), np.array([True]))) == pytest.approx(value)


def test_frames_that_do_not_count_are_left_out() -> None:
    assert song_value("MIDI", np.array([60.0, 10.0]), np.array([True, False])) == 60
    assert math.isnan(song_value("MIDI", np.array([60.0]), np.array([False])))
    assert math.isnan(song_value("Hz", np.array([0.0]), np.array([True])))
