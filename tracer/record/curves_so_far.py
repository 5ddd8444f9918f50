"""The curves of the clips that are finished so far, as lines of text for a terminal."""

from collections.abc import Sequence

import numpy as np

from tracer.curves import TRAINED
from tracer.measures.progress import Accumulator, l1
from tracer.record.shards import PromptTrace

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 32
"""Characters of a curve."""


class CurvesSoFar:
    """Mean progress of each attribute over the finished clips that have it: the ratio of sums of the clean estimate's
    readings."""

    def __init__(self) -> None:
        self.clips = 0
        self._means: dict[str, Accumulator] = {}

    def add(self, traces: Sequence[PromptTrace]) -> None:
        """Count finished clips."""
        for trace in traces:
            self.clips += 1
            for curve, pooled in trace.pooled.items():
                if curve.probe == TRAINED and curve.view == "endpoint" and np.isfinite(pooled).all():
                    self._means.setdefault(curve.attribute, Accumulator((len(pooled),))).add(l1(pooled))

    def text(self) -> str:
        """A line for each attribute: its curve over the states; empty without clips."""
        if not self._means:
            return ""
        longest = max(map(len, self._means))
        heading = f"endpoint, l1 progress (Eq. 4, ratio of sums), states 0 to {self._last}, {self.clips} clips so far:"
        return "\n".join(
            [heading, *(f"  {name.ljust(longest)} {spark(own.mean)}" for name, own in self._means.items())]
        )

    @property
    def _last(self) -> int:
        return len(next(iter(self._means.values())).mean) - 1


def spark(values: np.ndarray) -> str:
    """Values in [0, 1] as a line of blocks, at most `WIDTH` long; beyond the ends as the ends."""
    places = np.linspace(0, len(values) - 1, min(WIDTH, len(values)))
    heights = np.interp(places, np.arange(len(values)), np.clip(values, 0, 1))
    return "".join(BLOCKS[round(height * (len(BLOCKS) - 1))] for height in heights)
