"""How far a generation has come: measures on one prompt's class distributions, and their mean over prompts.

The source of `paper` is Paek, Zang, Yang and Leistikow, "Learning Interpretable Features in Audio Latent Spaces via
Sparse Autoencoders", arXiv 2510.23802 ("the paper"). Everything is computed in float64. The measures on frames live in
`tracer.measures.frame_classes` and can be had from here as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr

from tracer.measures.frame_classes import Agreement, CommitmentMap, Finals, agreement, commitment

__all__ = [
    "Accumulator",
    "Agreement",
    "Bootstrap",
    "CommitmentMap",
    "Finals",
    "Paper",
    "Settled",
    "agreement",
    "commitment",
    "interval",
    "js",
    "l1",
    "paper",
    "settled",
    "settled_at",
]

EPSILON = 1e-6
THRESHOLD = 0.1


class Paper(NamedTuple):
    """Eq. 4 with what it left out.

    Attributes
    ----------
    values : float64 [states].
    excluded : bool [classes], the classes whose change from first to last state is at most epsilon.
    share : share of classes that are excluded.
    """

    values: np.ndarray
    excluded: np.ndarray
    share: float


def paper(p: np.ndarray, epsilon: float = EPSILON) -> Paper:
    """Mean over classes of |p_t - p_0| / |p_T - p_0| (the paper's Eq. 4), never clipped.

    Classes with |p_T - p_0| <= epsilon cannot be divided by; they are left out of the mean and named in the result.
    The published formula is epsilon = 0. Classes that change little still weigh as much as all others, so values far
    outside [0, 1] are to be expected between the ends: read `l1` where the two differ.

    Parameters
    ----------
    p : class distributions [states, classes], first to last state.

    Returns
    -------
    Paper; 0 at the first and 1 at the last state. When no class changes (equal ends, every class excluded) there is
    no way to go, and the value is 1 at every state.
    """
    p = np.asarray(p, dtype=np.float64)
    whole = np.abs(p[-1] - p[0])
    excluded = whole <= epsilon
    kept = ~excluded
    if kept.any():
        values = (np.abs(p[:, kept] - p[0, kept]) / whole[kept]).mean(axis=1)
    else:
        values = np.ones(len(p))
    return Paper(values, excluded, float(excluded.mean()))


def l1(p: np.ndarray) -> np.ndarray:
    """Ratio of sums: sum_k |p_t - p_0| / sum_k |p_T - p_0|.

    Parameters
    ----------
    p : class distributions [states, classes].

    Returns
    -------
    float64 [states]; 0 at the first and 1 at the last state, and 1 at every state when the ends are equal, as in
    `paper`.
    """
    p = np.asarray(p, dtype=np.float64)
    whole = np.abs(p[-1] - p[0]).sum()
    if whole == 0:
        return np.ones(len(p))
    return np.abs(p - p[0]).sum(axis=1) / whole


def js(p: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance (square root of the divergence in bits) of every state to the last.

    Parameters
    ----------
    p : class distributions [states, classes]; each is scaled to sum to 1.

    Returns
    -------
    float64 [states] in [0, 1]; 0 at the last state, and at every state that equals it.
    """
    p = np.asarray(p, dtype=np.float64)
    p = p / p.sum(axis=1, keepdims=True)
    middle = (p + p[-1]) / 2
    divergence = (rel_entr(p, middle) + rel_entr(p[-1], middle)).sum(axis=1) / (2 * np.log(2))
    return np.sqrt(np.clip(divergence, 0.0, 1.0))  # rounding alone can leave [0, 1]


def settled(curves: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """First state from which a curve stays within ``threshold`` of its end.

    Parameters
    ----------
    curves : float64 [..., states].

    Returns
    -------
    int [...], between 0 and the index of the last state.
    """
    curves = np.asarray(curves, dtype=np.float64)
    away = ~(np.abs(curves - curves[..., -1:]) <= threshold)
    away[..., -1] = False
    states = curves.shape[-1]
    last_away = states - 1 - np.argmax(away[..., ::-1], axis=-1)
    return np.where(away.any(axis=-1), last_away + 1, 0)


@dataclass(frozen=True)
class Settled:
    """State index from which the mean over prompts is settled, and its bootstrap interval."""

    index: int
    low: int
    high: int


def settled_at(
    curves: np.ndarray, threshold: float = THRESHOLD, level: float = 0.95, replicates: int = 1000, seed: int = 0
) -> Settled:
    """`settled` of the mean curve, with a bootstrap interval over prompts.

    Parameters
    ----------
    curves : float64 [prompts, states], or [states] for one prompt, whose interval is the index itself. Prompts with a
        NaN are left out.
    level : share of bootstrap replicates inside the interval.
    """
    curves = np.atleast_2d(np.asarray(curves, dtype=np.float64))
    curves = curves[~np.isnan(curves).any(axis=1)]
    if not len(curves):
        raise ValueError("no prompt has a value at every state")
    bootstrap = Bootstrap(len(curves), replicates, seed)
    for curve in curves:
        bootstrap.add(curve[None])
    low, high = interval(bootstrap.means()[:, 0], threshold, level)
    return Settled(int(settled(curves.mean(axis=0), threshold)), low, high)


def interval(means: np.ndarray, threshold: float = THRESHOLD, level: float = 0.95) -> tuple[int, int]:
    """The interval of `settled` over bootstrap means [replicates, states]; replicates of NaN are left out."""
    at = settled(means[~np.isnan(means).any(axis=1)], threshold)
    tail = (1 - level) / 2
    low = np.quantile(at, tail, method="lower")
    high = np.quantile(at, 1 - tail, method="higher")
    return int(low), int(high)


class Bootstrap:
    """Bootstrap of a mean over prompts that are seen once, one after the other.

    Every replicate draws as many prompts as there are, with replacement. How often a replicate draws prompt i given
    what is left to draw is binomial(left, 1 / prompts left), which makes the counts exactly multinomial: this is the
    ordinary bootstrap, with memory [replicates, curves, states] whatever the number of prompts.

    Parameters
    ----------
    prompts : how many prompts will be added.
    """

    def __init__(self, prompts: int, replicates: int = 1000, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._coming = prompts
        self._left = np.full(replicates, prompts, dtype=np.int64)
        self._counts: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._sums: np.ndarray | None = None
        self._totals: np.ndarray | None = None

    def add(self, values: np.ndarray) -> None:
        """Add one prompt's curves [curves, states]; a curve with a NaN does not count for this prompt."""
        if self._coming == 0:
            raise ValueError("more prompts than were announced")
        drawn = self._rng.binomial(self._left, 1.0 / self._coming)
        self._left -= drawn
        self._coming -= 1
        self._counts.append(drawn.astype(np.float64))
        self._values.append(np.asarray(values, dtype=np.float64))
        if len(self._values) == 32:  # one matrix product for several prompts
            self._flush()

    def _flush(self) -> None:
        if not self._values:
            return
        counts, values = np.stack(self._counts, axis=1), np.stack(self._values)
        present = ~np.isnan(values).any(axis=2)
        values = np.where(present[..., None], values, 0.0)
        sums = (counts @ values.reshape(len(values), -1)).reshape(len(counts), *values.shape[1:])
        totals = counts @ present.astype(np.float64)
        self._sums = sums if self._sums is None else self._sums + sums
        self._totals = totals if self._totals is None else self._totals + totals
        self._counts, self._values = [], []

    def means(self) -> np.ndarray:
        """Means [replicates, curves, states]; NaN where a replicate drew no prompt that has the curve."""
        self._flush()
        if self._sums is None or self._totals is None:
            raise ValueError("no prompt was added")
        with np.errstate(invalid="ignore"):
            return self._sums / np.where(self._totals == 0, np.nan, self._totals)[..., None]


class Accumulator:
    """Mean and standard deviation of arrays of one shape, added one by one or merged (Welford; Chan et al., 1983).

    Elements that are NaN are not counted. The standard deviation is that of the values themselves (divisor n).
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.n = np.zeros(shape, dtype=np.int64)
        self._mean = np.zeros(shape)
        self._squares = np.zeros(shape)

    def add(self, values: np.ndarray | float) -> None:
        """Count one array of the accumulator's shape."""
        values = np.asarray(values, dtype=np.float64)
        present = ~np.isnan(values)
        self.n = self.n + present
        off = np.where(present, values - self._mean, 0.0)
        self._mean = self._mean + off / np.maximum(self.n, 1)
        self._squares = self._squares + off * np.where(present, values - self._mean, 0.0)

    def merge(self, other: Accumulator) -> None:
        """Count everything that ``other`` counted."""
        n = self.n + other.n
        whole = np.maximum(n, 1)
        off = other._mean - self._mean
        # An empty side has mean 0, which must not pull.
        self._squares = self._squares + other._squares + off**2 * (self.n * (other.n / whole))
        self._mean = self._mean + off * (other.n / whole)
        self.n = n

    @property
    def mean(self) -> np.ndarray:
        """Mean of what was counted; NaN where nothing was."""
        return np.where(self.n > 0, self._mean, np.nan)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of what was counted; NaN where nothing was."""
        return np.where(self.n > 0, np.sqrt(self._squares / np.maximum(self.n, 1)), np.nan)
