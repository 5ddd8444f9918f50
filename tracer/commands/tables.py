"""Tables as `trace` prints them: aligned plain text, never cut."""

import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_GAP = "  "


@dataclass
class Column:
    """One column of a printed table."""

    heading: str
    cells: list[str] = field(default_factory=list)
    spare: int = 0
    """How soon the column is left out where a table is too wide: the highest first, 0 never."""

    @property
    def width(self) -> int:
        """Characters of its widest cell."""
        return max(map(len, (self.heading, *self.cells)))


def fit_columns(columns: Sequence[Column], width: int) -> list[Column]:
    """Leave out spare columns until the others fit into `width` characters, or none is left to leave out."""
    kept = list(columns)
    while sum(column.width + len(_GAP) for column in kept) - len(_GAP) > width:
        spare = max(kept, key=lambda column: column.spare)
        if not spare.spare:
            break
        kept.remove(spare)
    return kept


def print_columns(title: str, columns: Sequence[Column]) -> Sequence[Column]:
    """Print a table whose headings and numbers are never cut, and return its columns; no line for an empty title.

    On a terminal spare columns are left out until the others fit; into a pipe or file all are written.
    """
    if sys.stdout.isatty():
        columns = fit_columns(columns, shutil.get_terminal_size().columns)
    if title:
        print(title)
    names, *numbers = columns
    for name, *cells in zip(*([column.heading, *column.cells] for column in columns)):
        padded = [name.ljust(names.width), *(cell.rjust(own.width) for own, cell in zip(numbers, cells))]
        print(_GAP.join(padded).rstrip())
    return columns


def print_rows(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of texts under their headings, as `print_columns` does."""
    print_columns(title, [Column(heading, [row[k] for row in rows]) for k, heading in enumerate(headings)])


def records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows of a table, ready for JSON."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return rows


def number(value: object) -> str:
    """A number as people write it, to about three digits: 1,550 or 0.0123; any other value as it is."""
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    if math.isinf(value) or value == 0:
        return f"{value:g}"
    size = abs(value)
    if size >= 1e15 or size < 1e-6:
        return f"{value:.3g}"
    decimals = max(0, 2 - math.floor(math.log10(size)))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
