"""Drums: whether drums play in a clip."""

import numpy as np

from probes.attributes.base import Attribute
from probes.attributes.score import Score


class Drums(Attribute):
    """1 for a clip in which a drum is struck, otherwise 0. Known of rendered music and annotated recordings alone."""

    name = "drums"
    unit = "drums"
    scales = ("names",)
    names = ("no drums", "drums")
    grid = "clip"
    measurable = False
    notated = True

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.hits is None:
            raise self.unknown()
        return np.full(frames, float(len(score.hits) > 0)), np.ones(frames)
