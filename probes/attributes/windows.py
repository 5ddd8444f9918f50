"""Windows: stretches of a clip that have one value each, for what takes seconds to hear."""

from itertools import pairwise

SECONDS = 6.0
"""About how long a window is."""


def window_slices(frames: int, frame_rate: float) -> list[slice]:
    """The frames of each window of a clip of `frames` frames.

    Windows are equally long to a frame, and as near to `SECONDS` as their number allows; a clip of less than half as
    much again is one window.
    """
    count = max(1, round(frames / frame_rate / SECONDS))
    edges = [-(-number * frames // count) for number in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
