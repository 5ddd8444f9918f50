"""Loudness as the root mean square of the samples, 20 equal bins (the paper's amplitude)."""

import numpy as np

from probes.attributes.base import Attribute, rms


class Loudness(Attribute):
    """Windowed RMS (librosa) of full scale 1. The paper bins it linearly; "db" spaces the bins by level."""

    name = "loudness"
    unit = "RMS"
    scales = ("linear", "db")

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        return rms(audio, sample_rate, frames, hop), np.ones(frames)
