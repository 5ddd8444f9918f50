"""How far a generation has come: measures on one prompt's class distributions, and their mean over prompts.

"The paper" is Paek, Zang, Yang and Leistikow, "Learning Interpretable Features in Audio Latent Spaces via Sparse
Autoencoders", arXiv 2510.23802. Everything is computed in float64. Measures on the classes of single frames stand in
`tracer.measures.contrast`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr

from probes.support.intervals import tail

EPSILON = 1e-6
"""Change of a class below which Eq. 4 leaves it out."""
THRESHOLD = 0.1
"""Distance to its end within which a curve is settled."""
THRESHOLDS = (0.05, 0.1, 0.2)
"""Distances for which tables say when a curve is settled."""


class Paper(NamedTuple):
    """Eq. 4 of one prompt, with what it left out."""

    values: np.ndarray
    """float64 [states]."""
    excluded: np.ndarray
    """bool [classes]: the classes whose change from first to last state is at most epsilon."""
    share: float
    """Share of classes that are excluded."""


def paper(p: np.ndarray, epsilon: float = EPSILON) -> Paper:
    """Mean over classes of |p_t - p_0| / |p_T - p_0| (Eq. 4 of the paper), never clipped.

    Classes with |p_T - p_0| <= epsilon cannot be divided by: they are left out of the mean and named in the result. The
    published formula has epsilon = 0. A class that changes little weighs as much as any other, so expect values far
    outside [0, 1] between the ends, and read `l1` where the two differ.

    Args:
        p: Class distributions [states, classes], first to last state.
        epsilon: Smallest change of a class that counts.

    Returns:
        Values that are 0 at the first and 1 at the last state. When no class changes (every class is excluded) there is
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

    Args:
        p: Class distributions [states, classes].

    Returns:
        float64 [states]: 0 at the first and 1 at the last state; 1 at every state when the ends are equal, as in
        `paper`.
    """
    p = np.asarray(p, dtype=np.float64)
    whole = np.abs(p[-1] - p[0]).sum()
    if whole == 0:
        return np.ones(len(p))
    return np.abs(p - p[0]).sum(axis=1) / whole


def js(p: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance (square root of the divergence in bits) of every state to the last.

    Args:
        p: Class distributions [states, classes]; each is scaled to sum to 1.

    Returns:
        float64 [states] in [0, 1]: 0 at the last state and at every state that equals it.
    """
    p = np.asarray(p, dtype=np.float64)
    p = p / p.sum(axis=1, keepdims=True)
    middle = (p + p[-1]) / 2
    divergence = (rel_entr(p, middle) + rel_entr(p[-1], middle)).sum(axis=1) / (2 * np.log(2))
    return np.sqrt(np.clip(divergence, 0.0, 1.0))  # rounding alone can leave [0, 1]


def settled(curves: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """First state from which a curve stays within `threshold` of its end.

    Args:
        curves: float64 [..., states].
        threshold: Largest distance to the end that counts as settled.

    Returns:
        int [...], between 0 and the index of the last state.
    """
    curves = np.asarray(curves, dtype=np.float64)
    away = ~(np.abs(curves - curves[..., -1:]) <= threshold)
    away[..., -1] = False
    states = curves.shape[-1]
    last_away = states - 1 - np.argmax(away[..., ::-1], axis=-1)
    return np.where(away.any(axis=-1), last_away + 1, 0)


def settled_between(curves: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """`settled`, interpolated between states: where the last step into the threshold crosses it.

    Args:
        curves: float64 [..., states].
        threshold: As in `settled`.

    Returns:
        float64 [...], state indices; NaN for a curve with NaN.
    """
    curves = np.asarray(curves, dtype=np.float64)
    distance = np.abs(curves - curves[..., -1:])
    at = settled(curves, threshold)
    before = np.maximum(at - 1, 0)
    far, near = (np.take_along_axis(distance, i[..., None], -1)[..., 0] for i in (before, at))
    with np.errstate(invalid="ignore", divide="ignore"):
        crossing = before + (far - threshold) / (far - near)
    return np.where(np.isnan(curves).any(axis=-1), np.nan, np.where(at == 0, 0.0, crossing))


def settled_interval(means: np.ndarray, prompts: int, threshold: float = THRESHOLD) -> tuple[int, int]:
    """Bootstrap interval of `settled`.

    Args:
        means: Bootstrap means [replicates, states], as from `Bootstrap.means`; replicates with a NaN are left out.
        prompts: Number of prompts that they drew.
        threshold: As in `settled`.

    Returns:
        First and last state of the interval.
    """
    at = settled(means[~np.isnan(means).any(axis=1)], threshold)
    out = tail(prompts)
    low = np.quantile(at, out, method="lower")
    high = np.quantile(at, 1 - out, method="higher")
    return int(low), int(high)


class Bootstrap:
    """Bootstrap of a mean over prompts that are seen once, one after the other.

    Every replicate draws as many prompts as there are, with replacement. How often it draws prompt i, given what is
    left to draw, is binomial(left, 1 / prompts left). That makes the counts exactly multinomial: this is the ordinary
    bootstrap, with memory [replicates, curves, states] whatever the number of prompts.

    Args:
        prompts: Number of prompts that will be added.
        replicates: Number of bootstrap replicates.
        seed: Seed of the draws.
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
        """Add one prompt's curves [curves, states]; a state that is NaN does not count for this prompt.

        Raises:
            ValueError: More prompts come than were announced.
        """
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
        present = ~np.isnan(values)
        values = np.where(present, values, 0.0)
        sums = (counts @ values.reshape(len(values), -1)).reshape(len(counts), *values.shape[1:])
        # Counts up to millions are whole in float32.
        totals = np.float32(counts) @ present.reshape(len(present), -1).astype(np.float32)
        totals = totals.reshape(sums.shape)
        self._sums = sums if self._sums is None else self._sums + sums
        self._totals = totals if self._totals is None else self._totals + totals
        self._counts, self._values = [], []

    def means(self) -> np.ndarray:
        """Means [replicates, curves, states]; NaN where a replicate drew no prompt that has the state.

        Raises:
            ValueError: No prompt was added.
        """
        self._flush()
        if self._sums is None or self._totals is None:
            raise ValueError("no prompt was added")
        with np.errstate(invalid="ignore"):
            return self._sums / np.where(self._totals == 0, np.nan, self._totals)


class Accumulator:
    """Mean and standard deviation of arrays of one shape, added one by one (Welford, 1962).

    Elements that are NaN are not counted. The standard deviation is that of the values themselves (divisor n).
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.n = np.zeros(shape, dtype=np.int64)
        self._mean = np.zeros(shape)
        self._squares = np.zeros(shape)

    def add(self, values: np.ndarray | float) -> None:
        """Add one array of the accumulator's shape."""
        values = np.asarray(values, dtype=np.float64)
        present = ~np.isnan(values)
        self.n = self.n + present
        off = np.where(present, values - self._mean, 0.0)
        self._mean = self._mean + off / np.maximum(self.n, 1)
        self._squares = self._squares + off * np.where(present, values - self._mean, 0.0)

    @property
    def mean(self) -> np.ndarray:
        """Mean of what was counted; NaN where nothing was."""
        return np.where(self.n > 0, self._mean, np.nan)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of what was counted; NaN where nothing was."""
        return np.where(self.n > 0, np.sqrt(self._squares / np.maximum(self.n, 1)), np.nan)
