"""Several runs side by side: when is each attribute settled in each model, and in which order?"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.errors import InputError
from tracer.measures.progress import THRESHOLD
from tracer.record.shards import CONTROL, TRAINED

if TYPE_CHECKING:
    from rich.table import Table

    from tracer.run import Run


def compare_runs(runs: Sequence[Path], out: Path | None = None, as_json: bool = False) -> list[dict[str, Any]]:
    """Print settled-at per attribute and run with its interval, and draw it to `out`.png and .svg.

    Args:
        runs: run folders, two or more.
        out: stem of the figure; None is `comparison` in the first run.
        as_json: print JSON and no table.

    Returns:
        The rows of `comparison`.

    Raises:
        InputError: fewer than two runs, no run folder, or the figure cannot be written.
    """
    from tracer.run import Run

    if len(runs) < 2:
        raise InputError(f"compare takes two run folders or more, got {len(runs)}")
    opened = [Run(path) for path in runs]
    rows = comparison(opened)
    paths = draw(rows, out or opened[0].path / "comparison")
    if as_json:
        print(json.dumps({"threshold": THRESHOLD, "settled": finite(rows), "figure": [str(path) for path in paths]}))
        return rows
    from rich.console import Console

    console = Console()
    console.print(comparison_table(rows))
    for line in orders(rows):
        console.print(line, highlight=False)
    for path in paths:
        console.print(str(path), highlight=False)
    return rows


def names(runs: Sequence[Run]) -> list[str]:
    """The model of each run, with the folder's name where two runs have the same model."""
    models = [str(run.options.get("model", run.path.name)) for run in runs]
    twice = {model for model, count in Counter(models).items() if count > 1}
    return [f"{model} ({run.path.name})" if model in twice else model for model, run in zip(models, runs)]


def comparison(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per view, attribute, run and probe.

    A row has view, attribute, run (its name here), probe, measure (agreement, or l1 in a run without classes per
    frame), index, low and high (state and 95 % interval), states (index of the last one), t, t_low, t_high (flow time)
    and logsnr, logsnr_low, logsnr_high = 2 ln(t / (1 - t)), the axis on which models with different samplers can be
    compared: infinite where an attribute is settled at the last state only.
    """
    rows = []
    for name, run in zip(names(runs), runs):
        table = run.results.settled
        measure = "agreement" if (table["measure"] == "agreement").any() else "l1"
        last = int(run.results.progress["index"].max())
        table = table[(table["measure"] == measure) & table["probe"].isin([TRAINED, CONTROL])]
        for found in table.to_dict("records"):
            row = {key: found[key] for key in ("view", "attribute", "probe", "measure", "index", "low", "high", "n")}
            row |= {"run": name, "states": last}
            for end in ("", "_low", "_high"):
                row[f"t{end}"], row[f"logsnr{end}"] = found[f"t{end}"], log_snr(found[f"t{end}"])
            rows.append(row)
    known = list(dict.fromkeys(name for run in runs for name in run.attributes))
    order = {name: place for place, name in enumerate(known)}
    return sorted(rows, key=lambda row: (row["view"] != "endpoint", order[row["attribute"]], row["probe"] != TRAINED))


def log_snr(t: float) -> float:
    """2 ln(alpha / sigma) at flow time t = alpha / (alpha + sigma)."""
    if t <= 0 or t >= 1:
        return math.inf if t >= 1 else -math.inf
    return 2 * math.log(t / (1 - t))


def finite(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with None for what is infinite, which JSON has no number for."""
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in rows
    ]


