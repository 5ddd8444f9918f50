"""The table that a trace ends with: when each attribute is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracer.measures.progress import THRESHOLD
from tracer.measures.truth import against_audio, brief
from tracer.record.shards import CONTROL, TRAINED

if TYPE_CHECKING:
    from rich.table import Table

    from tracer.run import Run

_COLUMNS = {
    "agreement": "agreement",
    "agreement_control": "its control",
    "paper": "Eq. 4",
    "paper_control": "its control",
}


def summary_table(run: Run) -> Table:
    """Settled-at per attribute and view as a rich table: state index, bootstrap interval, flow time of agreement."""
    from rich.table import Table

    rows = run.summary()
    prompts = f"{run.n} prompt" + ("s" if run.n != 1 else "")
    last = rows[0]["states"] - 1
    table = Table(
        title=f"{prompts}, states 0 to {last}: settled from (95 % interval)",
        caption=f"settled: within {THRESHOLD:g} of its end from this state on",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("view")
    table.add_column("attribute")
    shown = [key for key in _COLUMNS if any(key in row for row in rows)]
    for key in shown:
        table.add_column(_COLUMNS[key], justify="right", style="dim" if key.endswith("control") else None)
        if key == "agreement":
            table.add_column("flow time", justify="right")
    previous = None
    for row in rows:
        if previous not in (None, row["view"]):
            table.add_section()
        previous = row["view"]
        cells = []
        for key in shown:
            found = row.get(key)
            cells.append("-" if found is None else f"{found['index']} ({found['low']}-{found['high']})")
            if key == "agreement":
                cells.append("-" if found is None else f"{found['t']:.2f}")
        table.add_row(row["view"], row["attribute"], *cells)
    return table


def summary_json(run: Run) -> dict[str, Any]:
    """The same for machines: run folder, finished prompts, threshold and the rows of `Run.summary`.

    A run with ground truth has the rows of `truth.against_audio` too.
    """
    content: dict[str, Any] = {"run": str(run.path), "n": run.n, "threshold": THRESHOLD, "settled": run.summary()}
    rows = against_audio(run.results.progress)
    return content | ({"ground_truth": rows} if rows else {})


def truth_table(run: Run) -> Table | None:
    """How well the probes' agreement follows the audio's, as a rich table; None in a run without ground truth."""
    from rich.table import Table

    rows = [row for row in against_audio(run.results.progress) if row["measure"] == "agreement"]
    if not rows:
        return None
    table = Table(title="probes beside the decoded audio, mean agreement curves", title_justify="left")
    table.add_column("attribute")
    for name in ("correlation", "its control", "mean |difference|", "its control"):
        table.add_column(name, justify="right", style="dim" if name == "its control" else None)
    for attribute in run.attributes:
        mine = {row["probe"]: row for row in rows if row["attribute"] == attribute}
        if mine:
            figures = ("correlation", "difference")
            table.add_row(attribute, *[brief(mine[probe][key]) for key in figures for probe in (TRAINED, CONTROL)])
    return table
