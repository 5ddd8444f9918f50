"""The published progress s_t (arXiv 2510.23802, Eq. 4): the counterpart of the paper's Figure 4.

Views are columns; one line per attribute with mean and standard deviation over prompts, and a thin one for its probe
that was trained on shuffled labels. Everything is drawn from a run's tables; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from probes.errors import InputError
from tracer.curves import SHUFFLED, TRAINED
from tracer.figures.palette import (
    AXES,
    CONTROL_COLOUR,
    CONTROL_LABEL,
    GUIDE_COLOUR,
    VIEW_TITLES,
    Drawing,
    figure_style,
    flow_time_on_top,
    lighter,
    looks,
    short,
)
from tracer.measures.progress import THRESHOLD

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tracer.results import Results

HOW_TO_READ = (
    "By construction s is 0 at the first state and 1 at the last, so that a rising curve alone says little:\n"
    "compare it with that of shuffled labels (thin), and read agreement and closeness in the emergence figure."
)
# Eq. 4 can be in the hundreds: when its lines pass this, what is above 1 is drawn on a logarithmic scale.
_LINEAR = 3.0


@figure_style()
def draw_progress(results: Results, axis: str | None = None) -> Drawing:
    """Draw s_t of every attribute, views side by side.

    Args:
        results: Curves of the run.
        axis: The x axis: "index" (state index, with flow time on top), "t" (flow time) or "logsnr"; None is "index".

    Raises:
        InputError: An unknown axis.
    """
    axis = axis or "index"
    if axis not in AXES:
        raise InputError(f"the x axis is one of {', '.join(AXES)}, not {axis!r}")
    figure = Drawing(0.7 + 3.25 * len(results.views), 3.3)
    panels = figure.subplots(1, len(results.views), squeeze=False, sharey=True)[0]
    table = results.progress[results.progress["measure"] == "paper"]
    settled = results.settled[(results.settled["measure"] == "paper") & (results.settled["threshold"] == THRESHOLD)]
    settled = settled[settled["probe"] == TRAINED]
    for panel, view in zip(panels, results.views):
        mine = table[table["view"] == view]
        _draw_controls(panel, mine[mine["probe"] == SHUFFLED], axis, results.attributes)
        trained = mine[mine["probe"] == TRAINED]
        _draw_attributes(panel, trained, settled[settled["view"] == view], axis, results.attributes)
        for level in (0, 1):
            panel.axhline(level, color=GUIDE_COLOUR, linewidth=0.6, zorder=0)
        panel.margins(x=0.015)
        panel.set_title(VIEW_TITLES[view], pad=6)
        panel.set_xlabel(AXES[axis])
        if axis == "index":
            flow_time_on_top(panel, table)
            panel.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("progress s, Eq. 4")
    _set_limits(panels)
    handles = _legend(results.attributes)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 6), title=HOW_TO_READ, title_fontsize=6.5,
        columnspacing=1.2,
    )  # fmt: skip
    return figure


def _x(table: pd.DataFrame, axis: str) -> np.ndarray:
    return table[axis].to_numpy(dtype=np.float64)


def _draw_controls(panel: Axes, control: pd.DataFrame, axis: str, attributes: list[str]) -> None:
    """Draw the mean of each attribute's control probe."""
    for attribute, look in looks(attributes).items():
        curve = control[control["attribute"] == attribute]
        curve = curve[np.isfinite(_x(curve, axis))]
        colour = lighter(look.colour, 0.35)
        panel.plot(_x(curve, axis), curve["mean"], color=colour, linestyle=look.line, lw=0.8, zorder=2)


def _draw_attributes(panel: Axes, table: pd.DataFrame, settled: pd.DataFrame, axis: str, attributes: list[str]) -> None:
    """Draw the curves with their standard deviations, and filled markers where they settle."""
    for place, (attribute, look) in enumerate(looks(attributes).items()):
        curve = table[table["attribute"] == attribute]
        curve = curve[np.isfinite(_x(curve, axis))]
        if curve.empty:
            continue
        x, mean = _x(curve, axis), curve["mean"].to_numpy()
        std = curve["std"].to_numpy()
        panel.fill_between(x, mean - std, mean + std, color=look.colour, alpha=0.16, linewidth=0, zorder=3)
        every = max(1, len(x) // 8)
        panel.plot(
            x,
            mean,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=4.2,
            markerfacecolor="white",
            markeredgewidth=1.0,
            markevery=(place * every // 3, every),  # markers of different lines side by side
            zorder=5,
        )
        point = curve[curve["index"].isin(settled[settled["attribute"] == attribute]["index"])]
        panel.plot(
            _x(point, axis), point["mean"], marker=look.marker, markersize=6.5, color=look.colour, ls="", zorder=6
        )


def _set_limits(panels: Sequence[Axes]) -> None:
    """Set the limits from the lines; a note below each panel says what lies outside."""
    lines = [np.asarray(line.get_ydata(), dtype=np.float64) for panel in panels for line in panel.get_lines()]
    values = np.concatenate([line[np.isfinite(line)] for line in lines] or [np.zeros(1)])
    low, high = float(values.min()), float(values.max())
    if high > _LINEAR:
        for panel in panels:
            panel.set_yscale("symlog", linthresh=1.0, linscale=1.0)
            panel.yaxis.set_major_locator(FixedLocator([0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]))
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.yaxis.set_minor_locator(NullLocator())
        panels[0].set_ylabel(f"{panels[0].get_ylabel()} (log above 1)")
        bottom, top = -0.08, 1.25 * high
    else:
        bottom, top = min(-0.08, 1.05 * low), max(1.12, 1.05 * high)
    panels[0].set_ylim(bottom, top)
    for panel in panels:
        note = _outside(panel, bottom, top)
        if "bands" in note:  # bands that fill the panel must not hide the lines
            for band in panel.collections:
                band.set_alpha(0.5 * float(band.get_alpha() or 1.0))  # type: ignore[arg-type]
        if note:
            panel.set_xlabel(f"{panel.get_xlabel()}\n{note}")


def _outside(panel: Axes, bottom: float, top: float) -> str:
    """Say what a panel does not show: the share of its lines' points, and how far its bands reach."""
    every = (np.asarray(line.get_ydata(), dtype=np.float64) for line in panel.get_lines())
    curves = [curve for curve in every if len(curve) > 2]  # not the level lines and single markers
    values = np.concatenate(curves) if curves else np.zeros(0)
    values = values[np.isfinite(values)]
    bands = np.concatenate(
        [np.asarray(path.vertices)[:, 1] for band in panel.collections for path in band.get_paths()] or [np.zeros(0)]
    )
    bands = bands[np.isfinite(bands)]
    notes = []
    out = (values > top) | (values < bottom)
    if out.any():
        ends = [f"up to {short(values.max())}"] if values.max() > top else []
        ends += [f"down to {short(values.min())}"] if values.min() < bottom else []
        notes.append(f"{out.mean():.0%} of points outside, {' and '.join(ends)}")
    if bands.size and (bands.max() > top or bands.min() < bottom):
        notes.append(f"bands reach from {short(bands.min())} to {short(bands.max())}")
    return "\n".join(notes)


def _legend(attributes: list[str]) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], color=look.colour, marker=look.marker, mfc="white", ms=4.5, ls=look.line, label=attribute)
        for attribute, look in looks(attributes).items()
    ]
    handles.append(Line2D([], [], color=CONTROL_COLOUR, lw=0.8, label=f"thin: {CONTROL_LABEL}"))
    within = f"settled: within {THRESHOLD:g} of the end"
    return [*handles, Line2D([], [], color="black", marker="o", ls="", markersize=6, label=within)]
