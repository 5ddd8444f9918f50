"""How the figures look: readable in black and white, by colour-blind readers, and in a paper's column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from probes.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY = "#8C8C8C"
VIEW_TITLES = {"state": "state  $x_t$", "endpoint": "endpoint  $\\hat{x}_1(x_t)$"}
LINES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))

_RC: dict[Any, Any] = {
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
    """How an attribute is drawn; colours are those of Okabe and Ito (2008)."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]


_KNOWN = {
    "pitch": Look("#0072B2", "o", LINES[0]),
    "timbre": Look("#D55E00", "s", LINES[1]),
    "loudness": Look("#009E73", "^", LINES[2]),
    "chroma": Look("#CC79A7", "D", LINES[3]),
}
_OTHERS = (
    Look("#E69F00", "v", LINES[4]),
    Look("#56B4E9", "P", LINES[0]),
    Look("#000000", "X", LINES[1]),
    Look("#F0E442", "*", LINES[2]),
)


def looks(attributes: list[str]) -> dict[str, Look]:
    """A look for every attribute: the usual ones always look the same."""
    rest = sorted(set(attributes) - set(_KNOWN))
    return _KNOWN | {name: _OTHERS[i % len(_OTHERS)] for i, name in enumerate(rest)}


@contextmanager
def figure_style() -> Iterator[None]:
    """Our settings, for the figures made and saved inside; the user's are as before afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        yield


def save(figure: Figure, stem: Path) -> list[Path]:
    """Save as `.png` and `.svg`, the same bytes for the same figure. Raises InputError when that cannot be written."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    try:
        figure.savefig(paths[0], metadata={"Software": None})
        figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    except OSError as error:
        raise InputError(f"{stem.parent} cannot be written ({error.strerror}): choose another --out") from error
    return paths
