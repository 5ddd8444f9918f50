"""Which of two curves settles first: bootstrap over prompts, drawn together where both saw the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from probes.support.intervals import LEVEL, difference
from tracer.measures.contrast import drawn_parts, parts_of, pooled, ratio
from tracer.measures.progress import THRESHOLD, settled_between
from tracer.measures.verdicts import holm

REPLICATES = 2000
WORDS = ("earlier", "later", "not told apart")


class Song(NamedTuple):
    """One curve's prompts."""

    contrasts: np.ndarray
    """float64 [prompts, 4, states]: own, other, target and frames of every prompt, as `contrast.parquet` has them."""
    measure: str
    """"agreement" or "closeness"."""

    @property
    def value(self) -> float:
        """Settled point, between states too, of all prompts."""
        part, whole = parts_of(self.measure, self.contrasts[:, 0], self.contrasts[:, 1])
        return float(settled_between(pooled(part, whole), THRESHOLD))

    def settled(self, times: np.ndarray) -> np.ndarray:
        """Settled point of each replicate, given how often it draws each prompt [replicates, prompts]."""
        part, whole = (times @ np.nan_to_num(each) for each in drawn_parts(self.measure, self.contrasts))
        return settled_between(ratio(part, whole), THRESHOLD)

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return len(self.contrasts)


class Drawn(NamedTuple):
    """Settled points of a curve: of all its prompts, and of every bootstrap replicate."""

    value: float
    replicates: np.ndarray
    prompts: int


def draw(songs: Sequence[Song], paired: bool, seed: int = 0) -> list[Drawn]:
    """Settled points of several curves in bootstrap replicates over prompts.

    Args:
        songs: The curves.
        paired: All have the same prompts in the same order, which are drawn together; else each draws its own.
        seed: Seed of the draws.
    """
    random = np.random.default_rng(seed)
    drawn, times = [], None
    for song in songs:
        if times is None or not paired:
            times = random.multinomial(song.prompts, np.full(song.prompts, 1 / song.prompts), size=REPLICATES)
        drawn.append(Drawn(song.value, song.settled(times), song.prompts))
    return drawn


class Comparison(NamedTuple):
    """Difference of two settled points, on any axis: negative where the first is earlier."""

    difference: float
    low: float
    high: float
    p: float
    """As in `probes.support.intervals.Bounds`."""


def compare(first: Drawn, second: Drawn, axes: tuple[np.ndarray, np.ndarray] | None = None) -> Comparison:
    """Compare two curves.

    Args:
        first: Settled points of the first.
        second: Settled points of the second, drawn beside it.
        axes: Value of every state of each on the axis of the difference, such as flow time; None is the state index.
    """
    values = [first.value, second.value]
    drawn = [first.replicates, second.replicates]
    if axes is not None:
        values = [float(np.interp(value, np.arange(len(axis)), axis)) for value, axis in zip(values, axes)]
        drawn = [
            np.where(np.isnan(each), np.nan, np.interp(each, np.arange(len(axis)), axis))
            for each, axis in zip(drawn, axes)
        ]
    value = values[0] - values[1]
    if not np.isfinite(value):
        return Comparison(value, np.nan, np.nan, np.nan)
    return Comparison(value, *difference(drawn[0] - drawn[1], min(first.prompts, second.prompts)))


def verdicts(found: Sequence[Comparison]) -> list[tuple[float, str]]:
    """p-values corrected for their number (Holm), and "earlier", "later" or "not told apart" at 5 %."""
    known = [place for place, one in enumerate(found) if np.isfinite(one.p)]
    corrected = dict(zip(known, holm([found[place].p for place in known])))
    result = []
    for place, one in enumerate(found):
        p = corrected.get(place, float("nan"))
        result.append((p, WORDS[2] if not p < 1 - LEVEL else WORDS[one.difference > 0]))
    return result
