"""Drums: whether drums play around a frame."""

import numpy as np

from probes.attributes.base import Attribute, middles
from probes.attributes.score import Score

WINDOW = 0.5  # seconds around the middle of a frame


class Drums(Attribute):
    """1 where a drum is struck within half a second around the frame, otherwise 0. Only annotations know it."""

    name = "drums"
    unit = "drums"
    scales = ("names",)
    names = ("no drums", "drums")
    measurable = False
    notated = True

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        raise self.not_measurable()

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.hits is None:
            raise self.unknown()
        hits = np.sort(score.hits)
        first, last = np.searchsorted(hits, middles(frames, frame_rate) + np.array([[-WINDOW / 2], [WINDOW / 2]]))
        return (last > first).astype(float), np.ones(frames)
