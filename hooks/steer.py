"""Push a latent inside a window of flow time while it is being generated."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor

from .attach import attach
from .events import Branch, Moment

Site = Literal["state", "endpoint"]
Schedule = Literal["constant", "ramp", "bell"]


@dataclass(frozen=True)
class Edit:
    """A displacement of the latent, and where and when it acts."""

    displace: Callable[[Tensor], Tensor]
    """Latent [B, F, C] -> what full strength adds to it. Every change is an addition (error-preserving)."""
    site: Site = "endpoint"
    """"state" moves what the sampler's step returns; "endpoint" changes the network's output so that the clean
    estimate moves."""
    branch: Branch = "both"
    """Guidance branch that receives an endpoint edit: see `hooks.attach`."""
    start: float = 0.0
    """Flow time from which the edit acts, inclusive."""
    stop: float = 1.0
    """Flow time at which it ends, exclusive; 1 includes the finished latent."""
    schedule: Schedule = "constant"
    """Strength over the window: constant 1, ramp from 0 to 1, or bell sin^2 with its top in the middle."""

    def __post_init__(self) -> None:
        if not (0 <= self.start < self.stop <= 1):
            raise ValueError(
                f"an edit's window must lie in flow time 0 <= from < to <= 1, got {self.start} to {self.stop}"
            )
        for name, choices in (("site", Site), ("branch", Branch), ("schedule", Schedule)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {getattr(self, name)!r}")

    def strength(self, t: float) -> float:
        """Share of the full displacement at flow time t; 0 outside the window."""
        if not (self.start <= t < self.stop or t == self.stop == 1):
            return 0.0
        position = (t - self.start) / (self.stop - self.start)
        return {"constant": 1.0, "ramp": position, "bell": math.sin(math.pi * position) ** 2}[self.schedule]

    def __call__(self, latent: Tensor, moment: Moment) -> Tensor:
        """The displaced latent; the same object where the edit does not act."""
        strength = self.strength(moment.t)
        return latent if strength == 0 else latent + strength * self.displace(latent)


@contextmanager
def steer(model: Any, edits: Sequence[Edit]) -> Iterator[None]:
    """Apply the edits to every generation in the block: `with steer(model, [edit]): model.sample(...)`.

    Several edits act one after the other, in order. Nests with `capture` in either order; the trace then shows the
    steered states. An empty list, or displacements of zero outside every window, leave the generation bit-identical.
    """
    with ExitStack() as stack:
        for edit in edits:
            if edit.site == "state":
                stack.enter_context(attach(model, edit_state=edit))
            else:
                stack.enter_context(attach(model, edit_endpoint=edit, branch=edit.branch))
        yield
