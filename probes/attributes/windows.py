"""Windows: stretches of a clip that have one value each, for what takes seconds to hear."""

import numpy as np

SECONDS = 6.0
"""About how long a window is."""


def window_of_frames(frames: int, frame_rate: float) -> np.ndarray:
    """The window that each of `frames` frames lies in, int64 [frames], from 0 on.

    Windows are equally long to a frame, and as near to `SECONDS` as their number allows; a clip of less than half as
    much again is one window.
    """
    count = max(1, round(frames / frame_rate / SECONDS))
    return np.arange(frames) * count // max(frames, 1)
