"""One number for a whole song: its level, its pitch, its centroid."""

import numpy as np

SILENCE = 1e-5
"""RMS, -100 dB: what is quieter counts as this."""
UNITS = {"MIDI": "semitones", "RMS": "dB", "Hz": "octaves"}
"""Unit of a frame's value -> unit in which songs differ."""


def song_value(unit: str, values: np.ndarray, valid: np.ndarray) -> float:
    """What a song is in an attribute, from its frames.

    Args:
        unit: Unit of the frames' values: "RMS", "Hz" or "MIDI".
        values: [F].
        valid: [F] bool, the frames that count.

    Returns:
        Level of the whole song in dB, log2 of the median centroid in Hz, or median MIDI number; NaN where no frame
        counts.
    """
    counted = np.asarray(values, dtype=np.float64)[valid]
    if not counted.size:
        return float("nan")
    if unit == "RMS":
        return float(20 * np.log10(max(float(np.sqrt(np.mean(np.square(counted)))), SILENCE)))
    middle = float(np.median(counted))
    if unit == "Hz":
        return float(np.log2(middle)) if middle > 0 else float("nan")
    return middle


def frame_value(unit: str, song: float) -> float:
    """The frame value at which a song of nothing else has this number: the inverse of `song_value`."""
    return {"RMS": 10 ** (song / 20), "Hz": 2**song}.get(unit, song)
