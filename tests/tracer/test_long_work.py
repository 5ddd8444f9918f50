"""Long work speaks without a terminal too."""

import io
import sys

import pytest

from tracer.long_work import Lines, duration, reporting


def test_a_line_every_ten_seconds_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = Lines(lambda: now[0])
    for second in range(31):
        now[0] = float(second)
        lines("probes", second, 60)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "probes: 10 of 60, about 50 s left",
        "probes: 20 of 60, about 40 s left",
        "probes: 30 of 60, about 30 s left",
    ]


def test_a_stage_of_unknown_length_and_a_continued_one(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = Lines(lambda: now[0])
    lines("encoding", 100, None)
    lines("prompts", 90, 100)  # 90 were finished before
    now[0] = 12.0
    lines("prompts", 93, 100)
    now[0] = 25.0
    lines("encoding", 130, None)
    assert capsys.readouterr().err.splitlines() == [
        "prompts: 93 of 100, about 28 s left",
        "encoding: 130 done, 25 s so far",
    ]


def test_quick_work_and_hidden_work_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for show in (True, False):
        with reporting(show) as report:
            report("prompts", 1, 2)
            report("prompts", 2, 2)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with reporting() as report:
        report("prompts", 1, 2)
        report("prompts", 2, 2)
    assert "prompts" in screen.getvalue()
    assert "2/2" in screen.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (89.6, "90 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
