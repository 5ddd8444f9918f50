"""Runs side by side: the planted times are found, on an axis that models share."""

import json
import math
from pathlib import Path

import pytest
from support.planted import write

from probes.errors import InputError
from tracer.comparing import compare_runs, comparison, names, orders
from tracer.run import Run


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [
        write(root / "one", 12, model="first"),
        write(root / "two", 12, shape={"states": 20}, model="second", steps=20),
        write(root / "three", 8, model="second"),
    ]


def test_settled_points_of_models_with_other_numbers_of_states_agree(folders: list[Path]) -> None:
    rows = comparison([Run(path) for path in folders[:2]])
    for view in ("endpoint", "state"):
        for attribute in ("pitch", "timbre", "loudness"):
            one, two = (
                row for row in rows if (row["view"], row["attribute"], row["probe"]) == (view, attribute, "trained")
            )
            assert (one["run"], two["run"]) == ("first", "second")
            assert (one["states"], two["states"]) == (11, 19)
            assert one["t"] == pytest.approx(two["t"], abs=0.13)
            assert one["t_low"] <= one["t"] <= one["t_high"]
            if one["t"] < 1:
                assert one["logsnr"] == pytest.approx(2 * math.log(one["t"] / (1 - one["t"])))


def test_the_planted_order_is_told(folders: list[Path]) -> None:
    lines = orders(comparison([Run(path) for path in folders[:2]]))
    assert "endpoint, first: pitch < timbre < loudness" in lines
    assert "endpoint, second: pitch < timbre < loudness" in lines


def test_runs_of_the_same_model_are_told_apart(folders: list[Path]) -> None:
    assert names([Run(path) for path in folders]) == ["first", "second (two)", "second (three)"]


def test_table_and_figure(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare_runs(folders[:2], out=tmp_path / "both")
    text = capsys.readouterr().out
    for word in ("first", "second", "pitch", "loudness", "endpoint", "log-SNR"):
        assert word in text
    assert (tmp_path / "both.png").stat().st_size > 5_000
    assert (tmp_path / "both.svg").read_text().startswith("<?xml")


def test_json_has_no_number_that_json_lacks(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare_runs(folders[:2], out=tmp_path / "both", as_json=True)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert {row["run"] for row in found["settled"]} == {"first", "second"}
    assert found["threshold"] == 0.1


def test_what_cannot_be_compared_is_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two run folders"):
        compare_runs(folders[:1])
    with pytest.raises(InputError):
        compare_runs([folders[0], tmp_path / "nothing"])
