"""The probes' curves beside what was measured on the decoded audio of the same states (`--ground-truth`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracer.curves import MEASURED, SHUFFLED, TRAINED
from tracer.figures.palette import CONTROL_COLOUR, CONTROL_LABEL, GUIDE_COLOUR, Drawing, figure_style, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tracer.results import Results


@figure_style()
def draw_truth(results: Results, rows: Sequence[Mapping[str, Any]]) -> Drawing:
    """Draw the curve that the probes read, that of the audio, and that of the control probes; a panel per attribute.

    Args:
        results: Curves of the run.
        rows: Rows of `tracer.measures.truth.against_audio`, one at least; those of the first row's measure are drawn.
    """
    shown = [row for row in rows if row["measure"] == rows[0]["measure"]]
    attributes = [name for name in results.attributes if any(row["attribute"] == name for row in shown)]
    figure = Drawing(0.6 + 2.5 * len(attributes), 2.75)
    panels = figure.subplots(1, len(attributes), squeeze=False, sharey=True)[0]
    for panel, (attribute, look) in zip(panels, looks(attributes).items()):
        found = {row["probe"]: row for row in shown if row["attribute"] == attribute}
        _draw_curves(panel, results, found[TRAINED], look.colour)
        panel.set_title(attribute)
        panel.text(
            0.97, 0.05, "\n".join(_figures(probe, row) for probe, row in found.items()), transform=panel.transAxes,
            ha="right", fontsize=6.5, color="#333333", zorder=9,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.2},
        )  # fmt: skip
        panel.set_xlabel("state index")
    panels[0].set_ylabel(f"{shown[0]['measure']}, mean over prompts")
    handles, _ = panels[0].get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_curves(panel: Axes, results: Results, row: Mapping[str, Any], colour: str) -> None:
    table = results.progress
    for key in ("view", "attribute", "measure"):
        table = table[table[key] == row[key]]
    styles: dict[str, dict[str, Any]] = {
        SHUFFLED: {"color": CONTROL_COLOUR, "lw": 1.0, "label": CONTROL_LABEL},
        MEASURED: {
            "color": "black",
            "ls": (0, (4, 1.5)),
            "lw": 1.0,
            "zorder": 3,
            "label": "measured on the decoded endpoint",
        },
        TRAINED: {"color": colour, "label": "read by the probe"},
    }
    for probe, style in styles.items():
        line = table[table["probe"] == probe]
        panel.plot(line["index"], line["mean"], **style)
    for level in (0, 1):
        panel.axhline(level, color=GUIDE_COLOUR, linewidth=0.6, zorder=0)


def _figures(probe: str, row: Mapping[str, Any]) -> str:
    values = (row["correlation"], row["difference"])
    correlation, difference = ("-" if value is None else f"{value:.2f}" for value in values)
    return f"{probe}: r {correlation}, |difference| {difference}"
