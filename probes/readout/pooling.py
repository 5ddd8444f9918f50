"""What the probe of an attribute with one value for a clip sees of it: the peaks of its frames' inputs.

They are the largest value of each input in stretches of a few seconds, mean over the stretches. In them an attack, or
the few notes of one instrument among others, counts as much as what sounds all the time (`benchmarks.rhythm.pooling`).
Those of a single frame are its inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STRETCH = 128
"""About how many frames a stretch has, so that peaks of a longer clip are no higher: 6 s at 21.5 frames a second."""


def stretches(latents: Tensor, stretch: int = STRETCH) -> tuple[Tensor, ...]:
    """Latents [F, C] in parts of equal length, about `stretch` frames each; one part at least."""
    return latents.tensor_split(max(1, round(len(latents) / stretch)))


def peaks(see: Callable[[Tensor], Tensor], latents: Tensor, stretch: int = STRETCH) -> Tensor:
    """Peaks [D] of the inputs `see(frames)` [n, D] of a clip's latents [F, C], about `stretch` frames at a time.

    NaN for a clip without a frame.
    """
    if not len(latents):
        return torch.full_like(see(latents.new_zeros(1, latents.shape[1]))[0], torch.nan)
    return torch.stack([see(part).amax(0) for part in stretches(latents, stretch)]).mean(0)


def clip_peaks(see: Callable[[Tensor], Tensor], latents: Tensor, valid: Tensor) -> Tensor:
    """Peaks [B, D] over the valid frames, bool [B, F], of each item of latents [B, F, C]."""
    return torch.stack([peaks(see, own[known]) for own, known in zip(latents, valid)])
