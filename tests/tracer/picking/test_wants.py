"""Wants as they are written, and distances."""

import math

import pytest
from support.readout import tiny_readout

from probes.errors import InputError
from probes.readout import Readout
from tracer.picking.wants import Want, distance, goals_of, parse_want


@pytest.fixture
def readout() -> Readout:
    made = tiny_readout()
    made.report["songs"] = {
        "loudness": {"low": -35.0, "high": -14.0, "spread": 7.0, "files": 10},
        "timbre": {"low": 8.6, "high": 11.3, "spread": 1.0, "files": 10},
    }
    return made


def test_a_want_written_out_is_read_back() -> None:
    for want in (Want("timbre", "dark"), Want("loudness", "-20dB", 2.5)):
        assert parse_want(str(want)) == want


def test_distances_are_counted_in_spreads_and_weighed(readout: Readout) -> None:
    goals = goals_of([parse_want("loudness=-20dB,weight=3"), parse_want("timbre=dark")], readout)
    assert distance({"loudness": -20.0, "timbre": 8.6}, goals) == pytest.approx(0)
    assert distance({"loudness": -27.0, "timbre": 8.6}, goals) == pytest.approx(3 / 4)
    assert distance({"loudness": -20.0, "timbre": 9.6}, goals) == pytest.approx(1 / 4)
    assert distance({"loudness": math.nan, "timbre": 9.6}, goals) == math.inf


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["timbre"], "write attribute=target"),
        (["=dark"], "write attribute=target"),
        (["timbre=dark,weight=0"], "above 0"),
        (["timbre=dark,weight=nan"], "above 0"),
        (["timbre=dark,weight=much"], "above 0"),
        (["timbre=dark,height=2"], "takes one weight"),
        (["timbre=dark,weight=1,weight=2"], "takes one weight"),
        (["tempo=120"], "not 'tempo'"),
        (["timbre=loud"], "is no timbre"),
        (["timbre=dark", "timbre=bright"], "wanted twice"),
        (["pitch=60"], "write a note or a frequency, as in C4 or 261.63Hz"),
        (["pitch=low"], "knows how its training songs are spread"),
    ],
)
def test_a_wrong_want_is_one_line(readout: Readout, texts: list[str], says: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        goals_of([parse_want(text) for text in texts], readout)
    assert says in str(refused.value)
