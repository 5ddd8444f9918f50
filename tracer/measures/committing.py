"""When each frame takes the class it keeps: commitment maps."""

from __future__ import annotations

import numpy as np


def commitment(classes: np.ndarray) -> np.ndarray:
    """State from which each frame keeps its final class.

    Args:
        classes: uint8 [states, frames].

    Returns:
        int [frames].
    """
    moving = np.asarray(classes) != np.asarray(classes)[-1]
    states = len(moving)
    last = states - 1 - np.argmax(moving[::-1], axis=0)
    return np.where(moving.any(axis=0), last + 1, 0)


class CommitmentMap:
    """Share of clips whose frame f keeps its final class from state t on, gathered clip by clip.

    Args:
        states: Number of states of every prompt.
    """

    def __init__(self, states: int) -> None:
        self._committed = np.zeros((states, 0), dtype=np.int64)
        self._n = np.zeros(0, dtype=np.int64)

    def add(self, classes: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Add one prompt.

        Args:
            classes: uint8 [states, frames].
            valid: Frames that count, bool [frames]; all when None.
        """
        states, frames = classes.shape
        counted = np.ones(frames, dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
        if frames > len(self._n):
            self._n = np.pad(self._n, (0, frames - len(self._n)))
            self._committed = np.pad(self._committed, ((0, 0), (0, frames - self._committed.shape[1])))
        reached = np.arange(states)[:, None] >= commitment(classes)[None, :]
        self._committed[:, :frames] += reached & counted
        self._n[:frames] += counted

    def share(self) -> np.ndarray:
        """The map so far, float64 [states, frames]; NaN in frames that no prompt has."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self._n > 0, self._committed / self._n, np.nan)
