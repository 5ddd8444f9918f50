"""Whether the probes are right along the states, beside the decoded audio of the same states (`--ground-truth`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tracer.curves import SHUFFLED, TRAINED
from tracer.figures.palette import GUIDE_COLOUR, NULL_LOOKS, Drawing, figure_style, looks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_WITHIN = (0, (4, 1.5))
_MAJORITY: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.3)), "linewidth": 1.1}
_FAINT = "#444444"


@figure_style()
def draw_validity(table: pd.DataFrame, attributes: Sequence[str]) -> Drawing:
    """Draw how often the probes read the measured class, and how far off they are; a column per attribute.

    Args:
        table: As from `tracer.truth_files.validity`, of one view.
        attributes: Attributes of the run, in the order in which they are drawn; those without a row are left out.
    """
    shown = [name for name in attributes if (table["attribute"] == name).any()]
    figure = Drawing(0.6 + 2.3 * len(shown), 4.3)
    panels = figure.subplots(2, len(shown), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 2))
    for (above, below), (attribute, look) in zip(panels.T, looks(shown).items()):
        mine = table[table["attribute"] == attribute]
        trained, shuffled = (mine[mine["probe"] == probe] for probe in (TRAINED, SHUFFLED))
        above.plot(trained["index"], trained["majority"], **_MAJORITY)
        above.plot(shuffled["index"], shuffled["accuracy"], **NULL_LOOKS[SHUFFLED])
        _draw_score(above, trained, "within_one", color=look.colour, linestyle=_WITHIN, linewidth=1.1)
        _draw_score(above, trained, "accuracy", color=look.colour)
        _draw_score(below, trained, "bias", color=look.colour)
        if trained["accuracy"].notna().any() and trained["bias"].isna().all():
            below.text(0.5, 0.6, "classes without\nan order", transform=below.transAxes, ha="center", color=_FAINT)
        above.set_title(attribute, color=look.colour, fontweight="bold")
        above.set_ylim(-0.02, 1.02)
        below.axhline(0, color=GUIDE_COLOUR, linewidth=0.6, zorder=0)
        below.set_xlabel("state index")
        below.xaxis.get_major_locator().set_params(integer=True)
        below.margins(x=0.015)
    panels[0, 0].set_ylabel("share of frames")
    panels[1, 0].set_ylabel("bias: read minus\nmeasured class, mean")
    handles = [
        Line2D([], [], color=_FAINT, label="in the measured class"),
        Line2D([], [], color=_FAINT, linestyle=_WITHIN, linewidth=1.1, label="at most one class away"),
        Patch(color=_FAINT, alpha=0.22, linewidth=0, label="95 % interval over prompts"),
        Line2D([], [], **NULL_LOOKS[SHUFFLED], label="in the measured class, shuffled labels"),
        Line2D([], [], **_MAJORITY, label="always the commonest measured class"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2 if len(shown) < 3 else 3, handlelength=2.8)
    return figure


def _draw_score(panel: Axes, table: pd.DataFrame, score: str, **style: Any) -> None:
    index = table["index"].to_numpy(float)
    low, high = (table[f"{score}_{end}"].to_numpy(float) for end in ("low", "high"))
    panel.fill_between(index, low, high, color=style["color"], alpha=0.22, linewidth=0, zorder=1)
    panel.plot(index, table[score], **style, zorder=3)
