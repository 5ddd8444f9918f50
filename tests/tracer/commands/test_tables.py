"""Printed tables: never cut, numbers as people write them."""

import math

import pytest

from tracer.commands.fit_tables import sparkline
from tracer.commands.tables import number, print_rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1550.0, "1,550"), (0.0123, "0.0123"), (2.0, "2"), (-0.5, "-0.5"), (12.345, "12.3"), (123456.7, "123,457"),
        (0.0, "0"), (math.nan, "-"), (math.inf, "inf"), (1e-9, "1e-09"), (1e30, "1e+30"), (7, "7"), ("C5", "C5"),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(value: object, text: str) -> None:
    assert number(value) == text


def test_a_table_in_a_pipe_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    wide = "x" * 200
    print_rows("title", ["name", "value"], [[wide, "1"], ["b", "22"]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "title"
    assert lines[2].split() == [wide, "1"]
    assert lines[3].endswith(" 22")


def test_a_histogram_shows_whatever_is_above_zero() -> None:
    assert sparkline([0, 1, 1000]) == " ▁█"
