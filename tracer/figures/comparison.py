"""Several runs side by side: the state from which each attribute is settled, with its interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from tracer.curves import NOT_THE_SAME, TRAINED, measures_used
from tracer.figures.palette import CONTROL_COLOUR, CONTROL_LABEL, VIEW_TITLES, Drawing, figure_style, literal, looks

if TYPE_CHECKING:
    import pandas as pd


@figure_style()
def draw_comparison(settled: pd.DataFrame) -> Drawing:
    """Draw settled points with their intervals: views side by side, attributes in groups, a line per run.

    Flow time is the axis below, log-SNR the one above; hollow points are those of the control probes. The measure
    stands below, or beside each run where runs have different ones, with a note that these are not to be compared.

    Args:
        settled: Table of `tracer.comparing.Comparison.settled`.
    """
    views = [view for view in VIEW_TITLES if (settled["view"] == view).any()]
    style = looks(dict.fromkeys(settled["attribute"]))
    used = measures_used(settled)
    runs, several = list(used), len(set(used.values())) > 1
    lines = [(attribute, run) for attribute in style for run in runs]
    gap = 0.6  # a wider space between attributes than between the runs of one
    height = {line: -(place + gap * list(style).index(line[0])) for place, line in enumerate(lines)}
    figure = Drawing((2.3 if several else 1.2) + 2.9 * len(views), 1.15 + 0.24 * len(lines))
    panels = figure.subplots(1, len(views), squeeze=False, sharey=True)[0]
    for panel, view in zip(panels, views):
        for row in settled[settled["view"] == view].to_dict("records"):
            look, trained = style[row["attribute"]], row["probe"] == TRAINED
            y = height[row["attribute"], row["run"]] - (0 if trained else 0.25)
            colour = look.colour if trained else CONTROL_COLOUR
            face = colour if trained else "white"
            panel.plot([row["t_low"], row["t_high"]], [y, y], color=colour, lw=1.6 if trained else 0.8)
            panel.plot(row["t"], y, look.marker, color=colour, markerfacecolor=face, markersize=5 if trained else 3.5)
        panel.set_xlim(-0.02, 1.02)
        panel.set_xlabel("flow time" if several else f"flow time\nsettled by {used[runs[0]]}")
        panel.margins(y=0.08)
        panel.set_title(VIEW_TITLES[view], pad=6)
        panel.grid(axis="x", color="#DDDDDD", lw=0.5)
        ticks = (-6, -3, 0, 3, 6)
        top = panel.secondary_xaxis("top")
        top.set_xticks(
            [1 / (1 + math.exp(-tick / 2)) for tick in ticks], [f"{tick:+d}" if tick else "0" for tick in ticks]
        )
        top.set_xlabel("log-SNR")
    names = {run: literal(f"{run}, by {measure}" if several else run) for run, measure in used.items()}
    panels[0].set_yticks([height[line] for line in lines], [f"{attribute}  {names[run]}" for attribute, run in lines])
    hollow: dict[str, Any] = {"color": CONTROL_COLOUR, "markerfacecolor": "white", "markersize": 3.5, "lw": 0.8}
    handles = [
        Line2D([], [], color="black", marker="o", markersize=5, lw=1.6, label="settled, 95 % interval"),
        Line2D([], [], marker="o", label=f"hollow: {CONTROL_LABEL}", **hollow),
    ]
    title = NOT_THE_SAME if several else None
    figure.legend(handles=handles, loc="outside lower center", ncols=2, title=title, title_fontsize=8)
    return figure
