"""The campaigns in a short form: a few kills, mutations, scarcities and cycles."""

import sys

import pytest

from tests.campaigns import fuzz, hook_cycles, kill, surroundings
from tests.campaigns.report import Report

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the campaigns fork and read /proc")


def test_a_killed_training_goes_on_to_the_same_bytes() -> None:
    report = Report("kill", 3)
    kill.run(report, kills=1, terms=1, interrupts=1, seed=3, names=("fit probes",))
    assert report.findings == []
    counts = {name.removeprefix("fit probes: "): number for name, number in report.counts.items()}
    assert [counts[name] for name in ("SIGKILL", "SIGTERM", "SIGINT")] == [1, 1, 1]
    # On a busy machine a signal may come too early or too late; another round is made for it.
    assert counts["rounds"] == 3 + counts.get("too early", 0) + counts.get("ended before the signal", 0)


def test_damaged_text_is_read_or_refused() -> None:
    report = Report("fuzz", 30)
    fuzz.run(report, 30, kinds=("prompts", "manifest", "spec"))
    assert report.findings == []
    assert sum(number for name, number in report.counts.items() if "refused" in name) >= 5


def test_a_drawing_where_something_is_scarce() -> None:
    report = Report("surroundings", 1)
    surroundings.run(report, ("plot",), ("files",))
    assert report.findings == []


def test_hooks_leave_nothing_behind() -> None:
    report = Report("hook cycles", 120)
    hook_cycles.run(report, 120)
    assert report.findings == []
    assert report.about["models"] == 3
