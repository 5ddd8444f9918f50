"""Key: the tonic of a clip, and whether it is major or minor."""

import numpy as np

from probes.attributes.base import SILENCE, Attribute, rms
from probes.attributes.bins import NOTES
from probes.attributes.chroma import tuned_chroma
from probes.attributes.score import Note, Score

# How well each degree fits a key, from C: Krumhansl and Kessler (1982), as in Krumhansl, "Cognitive Foundations of
# Musical Pitch" (1990), table 2.1.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


class Key(Attribute):
    """One of 24 keys for a clip: its Krumhansl-Kessler profile correlates best with the energy of the pitch classes.

    The confidence is that correlation.
    """

    name = "key"
    unit = "key"
    scales = ("names",)
    names = tuple(f"{note} {mode}" for mode in ("major", "minor") for note in NOTES)
    grid = "clip"
    notated = True

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        loud = rms(audio, sample_rate, frames, hop) > SILENCE
        if not loud.any():
            return np.zeros(frames), np.zeros(frames)
        chroma = tuned_chroma(audio, sample_rate, frames, hop, hop / sample_rate)
        key, correlation = best_key(np.square(chroma[:, loud]).mean(1))
        return np.full(frames, key), np.full(frames, max(correlation, 0.0))

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        if score.key is None:
            raise self.unknown()
        tonic, minor = score.key
        return np.full(frames, tonic + 12 * minor), np.ones(frames)


def best_key(chroma: np.ndarray) -> tuple[int, float]:
    """Class of the key whose profile correlates best with pitch classes weighted [12], and the correlation."""
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    deviations = profiles - profiles.mean(1, keepdims=True)
    own = chroma - chroma.mean()
    scale = np.linalg.norm(deviations, axis=1) * np.linalg.norm(own)
    correlations = deviations @ own / np.maximum(scale, 1e-12)
    return int(np.argmax(correlations)), float(correlations.max())


def key_of_notes(notes: tuple[Note, ...]) -> int:
    """Class of the key of notes, each weighted by its length: the best that an estimator by profiles could do."""
    weights = np.zeros(12)
    for note in notes:
        weights[round(note.pitch) % 12] += note.stop - note.start
    return best_key(weights)[0]
