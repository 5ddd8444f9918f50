"""What a state knows of its song, taken apart: the prompt's share, the song's, and the frame's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from tracer.figures.palette import GUIDE_COLOUR, Drawing, figure_style, looks

if TYPE_CHECKING:
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

    Args:
        results: Curves of a run of several seeds.
        measure: "closeness" or "agreement"; the areas add up to it.
    """
    table = results.parts
    if not (table["measure"] == measure).any():
        measure = "agreement"
    table = table[table["measure"] == measure]
    views = [view for view in ("endpoint", "state") if view in results.views]
    attributes = [name for name in results.attributes if (table["attribute"] == name).any()]
    figure = Drawing(0.7 + 2.15 * len(attributes), 0.9 + 1.7 * len(views))
    panels = figure.subplots(len(views), len(attributes), squeeze=False, sharex=True, sharey=True)
    for row, view in zip(panels, views):
        row[0].set_ylabel(f"{view}:\n{measure}")
        for panel, attribute in zip(row, attributes):
            mine = table[(table["view"] == view) & (table["attribute"] == attribute)]
            below = np.zeros(results.states)
            for part, (colour, hatch) in SHADES.items():
                own = mine[mine["part"] == part]
                above = below + own["mean"].to_numpy()
                panel.fill_between(
                    own["index"], below, above, facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0
                )
                below = above
            panel.plot(own["index"], below, color="black", lw=1.0)
            for level in (0, 1):
                panel.axhline(level, color=GUIDE_COLOUR, linewidth=0.6)
            panel.set_ylim(-0.15, 1.08)
    for panel, (attribute, look) in zip(panels[0], looks(attributes).items()):
        panel.set_title(attribute, color=look.colour, fontweight="bold")
    for panel in panels[-1]:
        panel.set_xlabel("state index")
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=LABELS[part])
        for part, (colour, hatch) in SHADES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure
