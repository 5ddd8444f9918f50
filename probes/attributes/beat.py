"""Beat: where in the beat a frame lies."""

import numpy as np

from probes.attributes.base import Attribute, middles
from probes.attributes.onset import STEP
from probes.attributes.score import Score

PARTS = 8


class Beat(Attribute):
    """The eighth of the beat in which the middle of a frame lies, by the beats of librosa's tracker.

    Frames before the first beat and behind the last have no value.
    """

    name = "beat"
    unit = "eighth of a beat"
    scales = ("names",)
    names = tuple(f"{part}/{PARTS}" for part in range(PARTS))
    notated = True

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        import librosa

        step = round(STEP * sample_rate)
        envelope = librosa.onset.onset_strength(y=audio, sr=sample_rate, hop_length=step)
        _, beats = librosa.beat.beat_track(onset_envelope=envelope, sr=sample_rate, hop_length=step, units="time")
        return position(np.asarray(beats), frames, sample_rate / hop)

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.beats is None:
            raise self.unknown()
        return position(np.array(score.beats), frames, frame_rate)


def position(beats: np.ndarray, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """The part of the beat [frames] of each frame's middle, and whether it lies between two of the times `beats`."""
    if len(beats) < 2:
        return np.zeros(frames), np.zeros(frames)
    phase = np.interp(middles(frames, frame_rate), beats, np.arange(len(beats)), left=-1, right=-1)
    return np.floor(np.mod(phase, 1) * PARTS), (phase >= 0).astype(float)
