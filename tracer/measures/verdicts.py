"""Whether one curve settles earlier than, like, or later than another, with an interval of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from probes.support.intervals import FEWEST, LEVEL, difference, stretch
from tracer.measures.progress import THRESHOLD, settled_between


class Difference(NamedTuple):
    """Difference of two settled points in states: negative where the first is earlier."""

    value: float
    low: float
    high: float

    @property
    def word(self) -> str:
        """ "earlier", "later", or "like" where the interval holds 0; "unknown" without an interval."""
        if np.isnan([self.low, self.high]).any():
            return "unknown"
        return "earlier" if self.high < 0 else "later" if self.low > 0 else "like"


UNKNOWN = Difference(np.nan, np.nan, np.nan)


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    replicates: tuple[np.ndarray, np.ndarray],
    prompts: int,
    threshold: float = THRESHOLD,
) -> Difference:
    """Difference of the settled points of two curves over the same prompts, with its bootstrap interval.

    Args:
        first: Curve, float64 [states].
        second: Curve, float64 [states].
        replicates: Bootstrap replicates of both, [replicates, states], that drew the same prompts.
        prompts: Number of these prompts.
        threshold: Distance to its end within which a curve is settled.
    """
    value = float(settled_between(first, threshold) - settled_between(second, threshold))
    drawn = settled_between(replicates[0], threshold) - settled_between(replicates[1], threshold)
    found = difference(drawn, prompts)
    return Difference(value, found.low, found.high) if np.isfinite(value) else UNKNOWN


def generic_difference(
    curve: np.ndarray,
    directions: Sequence[np.ndarray],
    replicates: tuple[np.ndarray, np.ndarray],
    prompts: int,
    threshold: float = THRESHOLD,
) -> Difference:
    """Difference of a curve's settled point and those of generic directions.

    The null says that the curve belongs to one more such direction. So the interval has the spread between directions
    in it, as that of a prediction has, beside the spread between prompts. Its degrees of freedom are those of Welch and
    Satterthwaite.

    Args:
        curve: Curve of the attribute, float64 [states].
        directions: Curves of the directions.
        replicates: Bootstrap replicates of the attribute and of the directions together, [replicates, states].
        prompts: Number of prompts that they drew.
        threshold: Distance to its end within which a curve is settled.
    """
    points = settled_between(np.stack(directions), threshold) if len(directions) > 1 else np.array([np.nan])
    own = float(settled_between(curve, threshold))
    drawn = settled_between(replicates[0], threshold) - settled_between(replicates[1], threshold)
    drawn = drawn[np.isfinite(drawn)]
    if not (np.isfinite(own) and np.isfinite(points).all()) or len(drawn) < 0.9 * len(replicates[0]):
        return UNKNOWN
    value = own - float(points.mean())
    if prompts < FEWEST:
        return UNKNOWN._replace(value=value)
    between = float(points.var(ddof=1)) * (1 + 1 / len(points))
    within = (float(drawn.std()) * stretch(prompts)) ** 2
    half = 0.0
    if between + within > 0:
        freedom = (between + within) ** 2 / (between**2 / (len(points) - 1) + within**2 / (prompts - 1))
        half = stats.t.ppf(0.5 + LEVEL / 2, freedom) * np.sqrt(between + within)
    return Difference(value, value - float(half), value + float(half))


def at_index(axis: np.ndarray, index: float) -> float:
    """Value of an axis, such as log-SNR, at a state index between states; infinite beside an infinite state."""
    if not np.isfinite(index):
        return float("nan")
    low = int(np.floor(index))
    high = min(low + 1, len(axis) - 1)
    share = index - low
    if share == 0 or high == low:
        return float(axis[low])
    if not np.isfinite(axis[[low, high]]).all():
        ends = axis[[low, high]]
        return float(ends[~np.isfinite(ends)][0])
    return float((1 - share) * axis[low] + share * axis[high])


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction of p-values (S. Holm, 1979)."""
    order = np.argsort(p)
    adjusted = np.zeros(len(order))
    running = 0.0
    for rank, place in enumerate(order):
        running = max(running, (len(order) - rank) * p[place])
        adjusted[place] = min(1.0, running)
    return adjusted.tolist()


class Variance(NamedTuple):
    """Variance components of settled points, in squared states."""

    mean: float
    between_prompts: float
    between_seeds: float


def split_variance(points: np.ndarray) -> Variance:
    """Split the variance of settled points into that between prompts and that between seeds of one prompt.

    One-way random effects: with mean squares between and within prompts, the component between prompts is
    (MSB - MSW) / seeds, at least 0, and the one between seeds MSW.

    Args:
        points: Settled point of every clip, float64 [prompts, seeds].
    """
    prompts, seeds = points.shape
    if prompts < 2 or seeds < 2:
        return Variance(float(points.mean()) if points.size else np.nan, np.nan, np.nan)
    means = points.mean(axis=1)
    within = float(np.square(points - means[:, None]).sum() / (prompts * (seeds - 1)))
    between = float(seeds * np.square(means - means.mean()).sum() / (prompts - 1))
    return Variance(float(means.mean()), max(0.0, (between - within) / seeds), within)
