"""What a hook sees at one state of a sampler, and what it may be asked to change."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Branch = Literal["both", "cond", "null"]
"""Guidance branch that an edit acts on."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the sampler stands: the same form for every generator."""

    index: int
    """State index, 0 for the noise."""
    last: int
    """Index of the finished latent."""
    t: float
    """Flow time in [0, 1]: 0 noise, 1 data. For samplers that are no straight flow, alpha / (alpha + sigma)."""
    logsnr: float
    """2 ln(alpha / sigma) of x = alpha data + sigma noise; -inf for pure noise, +inf for data."""
    mask: Tensor | None = None
    """[B, F] True on frames that are generated music; None when all are."""


@dataclass(frozen=True, slots=True)
class Event:
    """One state of a generation. The tensors belong to the sampler: read them now, keep nothing."""

    index: int
    """State index, 0 for the noise."""
    t: float
    """Flow time: 0 noise, 1 data."""
    state: Tensor
    """[B, F, C]"""
    velocity: Tensor | None
    """[B, F, C] the guided network output in the model's own parametrisation; None at the last state."""
    endpoint: Tensor | None
    """[B, F, C] the clean latent that the model expects from here; the last state itself at the end."""
    mask: Tensor | None
    """[B, F] True on frames that count; None when all do."""
    logsnr: float
    """2 ln(alpha / sigma)."""


def flow_logsnr(t: float) -> float:
    """Log signal-to-noise ratio 2 ln(t / (1 - t)) of a straight flow x = t data + (1 - t) noise."""
    if t <= 0:
        return -math.inf
    if t >= 1:
        return math.inf
    return 2 * math.log(t / (1 - t))


Sink = Callable[[Event], None]
"""Called with every state."""
LatentEdit = Callable[[Tensor, Moment], Tensor]
"""(latent [B, F, C], moment) -> the latent that takes its place; the same object where nothing changes."""
