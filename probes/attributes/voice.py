"""Voice: whether anybody sings in a clip."""

import numpy as np

from probes.attributes.base import Attribute
from probes.attributes.score import Score


class Voice(Attribute):
    """1 for a clip in which a voice sings, otherwise 0. It is known of rendered music alone, whose voice is a choir."""

    name = "voice"
    unit = "voice"
    scales = ("names",)
    names = ("no voice", "voice")
    grid = "clip"
    measurable = False
    notated = True

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.voice is None:
            raise self.unknown()
        return np.full(frames, float(score.voice)), np.ones(frames)
