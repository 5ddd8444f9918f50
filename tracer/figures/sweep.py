"""Figure 3 of the paper: accuracy of the probes against the sparsity of the features, one panel per space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.colors import to_hex

from probes.errors import InputError
from tracer.figures.palette import Drawing, figure_style, literal, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from probes.fit.sweep import Row


@figure_style()
def draw_sweeps(tables: Mapping[str, Sequence[Row]]) -> Drawing:
    """Draw the sweeps of one or several spaces.

    A space with labels shows the accuracy of each attribute against the share of zero activations, with 95 % intervals
    over files. A space without labels shows the FVU instead, a line per hidden size along which lambda grows.

    Args:
        tables: Rows of `probes.fit.sweep.collect` for each panel, by its title.

    Raises:
        InputError: No table has a row.
    """
    tables = {title: rows for title, rows in tables.items() if rows}
    if not tables:
        raise InputError("there is no finished point to draw")
    figure = Drawing(0.8 + 3.4 * len(tables), 3.2)
    for panel, (title, rows) in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables.items()):
        attributes = [name.removesuffix("_accuracy") for name in rows[0] if name.endswith("_accuracy")]
        if attributes:
            _draw_accuracies(panel, rows, attributes)
        else:
            _draw_fvu(panel, rows)
        panel.set_title(literal(title), loc="left")
        panel.set_xlabel("share of zero activations")
        panel.legend(fontsize=7)
    return figure


def _draw_accuracies(panel: Axes, rows: Sequence[Row], attributes: Sequence[str]) -> None:
    ordered = sorted(rows, key=lambda row: row["sparsity"])
    x = [float(row["sparsity"]) for row in ordered]
    for name, look in looks(attributes).items():
        y = [float(row[f"{name}_accuracy"]) for row in ordered]
        # A single test file gives no interval: its cells are empty.
        low, high = ([row[f"{name}_{end}"] for row in ordered] for end in ("low", "high"))
        below = [0.0 if edge == "" else max(0.0, value - float(edge)) for value, edge in zip(y, low)]
        above = [0.0 if edge == "" else max(0.0, float(edge) - value) for value, edge in zip(y, high)]
        panel.errorbar(
            x, y, [below, above], label=name, linestyle="none", markersize=4, linewidth=0.8, color=look.colour,
            marker=look.marker,
        )  # fmt: skip
        chance = sum(float(row[f"{name}_majority"]) for row in rows) / len(rows)
        panel.axhline(chance, color=look.colour, linestyle=":", linewidth=0.8)
    panel.set_ylim(0, 1)
    panel.set_ylabel("accuracy (dotted: commonest class)")


def _draw_fvu(panel: Axes, rows: Sequence[Row]) -> None:
    sizes = sorted({int(row["hidden"]) for row in rows})
    for number, hidden in enumerate(sizes):
        line = sorted((row for row in rows if int(row["hidden"]) == hidden), key=lambda row: row["lambda"])
        x, y = ([float(row[key]) for row in line] for key in ("sparsity", "fvu"))
        # Sizes have an order, and so have these colours.
        colour = to_hex(mpl.colormaps["viridis"](0.85 * number / max(1, len(sizes) - 1)))
        panel.plot(x, y, color=colour, marker="o", markersize=4, linewidth=1, label=f"{hidden} features")
        place: Any = (0, 4 if number % 2 == 0 else -9)
        for row, left, top in zip(line, x, y):
            panel.annotate(
                f"{float(row['lambda']):g}", (left, top), place, textcoords="offset points", ha="center", fontsize=6,
                color=colour,
            )  # fmt: skip
    panel.set_ylim(bottom=0)
    panel.set_ylabel("FVU on held-out files (numbers: λ)")
