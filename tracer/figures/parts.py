"""What a state knows of its song, taken apart: the prompt's share, the song's, and the frame's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tracer.figures.palette import GUIDE_COLOUR, Drawing, figure_style, looks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tracer.results import Results

SHADES = {"prompt": ("#303030", None), "song": ("#8A8A8A", "///"), "frame": ("#D8D8D8", None)}
LABELS = {
    "prompt": "the prompt alone says",
    "song": "constant over the song",
    "frame": "particular to the frame",
}


@figure_style()
def draw_parts(results: Results, measure: str = "closeness") -> Drawing:
    """Draw the three parts as stacked areas over the states: attributes are columns, views rows.

    What is negative is stacked below 0, and the line of their sum then runs within the areas.

    Args:
        results: Curves of a run of several seeds.
        measure: "closeness" or "agreement"; the areas add up to it, those below 0 taken away.
    """
    table = results.parts
    if not (table["measure"] == measure).any():
        measure = "agreement"
    table = table[table["measure"] == measure]
    views = [view for view in ("endpoint", "state") if view in results.views]
    attributes = [name for name in results.attributes if (table["attribute"] == name).any()]
    figure = Drawing(0.7 + 2.15 * len(attributes), 0.9 + 1.7 * len(views))
    reach = [0.0]
    panels = figure.subplots(len(views), len(attributes), squeeze=False, sharex=True, sharey=True)
    for row, view in zip(panels, views):
        row[0].set_ylabel(f"{view}:\n{measure}")
        for panel, attribute in zip(row, attributes):
            mine = table[(table["view"] == view) & (table["attribute"] == attribute)]
            reach += _draw_areas(panel, mine)
            for level in (0, 1):
                panel.axhline(level, color=GUIDE_COLOUR, linewidth=0.6)
    panels[0, 0].set_ylim(min(-0.15, 1.05 * np.nanmin(reach)), max(1.08, 1.05 * np.nanmax(reach)))
    for panel, (attribute, look) in zip(panels[0], looks(attributes).items()):
        panel.set_title(attribute, color=look.colour, fontweight="bold")
    for panel in panels[-1]:
        panel.set_xlabel("state index")
    handles: list[Any] = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=LABELS[part])
        for part, (colour, hatch) in SHADES.items()
    ]
    if np.nanmin(reach) < 0:
        handles.append(Line2D([], [], color="black", lw=1.0, label="their sum"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 1 + len(attributes)))
    return figure


def _draw_areas(panel: Axes, table: pd.DataFrame) -> list[float]:
    """Stack the parts of one panel, positive ones up from 0 and negative ones down, with the line of their sum.

    Returns:
        The heights that the two stacks reach at each state.
    """
    means = {part: table[table["part"] == part].sort_values("index") for part in SHADES}
    x = means["prompt"]["index"].to_numpy()
    up, down, total = np.zeros((3, len(x)))
    for part, (colour, hatch) in SHADES.items():
        mean = means[part]["mean"].to_numpy()
        look: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
        higher, lower = up + np.maximum(mean, 0), down + np.minimum(mean, 0)
        panel.fill_between(x, up, higher, **look)
        if (mean < 0).any():
            panel.fill_between(x, lower, down, **look)
        up, down, total = higher, lower, total + mean
    panel.plot(x, total, color="black", lw=1.0)
    return [*up.tolist(), *down.tolist()]
