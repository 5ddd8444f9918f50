"""Tempo: beats per minute, one value for each window of a clip."""

import numpy as np

from probes.attributes.base import Attribute
from probes.attributes.onset import STEP, onset_times
from probes.attributes.score import Score
from probes.attributes.windows import window_slices

FEWEST = 4  # onsets without which there is nothing to count


class Tempo(Attribute):
    """One tempo for each window, by the autocorrelation of librosa's onset strength, with its prior around 120 BPM.

    Twenty classes of equal ratio, over three octaves at most 11 % wide: half and double tempo are classes of their own.
    A window with fewer than four onsets has none.
    """

    name = "tempo"
    unit = "BPM"
    scales = ("octave",)
    grid = "window"
    notated = True

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        import librosa

        values, known = np.zeros(frames), np.zeros(frames)
        times = onset_times(audio, sample_rate)
        step = round(STEP * sample_rate)
        envelope = librosa.onset.onset_strength(y=audio, sr=sample_rate, hop_length=step)
        for window in window_slices(frames, sample_rate / hop):
            first, last = window.start * hop, window.stop * hop
            if ((times >= first / sample_rate) & (times < last / sample_rate)).sum() >= FEWEST:
                part = envelope[first // step : -(-last // step)]
                values[window] = librosa.feature.tempo(onset_envelope=part, sr=sample_rate, hop_length=step)[0]
                known[window] = 1
        return values, known

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.tempo is None:
            raise self.unknown()
        return np.full(frames, score.tempo), np.ones(frames)


def near(found: np.ndarray, wanted: np.ndarray, folded: bool = True) -> np.ndarray:
    """Whether tempos lie within 4 % of others, or when folded of such that are octaves away (MIREX), bool."""
    with np.errstate(divide="ignore"):
        ratio = np.log2(np.asarray(found, float) / wanted)
    away = ratio - np.round(np.where(np.isfinite(ratio), ratio, 0)) if folded else ratio
    return np.abs(away) <= np.log2(1.04)
