"""The emergence figure: how each attribute comes to be while a song is generated, beside its own controls.

Attributes are columns, views and measures rows. A panel shows the trained probe with its 95 % interval over prompts,
and what would have been drawn without any meaning: generic directions, the linear flow, and probes of shuffled labels.
Everything is drawn from a run's tables; nothing is computed here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from probes.errors import InputError
from tracer.curves import GENERIC, LINEAR_FLOW, SHUFFLED, TRAINED
from tracer.figures.palette import (
    AXES,
    GUIDE_COLOUR,
    LINES,
    NULL_LABELS,
    NULL_LOOKS,
    Drawing,
    figure_style,
    flow_time_on_top,
    literal,
    looks,
    short,
)
from tracer.measures.progress import THRESHOLD

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tracer.results import Results

MEASURES = ("agreement", "closeness")
MEASURE_LABELS = {
    "agreement": "agreement",
    "agreement_matched": "agreement, 2.5 bits",
    "closeness": "closeness",
    "closeness_song": "closeness, song",
    "closeness_frame": "closeness, frame",
    "own": "frames with final class",
    "paper": "progress, Eq. 4",
    "l1": "progress, ratio of sums",
    "js": "distance to the end (JS)",
}
CONTROLS = (SHUFFLED, GENERIC, LINEAR_FLOW)
# Values far outside would squeeze the rest: the panel ends here, and a note says what lies outside.
_LOWEST, _HIGHEST = -0.5, 1.5


@figure_style()
def draw_emergence(
    runs: Sequence[tuple[str, Results]], measures: Sequence[str] = MEASURES, axis: str | None = None
) -> Drawing:
    """Draw the emergence curves of one run with their controls, or of several runs laid over each other without.

    Args:
        runs: Name and results of each run; names are shown where there are several.
        measures: Measures to draw, a row each for every view. A run without classes per frame has "l1" alone.
        axis: The x axis: "index" (state index, with flow time on top), "t" (flow time) or "logsnr". None is the state
            index, or flow time where the states of the runs are not at the same flow times.

    Raises:
        InputError: No run, or an unknown axis or measure.
    """
    if not runs:
        raise InputError("no run to plot: give the folder of at least one")
    results = [one for _, one in runs]
    if axis is None:
        axis = "index" if _same_times(results) else "t"
    if axis not in AXES:
        raise InputError(f"the x axis is one of {', '.join(AXES)}, not {axis!r}")
    if not measures:
        raise InputError(f"give at least one measure to plot: choose from {', '.join(MEASURE_LABELS)}")
    unknown = [measure for measure in measures if measure not in MEASURE_LABELS]
    if unknown:
        raise InputError(f"no measure {unknown[0]!r} to plot: choose from {', '.join(MEASURE_LABELS)}")
    measures = _held(results, measures)
    views = [view for view in ("endpoint", "state") if any(view in one.views for one in results)]
    attributes = list(dict.fromkeys(name for one in results for name in one.attributes))
    rows = [(view, measure) for view in views for measure in measures]
    figure = Drawing(0.7 + 2.15 * len(attributes), 0.8 + 1.55 * len(rows))
    panels = figure.subplots(len(rows), len(attributes), squeeze=False, sharex=True, sharey="row")
    for (view, measure), row in zip(rows, panels):
        for panel, (attribute, look) in zip(row, looks(attributes).items()):
            for number, one in enumerate(results):
                table = one.progress
                table = table[(table["view"] == view) & (table["measure"] == measure)]
                table = table[(table["attribute"] == attribute) & np.isfinite(table[axis].astype(float))]
                if len(runs) == 1:
                    for probe in CONTROLS:
                        _draw_null(panel, table[table["probe"] == probe], axis, probe)
                line = LINES[number % len(LINES)] if len(runs) > 1 else "-"
                _draw_trained(panel, one, table[table["probe"] == TRAINED], axis, look, line, band=len(runs) == 1)
            if measure.startswith("closeness") and _has_no_order(results, attribute):
                panel.text(0.5, 0.5, "classes without an order", transform=panel.transAxes, ha="center", fontsize=6.5)
            for level in (0, 1):
                panel.axhline(level, color=GUIDE_COLOUR, linewidth=0.6, zorder=0)
            panel.margins(x=0.015)
        row[0].set_ylabel(f"{view}:\n{_label(measure, results)}")
        _set_limits(row)
    for panel, (attribute, look) in zip(panels[0], looks(attributes).items()):
        panel.set_title(attribute, pad=6, color=look.colour, fontweight="bold")
        if axis == "index" and _same_times(results):
            flow_time_on_top(panel, results[0].progress)
    for panel in panels[-1]:
        panel.set_xlabel(AXES[axis])
        if axis == "index":
            panel.xaxis.get_major_locator().set_params(integer=True)
    handles = _legend(results[0], measures, [name for name, _ in runs])
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 3), handlelength=2.8)
    return figure


def _same_times(results: Sequence[Results]) -> bool:
    """Whether each state has the same flow time in all runs."""
    tables = [one.progress.drop_duplicates("index").sort_values("index") for one in results]
    times = [table["t"].to_numpy(dtype=np.float64) for table in tables]
    return all(len(own) == len(times[0]) and np.allclose(own, times[0], rtol=0, atol=1e-6) for own in times)


def _has_no_order(results: Sequence[Results], attribute: str) -> bool:
    """Whether classes of frames are known of an attribute, and no reading along them."""
    tables = [one.progress[one.progress["attribute"] == attribute] for one in results]
    measures = {measure for table in tables for measure in table["measure"]}
    return "agreement" in measures and not any(measure.startswith("closeness") for measure in measures)


def _held(results: Sequence[Results], measures: Sequence[str]) -> list[str]:
    """The measures that a run has; "l1" where none was kept per frame."""
    held = {measure for one in results for measure in one.progress["measure"]}
    found = [measure for measure in measures if measure in held]
    if found:
        return found
    warnings.warn("no classes per frame were kept: the ratio of sums stands in for agreement", stacklevel=3)
    return ["l1"]


def _draw_null(panel: Axes, table: pd.DataFrame, axis: str, probe: str) -> None:
    if table.empty:
        return
    x, style = table[axis].to_numpy(float), NULL_LOOKS[probe]
    if probe == GENERIC:
        low, high = table["low"].to_numpy(), table["high"].to_numpy()
        panel.fill_between(x, low, high, color=style["color"], alpha=0.22, linewidth=0, zorder=1)
    panel.plot(x, table["mean"], **style, zorder=3)


def _draw_trained(panel: Axes, one: Results, table: pd.DataFrame, axis: str, look: Any, line: Any, band: bool) -> None:
    """Draw the trained probe's curve, with a filled marker where it settles."""
    if table.empty:
        return
    x, mean = table[axis].to_numpy(float), table["mean"].to_numpy()
    if band:
        panel.fill_between(x, table["low"], table["high"], color=look.colour, alpha=0.22, linewidth=0, zorder=4)
    panel.plot(
        x, mean, color=look.colour, linestyle=line, marker=look.marker, markersize=3.8, markerfacecolor="white",
        markeredgewidth=1.0, markevery=max(1, len(x) // 7), zorder=5,
    )  # fmt: skip
    key = table.iloc[0]
    settled = one.settled[(one.settled["threshold"] == THRESHOLD) & (one.settled["probe"] == TRAINED)]
    for name in ("attribute", "view", "measure"):
        settled = settled[settled[name] == key[name]]
    point = table[table["index"].isin(settled["index"])]
    panel.plot(point[axis].to_numpy(float), point["mean"], look.marker, markersize=6.5, color=look.colour, zorder=6)


def _set_limits(row: Sequence[Axes]) -> None:
    """Set the limits of a row from its lines and bands; a note in each panel says what lies outside."""
    values = np.concatenate([each for panel in row for each in (_of_lines(panel), _of_bands(panel))])
    bottom, top = max(min(-0.08, float(values.min())), _LOWEST), min(max(1.08, float(values.max())), _HIGHEST)
    row[0].set_ylim(bottom, top)
    for panel in row:
        notes = _outside(_of_lines(panel), bottom, top)
        notes += [f"band {note}" for note in _outside(_of_bands(panel), bottom, top)]
        if notes:
            panel.text(
                0.98, 0.04, "outside: " + ", ".join(notes), transform=panel.transAxes, ha="right", fontsize=6.2,
                color="#333333", zorder=9, bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip


def _of_lines(panel: Axes) -> np.ndarray:
    """The heights of all points of a panel's lines."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for line in panel.get_lines()])
    return values[np.isfinite(values)]


def _of_bands(panel: Axes) -> np.ndarray:
    """The heights of all corners of a panel's bands; empty where it has none."""
    corners = [np.asarray(path.vertices)[:, 1] for band in panel.collections for path in band.get_paths()]
    values = np.concatenate([*corners, np.zeros(0)])
    return values[np.isfinite(values)]


def _outside(values: np.ndarray, bottom: float, top: float) -> list[str]:
    """How far values reach above and below the limits, in words; nothing where they stay within."""
    if not values.size:
        return []
    notes = [f"up to {short(values.max())}"] if values.max() > top else []
    return notes + ([f"down to {short(values.min())}"] if values.min() < bottom else [])


def _label(measure: str, results: Sequence[Results]) -> str:
    if measure == "agreement" and all(one.prompts == 1 for one in results):
        return "frames with final class\n(one prompt: not corrected)"
    return MEASURE_LABELS[measure]


def _legend(one: Results, measures: Sequence[str], names: list[str]) -> list[Any]:
    within = Line2D([], [], color="black", marker="o", ls="", markersize=6, label=f"settled: within {THRESHOLD:g}")
    if len(names) > 1:
        lines = [
            Line2D([], [], color="black", linestyle=LINES[number % len(LINES)], label=literal(name))
            for number, name in enumerate(names)
        ]
        return [*lines, within]
    held = set(one.progress[one.progress["measure"].isin(measures)]["probe"])
    handles: list[Any] = [
        Line2D([], [], color="black", marker="o", mfc="white", ms=4, label="trained probe, 95 % interval"),
        within,
    ]
    for probe in (LINEAR_FLOW, GENERIC, SHUFFLED):
        if probe in held:
            handles.append(Line2D([], [], label=NULL_LABELS[probe], **NULL_LOOKS[probe]))
    if GENERIC in one.missing and any(measure.startswith(("agreement", "closeness")) for measure in measures):
        handles.append(Patch(facecolor="none", label="(no generic directions in this readout)"))
    return handles
