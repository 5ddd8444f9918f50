"""What the settled points of single clips are made of, in a file: memory does not grow with the number of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from tracer.gathering import Contrast, Row


class ClipPairs:
    """Own, other and frames of every clip of the prompts that have all seeds, kept while a run's curves are computed.

    Args:
        file: Where they are kept: empty, for reading and writing.
        rows: Rows of `trained` that are kept.
        seeds: Clips of a prompt.
        states: States of a clip.
    """

    def __init__(self, file: BinaryIO, rows: Sequence[Row], seeds: int, states: int) -> None:
        self.rows = list(rows)
        self._places = {row: place for place, row in enumerate(self.rows)}
        self._shape = (seeds, len(self.rows), 3, states)
        self._prompts = 0
        self._file = file

    def add(self, seen: Sequence[Sequence[Contrast]]) -> None:
        """Add the contrasts of a prompt's clips, in the order of their seeds; NaN where a clip has none of a row."""
        if len(seen) < self._shape[0] or not self.rows:
            return
        pairs = np.full(self._shape, np.nan)
        for seed, found in enumerate(seen):
            for one in found:
                row = Row(one.curve.attribute, one.curve.view, one.curve.probe, one.measure)
                if row in self._places:
                    pairs[seed, self._places[row]] = one.own, one.other, np.full_like(one.own, one.frames)
        self._file.write(pairs.tobytes())
        self._prompts += 1

    def of(self, row: Row) -> np.ndarray:
        """Own, other and frames [prompts, seeds, 3, states] of a row."""
        if not self._prompts:
            return np.empty((0, self._shape[0], *self._shape[2:]))
        self._file.flush()
        whole = np.memmap(self._file, np.float64, "r", shape=(self._prompts, *self._shape))
        return np.array(whole[:, :, self._places[row]])
