"""Leakage of steering: what an edit does to the attributes that it does not aim at."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracer.figures.palette import Drawing, figure_style


@figure_style()
def draw_leakage(matrix: Sequence[Mapping[str, Any]]) -> Drawing:
    """Draw the leakage matrix: steered attribute by measured attribute, standardised shifts at equal effect.

    Args:
        matrix: Rows of `tracer.steering.dose_tables.leakage`, one at least.
    """
    measured = [key for key in matrix[0] if key != "target"]
    values = np.array([[row[name] for name in measured] for row in matrix], dtype=float)
    figure = Drawing(4.4, 1.2 + 0.8 * len(matrix))
    panel = figure.subplots()
    top = max(1.0, float(np.nanmax(values, initial=1.0)))
    panel.imshow(np.nan_to_num(values), cmap="Greys", vmin=0, vmax=1.2 * top)
    for (line, column), value in np.ndenumerate(values):
        text = "never" if np.isnan(value) else f"{value:.2f}"
        colour = "white" if value > 0.55 * top else "black"
        panel.text(column, line, text, ha="center", va="center", fontsize=9, color=colour)
    panel.set_xticks(range(len(measured)), measured)
    panel.set_yticks(range(len(matrix)), [row["target"] for row in matrix])
    panel.set_xlabel("measured: |shift| / spread between prompts")
    panel.set_ylabel("steered")
    return figure
