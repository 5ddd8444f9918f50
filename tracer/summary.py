"""The table that a trace ends with: when each attribute is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracer.progress import THRESHOLD

if TYPE_CHECKING:
    from rich.table import Table

    from tracer.run_view import Run

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
    """The same for machines: run folder, finished prompts, threshold and the rows of `Run.summary`."""
    return {"run": str(run.path), "n": run.n, "threshold": THRESHOLD, "settled": run.summary()}
