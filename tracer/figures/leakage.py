"""Leakage of steering: what an edit does to the attributes that it does not aim at."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracer.figures.palette import Drawing, figure_style
from tracer.steering.dose_tables import FEW


@figure_style()
def draw_leakage(matrix: Sequence[Mapping[str, Any]], prompts: int) -> Drawing:
    """Draw the leakage matrix: steered attribute by measured attribute, standardised shifts at equal effect.

    A cell has the median of |shift| (of the steered attribute the size of its median shift), its 95 % interval over
    prompts where there is one, and below it the median of |shift| under random pushes as long as the edit's strongest
    dose; "no dose" where no edit gets to the effect, or only edits whose plain clips are there already.

    Args:
        matrix: Rows of `tracer.steering.dose_tables.leakage`, one at least.
        prompts: Number of prompts.
    """
    measured = [key for key in matrix[0] if key != "target" and not key.startswith(("random_", "low_", "high_"))]
    values = np.array([[row[name] for name in measured] for row in matrix], dtype=float)
    figure = Drawing(4.4, 1.6 + 0.8 * len(matrix))
    panel = figure.subplots()
    top = max(1.0, float(np.nanmax(values, initial=1.0)))
    panel.imshow(np.nan_to_num(values), cmap="Greys", vmin=0, vmax=1.2 * top)
    for (line, column), value in np.ndenumerate(values):
        text = "no dose" if np.isnan(value) else f"{value:.2f}"
        colour = "white" if value > 0.55 * top else "black"
        low, high = (float(matrix[line].get(f"{end}_{measured[column]}", np.nan)) for end in ("low", "high"))
        if np.isfinite(low):
            panel.text(
                column, line + 0.08, f"{low:.2f} to {high:.2f}", ha="center", va="center", fontsize=6, color=colour
            )
        panel.text(column, line - 0.16, text, ha="center", va="center", fontsize=9, color=colour)
        random = float(matrix[line].get(f"random_{measured[column]}", np.nan))
        if np.isfinite(random):
            panel.text(column, line + 0.28, f"random {random:.2f}", ha="center", va="center", fontsize=6, color=colour)
    panel.set_xticks(range(len(measured)), measured)
    panel.set_yticks(range(len(matrix)), [row["target"] for row in matrix])
    panel.set_xlabel(
        "measured: median of |shift| / spread between prompts\n(of the steered attribute: its median shift)"
    )
    panel.set_ylabel("steered")
    few = f", fewer than {FEW}: says little" if prompts < FEW else ""
    title = f"leakage at equal effect, {prompts} prompts{few}\nrandom: pushes as long as the strongest dose"
    panel.set_title(title, fontsize=8)
    return figure
