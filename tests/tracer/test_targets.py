"""Targets by value, class and word."""

import math

import numpy as np
import pytest
from support.readout import tiny_readout

from probes.errors import InputError
from probes.readout import Readout
from tracer.targets import class_position, named_value, target_value


@pytest.fixture
def readout() -> Readout:
    made = tiny_readout()
    made.report["songs"] = {"loudness": {"low": -35.0, "high": -14.0, "spread": 7.0, "files": 10}}
    return made


def test_values_words_and_classes(readout: Readout) -> None:
    assert target_value("loudness", "-20dB", readout) == pytest.approx(-20)
    assert target_value("loudness", "quiet", readout) == -35
    assert target_value("loudness", "loud", readout) == -14
    assert target_value("timbre", "2048Hz", readout) == pytest.approx(11)
    assert target_value("pitch", "C3", readout) == 48
    assert target_value("loudness", "0", readout) == pytest.approx(20 * math.log10(readout.bins["loudness"].centers[0]))


def test_the_middle_of_a_class_lies_at_its_index(readout: Readout) -> None:
    for name, classes in (("pitch", [0, 30, 65]), ("loudness", [1, 10, 19]), ("timbre", [0, 19])):
        numbers = np.array([target_value(name, str(k), readout) for k in classes])
        np.testing.assert_allclose(class_position(name, numbers, readout), classes, atol=1e-9)


@pytest.mark.parametrize(
    ("attribute", "text", "says"),
    [
        ("tempo", "120", "this readout reads pitch, loudness, timbre, not 'tempo'"),
        ("timbre", "dark", "needs a readout that knows how its training songs are spread"),
        ("loudness", "dark", "is no loudness"),
        ("loudness", "99", "classes 0 to 19"),
        ("pitch", "C99", "pitch"),
    ],
)
def test_a_wrong_target_is_one_line(readout: Readout, attribute: str, text: str, says: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        target_value(attribute, text, readout)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("60", "C4 or 261.63Hz"),
        (" 0 ", "C-1 or 8.18Hz"),
        ("60.0", "C4 or 261.63Hz"),
        ("60.5", "269.29Hz"),
        ("-3", "C4 or 440Hz"),
        ("1e9", "C4 or 440Hz"),
        ("9" * 400, "C4 or 440Hz"),
    ],
)
def test_a_bare_number_of_pitch_is_refused_with_what_to_write(readout: Readout, text: str, instead: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        named_value("pitch", text, readout)
    assert str(refused.value).endswith(f"a MIDI number or a class: write a note or a frequency, as in {instead}")


def test_notes_frequencies_and_numbers_of_other_attributes_are_what_they_were(readout: Readout) -> None:
    assert named_value("pitch", "C3", readout) == 48
    assert named_value("pitch", "261.63Hz", readout) == pytest.approx(60, abs=0.001)
    for attribute, text in (("loudness", "0"), ("loudness", "0.1"), ("timbre", "7"), ("loudness", "quiet")):
        assert named_value(attribute, text, readout) == target_value(attribute, text, readout)
