"""Places in the sampler where an ordinary forward hook can look or push.

Each tap is a module that returns its input, so `register_forward_hook` sees what passes and may return a replacement.
"""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Step:
    """Position of the sampler."""

    index: int
    """State index: 0 is the noise, `last` the finished latent."""
    last: int
    """Index of the last state."""
    t: float
    """Flow time of this state: 0 noise, 1 data."""
    guidance: float
    """Guidance scale w in v = c + w (c - n); 0 where the null branch is not evaluated."""
    mask: Tensor | None
    """[L] frames that are being generated, None for all."""
    start: int = 0
    """Index of the state that the sampling begins with: the noise, or a state that it goes on from."""


class StateTap(nn.Module):
    """Every state [B, L, C], before the network sees it. A hook's return value becomes the state."""

    def forward(self, state: Tensor, step: Step) -> Tensor:
        return state


class BranchTap(nn.Module):
    """The velocities of the guidance branches [B, L, C], before they are combined; `null` is None without guidance.

    A hook's return value, a pair, takes their place.
    """

    def forward(
        self, branches: tuple[Tensor, Tensor | None], state: Tensor, step: Step
    ) -> tuple[Tensor, Tensor | None]:
        return branches


class ObserveTap(nn.Module):
    """Every state with its guided velocity, after all edits; the velocity of the last state is None."""

    def forward(self, state: Tensor, velocity: Tensor | None, step: Step) -> None:
        return None


class Taps(nn.Module):
    """The three taps of a sampler. They have no parameters and leave no trace in a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.state = StateTap()
        self.branches = BranchTap()
        self.observe = ObserveTap()
