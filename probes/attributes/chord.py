"""Chord: which major or minor triad is in force in a frame."""

import numpy as np

from probes.attributes.base import SILENCE, Attribute, middles, rms
from probes.attributes.bins import NOTES
from probes.attributes.chroma import tuned_chroma
from probes.attributes.score import Score

TRIADS = tuple(
    frozenset((root + step) % 12 for step in (0, third, 7)) for third in (4, 3) for root in range(12)
)  # twelve major ones, then twelve minor ones
NONE = len(TRIADS)
SMOOTHED = 1.2  # seconds over which chroma is averaged: chords last, single notes pass


class Chord(Attribute):
    """One of 24 triads, or none: the template with the smallest angle to the chroma around a frame.

    The confidence is the cosine of that angle, so that single notes, whose chroma is one pitch class, mostly have no
    chord. Silence has the chord "none". Other chords (diminished, suspended) and single voices have no label from notes
    or annotations either, as in MIREX's vocabulary of major and minor triads.
    """

    name = "chord"
    unit = "chord"
    scales = ("names",)
    names = (*NOTES, *(f"{note}m" for note in NOTES), "none")
    threshold = 0.75
    notated = True

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        loud = rms(audio, sample_rate, frames, hop) > SILENCE
        if not loud.any():
            return np.full(frames, NONE), np.ones(frames)
        chroma = tuned_chroma(audio, sample_rate, frames, hop, SMOOTHED)
        templates = np.array([[tone in triad for tone in range(12)] for triad in TRIADS]) / np.sqrt(3)
        cosines = templates @ chroma / np.maximum(np.linalg.norm(chroma, axis=0), 1e-12)
        return np.where(loud, cosines.argmax(0), NONE), np.where(loud, cosines.max(0), 1.0)

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.harmonies is None:
            raise self.unknown()
        places = middles(frames, frame_rate)
        values, known = np.full(frames, NONE), np.ones(frames)
        for note in score.notes:
            known[slice(*np.searchsorted(places, [note.start, note.stop]))] = 0
        for start, stop, tones in score.harmonies:
            part = slice(*np.searchsorted(places, [start, stop]))
            values[part] = TRIADS.index(tones) if tones in TRIADS else NONE
            known[part] = tones in TRIADS or tones == frozenset()
        return values, known
