"""Runs side by side: the planted times are found, on an axis that models share."""

import math
from pathlib import Path

import pytest
from support.planted import write

from probes.errors import InputError
from tracer.comparing import Comparison, compare_runs
from tracer.run import Run


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [
        write(root / "one", 12, model="first"),
        write(root / "two", 12, shape={"states": 20}, model="second", steps=20),
        write(root / "three", 8, model="second"),
    ]


@pytest.fixture(scope="module")
def compared(folders: list[Path]) -> Comparison:
    return compare_runs([folders[0], Run(folders[1])])


def test_settled_points_of_models_with_other_numbers_of_states_agree(compared: Comparison) -> None:
    table = compared.settled[compared.settled["probe"] == "trained"].set_index(["view", "attribute", "run"])
    for view in ("endpoint", "state"):
        for attribute in ("pitch", "timbre", "loudness"):
            one, two = (table.loc[(view, attribute, run)] for run in ("first", "second"))
            assert (one["states"], two["states"]) == (11, 19)
            assert one["t"] == pytest.approx(two["t"], abs=0.13)
            assert one["t_low"] <= one["t"] <= one["t_high"]
            if one["t"] < 1:
                assert one["logsnr"] == pytest.approx(2 * math.log(one["t"] / (1 - one["t"])))


def test_the_planted_order_is_told(compared: Comparison) -> None:
    orders = compared.orders.set_index(["view", "run"])["order"]
    assert orders["endpoint", "first"] == orders["endpoint", "second"] == "pitch < timbre < loudness"
    assert "endpoint, first: pitch < timbre < loudness" in repr(compared)


def test_runs_of_the_same_model_are_told_apart(folders: list[Path]) -> None:
    assert set(compare_runs(folders).settled["run"]) == {"first", "second (two)", "second (three)"}


def test_the_figure_is_written(compared: Comparison, tmp_path: Path) -> None:
    compared.plot(tmp_path / "both")
    assert (tmp_path / "both.png").stat().st_size > 5_000
    assert (tmp_path / "both.svg").read_text().startswith("<?xml")


def test_what_cannot_be_compared_is_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two run folders"):
        compare_runs(folders[:1])
    with pytest.raises(InputError):
        compare_runs([folders[0], tmp_path / "nothing"])


def test_runs_of_one_model_are_told_apart_by_their_folders(tmp_path):
    from tracer.comparing import compare_runs, run_names
    from tracer.run import Run

    folders = [tmp_path / "exp1" / "run", tmp_path / "exp2" / "run", tmp_path / "a[seed=1]", tmp_path / r"c$\frac$"]
    for folder in folders:
        write(folder, 3)
    names = run_names([Run(folder) for folder in folders])
    assert len(set(names)) == 4
    assert names[:2] == ["planted (exp1/run)", "planted (exp2/run)"]
    result = compare_runs(folders)
    assert set(result.settled["run"]) == set(names)
    result.plot(tmp_path / "figure")  # a dollar sign is text, not TeX
    with pytest.raises(InputError, match="given twice"):
        compare_runs([folders[0], folders[0]])
