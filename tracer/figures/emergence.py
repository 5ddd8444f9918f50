"""The emergence figure: how each attribute comes to be while a song is generated.

Views are columns, measures rows; one line per attribute with mean and standard deviation over prompts; the probes that
were trained on shuffled labels are the grey band. Everything is drawn from a run's tables; nothing is computed here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from probes.errors import InputError
from tracer.curves import CONTROL, TRAINED
from tracer.figures.palette import (
    CONTROL_COLOUR,
    CONTROL_LABEL,
    GUIDE_COLOUR,
    LINES,
    VIEW_TITLES,
    Drawing,
    figure_style,
    lighter,
    literal,
    looks,
)
from tracer.measures.progress import THRESHOLD

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tracer.results import Results

MEASURES = ("paper", "agreement")
AXES = {"index": "state index", "t": "flow time", "logsnr": "log-SNR of the state"}
_MEASURE_LABELS = {
    "paper": "progress, Eq. 4",
    "l1": "progress, ratio of sums",
    "js": "distance to the end (JS)",
    "agreement": "agreement with own song",
    "own": "frames with final class",
}
# Eq. 4 can be in the hundreds: when its lines pass this, what is above 1 is drawn on a logarithmic scale.
_LINEAR = 3.0
# Agreement far below 0 would squeeze the rest: the panel ends here, and a note says what lies outside.
_LOWEST = -0.5
_BAND_COLOUR = lighter(CONTROL_COLOUR, 0.4)


@figure_style()
def draw_emergence(
    runs: Sequence[tuple[str, Results]], measures: Sequence[str] = MEASURES, axis: str | None = None
) -> Drawing:
    """Draw the emergence curves of one run, or of several laid over each other.

    Args:
        runs: Name and results of each run; names are shown where there are several.
        measures: Measures to draw, a row each. A run without classes per frame has "l1" in the place of "agreement".
        axis: The x axis: "index" (state index, with flow time on top), "t" (flow time) or "logsnr". None is the state
            index, or flow time where runs have different numbers of states.

    Raises:
        InputError: No run, or an unknown axis or measure.
    """
    if not runs:
        raise InputError("no run to plot: give the folder of at least one")
    results = [one for _, one in runs]
    tables = [one.progress for one in results]
    if axis is None:
        axis = "index" if len({one.states for one in results}) == 1 else "t"
    if axis not in AXES:
        raise InputError(f"the x axis is one of {', '.join(AXES)}, not {axis!r}")
    unknown = [measure for measure in measures if measure not in _MEASURE_LABELS]
    if unknown:
        raise InputError(f"no measure {unknown[0]!r} to plot: choose from {', '.join(_MEASURE_LABELS)}")
    if "agreement" in measures and not any((table["measure"] == "agreement").any() for table in tables):
        warnings.warn("no classes per frame were kept: the ratio of sums stands in for agreement", stacklevel=2)
        measures = ["l1" if measure == "agreement" else measure for measure in measures]
    views = [view for view in VIEW_TITLES if any(view in one.views for one in results)]
    attributes = list(dict.fromkeys(name for one in results for name in one.attributes))
    figure = Drawing(0.7 + 3.25 * len(views), 0.75 + 2.35 * len(measures))
    panels = figure.subplots(len(measures), len(views), squeeze=False, sharex=True, sharey="row")
    for row, measure in enumerate(measures):
        for panel, view in zip(panels[row], views):
            for number, one in enumerate(results):
                line = LINES[number % len(LINES)] if len(runs) > 1 else None
                table = one.progress[(one.progress["view"] == view) & (one.progress["measure"] == measure)]
                settled = one.settled[(one.settled["view"] == view) & (one.settled["measure"] == measure)]
                _draw_control(panel, table[table["probe"] == CONTROL], axis, line)
                trained = table[table["probe"] == TRAINED], settled[settled["probe"] == TRAINED]
                _draw_attributes(panel, *trained, axis, line, attributes)
            _finish_panel(panel, measure)
        panels[row, 0].set_ylabel(_measure_label(measure, results))
        _set_limits(panels[row], measure)
    for panel, view in zip(panels[0], views):
        panel.set_title(VIEW_TITLES[view], pad=6)
        if axis == "index":
            _flow_time_on_top(panel, tables[0])
    for panel in panels[-1]:
        panel.set_xlabel(AXES[axis])
        if axis == "index":
            panel.xaxis.get_major_locator().set_params(integer=True)
    handles, columns = _legend(attributes, [name for name, _ in runs])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=2.6, columnspacing=1.6)
    return figure


def _x(table: pd.DataFrame, axis: str) -> np.ndarray:
    return table[axis].to_numpy(dtype=np.float64)


def _draw_control(panel: Axes, control: pd.DataFrame, axis: str, line: Any) -> None:
    """Draw mean and standard deviation over the control probes of all attributes; with a line style, the mean alone."""
    if control.empty:
        return
    control = control.assign(square=control["std"] ** 2 + control["mean"] ** 2)
    pooled = control.groupby("index", as_index=False)[["t", "logsnr", "mean", "square"]].mean()
    pooled = pooled[np.isfinite(_x(pooled, axis))]
    mean = pooled["mean"].to_numpy()
    std = np.sqrt(np.maximum(pooled["square"].to_numpy() - mean**2, 0.0))
    x = _x(pooled, axis)
    if line is None:
        panel.fill_between(x, mean - std, mean + std, color=_BAND_COLOUR, alpha=0.55, linewidth=0, zorder=1)
    panel.plot(x, mean, color=CONTROL_COLOUR, linestyle=line or "-", lw=1.0, zorder=2)


def _draw_attributes(
    panel: Axes, table: pd.DataFrame, settled: pd.DataFrame, axis: str, line: Any, attributes: list[str]
) -> None:
    """Draw one run's curves, filled markers where they settle; with a line style, without standard deviations."""
    for place, (attribute, look) in enumerate(looks(attributes).items()):
        curve = table[table["attribute"] == attribute]
        curve = curve[np.isfinite(_x(curve, axis))]
        if curve.empty:
            continue
        x, mean = _x(curve, axis), curve["mean"].to_numpy()
        if line is None:
            std = curve["std"].to_numpy()
            panel.fill_between(x, mean - std, mean + std, color=look.colour, alpha=0.16, linewidth=0, zorder=3)
        every = max(1, len(x) // 8)
        panel.plot(
            x,
            mean,
            color=look.colour,
            linestyle=line or look.line,
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


def _finish_panel(panel: Axes, measure: str) -> None:
    for level in (0, 1):
        if measure != "js" or level == 0:
            panel.axhline(level, color=GUIDE_COLOUR, linewidth=0.6, zorder=0)
    panel.margins(x=0.015)


def _set_limits(panels: Sequence[Axes], measure: str) -> None:
    """Set the limits of one row from its lines; a note in the panel says what lies outside."""
    if measure == "js":
        panels[0].set_ylim(-0.03, None)
        return
    lines = [np.asarray(line.get_ydata(), dtype=np.float64) for panel in panels for line in panel.get_lines()]
    values = np.concatenate([line[np.isfinite(line)] for line in lines] or [np.zeros(1)])
    low, high = float(values.min()), float(values.max())
    if measure == "paper" and high > _LINEAR:
        for panel in panels:
            panel.set_yscale("symlog", linthresh=1.0, linscale=1.0)
            panel.yaxis.set_major_locator(FixedLocator([0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]))
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.yaxis.set_minor_locator(NullLocator())
        panels[0].set_ylabel(f"{panels[0].get_ylabel()} (log above 1)")
        bottom, top = -0.08, 1.25 * high
    else:
        bottom, top = max(min(-0.08, 1.05 * low), _LOWEST), max(1.12, 1.05 * high)
    panels[0].set_ylim(bottom, top)
    for panel in panels:
        note = _outside(panel, bottom, top)
        if "bands" in note:  # bands that fill the panel must not hide the lines
            for band in panel.collections:
                band.set_alpha(0.5 * float(band.get_alpha() or 1.0))  # type: ignore[arg-type]
        if note:
            panel.text(
                0.985, 0.975, note, transform=panel.transAxes, ha="right", va="top", fontsize=6.2, color="#333333",
                zorder=9, bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip


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
        ends = [f"up to {_short(values.max())}"] if values.max() > top else []
        ends += [f"down to {_short(values.min())}"] if values.min() < bottom else []
        notes.append(f"{out.mean():.0%} of points outside, {' and '.join(ends)}")
    if bands.size and (bands.max() > top or bands.min() < bottom):
        notes.append(f"bands reach from {_short(bands.min())} to {_short(bands.max())}")
    return "\n".join(notes)


def _short(value: Any) -> str:
    return f"{float(value):.2g}" if abs(value) < 10 else f"{float(value):,.0f}"


def _measure_label(measure: str, results: Sequence[Results]) -> str:
    if measure == "agreement" and all(one.prompts == 1 for one in results):
        return "frames with final class\n(one prompt: not corrected)"
    return _MEASURE_LABELS[measure]


def _flow_time_on_top(panel: Axes, table: pd.DataFrame) -> None:
    grid = table.drop_duplicates("index").sort_values("index")
    index, t = grid["index"].to_numpy(dtype=np.float64), grid["t"].to_numpy(dtype=np.float64)
    if len(t) < 2 or np.any(np.diff(t) <= 0):
        return
    # Past the ends the first and last steps go on, so that margins do not bend the axis.
    wide_index = np.concatenate([[index[0] - 1e3], index, [index[-1] + 1e3]])
    ends = t[0] - 1e3 * (t[1] - t[0]), t[-1] + 1e3 * (t[-1] - t[-2])
    wide_t = np.concatenate([[ends[0]], t, [ends[1]]])

    def to_time(place: Any) -> np.ndarray:
        return np.interp(place, wide_index, wide_t)

    def to_index(time: Any) -> np.ndarray:
        return np.interp(time, wide_t, wide_index)

    top = panel.secondary_xaxis("top", functions=(to_time, to_index))
    top.set_xlabel("flow time", labelpad=3)
    top.spines["top"].set_visible(True)
    top.set_ticks([0, 0.25, 0.5, 0.75, 1.0])


def _legend(attributes: list[str], names: list[str]) -> tuple[list[Any], int]:
    """Handles and number of columns: attributes in a row, and runs in the next when there are several."""
    several = len(names) > 1
    first: list[Any] = []
    for attribute, look in looks(attributes).items():
        line = "-" if several else look.line
        first.append(
            Line2D([], [], color=look.colour, marker=look.marker, mfc="white", ms=4.5, ls=line, label=attribute)
        )
    if several:
        first.append(Line2D([], [], color=CONTROL_COLOUR, lw=1.0, label=CONTROL_LABEL))
    else:
        first.append(Patch(facecolor=_BAND_COLOUR, alpha=0.7, label=CONTROL_LABEL))
    within = f"settled: within {THRESHOLD:g} of the end"
    first.append(Line2D([], [], color="black", marker="o", ls="", markersize=6, label=within))
    if not several:
        return first, len(first)
    second: list[Any] = [
        Line2D([], [], color="black", linestyle=LINES[number % len(LINES)], label=literal(name))
        for number, name in enumerate(names)
    ]
    # Legends fill column by column: two rows are interleaved, with blanks where one is shorter.
    columns = max(len(first), len(second))
    blank = [Patch(facecolor="none", label=" ")]
    first += blank * (columns - len(first))
    second += blank * (columns - len(second))
    return [handle for pair in zip(first, second) for handle in pair], columns
