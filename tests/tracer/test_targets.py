"""Targets by value, class and word."""

import math

import numpy as np
import pytest
from support.readout import tiny_readout

from probes.errors import InputError
from probes.readout import Readout
from tracer.targets import class_position, target_value


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
