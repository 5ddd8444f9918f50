"""What all figures share: colours and markers, settings, and how a figure is shown and written.

The figures can be read in black and white, by colour-blind readers, and in a column of a paper. They are made with
matplotlib's object interface on a canvas of their own, so that the user's backend stays as it is and no figure is left
open in pyplot.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from probes.support.files import expanded, write_whole
from probes.support.remote import refuse_remote

CONTROL_COLOUR = "#8C8C8C"
CONTROL_LABEL = "shuffled labels"
NULL_LOOKS: dict[str, dict[str, Any]] = {
    "generic": {"color": "#555555", "linestyle": (0, (4, 2)), "linewidth": 1.0},
    "linear_flow": {"color": "black", "linestyle": (0, (1, 1.3)), "linewidth": 1.3},
    "shuffled": {"color": "#A0A0A0", "linestyle": (0, (6, 2, 1, 2)), "linewidth": 1.0},
}
"""How the controls of an attribute are drawn."""
NULL_LABELS = {
    "generic": "generic directions, range",
    "linear_flow": "linear flow",
    "shuffled": CONTROL_LABEL,
}
AXES = {"index": "state index", "t": "flow time", "logsnr": "log-SNR of the state"}
GUIDE_COLOUR = "#D0D0D0"
"""Colour of lines that mark a level, such as 0 and 1."""
VIEW_TITLES = {"state": "state (noisy latent)", "endpoint": "endpoint (clean estimate)"}
LINES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
FORMATS = (".png", ".svg", ".pdf")

_SETTINGS: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.dpi": 200,
    "svg.hashsalt": "generation-tracer",  # the same figure, the same bytes
}


class Look(NamedTuple):
    """How an attribute is drawn in every figure."""

    colour: str
    marker: str
    line: Any


# Colours of Okabe and Ito (2008), which readers with every common kind of colour vision can tell apart. Black, their
# eighth, is left to what is no attribute. The others are of Paul Tol's muted scheme.
_KNOWN = {
    "pitch": Look("#0072B2", "o", LINES[0]),
    "timbre": Look("#D55E00", "s", LINES[1]),
    "loudness": Look("#009E73", "^", LINES[2]),
    "chroma": Look("#CC79A7", "D", LINES[3]),
    "onset": Look("#E69F00", "v", LINES[4]),
    "chord": Look("#56B4E9", "P", LINES[0]),
    "key": Look("#332288", "X", LINES[1]),
    "tempo": Look("#882255", "p", LINES[2]),
    "family": Look("#999933", "h", LINES[3]),
    "drums": Look("#AA4499", "*", LINES[4]),
    "voice": Look("#44AA99", "<", LINES[0]),
    "beat": Look("#661100", ">", LINES[1]),
}
_FURTHER = (Look("#88CCEE", "1", LINES[3]), Look("#DDCC77", "8", LINES[4]))
VIEW_LOOKS = {"state": Look("#000000", "o", LINES[0]), "endpoint": Look("#666666", "s", LINES[1])}


def looks(attributes: Iterable[str]) -> dict[str, Look]:
    """A look for every attribute; the attributes of `probes.attributes` look the same in every figure."""
    names = list(attributes)
    further = sorted(set(names) - set(_KNOWN))
    return {name: _KNOWN[name] if name in _KNOWN else _FURTHER[further.index(name) % len(_FURTHER)] for name in names}


def lighter(colour: str, share: float) -> str:
    """The colour, moved towards white: 0 leaves it as it is, 1 is white."""
    red, green, blue = (part + share * (1 - part) for part in to_rgb(colour))
    return to_hex((red, green, blue))


def literal(name: str) -> str:
    """A name as text, whatever is in it: matplotlib would take what stands between two dollar signs for TeX."""
    return name.replace("$", r"\$")


@contextmanager
def figure_style() -> Iterator[None]:
    """Our settings while a figure is drawn or written, also as a decorator; the user's are back afterwards."""
    with mpl.rc_context(_SETTINGS):
        yield


def short(value: Any) -> str:
    """A number in a note: two digits, or whole from 10 on."""
    return f"{float(value):.2g}" if abs(value) < 10 else f"{float(value):,.0f}"


def flow_time_on_top(panel: Any, table: Any) -> None:
    """Mark flow time above a panel whose x axis is the state index.

    Args:
        panel: matplotlib axes.
        table: Table with columns index and t.
    """
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


class Drawing(Figure):
    """A matplotlib figure that shows itself in a notebook and can be written to files.

    Args:
        width: Width in inches.
        height: Height in inches.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def write(self, path: str | Path) -> list[Path]:
        """Write the figure; the same figure gives the same bytes.

        Args:
            path: A file that ends in .png, .svg or .pdf; any other name stands for two files, `path`.png and
                `path`.svg.

        Returns:
            The paths written.

        Raises:
            InputError: The files cannot be written.
        """
        refuse_remote(path)
        stem = expanded(path)
        paths = [stem] if stem.suffix in FORMATS else [stem.with_name(stem.name + kind) for kind in FORMATS[:2]]
        dates = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}, ".pdf": {"CreationDate": None}}
        with figure_style():
            for each in paths:
                drawn = io.BytesIO()
                self.savefig(drawn, format=each.suffix[1:], metadata=dates[each.suffix])
                write_whole(each, drawn.getvalue())
        return paths

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        with figure_style():
            self.savefig(image, format="png", dpi=110)
        return image.getvalue()
