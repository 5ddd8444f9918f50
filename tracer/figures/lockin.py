"""Lock-in of steering: how much of an edit's effect survives, by the flow time at which it acts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracer.figures.palette import GUIDE_COLOUR, LINES, Drawing, figure_style, literal, looks


@figure_style()
def draw_lockin(rows: Sequence[Mapping[str, Any]], emergence: Sequence[Mapping[str, Any]]) -> Drawing:
    """Draw lock-in curves over the emergence curve of the same attribute, a panel per edit.

    Args:
        rows: Rows of `lockin.csv`, one per edit and window; one at least.
        emergence: Rows of `emergence.csv`: attribute, t and agreement.
    """
    edits = list(dict.fromkeys(row["edit"] for row in rows))
    style = looks(dict.fromkeys(row["attribute"] for row in rows))
    figure = Drawing(3.3 * len(edits) + 0.4, 3.2)
    panels = figure.subplots(1, len(edits), squeeze=False)[0]
    for panel, edit in zip(panels, edits):
        own = [row for row in rows if row["edit"] == edit]
        attribute = own[0]["attribute"]
        look = style[attribute]
        curve = [row for row in emergence if row["attribute"] == attribute]
        panel.plot(
            [row["t"] for row in curve], [row["agreement"] for row in curve], color="black", lw=1.0, ls=LINES[2],
            label="emergence (agreement)",
        )  # fmt: skip
        middle = [(row["from"] + row["to"]) / 2 for row in own]
        low, high = ([row[f"heard_{side}"] for row in own] for side in ("low", "high"))
        panel.fill_between(middle, low, high, color=look.colour, alpha=0.2, lw=0)
        heard, read = ([row[f"{how}_share"] for row in own] for how in ("heard", "read"))
        panel.plot(middle, heard, marker=look.marker, ms=3.5, color=look.colour, label="heard (decoded audio)")
        panel.plot(middle, read, "--", lw=1, color=look.colour, label="read (by the probes)")
        null = [row.get("heard_null", np.nan) for row in own]
        if np.isfinite(null).any():
            panel.plot(middle, null, color="black", lw=1.2, ls=LINES[1], label="linear flow, heard")
            ends = ([row.get(f"heard_null_{side}", np.nan) for row in own] for side in ("low", "high"))
            panel.fill_between(middle, *ends, color="black", alpha=0.08, lw=0)
        if "turned" in own[0]:
            panel.text(
                0.02, 0.02, f"saturates: editing the end turns\n{own[0]['turned']:.0%} of the frames",
                transform=panel.transAxes, fontsize=6.5, va="bottom",
            )  # fmt: skip
        for level in (0, 1):
            panel.axhline(level, color=GUIDE_COLOUR, lw=0.6, zorder=0)
        panel.set_xlim(0, 1)
        # The read share and the interval's ends may divide by next to nothing; they must not flatten the rest.
        panel.set_ylim(-0.1, 1.6 * max([1.0, *(share for share in (*heard, *null) if np.isfinite(share))]))
        panel.set_title(literal(edit))
        panel.set_xlabel("flow time of the window")
        panel.legend(fontsize=7)
    panels[0].set_ylabel("effect over that of editing the end")
    return figure
