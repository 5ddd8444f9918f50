"""Onset: whether a note begins in a frame."""

from typing import Any

import numpy as np

from probes.attributes import basic_pitch
from probes.attributes.base import Attribute
from probes.attributes.score import Score
from probes.errors import InputError

TOGETHER = 0.03  # seconds: notes that begin within this time are one onset, as in Boeck et al. (ISMIR 2012)
STEP = 256 / 22050  # seconds between the values of the onset envelope


class Onset(Attribute):
    """1 in frames in which something begins to sound, otherwise 0, by librosa's onset strength and peak picking or by
    Basic Pitch, which hears notes and no drums.

    Both compute their envelope four times as finely as latent frames of 46 ms are long.

    Args:
        detector: "librosa" or "basic-pitch".

    Raises:
        InputError: No such detector, or its package is not installed.
    """

    name = "onset"
    unit = "onset"
    scales = ("names",)
    names = ("no onset", "onset")
    notated = True

    def __init__(self, detector: str = "librosa") -> None:
        if detector not in ("librosa", "basic-pitch"):
            raise InputError(f"--onset-detector is librosa or basic-pitch, not {detector!r}")
        if detector == "basic-pitch":
            basic_pitch.require()
        self.detector = detector

    def options(self) -> dict[str, Any]:
        return {} if self.detector == "librosa" else {"detector": basic_pitch.name()}

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        times = onset_times if self.detector == "librosa" else basic_pitch.onset_times
        return in_frames(times(audio, sample_rate), frames, sample_rate / hop), np.ones(frames)

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        return in_frames(score_onsets(score), frames, frame_rate), np.ones(frames)


def onset_times(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """When something begins in audio [n], in seconds."""
    import librosa

    if not audio.any():
        return np.empty(0)
    step = round(STEP * sample_rate)
    envelope = librosa.onset.onset_strength(y=audio, sr=sample_rate, hop_length=step)
    return np.asarray(
        librosa.onset.onset_detect(onset_envelope=envelope, sr=sample_rate, hop_length=step, units="time")
    )


def score_onsets(score: Score) -> np.ndarray:
    """When notes and drums begin, in seconds; those that begin together count once, at the mean of their times."""
    starts = np.sort([*(note.start for note in score.notes), *(score.hits or ())])
    groups: list[list[float]] = []
    for start in starts:
        if groups and start - groups[-1][0] <= TOGETHER:
            groups[-1].append(start)
        else:
            groups.append([start])
    return np.array([np.mean(group) for group in groups])


def in_frames(times: np.ndarray, frames: int, frame_rate: float) -> np.ndarray:
    """1 for frames in which one of the times lies, otherwise 0, `[frames]`."""
    places = np.floor(times * frame_rate).astype(int)
    marks = np.zeros(frames)
    marks[places[(places >= 0) & (places < frames)]] = 1
    return marks
