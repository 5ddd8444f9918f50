"""Tempo: beats per minute of a clip."""

import numpy as np

from probes.attributes.base import Attribute
from probes.attributes.onset import STEP, onset_times
from probes.attributes.score import Score

FEWEST = 4  # onsets without which there is nothing to count


class Tempo(Attribute):
    """One tempo for a clip, by the autocorrelation of librosa's onset strength, with its prior around 120 BPM.

    Twenty classes of equal ratio, over three octaves at most 11 % wide: half and double tempo are classes of their own.
    A clip with fewer than four onsets has none.
    """

    name = "tempo"
    unit = "BPM"
    scales = ("octave",)
    grid = "clip"
    notated = True

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        import librosa

        if len(onset_times(audio, sample_rate)) < FEWEST:
            return np.zeros(frames), np.zeros(frames)
        step = round(STEP * sample_rate)
        envelope = librosa.onset.onset_strength(y=audio, sr=sample_rate, hop_length=step)
        found = librosa.feature.tempo(onset_envelope=envelope, sr=sample_rate, hop_length=step)
        return np.full(frames, float(found[0])), np.ones(frames)

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.tempo is None:
            raise self.unknown()
        return np.full(frames, score.tempo), np.ones(frames)
