"""Tempo, read from the curve that the onset probe's readings of neighbouring frames are.

No single frame says a tempo, nor does a mean over frames. In each window (`probes.attributes.windows`) the curve's
autocorrelation is summed over the first eight multiples of a beat, so that a period has to come back to count (a comb,
as in Klapuri, Eronen and Astola, 2006), with a prior of one octave around 120 BPM (Ellis, 2007). The constants were
chosen on pieces of the validation split of `benchmarks.rhythm`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from probes.attributes.windows import window_slices

if TYPE_CHECKING:
    from probes.attributes import Bins

ONSET = "onset"
"""Attribute whose readings are the curve."""
BEATS = 8
PER_OCTAVE = 96
"""Tempos that are tried, in equal ratios."""
PER_CLASS = 4
"""Tempos of a class, at least."""
PRIOR = 0.1
"""Autocorrelation that a tempo an octave from 120 BPM loses; with the square of the distance."""
SHARPNESS = 20.0
"""Turns the strongest autocorrelation in a class into a log-probability."""


class Tempos(NamedTuple):
    """Tempos read of N clips of F frames, the same in all frames of a window."""

    shares: Tensor
    """[N, F, K] class distribution."""
    classes: Tensor
    """[N, F] uint8, class of the strongest tempo."""
    values: Tensor
    """[N, F] its place along the classes, as an expected class."""


class TempoReader:
    """Reads tempo from curves.

    Args:
        bins: Classes in BPM, of equal ratio; tempos between the outermost edges are tried.
        frame_rate: Frames per second.
    """

    def __init__(self, bins: Bins, frame_rate: float) -> None:
        self.bins, self.frame_rate = bins, frame_rate
        low, high = bins.edges[0], bins.edges[-1]
        count = max(PER_CLASS * len(bins), round(math.log2(high / low) * PER_OCTAVE))
        # In the middle of equal parts, so that none lies on the edge of a class.
        along = (torch.arange(count) + 0.5) / count
        self._tempos = low * (high / low) ** along
        self._prior = -PRIOR * (self._tempos / 120).log2().square()
        self._class = (along * len(bins)).long()
        self._values = (along * len(bins) - 0.5).clamp(0, len(bins) - 1)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"bins": self.bins.to_dict(), "frame_rate": self.frame_rate}

    def __call__(self, curves: Tensor, valid: Tensor) -> Tempos:
        """Read curves [N, F]; valid bool [N, F] says which of their frames count.

        Windows lie between the first frame and the last that counts; frames behind it belong to the last window. A
        window without a change is read as the prior.
        """
        count, frames = curves.shape
        shares = curves.new_empty(count, frames, len(self.bins), dtype=torch.float32)
        classes = torch.empty(count, frames, dtype=torch.uint8, device=curves.device)
        values = curves.new_empty(count, frames, dtype=torch.float32)
        places = torch.arange(1, frames + 1, device=curves.device)
        lengths = torch.where(valid, places, 1).amax(1)
        for length in lengths.unique().tolist():
            rows = lengths == length
            for window in window_slices(length, self.frame_rate):
                strength = self._strength(curves[rows, window].float(), valid[rows, window])
                shares[rows, window.start :] = self._shares(strength)[:, None]
                best = strength.argmax(1)
                classes[rows, window.start :] = self._class.to(best)[best][:, None].to(torch.uint8)
                values[rows, window.start :] = self._values.to(curves.device)[best][:, None]
        return Tempos(shares, classes, values)

    def _shares(self, strength: Tensor) -> Tensor:
        """Class distribution [N, K]: softmax of what is strongest in each class."""
        highest = strength.new_full((len(strength), len(self.bins)), -torch.inf)
        of_class = self._class.to(strength.device).expand_as(strength)
        return (SHARPNESS * highest.scatter_reduce(1, of_class, strength, "amax")).softmax(-1)

    def _strength(self, curves: Tensor, valid: Tensor) -> Tensor:
        """Of each tempo [N, tempos] in one window [N, f]."""
        frames = curves.shape[1]
        curves = torch.where(valid, curves, 0.0)  # nothing of what does not count, NaN either
        mean = curves.sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp_min(1)
        spectrum = torch.fft.rfft((curves - mean) * valid, n=2 * frames)
        found = torch.fft.irfft(spectrum.abs().square(), n=2 * frames)[:, :frames]
        found = torch.nn.functional.pad(found / found[:, :1].clamp_min(1e-12), (0, 1))
        beats = torch.arange(1, BEATS + 1, device=curves.device)[:, None]
        lags = beats * (60 * self.frame_rate / self._tempos.to(curves.device))
        inside = lags <= frames - 1
        below = lags.clamp_max(frames - 1).floor().long()
        share = (lags - below).clamp(0, 1)
        # found: [N, lags] -> [N, beats, tempos]
        between = found[:, below] * (1 - share) + found[:, below + 1] * share
        return (between * inside).sum(1) / inside.sum(0).clamp_min(1) + self._prior.to(curves.device)
