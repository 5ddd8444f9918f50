"""Pitch by SwiftF0 (Nieradzik 2025, arXiv 2508.18440; a smaller network since its version 0.2), through swift-f0."""

from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from probes.attributes.base import SILENCE
from probes.errors import InputError

RATE, HOP = 16000, 256
THRESHOLD = 0.6
"""Confidence from which a frame counts as voiced, chosen by F1 on 40 rendered validation pieces: 0.732 there, and
0.728 at 0.5, which the library takes."""
PEAK = 0.5  # of the audio that the network is given


def require() -> None:
    """Raise InputError where the package is missing."""
    if find_spec("swift_f0") is None:
        raise InputError("swift-f0 is not installed: `pip install 'generation-tracer[trackers]'`")


def name() -> str:
    """Name and version: the network comes with the package and changes with it."""
    return f"swift-f0 {version('swift-f0')}"


def track(audio: np.ndarray, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MIDI pitch and confidence `[frames]` around given samples of audio at 16 kHz.

    The network gives one value every 256 samples; a frame has the nearest one, at most 8 ms away. Nothing is
    interpolated between two of them, since at the step from one note to the next that makes pitches that nobody
    played. The network expects audio that is not quiet, so its peak is brought to one half.

    Args:
        audio: `[n]`.
        middle: Middle sample `[frames]` of each frame, rising; audio that ends earlier is followed by silence.
    """
    nearest = np.round(middle / HOP).astype(int)
    peak = np.abs(audio).max()
    level = np.float32(PEAK / peak if peak > SILENCE else 1)
    padded = np.pad(audio * level, (0, max(0, (int(nearest[-1]) + 1) * HOP - len(audio))))
    found = detector().detect(padded, RATE)
    return 69 + 12 * np.log2(found.pitch_hz[nearest] / 440), found.confidence[nearest]


@lru_cache(maxsize=1)
def detector() -> Any:
    """The network, on as many threads as torch has."""
    import torch
    from swift_f0 import SwiftF0

    return SwiftF0(threads=torch.get_num_threads(), spin=False)
