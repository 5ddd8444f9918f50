"""What `trace --ground-truth` prints: whether the probes are right on what they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracer.commands.tables import Column, print_columns
from tracer.curves import SHUFFLED, TRAINED
from tracer.truth_files import load_validity

if TYPE_CHECKING:
    import pandas as pd

    from tracer.run import Run


def print_validity(run: Run) -> None:
    """Print whether the probes read the class that was measured, at the first state, at a third and at the last."""
    table = load_validity(run)
    if table.empty:
        return
    print()
    print_columns("class read beside class measured on the decoded audio", validity_columns(table, run.attributes))
    print("right: share of frames read in the measured class (95 % interval over prompts)")
    print("bias: mean of read minus measured class")
    print("shuffled: right by shuffled labels; commonest: by always naming that class")


def validity_columns(table: pd.DataFrame, attributes: list[str]) -> list[Column]:
    """A row per attribute and state: "0.69 (0.62-0.75)", within one class, octave apart, bias, and the yardsticks."""
    last = int(table["index"].max())
    headings = ("attribute", "state", "right", "within one", "bias", "shuffled", "commonest")
    columns = [Column(heading) for heading in headings]
    for attribute in attributes:
        mine = table[table["attribute"] == attribute]
        if mine.empty:
            continue
        trained, shuffled = (mine[mine["probe"] == probe].set_index("index") for probe in (TRAINED, SHUFFLED))
        for state in sorted({0, last // 3, last}):
            row = trained.loc[state]
            cells = (
                attribute if state == 0 else "",
                str(state),
                _right(row),
                _share(row["within_one"]),
                "-" if row["bias"] != row["bias"] else f"{row['bias']:+.1f}",
                _share(shuffled.loc[state, "accuracy"]),
                _share(row["majority"]),
            )
            for column, cell in zip(columns, cells):
                column.cells.append(cell)
    return columns


def _right(row: Any) -> str:
    low, high = row["accuracy_low"], row["accuracy_high"]
    return _share(row["accuracy"]) + (f" ({low:.2f}-{high:.2f})" if row["n"] > 1 else "")


def _share(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"
