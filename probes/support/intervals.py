"""Intervals of bootstrap replicates, wide enough for few files or prompts.

Plain percentiles of a bootstrap are too narrow over few units: they know neither that a variance over n units is too
small by (n - 1) / n, nor that it is estimated. Percentiles further out make up for both: their ends are where Student's
t with n - 1 degrees of freedom, stretched by the square root of n / (n - 1), would have them on a normal distribution.
These are the expanded percentiles of T. Hesterberg, "What Teachers Should Know About the Bootstrap" (The American
Statistician, 2015).
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

LEVEL = 0.95
FEWEST = 3
"""Files or prompts of which a difference has an interval, at least: two may be alike by chance."""
PERCENTILES = 6
"""Files or prompts from which on differences are told by percentiles."""


def tail(units: int) -> float:
    """Share of replicates that a 95 % interval leaves out on either side.

    Args:
        units: Number of files or prompts that the bootstrap draws. The replicates of one are all alike.
    """
    return 0.0 if units < 2 else float(ndtr(stretch(units) * stdtrit(units - 1, (1 - LEVEL) / 2)))


def interval(replicates: ArrayLike, units: ArrayLike) -> NDArray[np.float64]:
    """95 % interval of what a bootstrap over files or prompts has drawn.

    Args:
        replicates: Replicates [n, ...]; NaN are left out.
        units: Number of files or prompts behind each value, an integer or an array [...].

    Returns:
        Low and high, float64 [2, ...]; NaN over fewer than two units and where no replicate has a value.
    """
    drawn = np.asarray(replicates, dtype=np.float64)
    counts = np.broadcast_to(np.asarray(units), drawn.shape[1:])
    bounds = np.full((2, *counts.shape), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # values without a replicate
        for count in np.unique(counts[counts >= 2]):
            out, place = 100 * tail(int(count)), counts == count
            bounds[:, place] = np.nanpercentile(drawn[:, place], [out, 100 - out], axis=0)
    return bounds


class Bounds(NamedTuple):
    """Where a difference lies, and how likely it is to be seen where there is none."""

    low: float
    high: float
    p: float
    """Two-sided: below 0.05 where the 95 % interval leaves 0 out. Of five units or fewer at least that of a sign test,
    2 to the power of 1 - units: they tell nothing apart at 5 %, whatever their replicates say."""


def difference(replicates: NDArray[np.float64], units: int) -> Bounds:
    """95 % interval of a difference that a bootstrap has drawn, and its p.

    Of five units or fewer the replicates take too few values for percentiles so far out: the interval is Student's,
    from their mean and standard deviation. So is p where all replicates are on one side of 0, but no more than it would
    be were one of them on the other.

    Args:
        replicates: Replicates of the difference [n]; where fewer than nine of ten are finite nothing is known (NaN).
        units: Number of files or prompts that the bootstrap draws; of fewer than `FEWEST` there is no interval.
    """
    drawn = replicates[np.isfinite(replicates)]
    if units < 2 or len(drawn) < 0.9 * len(replicates):
        return Bounds(np.nan, np.nan, np.nan)
    if units < FEWEST:
        return Bounds(np.nan, np.nan, 1.0)
    middle, spread = float(drawn.mean()), float(drawn.std()) * stretch(units)
    if spread:
        student = 2 * float(stdtr(units - 1, -abs(middle) / spread))
    else:
        student = 0.0 if middle else 1.0
    if units < PERCENTILES:
        half = -spread * float(stdtrit(units - 1, (1 - LEVEL) / 2))
        return Bounds(middle - half, middle + half, max(student, 2.0 ** (1 - units)))
    low, high = (float(end) for end in interval(drawn, units))
    others = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    rarer = min(0.5, (1 + others) / (len(drawn) + 1))
    p = 2 * float(stdtr(units - 1, ndtri(rarer) / stretch(units)))
    return Bounds(low, high, p if others else min(p, student))


def stretch(units: int) -> float:
    """What a standard deviation over units is multiplied by to be that of the population."""
    return float(np.sqrt(units / (units - 1)))
