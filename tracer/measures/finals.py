"""How the finished songs end, frame by frame: what a state is compared with.

A state is compared with its own song, and for chance with others: the songs of other prompts, other clips of the same
prompt, or the own song at other times. Each of these is kept as sums over songs, so that memory does not grow with
their number.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Ending = tuple[np.ndarray, np.ndarray]
"""Last state of a clip [frames], classes or readings, and the frames that count, bool [frames]."""


class Classes:
    """Histogram over clips of the class of each frame at the last state; memory [frames, classes].

    Args:
        endings: Clips to begin with: uint8 classes.
    """

    def __init__(self, endings: Iterable[Ending] = ()) -> None:
        self.counts = np.zeros((0, 0), dtype=np.int64)
        for final, counted in endings:
            self.add(final, counted)

    def add(self, final: np.ndarray, counted: np.ndarray) -> None:
        """Add one clip."""
        frames = np.flatnonzero(counted)
        taken = np.asarray(final)[frames].astype(np.int64)
        self._grow(len(final), int(taken.max(initial=-1)) + 1)
        self.counts[frames, taken] += 1

    def without(self, endings: Iterable[Ending]) -> Classes:
        """The same without some clips that are in it."""
        rest, part = Classes(), Classes(endings)
        rest.counts = self.counts.copy()
        height, width = part.counts.shape
        rest.counts[:height, :width] -= part.counts
        return rest

    def at_other_times(self) -> Classes:
        """For each frame, the other frames of the same clips."""
        rest = Classes()
        rest.counts = self.counts.sum(axis=0)[None] - self.counts
        return rest

    def merged(self, groups: np.ndarray) -> Classes:
        """The same for merged classes.

        Args:
            groups: Merged class of each class, int [classes].
        """
        merged = Classes()
        known = self.counts.shape[1]
        merged.counts = self.counts @ np.eye(int(groups.max(initial=0)) + 1, dtype=np.int64)[groups[:known]]
        return merged

    def present(self, frames: int) -> np.ndarray:
        """Number of clips in each of the first `frames` frames."""
        return _fitted(self.counts.sum(axis=1), frames)

    def share(self, classes: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Share of the clips that end in the class that a state has, mean over frames.

        Args:
            classes: uint8 [states, F].
            frames: Indices of frames in which a clip is present.

        Returns:
            float64 [states].
        """
        read, counts = np.asarray(classes)[:, frames].astype(np.int64), self.counts[frames]
        known = counts.shape[1]
        found = np.where(read < known, counts[np.arange(len(frames)), np.minimum(read, known - 1)], 0)
        return (found / counts.sum(axis=1)).mean(axis=1)

    def _grow(self, frames: int, classes: int) -> None:
        more = [(0, max(0, frames - self.counts.shape[0])), (0, max(0, classes - self.counts.shape[1]))]
        if any(after for _, after in more):
            self.counts = np.pad(self.counts, more)


class Readings:
    """Count, sum and sum of squares over clips of each frame's reading at the last state; memory [frames].

    Args:
        endings: Clips to begin with: float readings.
    """

    def __init__(self, endings: Iterable[Ending] = ()) -> None:
        self.sums = np.zeros((3, 0))
        for final, counted in endings:
            self.add(final, counted)

    def add(self, final: np.ndarray, counted: np.ndarray) -> None:
        """Add one clip."""
        if len(final) > self.sums.shape[1]:
            self.sums = np.pad(self.sums, [(0, 0), (0, len(final) - self.sums.shape[1])])
        self.sums[:, : len(final)] += powers_of(final, counted)

    def without(self, endings: Iterable[Ending]) -> Readings:
        """The same without some clips that are in it."""
        rest = Readings()
        rest.sums = self.sums.copy()
        for final, counted in endings:
            rest.sums[:, : len(final)] -= powers_of(final, counted)
        return rest

    def at_other_times(self) -> Readings:
        """For each frame, the other frames of the same clips."""
        rest = Readings()
        rest.sums = self.sums.sum(axis=1, keepdims=True) - self.sums
        return rest

    def present(self, frames: int) -> np.ndarray:
        """Number of clips in each of the first `frames` frames."""
        return np.rint(_fitted(self.sums[0], frames)).astype(np.int64)

    def distance(self, reading: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Squared distance to how the clips end, mean over clips, summed over frames.

        Args:
            reading: float64 [states, F].
            frames: Indices of frames in which a clip is present.

        Returns:
            float64 [states].
        """
        count, total, squares = self.sums[:, frames]
        r = reading[:, frames]
        return np.asarray((np.square(r) - 2 * r * total / count + squares / count).sum(axis=1))


def powers_of(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Ones, values and squares [3, ..., frames] of values [..., frames] where the frames count, 0 elsewhere."""
    values = np.where(counted, np.asarray(values, dtype=np.float64), 0.0)
    ones = np.broadcast_to(np.asarray(counted, dtype=np.float64), values.shape)
    return np.stack([ones, values, np.square(values)])


def _fitted(values: np.ndarray, frames: int) -> np.ndarray:
    """The first values, with zeros behind the end."""
    return np.pad(values[:frames], (0, max(0, frames - len(values))))
