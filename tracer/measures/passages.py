"""How the clips pass through their states, frame by frame: what the end of one song is to the states of the others.

Agreement and closeness compare the states of a song with how the other songs end, so their chance level is a mean over
pairs of songs. A song that is drawn twice, or not at all, counts on both sides of its pairs: by its states, and by its
end. The first part is known when the song is compared with the endings (`tracer.measures.finals`); the second, its end
against the states of the others, comes from the sums kept here. A bootstrap that knew the first alone would hold the
endings fixed, and its intervals would be too narrow (or far too wide, where no state says anything): the projection of
a U-statistic has both (W. Hoeffding, 1948).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracer.measures.finals import powers_of

Passage = tuple[np.ndarray, np.ndarray]
"""All states of a clip [states, frames], classes or readings, and the frames that count, bool [frames]."""


class ClassPassages:
    """Histogram over clips of each frame's class at every state; memory [states, frames, classes].

    The frames of a clip weigh 1 together, as in the share that agreement takes.
    """

    def __init__(self) -> None:
        self.weights = np.zeros((0, 0, 0), dtype=np.float32)
        self.present = np.zeros(0)

    def add(self, classes: np.ndarray, counted: np.ndarray) -> None:
        """Add one clip."""
        frames = np.flatnonzero(counted)
        read = np.asarray(classes)[:, frames].astype(np.int64)
        shape = len(classes), len(counted), int(read.max(initial=-1)) + 1
        if any(new > old for new, old in zip(shape, self.weights.shape)):
            more = [(0, max(0, new - old)) for new, old in zip(shape, self.weights.shape)]
            self.weights = np.pad(self.weights, more)
            self.present = np.pad(self.present, more[1])
        if len(frames):
            self.weights[np.arange(len(read))[:, None], frames, read] += np.float32(1 / len(frames))
            self.present[frames] += 1

    def merged(self, groups: np.ndarray) -> ClassPassages:
        """The same for merged classes, given the merged class of each, int [classes]."""
        merged = ClassPassages()
        known = self.weights.shape[2]
        one_of = np.eye(int(groups.max(initial=0)) + 1, dtype=np.float32)[groups[:known]]
        merged.weights, merged.present = self.weights @ one_of, self.present
        return merged

    def share(self, end: np.ndarray, counted: np.ndarray, mine: Sequence[Passage]) -> np.ndarray:
        """Share of the others' frames that have the class in which a clip ends, summed over the others.

        Each of them counts by one over the number of songs that it is compared with.

        Args:
            end: Classes of a clip's last state, uint8 [frames].
            counted: Its frames that count, bool [frames].
            mine: The clips of its prompt, which are not among the others.

        Returns:
            float64 [states].
        """
        frames, others = _with_others(counted, self.present, mine)
        last = np.asarray(end)[frames].astype(np.int64)
        known = self.weights.shape[2]
        found = np.where(last < known, self.weights[:, frames, np.minimum(last, known - 1)], 0.0).astype(np.float64)
        for classes, valid in mine:
            inside = frames < len(valid)
            same = np.asarray(classes)[:, frames[inside]] == last[inside]
            found[:, inside] -= same * valid[frames[inside]] / max(1, int(np.sum(valid)))
        return np.asarray((found / others).sum(axis=1))


class ReadingPassages:
    """Sum and sum of squares over clips of each frame's reading at every state; memory [states, frames]."""

    def __init__(self) -> None:
        self.sums = np.zeros((3, 0, 0))

    @property
    def present(self) -> np.ndarray:
        """Number of clips in each frame."""
        return self.sums[0, -1] if self.sums.size else np.zeros(0)

    def add(self, reading: np.ndarray, counted: np.ndarray) -> None:
        """Add one clip."""
        if reading.shape[0] > self.sums.shape[1] or reading.shape[1] > self.sums.shape[2]:
            more = [(0, max(0, new - old)) for new, old in zip(reading.shape, self.sums.shape[1:])]
            self.sums = np.pad(self.sums, [(0, 0), *more])
        self.sums[:, :, : reading.shape[1]] += powers_of(reading, counted)

    def distance(self, end: np.ndarray, counted: np.ndarray, mine: Sequence[Passage]) -> np.ndarray:
        """Squared distance of the others' states to the end of a clip, summed over frames and over the others.

        Arguments and weights are those of `ClassPassages.share`, with readings.
        """
        frames, others = _with_others(counted, self.present, mine)
        sums = self.sums[:, :, frames].copy()
        for reading, valid in mine:
            inside = frames < len(valid)
            sums[:, :, inside] -= powers_of(reading, valid)[:, :, frames[inside]]
        count, total, squares = sums
        last = np.asarray(end, dtype=np.float64)[frames]
        return np.asarray(((squares - 2 * last * total + count * np.square(last)) / others).sum(axis=1))


def _with_others(counted: np.ndarray, present: np.ndarray, mine: Sequence[Passage]) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the frames that count and in which another prompt's clip is present, and how many are there."""
    others = present[: len(counted)].copy()
    for _, valid in mine:  # clips of one prompt may differ in length
        others[: len(valid)] -= np.asarray(valid, dtype=np.float64)[: len(counted)]
    frames = np.flatnonzero(np.asarray(counted, dtype=bool) & (others > 0.5))
    return frames, others[frames]
