"""Figures beside the emergence curves: when each frame commits, and what the autoencoder makes of the states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from tracer.curves import TRAINED, Curve
from tracer.figures.palette import GUIDE_COLOUR, VIEW_LOOKS, VIEW_TITLES, Drawing, figure_style

if TYPE_CHECKING:
    from tracer.results import Results


@figure_style()
def draw_commitment(
    maps: Mapping[Curve, np.ndarray], attributes: Sequence[str], views: Sequence[str], prompt: int | None = None
) -> Drawing:
    """Draw commitment maps, states against song time: attributes are rows, views columns.

    Args:
        maps: Share of clips whose frame keeps its final class from a state on, [states, frames], for the trained
            probes of each attribute and view.
        attributes: Attributes to draw, one at least.
        views: Views to draw, one at least.
        prompt: Index of the prompt that the maps are of alone; its frames are committed or not. None: of all prompts.
    """
    figure = Drawing(0.9 + 3.1 * len(views), 0.6 + 1.45 * len(attributes))
    panels = figure.subplots(len(attributes), len(views), squeeze=False, sharex=True, sharey=True)
    for row, attribute in zip(panels, attributes):
        row[0].set_ylabel(f"{attribute}\nstate index")
        for panel, view in zip(row, views):
            share = maps[Curve(view, TRAINED, attribute)]
            states, frames = share.shape
            image = panel.imshow(
                share, origin="lower", aspect="auto", interpolation="nearest", cmap="cividis", vmin=0, vmax=1,
                extent=(0, frames, -0.5, states - 0.5),
            )  # fmt: skip
    for panel, view in zip(panels[0], views):
        panel.set_title(VIEW_TITLES[view])
    for panel in panels[-1]:
        panel.set_xlabel("time in the song (latent frames)")
    if prompt is None:
        figure.colorbar(image, ax=panels, label="share of clips with their final class", fraction=0.04, pad=0.02)
    else:
        labels = {f"prompt {prompt}: final class from here on": 1.0, "not yet": 0.0}
        handles = [Patch(facecolor=image.cmap(value), label=label) for label, value in labels.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@figure_style()
def draw_autoencoder(results: Results) -> Drawing:
    """Draw what the autoencoder leaves unexplained (FVU) and its active features (L0) at every state, per view.

    The autoencoder has seen clean latents alone: where its FVU is high, the probes read noise.
    """
    figure = Drawing(6.4, 2.4)
    panels = figure.subplots(1, 2, sharex=True)
    labels = {"fvu": "variance unexplained (FVU)", "l0": "active features per frame (L0)"}
    for panel, (measure, label) in zip(panels, labels.items()):
        for view in results.views:
            look, table = VIEW_LOOKS[view], results.progress
            table = table[(table["view"] == view) & (table["measure"] == measure)]
            x, mean, std = (table[name].to_numpy() for name in ("index", "mean", "std"))
            panel.fill_between(x, mean - std, mean + std, color=look.colour, alpha=0.16, linewidth=0)
            panel.plot(
                x, mean, color=look.colour, linestyle=look.line, marker=look.marker, markersize=4.2,
                markerfacecolor="white", markevery=max(1, len(x) // 8), label=view,
            )  # fmt: skip
        panel.set_xlabel("state index")
        panel.set_ylabel(label)
        panel.set_ylim(bottom=0)
    panels[0].axhline(1, color=GUIDE_COLOUR, linewidth=0.6, zorder=0)
    panels[1].legend()
    return figure
