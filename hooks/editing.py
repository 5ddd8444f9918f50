"""Push a latent inside a window of flow time while it is being generated."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from torch import Tensor

from hooks.attaching import attach
from hooks.callbacks import short_name
from hooks.events import SLACK, Moment
from hooks.guidance import Branch

Site = Literal["state", "endpoint"]
Schedule = Literal["constant", "ramp", "bell"]


class Displacement(Protocol):
    """Called with latents [B, F, C]; returns what full strength adds to them, of the same shape."""

    def __call__(self, latents: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, repr=False)
class Edit:
    """A displacement of the latent, with the place and the time at which it acts."""

    displace: Displacement
    """Latents [B, F, C] -> what full strength adds to them. Every change is an addition (error-preserving)."""
    site: Site = "endpoint"
    """"state" moves what the sampler's step returns. "endpoint" changes the guided output so that the clean estimate
    moves."""
    branch: Branch = "both"
    """Guidance branch that an endpoint edit pushes: see `hooks.attach`."""
    start: float = 0.0
    """Flow time from which the edit acts, inclusive."""
    stop: float = 1.0
    """Flow time at which the edit ends, exclusive; 1 includes the finished latent."""
    schedule: Schedule = "constant"
    """Strength over the window: constant 1, ramp from 0 to 1, or bell sin^2 with its top in the middle."""

    def __post_init__(self) -> None:
        if not (0 <= self.start < self.stop <= 1):
            raise ValueError(
                f"an edit's window must lie in flow time 0 <= start < stop <= 1, got {self.start} to {self.stop}"
            )
        for name, choices in (("site", Site), ("branch", Branch), ("schedule", Schedule)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {getattr(self, name)!r}")

    def __repr__(self) -> str:
        branch = f", branch={self.branch!r}" if self.site == "endpoint" else ""
        return (
            f"Edit({short_name(self.displace)}, site={self.site!r}{branch}, start={self.start:g}, stop={self.stop:g}, "
            f"schedule={self.schedule!r})"
        )

    def strength(self, t: float, slack: float = SLACK) -> float:
        """Share of the full displacement at flow time t; 0 outside the window. `slack` as in `in_window`."""
        if not in_window(t, self.start, self.stop, slack):
            return 0.0
        # A time within `slack` of an edge lies at it.
        t = next((edge for edge in (self.start, self.stop) if abs(t - edge) <= slack), t)
        position = min(max((t - self.start) / (self.stop - self.start), 0.0), 1.0)
        return {"constant": 1.0, "ramp": position, "bell": math.sin(math.pi * position) ** 2}[self.schedule]

    def __call__(self, latent: Tensor, moment: Moment, /) -> Tensor:
        """Displace the latent [B, F, C]; return the same object where the edit does not act."""
        strength = self.strength(moment.t, moment.slack)
        return latent if strength == 0 else latent + strength * self.displace(latent)


def in_window(t: float, start: float, stop: float, slack: float = SLACK) -> bool:
    """Whether flow time t lies from start, inclusive, to stop, exclusive; a stop of 1 includes the finished latent.

    A time within `slack` of an edge lies at that edge. A window holds the time at its start, however narrow it is.
    """
    return t >= start - slack and (t < stop - slack or stop == 1 or t < start + slack)


@contextmanager
def steer(model: Any, edits: Edit | Sequence[Edit]) -> Iterator[None]:
    """Apply the edits to every generation in the block: `with steer(model, [edit]): model.sample(...)`.

    Several edits act one after the other, in order. `steer` nests with `capture` in either order, and the trace then
    shows the steered states. An empty list, a displacement of zero, and an edit outside its window leave the
    generation bit-identical.

    Args:
        model: a sampler that `hooks.attach` knows.
        edits: what to push, where and when; one edit, or several.

    Raises:
        ValueError, RuntimeError, EditRefused: as in `hooks.attach`.
    """
    with ExitStack() as stack:
        stack.enter_context(attach(model))
        for edit in [edits] if isinstance(edits, Edit) else edits:
            if edit.site == "state":
                stack.enter_context(attach(model, edit_state=edit))
            else:
                stack.enter_context(attach(model, edit_endpoint=edit, branch=edit.branch))
        yield
