"""Figures beside the emergence curves: when each frame commits, and what the autoencoder makes of the states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from probes.errors import InputError
from tracer.figures.palette import VIEW_TITLES, figure_style, looks, save
from tracer.measures.frame_classes import CommitmentMap
from tracer.record.shards import TRAINED, Curve

if TYPE_CHECKING:
    from tracer.run import Run


def plot_commitment(
    run: Run, stem: str | Path, prompt: int | None = None, frame_rate: float | None = None
) -> list[Path]:
    """Draw states against song time: the share of prompts whose frame keeps its final class from that state on.

    Parameters
    ----------
    prompt : draw one prompt alone, whose frames are committed or not.
    frame_rate : frames per second, for a time axis in seconds; frames otherwise.

    Returns
    -------
    The paths written, ``stem``.png and .svg. Raises InputError when the run kept no classes per frame.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    maps = run.results.commitment if prompt is None else _maps_of(run, prompt)
    views = [view for view in VIEW_TITLES if any(curve.view == view for curve in maps)]
    attributes = [name for name in run.attributes if any(curve.attribute == name for curve in maps)]
    if not attributes:
        raise InputError(f"{run.path} kept no classes per frame: trace again with frames to draw when they commit")
    with figure_style():
        size = (0.9 + 3.1 * len(views), 0.6 + 1.45 * len(attributes))
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(attributes), len(views), squeeze=False, sharex=True, sharey=True)
        image = None
        for row, attribute in zip(panels, attributes):
            row[0].set_ylabel(f"{attribute}\nstate index")
            for panel, view in zip(row, views):
                share = maps[Curve(view, TRAINED, attribute)]
                states, frames = share.shape
                width = frames / frame_rate if frame_rate else frames
                image = panel.imshow(
                    share, origin="lower", aspect="auto", interpolation="nearest", cmap="cividis",
                    vmin=0, vmax=1, extent=(0, width, -0.5, states - 0.5),
                )  # fmt: skip
        for panel, view in zip(panels[0], views):
            panel.set_title(VIEW_TITLES[view])
        for panel in panels[-1]:
            panel.set_xlabel("time in the song (s)" if frame_rate else "time in the song (latent frames)")
        assert image is not None
        if prompt is None:
            label = "share of prompts with their final class"
            figure.colorbar(image, ax=panels, label=label, fraction=0.04, pad=0.02)
        else:
            states_of = {f"prompt {prompt}: final class from here on": 1.0, "not yet": 0.0}
            handles = [Patch(facecolor=image.cmap(value), label=name) for name, value in states_of.items()]
            figure.legend(handles=handles, loc="outside lower center", ncols=2)
        return save(figure, Path(stem))


def _maps_of(run: Run, prompt: int) -> dict[Curve, np.ndarray]:
    trace = run.reader.trace(prompt, pooled=False)
    maps = {}
    for curve, classes in trace.classes.items():
        gathered = CommitmentMap(len(classes))
        gathered.add(classes, trace.valid[curve])
        maps[curve] = gathered.share()
    return maps


def plot_autoencoder(run: Run, stem: str | Path) -> list[Path]:
    """Draw what the autoencoder leaves unexplained (FVU) and its active features (L0) along the trace, per view.

    It has seen clean latents alone: where FVU is high, what the probes read there is to be taken with care.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(6.4, 2.4), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 2, sharex=True)
        labels = {"fvu": "variance unexplained (FVU)", "l0": "active features per frame (L0)"}
        for panel, (measure, label) in zip(panels, labels.items()):
            for view, look in zip(run.views, looks([]).values()):
                table = run.progress(view=view, measure=measure)
                x, mean, std = (table[name].to_numpy() for name in ("index", "mean", "std"))
                panel.fill_between(x, mean - std, mean + std, color=look.colour, alpha=0.16, linewidth=0)
                line: str | tuple[int, tuple[float, ...]] = look.line
                panel.plot(
                    x, mean, color=look.colour, linestyle=line, marker=look.marker, markersize=4.2,
                    markerfacecolor="white", markevery=max(1, len(x) // 8), label=view,
                )  # fmt: skip
            panel.set_xlabel("state index")
            panel.set_ylabel(label)
            panel.set_ylim(bottom=0)
        panels[0].axhline(1, color="#D0D0D0", linewidth=0.6, zorder=0)
        panels[1].legend()
        return save(figure, Path(stem))
