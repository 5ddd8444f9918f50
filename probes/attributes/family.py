"""Family: what kind of instrument leads a clip."""

import numpy as np

from probes.attributes.base import Attribute
from probes.attributes.score import Score


class Family(Attribute):
    """Family of the instrument that plays the melody, one for a clip. Only annotations know it."""

    name = "family"
    unit = "family"
    scales = ("names",)
    names = (
        "keyboard", "mallet", "organ", "guitar", "bass", "bowed", "plucked", "voice", "brass", "reed", "flute", "synth",
    )  # fmt: skip
    grid = "clip"
    measurable = False
    notated = True

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.family is None:
            raise self.unknown()
        return np.full(frames, self.names.index(score.family)), np.ones(frames)
