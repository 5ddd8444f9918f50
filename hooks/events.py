"""What a sink receives: one event for each state of a generation."""

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

SLACK = 2e-7
"""Flow time by which a state may miss the edge of a window: in float32, state 7 of 10 lies at 0.69999999."""


@dataclass(frozen=True, slots=True, repr=False)
class Moment:
    """Position of the sampler. Every generator gives it in the same form."""

    index: int
    """State index; the noise is 0."""
    last: int
    """Index of the finished latent."""
    t: float
    """Flow time in [0, 1]: 0 is noise, 1 is data. For diffusion samplers alpha / (alpha + sigma)."""
    logsnr: float
    """2 ln(alpha / sigma) of x = alpha data + sigma noise: -inf for pure noise, +inf for data."""
    mask: Tensor | None = None
    """[B, F], True on frames that are generated music; None when all are."""
    scale: float = 1.0
    """alpha + sigma: 1 on a straight flow, up to sqrt(2) where the variance is kept."""
    slack: float = SLACK
    """Flow time by which t may miss the edge of a window; more where a grid is kept in half precision."""

    def __repr__(self) -> str:
        return f"Moment({position(self)}{masked(self.mask)})"


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """One state of a generation. The sampler owns the tensors: read them at once, and copy what you keep."""

    index: int
    """State index; the noise is 0."""
    last: int
    """Index of the finished latent."""
    t: float
    """Flow time in [0, 1]: 0 is noise, 1 is data."""
    state: Tensor
    """State [B, F, C]."""
    velocity: Tensor | None
    """Guided network output [B, F, C], in the model's own parametrisation; None at the last state."""
    endpoint: Tensor | None
    """Clean latent [B, F, C] that the guided output implies; at the last state the state itself."""
    mask: Tensor | None
    """[B, F], True on frames that are generated music; None when all are."""
    logsnr: float
    """2 ln(alpha / sigma)."""
    scale: float = 1.0
    """alpha + sigma: 1 on a straight flow, up to sqrt(2) where the variance is kept."""
    difference: Tensor | None = None
    """Conditional minus null output [B, F, C] before any edit; None without guidance, and where the branches are not
    seen (diffusers pipelines, ACE-Step 1.0)."""

    @property
    def alpha(self) -> float:
        """Share of the data in the state x = alpha data + sigma noise."""
        return self.scale * self.t

    @property
    def sigma(self) -> float:
        """Share of the noise in the state x = alpha data + sigma noise."""
        return self.scale * (1 - self.t)

    def __repr__(self) -> str:
        tensors = {"state": self.state, "velocity": self.velocity, "endpoint": self.endpoint}
        shapes = ", ".join(f"{name}={None if x is None else list(x.shape)}" for name, x in tensors.items())
        return f"Event({position(self)}, {shapes}{masked(self.mask)})"


def position(where: Moment | Event) -> str:
    """Index, flow time and signal-to-noise ratio in words."""
    return f"state {where.index} of {where.last}, t={where.t:.4g}, logsnr={where.logsnr:.4g}"


def masked(mask: Tensor | None) -> str:
    """Count the frames that a mask keeps; empty without a mask."""
    return "" if mask is None else f", mask={int(mask.sum())} of {mask.numel()} frames"


class Sink(Protocol):
    """Called with the event of every state. What it returns is ignored."""

    def __call__(self, event: Event, /) -> object: ...


def flow_logsnr(t: float) -> float:
    """Log signal-to-noise ratio 2 ln(t / (1 - t)) of a straight flow x = t data + (1 - t) noise."""
    if t <= 0:
        return -math.inf
    if t >= 1:
        return math.inf
    return 2 * math.log(t / (1 - t))
