"""Runs side by side: the planted times are found, on an axis that models share."""

import math
from pathlib import Path

import pytest
from support.planted import OPTIONS, prompts, trace, write

from probes.errors import InputError
from tracer.comparing import Comparison, compare_runs, order_rows
from tracer.figures.palette import Drawing
from tracer.record.store import RunStore
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


@pytest.mark.parametrize(
    ("times", "verdict", "order"),
    [
        ((0.5, 0.5), "later", "timbre < pitch"),
        ((0.5, 0.5), "not told apart", "timbre ~ pitch"),
        ((0.4, 0.5), "later", "pitch ~ timbre"),  # by other prompts than the pair shares
        ((0.6, 0.5), "later", "timbre < pitch"),
    ],
)
def test_an_order_is_told_in_the_direction_of_its_verdict(times: tuple[float, ...], verdict: str, order: str) -> None:
    rows = [
        {"view": "endpoint", "run": "first", "attribute": attribute, "probe": "trained", "t": t}
        for attribute, t in zip(("pitch", "timbre"), times, strict=True)
    ]
    pair = {"kind": "attributes", "view": "endpoint", "of": "first", "first": "pitch", "second": "timbre"}
    (found,) = order_rows(rows, [pair | {"difference": 0.012, "verdict": verdict}])
    assert found["order"] == order


def test_pairs_of_attributes_are_corrected_over_all_runs(folders: list[Path], compared: Comparison) -> None:
    smallest = []
    for result, rows in ((compared, 6), (compare_runs(folders), 9)):
        table = result.pairs[(result.pairs["kind"] == "attributes") & (result.pairs["view"] == "endpoint")]
        assert len(table) == rows
        smallest.append(table["p"].min() / rows)
    assert 0 < smallest[0] < 0.05 / 9
    assert smallest[1] == pytest.approx(smallest[0])


def test_the_clips_that_two_runs_share_are_not_told_apart(tmp_path: Path) -> None:
    folders = [write(tmp_path / f"of-{n}", n) for n in (8, 20)]
    table = compare_runs(folders).pairs
    table = table[table["kind"] == "runs"]
    assert len(table) == 6
    assert table["paired"].all()
    assert (table["n"] == 8).all()
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    assert (table["p"] == 1).all()


def test_runs_of_other_seeds_are_not_paired(tmp_path: Path) -> None:
    table = compare_runs([write(tmp_path / "one", 4), write(tmp_path / "two", 6, seed=1)]).pairs
    table = table[table["kind"] == "runs"]
    assert not table["paired"].any()
    assert (table["n"] == 4).all()


def test_runs_of_the_same_model_are_told_apart(folders: list[Path]) -> None:
    assert set(compare_runs(folders).settled["run"]) == {"first", "second (two)", "second (three)"}


def test_the_figure_is_written(compared: Comparison, tmp_path: Path) -> None:
    compared.plot(tmp_path / "both")
    assert (tmp_path / "both.png").stat().st_size > 5_000
    assert (tmp_path / "both.svg").read_text().startswith("<?xml")


def words(figure: Drawing) -> list[str]:
    """The words beside and below the panels of a comparison."""
    panels = figure.axes
    ticks = [label.get_text() for label in panels[0].get_yticklabels()]
    return [*ticks, *(panel.get_xlabel() for panel in panels), figure.legends[0].get_title().get_text()]


NOT_THE_SAME = "not the same measure, so not to be compared"


def test_the_figure_names_the_measure(compared: Comparison) -> None:
    said = words(compared.plot())
    assert said.count("flow time\nsettled by closeness") == 2
    assert {"pitch  first", "pitch  second"} <= set(said)
    assert NOT_THE_SAME not in said
    assert NOT_THE_SAME not in repr(compared)


def test_runs_of_different_measures_are_told_to_be_so(folders: list[Path], tmp_path: Path) -> None:
    store = RunStore.open(tmp_path / "pooled", {**OPTIONS, "model": "pooled"}, prompts(3), frames=False)
    store.append([trace(i) for i in range(3)])
    result = compare_runs([folders[0], tmp_path / "pooled"])
    said = words(result.plot())
    assert {"pitch  first, by closeness", "pitch  pooled, by ratio of sums", NOT_THE_SAME} <= set(said)
    assert not any("settled by" in each for each in said)
    assert f"{NOT_THE_SAME}: first by closeness; pooled by ratio of sums" in repr(result)


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
