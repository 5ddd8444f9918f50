"""What `trace` and `trace compare` print of runs: when each attribute is settled, for people or for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracer.commands.tables import Column, print_columns
from tracer.curves import CONTROL, TRAINED
from tracer.measures.progress import THRESHOLD
from tracer.measures.truth import against_audio

if TYPE_CHECKING:
    from tracer.comparing import Comparison
    from tracer.run import Run

_COLUMNS = {
    "agreement": "agreement",
    "agreement_control": "its control",
    "paper": "Eq. 4",
    "paper_control": "its control",
}
_NOTE = f"settled: within {THRESHOLD:g} of its end from there on\ncontrol: probes trained on shuffled labels"


def print_run(run: Run, as_json: bool) -> None:
    """Print what a run came to: where it lies and when each attribute is settled, beside the audio if measured."""
    if as_json:
        print(json.dumps(run_json(run)))
        return
    prompts = f"{run.n} prompt" + ("s" if run.n != 1 else "")
    last = run.results.states - 1
    print_columns(
        f"{prompts}, states 0 to {last}: settled from (95 % interval)",
        settled_columns(run),
    )
    print(_NOTE)
    measured = truth_columns(run)
    if measured:
        print()
        print_columns("probes beside the decoded audio, mean agreement curves", measured)
    print(f"curves, clips and readings: {run.path}")


def run_json(run: Run) -> dict[str, Any]:
    """What a run came to, for machines: folder, finished prompts, threshold and the rows of `Run.summary`.

    A run with ground truth has the rows of `against_audio` too.
    """
    content: dict[str, Any] = {"run": str(run.path), "n": run.n, "threshold": THRESHOLD, "settled": run.summary()}
    rows = against_audio(run.results.progress)
    return content | ({"ground_truth": rows} if rows else {})


def settled_columns(run: Run) -> list[Column]:
    """Settled-at per attribute, views one below the other: state, interval, and flow time of agreement."""
    rows = run.summary()
    shown = [key for key in _COLUMNS if any(key in row for row in rows)]
    names = Column("attribute")
    columns = {key: Column(_COLUMNS[key]) for key in shown}
    for key, spare in (("paper_control", 2), ("paper", 1)):
        if key in columns and len(columns) > 2:
            columns[key].spare = spare
    times = Column("flow time")
    for view in run.views:
        for column in (names, times, *columns.values()):
            column.cells.append(view if column is names else "")
        for row in rows:
            if row["view"] != view:
                continue
            names.cells.append(f"  {row['attribute']}")
            for key, column in columns.items():
                found = row.get(key)
                column.cells.append("-" if found is None else f"{found['index']} ({found['low']}-{found['high']})")
            found = row.get("agreement")
            times.cells.append("-" if found is None else f"{found['t']:.2f}")
    ordered = list(columns.values())
    return [names, ordered[0], times, *ordered[1:]] if "agreement" in columns else [names, *ordered]


def truth_columns(run: Run) -> list[Column]:
    """How well the probes' agreement follows that of the audio; nothing in a run without ground truth."""
    rows = [row for row in against_audio(run.results.progress) if row["measure"] == "agreement"]
    names = Column("attribute")
    columns = {
        (figure, probe): Column(heading if probe == TRAINED else "its control")
        for figure, heading in (("correlation", "correlation"), ("difference", "mean |difference|"))
        for probe in (TRAINED, CONTROL)
    }
    for attribute in run.attributes:
        mine = {row["probe"]: row for row in rows if row["attribute"] == attribute}
        if not mine:
            continue
        names.cells.append(attribute)
        for (figure, probe), column in columns.items():
            value = mine[probe][figure] if probe in mine else None
            column.cells.append("-" if value is None else f"{value:.2f}")
    return [names, *columns.values()] if names.cells else []


def print_comparison(result: Comparison, as_json: bool, figure: Sequence[Path] = ()) -> None:
    """Print when each attribute is settled in each run and in which order, and the paths of the figure."""
    if as_json:
        content = {
            "threshold": THRESHOLD,
            "settled": finite(result.settled.to_dict("records")),
            "orders": result.orders.to_dict("records"),
            "figure": [str(path) for path in figure],
        }
        print(json.dumps(content))
        return
    print_columns("settled from (95 % interval)", comparison_columns(result))
    print(_NOTE)
    print("order, '<' where intervals are apart, '~' where they overlap:")
    for row in result.orders.itertuples():
        print(f"  {row.view}, {row.run}: {row.order}")
    for path in figure:
        print(path)


def finite(rows: Sequence[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """The rows with None for what is not finite, for which JSON has no number."""
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in rows
    ]


def comparison_columns(result: Comparison) -> list[Column]:
    """The rows of the trained probes, view and attribute as headings above the runs, with the control beside."""
    names = Column("run")
    state, control = Column("state"), Column("its control", spare=1)
    time, logsnr = Column("flow time"), Column("log-SNR", spare=2)
    columns = (names, state, time, control, logsnr)
    controls = {
        (row["view"], row["attribute"], row["run"]): row
        for row in result.settled.to_dict("records")
        if row["probe"] == CONTROL
    }
    group = None
    for row in result.settled.to_dict("records"):
        if row["probe"] != TRAINED:
            continue
        if group != (row["view"], row["attribute"]):
            group = row["view"], row["attribute"]
            for column in columns:
                column.cells.append(f"{row['attribute']}, {row['view']}" if column is names else "")
        names.cells.append(f"  {row['run']}")
        state.cells.append(f"{row['index']} ({row['low']}-{row['high']}) of {row['states']}")
        time.cells.append(f"{row['t']:.2f} ({row['t_low']:.2f}-{row['t_high']:.2f})")
        logsnr.cells.append(f"{signed(row['logsnr'])} ({signed(row['logsnr_low'])} to {signed(row['logsnr_high'])})")
        own = controls.get((row["view"], row["attribute"], row["run"]))
        control.cells.append("-" if own is None else f"{own['t']:.2f}")
    return list(columns)


def signed(logsnr: float) -> str:
    """A log-SNR with one decimal; "end" and "noise" at the two ends."""
    return f"{logsnr:+.1f}" if math.isfinite(logsnr) else ("end" if logsnr > 0 else "noise")
