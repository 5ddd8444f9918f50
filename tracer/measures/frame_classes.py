"""How much of a song is there already: measures on the most probable class of every frame.

Let k_t(f) be the class of frame f at state t. The own share of a prompt is the share of frames with k_t(f) = k_T(f).
Agreement corrects it for chance with the finished states of the other prompts, as Cohen's kappa does (J. Cohen, "A
coefficient of agreement for nominal scales", 1960). It takes two passes over the prompts: `Finals.add` for each, then
`agreement` for each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Finals:
    """Histogram over prompts of the class of each frame at the last state; memory [frames, classes]."""

    def __init__(self) -> None:
        self.prompts = 0
        self.counts = np.zeros((0, 0), dtype=np.int64)

    def add(self, final: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Add one prompt.

        Args:
            final: Class of each frame at the last state, uint8 [frames].
            valid: Frames that count, bool [frames]; all when None.
        """
        frames = np.arange(len(final)) if valid is None else np.flatnonzero(valid)
        self.prompts += 1
        if not len(frames):
            return
        taken = np.asarray(final)[frames].astype(np.int64)
        self._grow(int(frames[-1]) + 1, int(taken.max()) + 1)
        self.counts[frames, taken] += 1

    def _grow(self, frames: int, classes: int) -> None:
        more = [(0, max(0, frames - self.counts.shape[0])), (0, max(0, classes - self.counts.shape[1]))]
        if any(after for _, after in more):
            self.counts = np.pad(self.counts, more)


class Agreement(NamedTuple):
    """Agreement of one prompt's states with its own finished song."""

    values: np.ndarray
    """float64 [states], (own - other) / (1 - other); in a run of one prompt, own."""
    own: np.ndarray
    """float64 [states], share of frames that have their final class."""
    other: np.ndarray
    """float64 [states], the same share against the finals of the other prompts, mean over these; 0 without others."""


def prompt_agreement(classes: np.ndarray, finals: Finals, valid: np.ndarray | None = None) -> Agreement:
    """Chance-corrected share of frames that have the class they end with.

    It is 0 when the states say nothing particular about this song, 1 at the last state, and below 0 when they are more
    like the other songs than like this one.

    Songs of different lengths are compared where they overlap: in a run of several prompts, only frames count in which
    at least one other prompt has a valid frame too. `other` is the mean over those frames of the share of the other
    prompts (with a valid frame there) whose final class it is. Where `other` is 1 the formula is 0 / 0 or worse: the
    value is then 1 if `own` is 1 (nothing is missing) and 0 otherwise.

    Args:
        classes: uint8 [states, frames] of one prompt.
        finals: Histogram of the last states of all prompts. This prompt is among them and is taken out here.
        valid: Frames that count, bool [frames]; all when None.

    Returns:
        Agreement at every state; NaN for a prompt without a frame to compare.
    """
    classes = np.asarray(classes)
    states, width = classes.shape
    counted = np.ones(width, dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    corrected = finals.prompts > 1
    others = np.zeros(width, dtype=np.int64)
    reach = min(width, finals.counts.shape[0])
    others[:reach] = finals.counts[:reach].sum(axis=1)
    others -= counted
    if corrected:
        counted = counted & (others > 0)
    frames = np.flatnonzero(counted)
    if not len(frames):
        nothing = np.full(states, np.nan)
        return Agreement(nothing, nothing.copy(), nothing.copy())

    read = classes[:, frames].astype(np.int64)
    same = read == read[-1]
    own = same.mean(axis=1)
    if not corrected:
        return Agreement(own.copy(), own, np.zeros(states))
    known = finals.counts.shape[1]
    matches = np.where(read < known, finals.counts[frames, np.minimum(read, known - 1)], 0) - same
    other = (matches / others[frames]).mean(axis=1)
    room = 1.0 - other
    values = np.where(own == 1.0, 1.0, 0.0)
    np.divide(own - other, room, out=values, where=(room > 0) & (own < 1.0))
    return Agreement(values, own, other)


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
    """Share of prompts whose frame f keeps its final class from state t on, gathered prompt by prompt.

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
