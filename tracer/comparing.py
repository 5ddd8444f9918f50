"""Several runs side by side: when is each attribute settled in each model, and in which order?"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.errors import InputError
from tracer.curves import CONTROL, TRAINED
from tracer.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from tracer.figures.palette import Drawing


@dataclass(frozen=True, repr=False)
class Comparison:
    """When each attribute is settled in each of several runs, and in which order."""

    settled: pd.DataFrame
    """A row per view, attribute, run (its name here) and probe (trained or control).

    Columns: measure (agreement, or l1 in a run without classes per frame), index, low and high (state and 95 %
    interval), states (index of the last one), t, t_low and t_high (flow time), logsnr, logsnr_low and logsnr_high, n
    (number of prompts).

    logsnr = 2 ln(t / (1 - t)) is the axis on which models with different samplers can be compared. It is infinite where
    an attribute is settled at the last state only."""
    orders: pd.DataFrame
    """A row per view and run with its attributes in the order in which they settle: "a < b" where the intervals are
    apart, "a ~ b" where they overlap."""

    def __repr__(self) -> str:
        lines = [f"  {row.view}, {row.run}: {row.order}" for row in self.orders.itertuples()]
        runs = ", ".join(dict.fromkeys(self.settled["run"]))
        return "\n".join(
            [f"Comparison of {runs}; order in which attributes settle:", *lines, "  tables: settled, orders"]
        )

    def plot(self, path: str | Path | None = None) -> Drawing:
        """Draw the settled points with their intervals.

        Args:
            path: File to write as well; a name without .png, .svg or .pdf is written as both .png and .svg.

        Returns:
            The matplotlib figure, which a notebook shows.

        Raises:
            InputError: The file cannot be written.
        """
        from tracer.figures.comparison import draw_comparison

        figure = draw_comparison(self.settled)
        if path is not None:
            figure.write(path)
        return figure


def compare_runs(runs: Sequence[Run | str | os.PathLike[str]]) -> Comparison:
    """Compare when each attribute is settled in several runs.

    Args:
        runs: Two runs or more, or their folders.

    Raises:
        InputError: Fewer than two runs, or a folder that holds no run.
    """
    import pandas as pd

    opened = open_runs(runs)
    if len(opened) < 2:
        raise InputError(f"compare takes two run folders or more, got {len(opened)}")
    folders = [run.path.resolve() for run in opened]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice: give different runs to compare")
    rows = settled_rows(opened)
    return Comparison(pd.DataFrame(rows), pd.DataFrame(order_rows(rows)))


def plot_runs(
    runs: Sequence[Run | str | os.PathLike[str]], path: str | Path | None = None, axis: str | None = None
) -> Drawing:
    """Draw the emergence curves of several runs over each other.

    Args:
        runs: Runs, or their folders.
        path: File to write as well, as in `Run.plot`.
        axis: The x axis, as in `Run.plot`; None is the state index, or flow time where runs have different numbers of
            states.

    Returns:
        The matplotlib figure, which a notebook shows.

    Raises:
        InputError: No run, a folder that holds no run, an unknown axis, or a file that cannot be written.
    """
    from tracer.figures.emergence import draw_emergence

    opened = open_runs(runs)
    figure = draw_emergence(list(zip(run_names(opened), [run.results for run in opened])), axis=axis)
    if path is not None:
        figure.write(path)
    return figure


def open_runs(runs: Sequence[Run | str | os.PathLike[str]]) -> list[Run]:
    """Open the runs that are given as folders."""
    return [run if isinstance(run, Run) else Run(run) for run in runs]


def run_names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its model, with as much of its folder's path as tells it from runs of the same model."""
    models = [str(run.options.get("model", run.path.name)) for run in runs]
    folders = [run.path.resolve() for run in runs]
    names = []
    for model, folder in zip(models, folders):
        others = [other for other, its in zip(folders, models) if its == model and other != folder]
        if models.count(model) == 1:
            names.append(model)
            continue
        parts = next(
            (k for k in range(1, len(folder.parts)) if all(folder.parts[-k:] != other.parts[-k:] for other in others)),
            len(folder.parts),
        )
        names.append(f"{model} ({'/'.join(folder.parts[-parts:])})")
    return names


def settled_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows of `Comparison.settled`: endpoint first, attributes in the order in which the runs settle them."""
    rows = []
    for name, run in zip(run_names(runs), runs):
        table, measure = run.results.settled, run.results.main_measure
        table = table[(table["measure"] == measure) & table["probe"].isin([TRAINED, CONTROL])]
        for found in table.to_dict("records"):
            row = {"view": found["view"], "attribute": found["attribute"], "run": name}
            row |= {key: found[key] for key in ("probe", "measure", "index", "low", "high")}
            row["states"] = run.results.states - 1
            times = {key: found[key] for key in ("t", "t_low", "t_high")}
            row |= times | {key.replace("t", "logsnr", 1): log_snr(t) for key, t in times.items()} | {"n": found["n"]}
            rows.append(row)
    known = list(dict.fromkeys(name for run in runs for name in run.attributes))
    return sorted(
        rows, key=lambda row: (row["view"] != "endpoint", known.index(row["attribute"]), row["probe"] != TRAINED)
    )


def log_snr(t: float) -> float:
    """2 ln(alpha / sigma) at flow time t = alpha / (alpha + sigma)."""
    if t <= 0 or t >= 1:
        return math.inf if t >= 1 else -math.inf
    return 2 * math.log(t / (1 - t))


def order_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows of `Comparison.orders`, from those of `Comparison.settled`."""
    orders = []
    trained = [row for row in rows if row["probe"] == TRAINED]
    for view, run in dict.fromkeys((row["view"], row["run"]) for row in trained):
        mine = sorted((row for row in trained if (row["view"], row["run"]) == (view, run)), key=lambda row: row["t"])
        order = mine[0]["attribute"]
        for before, after in pairwise(mine):
            order += f" {'<' if before['t_high'] < after['t_low'] else '~'} {after['attribute']}"
        orders.append({"view": view, "run": run, "order": order})
    return orders
