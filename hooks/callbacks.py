"""Sinks and edits of one sampler, and how its adapter calls them."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from hooks.events import Event, Moment, Sink
from hooks.guidance import Branch, Gains


class LatentEdit(Protocol):
    """Called with a latent [B, F, C] and its moment; returns the latent that takes its place.

    It returns the same object where it changes nothing, and never writes into the latent that it is given.
    """

    def __call__(self, latent: Tensor, moment: Moment, /) -> Tensor: ...


@dataclass(frozen=True, repr=False)
class Attachment:
    """One sink or edit on a sampler, as `attached` lists it."""

    role: str
    """"sink", "state edit" or "endpoint edit"."""
    callback: Sink | LatentEdit
    """The object that was attached."""
    branch: Branch | None = None
    """Guidance branch of an endpoint edit."""

    def __repr__(self) -> str:
        branch = "" if self.branch is None else f" of branch {self.branch}"
        return f"<{self.role}{branch}: {short_name(self.callback)}>"


@dataclass
class Callbacks:
    """The sinks and edits of one sampler, in the order in which they came.

    A sampler carries one set of hooks however deeply `with` blocks are nested. So a sink sees the edited states
    whatever the order of nesting.
    """

    sinks: list[Sink] = field(default_factory=list)
    state_edits: list[LatentEdit] = field(default_factory=list)
    endpoint_edits: list[tuple[LatentEdit, Branch]] = field(default_factory=list)
    blocks: int = 0
    """Number of `with` blocks that are open; a block may hold no callback."""

    def listed(self) -> list[Attachment]:
        """Everything that is attached: state edits, endpoint edits and sinks, each in order."""
        return [
            *(Attachment("state edit", edit) for edit in self.state_edits),
            *(Attachment("endpoint edit", edit, branch) for edit, branch in self.endpoint_edits),
            *(Attachment("sink", sink) for sink in self.sinks),
        ]

    def state(self, state: Tensor, moment: Moment) -> Tensor:
        """Apply the state edits in order. Each is given the state in the sampler's own precision.

        Returns:
            [B, F, C] the edited state; the same object where no edit acts. A displacement in another precision may
            change its precision.

        Raises:
            ValueError: an edit wrote into its latent, or returned None.
        """
        precision = state.dtype
        for edit in self.state_edits:
            given = state.to(precision)
            result = edited(edit, given, moment)
            state = state if result is given else result
        return state

    def push(self, endpoint: Tensor, moment: Moment, gains: Gains) -> Tensor | None:
        """Apply the endpoint edits in order. Each sees what the ones before it did to the guided estimate, in the
        precision of the estimate that they began with.

        Args:
            endpoint: [B, F, C] clean estimate that the guided output implies.
            moment: position of the sampler.
            gains: what a push of one branch does to the guided estimate at this state.

        Returns:
            [B, F, C] what the guided estimate moves by; None where no edit acts.

        Raises:
            EditRefused: an edit acts on a branch whose gain is not known.
            ValueError: an edit wrote into its latent, or returned None.
        """
        total: Tensor | None = None
        for edit, branch in self.endpoint_edits:
            wanted = edited(edit, endpoint, moment)
            if wanted is endpoint:
                continue
            move = gains.of(branch) * (wanted - endpoint)
            endpoint = (endpoint + move).to(endpoint.dtype)
            total = move if total is None else total + move
        return total

    def observe(
        self,
        moment: Moment,
        state: Tensor,
        velocity: Tensor | None,
        endpoint: Tensor,
        difference: Tensor | None = None,
    ) -> None:
        """Hand one state to every sink.

        Args:
            moment: position of the sampler.
            state, velocity, endpoint: state, guided output and clean estimate [B, F, C], after all edits.
            difference: conditional minus null output [B, F, C], before them; None where it is not known.

        Raises:
            ValueError: a sink wrote into what it was shown.
        """
        if not self.sinks:
            return
        mask = None if moment.mask is None else moment.mask.expand(state.shape[:2])
        event = Event(
            index=moment.index,
            last=moment.last,
            t=moment.t,
            state=ordinary(state),
            velocity=None if velocity is None else ordinary(velocity),
            endpoint=ordinary(endpoint),
            mask=mask,
            logsnr=moment.logsnr,
            scale=moment.scale,
            difference=None if difference is None else ordinary(difference),
        )
        shown = (event.state, event.velocity, event.endpoint)
        for sink in self.sinks:
            before = writes(shown)
            sink(event)
            if writes(shown) != before:
                raise ValueError(
                    f"{short_name(sink)} wrote into the event that it was given, which changes the generation: clone "
                    "what it changes, or steer with an edit"
                )


LONGEST_NAME = 160
"""Characters of the description of an attached object."""

Adapter = Callable[[Any, Callbacks], AbstractContextManager[None]]
"""Installs hooks that serve the callbacks, for one kind of sampler; removes them when its block ends."""


def edited(edit: LatentEdit, latent: Tensor, moment: Moment) -> Tensor:
    """What an edit returns for a latent [B, F, C].

    Raises:
        ValueError: it returned no tensor, or one of another shape, or wrote into the latent, which would act on some
            samplers and be lost on others. Under inference mode torch does not count writes, so that they are not
            noticed.
    """
    counts = not latent.is_inference()
    before = latent._version if counts else 0
    result = edit(latent, moment)
    wrote = counts and latent._version != before
    if not isinstance(result, Tensor) or wrote:
        fault = "wrote into the latent that it was given" if wrote else f"returned {named(result)}"
        raise ValueError(
            f"{short_name(edit)} {fault}: an edit returns a new tensor, so clone the latent and change that"
        )
    if result.shape != latent.shape:
        raise ValueError(
            f"{short_name(edit)} returned {list(result.shape)} for a latent {list(latent.shape)}: keep the shape"
        )
    return result


def named(value: object) -> str:
    """None as itself, and the kind of anything else."""
    return "None" if value is None else f"a {type(value).__name__}"


def writes(tensors: Sequence[Tensor | None]) -> list[int]:
    """How often each tensor has been written into; torch does not count where a tensor is one of inference mode."""
    return [tensor._version for tensor in tensors if tensor is not None and not tensor.is_inference()]


def ordinary(tensor: Tensor) -> Tensor:
    """Copy a tensor that was made under inference mode, which autograd would refuse; return any other as it is."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def short_name(callback: object) -> str:
    """Name of a function or method, or one short line that describes another object."""
    name, owner = getattr(callback, "__name__", None), getattr(callback, "__self__", None)
    if isinstance(name, str):
        free = owner is None or inspect.isclass(owner) or inspect.ismodule(owner)
        return name if free else f"{type(owner).__name__}.{name}"
    text = repr(callback)
    if type(callback).__repr__ is object.__repr__ or "\n" in text:
        return type(callback).__name__
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 3] + "..."
