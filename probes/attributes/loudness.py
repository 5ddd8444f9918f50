"""Loudness as the root mean square of the samples, 20 equal bins (the paper's amplitude)."""

import numpy as np

from probes.attributes.base import Attribute, rms


class Loudness(Attribute):
    """Windowed RMS (librosa) of full scale 1. The paper bins it linearly; "db" spaces the bins by level.

    Of several channels it is the root of their mean square, so that channels in antiphase are not silence.
    """

    name = "loudness"
    unit = "RMS"
    scales = ("linear", "db")

    def heard(self, channels: np.ndarray) -> np.ndarray:
        """All channels [channels, n]."""
        return channels

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        powers = [np.square(rms(channel, sample_rate, frames, hop)) for channel in audio]
        level = rms(audio[0], sample_rate, frames, hop) if len(audio) == 1 else np.sqrt(np.mean(powers, axis=0))
        return level, np.ones(frames)
