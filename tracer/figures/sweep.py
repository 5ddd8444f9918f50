"""Figure 3 of the paper: accuracy of the probes against the sparsity of the features, one panel per space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.errors import InputError
from probes.fit.sweep import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008): told apart with every common kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def plot_sweeps(tables: Mapping[str, Sequence[Row]], stem: Path) -> list[Path]:
    """Draw the sweeps of one or several spaces to stem.png and stem.svg.

    A space with labels shows the accuracy of each attribute against the share of zero activations, with 95 % intervals
    over files; one without shows the FVU instead, a line per hidden size along which lambda grows.

    Args:
        tables: Rows of `probes.fit.sweep.collect` by the title of their panel.

    Returns:
        The paths written.
    """
    tables = {title: rows for title, rows in tables.items() if rows}
    if not tables:
        raise InputError("there is no finished point to draw")
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        size = (0.8 + 3.4 * len(tables), 3.2)
        figure, panels = plt.subplots(1, len(tables), figsize=size, squeeze=False, layout="constrained")
        for panel, (title, rows) in zip(panels[0], tables.items()):
            attributes = [name.removesuffix("_accuracy") for name in rows[0] if name.endswith("_accuracy")]
            if attributes:
                draw_accuracies(panel, rows, attributes)
            else:
                draw_fvu(panel, rows)
            panel.set_title(title, loc="left")
            panel.set_xlabel("share of zero activations")
            panel.legend(fontsize=7)
        paths = [stem.with_suffix(ending) for ending in (".png", ".svg")]
        try:
            stem.parent.mkdir(parents=True, exist_ok=True)
            for path in paths:
                figure.savefig(path, dpi=150)
        except OSError as error:
            raise InputError(f"cannot write {stem}: {error.strerror}") from error
        finally:
            plt.close(figure)
    return paths


def draw_accuracies(panel: Axes, rows: Sequence[Row], attributes: Sequence[str]) -> None:
    for number, name in enumerate(attributes):
        ordered = sorted(rows, key=lambda row: row["sparsity"])
        x = [float(row["sparsity"]) for row in ordered]
        y = [float(row[f"{name}_accuracy"]) for row in ordered]
        below = [value - float(row[f"{name}_low"]) for value, row in zip(y, ordered)]
        above = [float(row[f"{name}_high"]) - value for value, row in zip(y, ordered)]
        look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        spread = [[max(0.0, value) for value in side] for side in (below, above)]
        panel.errorbar(x, y, spread, label=name, linestyle="none", markersize=4, linewidth=0.8, **look)
        chance = sum(float(row[f"{name}_majority"]) for row in rows) / len(rows)
        panel.axhline(chance, color=look["color"], linestyle=":", linewidth=0.8)
    panel.set_ylim(0, 1)
    panel.set_ylabel("accuracy (dotted: commonest class)")


def draw_fvu(panel: Axes, rows: Sequence[Row]) -> None:
    sizes = sorted({int(row["hidden"]) for row in rows})
    for number, hidden in enumerate(sizes):
        line = sorted((row for row in rows if int(row["hidden"]) == hidden), key=lambda row: row["lambda"])
        x, y = ([float(row[key]) for row in line] for key in ("sparsity", "fvu"))
        colour = COLOURS[number % len(COLOURS)]
        marker = MARKERS[number % len(MARKERS)]
        panel.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1, label=f"{hidden} features")
        for row, left, top in zip(line, x, y):
            panel.annotate(
                f"{float(row['lambda']):g}",
                (left, top),
                (0, 4 if number % 2 == 0 else -9),
                textcoords="offset points",
                ha="center",
                fontsize=6,
                color=colour,
            )
    panel.set_ylim(bottom=0)
    panel.set_ylabel("FVU on held-out files (numbers: λ)")
