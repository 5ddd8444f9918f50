"""What the probe of an attribute with one value for a clip sees of it: the peaks of its frames' inputs.

They are the largest value of each input in stretches of a second or two: their mean over the stretches, and how far the
highest of them rises above it. In them an attack, or the few notes of one instrument among others, counts as much as
what sounds all the time, and what happens once is told from what happens again and again (`benchmarks.rhythm.pooling`).
Those of a single frame are its inputs and 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STRETCH = 32
"""About how many frames a stretch has: 1.5 s at 21.5 frames a second."""


def stretches(latents: Tensor, stretch: int = STRETCH) -> tuple[Tensor, ...]:
    """Latents [F, C] in parts of equal length, about `stretch` frames each; one part at least."""
    return latents.tensor_split(max(1, round(len(latents) / stretch)))


def peaks(see: Callable[[Tensor], Tensor], latents: Tensor, stretch: int = STRETCH) -> Tensor:
    """Peaks [2, D] of the inputs `see(frames)` [n, D] of a clip's latents [F, C], about `stretch` frames at a time.

    The mean over the stretches, and the rise of the highest above it. NaN for a clip without a frame.
    """
    if not len(latents):
        return torch.full_like(see(latents.new_zeros(1, latents.shape[1]))[0], torch.nan).expand(2, -1)
    found = torch.stack([see(part).amax(0) for part in stretches(latents, stretch)])
    mean = found.mean(0)
    return torch.stack([mean, found.amax(0) - mean])


def clip_peaks(see: Callable[[Tensor], Tensor], latents: Tensor, valid: Tensor) -> Tensor:
    """Peaks [B, 2, D] over the valid frames, bool [B, F], of each item of latents [B, F, C]."""
    if not len(latents):
        return peaks(see, latents.new_zeros(0, latents.shape[2]))[None][:0]
    return torch.stack([peaks(see, own[known]) for own, known in zip(latents, valid)])
