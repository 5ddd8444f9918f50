"""Classes merged to one entropy, so that a settled point does not depend on how finely an attribute is cut."""

from __future__ import annotations

import numpy as np

BITS = 2.5
"""Entropy to which the classes of every attribute are merged."""


def entropy(counts: np.ndarray) -> float:
    """Entropy of a histogram in bits."""
    shares = np.asarray(counts, dtype=np.float64)
    shares = shares[shares > 0] / shares.sum()
    return float(-(shares * np.log2(shares)).sum())


def matched_groups(counts: np.ndarray, bits: float = BITS) -> np.ndarray:
    """Merge neighbouring classes until their entropy is as near to `bits` as it can be.

    The classes are cut into g groups of about the same number of frames, and g is the one that comes nearest.

    Args:
        counts: Number of frames that end in each class, [classes].
        bits: Wanted entropy.

    Returns:
        Group of each class, int [classes], not descending. Classes of less entropy stay as they are.
    """
    counts = np.asarray(counts, dtype=np.float64)
    alone = np.arange(len(counts))
    if not counts.sum() or entropy(counts) <= bits:
        return alone
    middles = (np.cumsum(counts) - counts / 2) / counts.sum()
    cuts = [np.minimum((middles * g).astype(int), g - 1) for g in range(1, len(counts) + 1)]
    found = [abs(entropy(np.bincount(groups, counts)) - bits) for groups in [*cuts, alone]]
    return [*cuts, alone][int(np.argmin(found))]