def comparison_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows of the trained probes as a rich table, with the control's state beside."""
    from rich.table import Table

    table = Table(
        title="settled from (95 % interval)",
        caption=f"settled: within {THRESHOLD:g} of its end from there on; control: probes trained on shuffled labels",
        title_justify="left",
        caption_justify="left",
    )
    for column in ("view", "attribute", "model"):
        table.add_column(column)
    for column in ("state", "flow time", "log-SNR", "control's flow time"):
        table.add_column(column, justify="right", style="dim" if "control" in column else None)
    previous = None
    for row in rows:
        if row["probe"] != TRAINED:
            continue
        if previous not in (None, (row["view"], row["attribute"])):
            table.add_section()
        previous = row["view"], row["attribute"]
        control = next((other for other in rows if same_place(other, row) and other["probe"] == CONTROL), None)
        table.add_row(
            row["view"],
            row["attribute"],
            row["run"],
            f"{row['index']} ({row['low']}-{row['high']}) of {row['states']}",
            f"{row['t']:.2f} ({row['t_low']:.2f}-{row['t_high']:.2f})",
            f"{signed(row['logsnr'])} ({signed(row['logsnr_low'])} to {signed(row['logsnr_high'])})",
            "-" if control is None else f"{control['t']:.2f}",
        )
    return table


def signed(logsnr: float) -> str:
    """A log-SNR in one decimal; "end" and "noise" at the two ends."""
    return f"{logsnr:+.1f}" if math.isfinite(logsnr) else ("end" if logsnr > 0 else "noise")


def same_place(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows speak of the same attribute in the same view of the same run."""
    return all(one[key] == other[key] for key in ("view", "attribute", "run"))


def orders(rows: Sequence[dict[str, Any]]) -> list[str]:
    """In which order each run settles its attributes: "a < b" where the intervals are apart, "a ~ b" where they
    overlap."""
    lines = []
    trained = [row for row in rows if row["probe"] == TRAINED]
    for view, run in dict.fromkeys((row["view"], row["run"]) for row in trained):
        mine = sorted((row for row in trained if (row["view"], row["run"]) == (view, run)), key=lambda row: row["t"])
        text = mine[0]["attribute"]
        for before, after in pairwise(mine):
            text += f" {'<' if before['t_high'] < after['t_low'] else '~'} {after['attribute']}"
        lines.append(f"{view}, {run}: {text}")
    return lines


def draw(rows: Sequence[dict[str, Any]], stem: Path) -> list[Path]:
    """Draw settled-at as points with intervals, one group per attribute and one line per run; views side by side.

    Flow time is the axis below, log-SNR the one above; hollow points are the control probes'.

    Returns:
        The paths written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tracer.figures.palette import GREY, VIEW_TITLES, figure_style, looks, save

    views = [view for view in VIEW_TITLES if any(row["view"] == view for row in rows)]
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    runs = list(dict.fromkeys(row["run"] for row in rows))
    lines = [(attribute, run) for attribute in attributes for run in runs]
    gap = 0.6
    height = {
        line: -(place + gap * attributes.index(line[0])) for place, line in enumerate(lines)
    }  # a wider space between attributes than between the runs of one
    with figure_style():
        figure = Figure(figsize=(1.2 + 2.9 * len(views), 0.9 + 0.24 * len(lines)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(views), squeeze=False, sharey=True)[0]
        style = looks(attributes)
        for panel, view in zip(panels, views):
            for row in rows:
                if row["view"] != view:
                    continue
                look, trained = style[row["attribute"]], row["probe"] == TRAINED
                y = height[row["attribute"], row["run"]] - (0 if trained else 0.25)
                colour = look.colour if trained else GREY
                panel.plot([row["t_low"], row["t_high"]], [y, y], color=colour, lw=1.6 if trained else 0.8)
                face = colour if trained else "white"
                panel.plot(
                    row["t"], y, look.marker, color=colour, markerfacecolor=face, markersize=5 if trained else 3.5
                )
            panel.set_xlim(-0.02, 1.02)
            panel.set_xlabel("flow time")
            panel.set_title(VIEW_TITLES[view], pad=6)
            panel.grid(axis="x", color="#DDDDDD", lw=0.5)
            ticks = (-6, -3, 0, 3, 6)
            top = panel.secondary_xaxis("top")
            top.set_xticks(
                [1 / (1 + math.exp(-tick / 2)) for tick in ticks], [f"{tick:+d}" if tick else "0" for tick in ticks]
            )
            top.set_xlabel("log-SNR")
        panels[0].set_yticks([height[line] for line in lines], [f"{attribute}  {run}" for attribute, run in lines])
        return save(figure, Path(stem))
