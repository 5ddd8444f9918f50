"""Install hooks on a sampler for the length of a `with` block; remove exactly those afterwards."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .events import Branch, Event, LatentEdit, Moment, Sink


@dataclass
class Callbacks:
    """Everything that is attached to one sampler at the moment, in the order in which it came.

    A sampler carries one set of hooks however deeply `with` blocks are nested; so observers see the edited states
    whatever the order of nesting.
    """

    observers: list[Sink] = field(default_factory=list)
    state_edits: list[LatentEdit] = field(default_factory=list)
    endpoint_edits: list[tuple[LatentEdit, Branch]] = field(default_factory=list)

    def state(self, state: Tensor, moment: Moment) -> Tensor:
        """The edited state; the same object where no edit acts."""
        for edit in self.state_edits:
            state = edit(state, moment)
        return state

    def pushes(self, endpoint: Tensor, moment: Moment) -> list[tuple[Tensor, Branch]]:
        """What the edits add to the clean estimate [B, F, C], each with its guidance branch; [] where none acts."""
        pushes: list[tuple[Tensor, Branch]] = []
        for edit, branch in self.endpoint_edits:
            wanted = edit(endpoint, moment)
            if wanted is not endpoint:
                pushes.append((wanted - endpoint, branch))
                endpoint = wanted
        return pushes

    def observe(self, moment: Moment, state: Tensor, velocity: Tensor | None, endpoint: Tensor) -> None:
        """Hand one state to every observer."""
        if not self.observers:
            return
        values = [ordinary(value) for value in (state, velocity, endpoint)]
        mask = None if moment.mask is None else moment.mask.expand(state.shape[:2])
        event = Event(moment.index, moment.t, values[0], values[1], values[2], mask, moment.logsnr)  # type: ignore[arg-type]
        for observer in self.observers:
            observer(event)


def ordinary(tensor: Tensor | None) -> Tensor | None:
    """The tensor itself, or an ordinary copy of one made under inference mode, which autograd would refuse."""
    if tensor is None or not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


Adapter = Callable[[Any, Callbacks], AbstractContextManager[None]]
"""Installs hooks that serve the callbacks, for one kind of sampler."""

_attached: "WeakKeyDictionary[Any, tuple[Callbacks, ExitStack]]" = WeakKeyDictionary()


@contextmanager
def attach(
    model: Any,
    *,
    observe: Sink | None = None,
    edit_state: LatentEdit | None = None,
    edit_endpoint: LatentEdit | None = None,
    branch: Branch = "both",
) -> Iterator[None]:
    """Watch or change a sampler while the block runs.

    Args:
        model: a sampler with taps (this project's DiffRhythm), an upstream DiffRhythm `CFM`, or a diffusers pipeline.
        observe: called with an `Event` at every state, after all edits.
        edit_state: called with every state that a step returns (not with the noise); what it returns takes its place.
        edit_endpoint: called with the clean estimate that the guided output implies; the output is changed so that
            the estimate becomes what was returned.
        branch: guidance branch that receives the endpoint's push. With guidance v = c + w (c - n), a push on the
            conditional branch alone is amplified 1 + w times, on the null branch alone -w times, on both once.

    Raises:
        ValueError: no adapter knows this kind of object.
    """
    if model not in _attached:
        callbacks, installed = Callbacks(), ExitStack()
        installed.enter_context(adapter_for(model)(model, callbacks))
        _attached[model] = callbacks, installed
    callbacks, installed = _attached[model]
    endpoint_edit = None if edit_endpoint is None else (edit_endpoint, branch)
    additions: list[tuple[list[Any], Any]] = [
        (callbacks.observers, observe),
        (callbacks.state_edits, edit_state),
        (callbacks.endpoint_edits, endpoint_edit),
    ]
    additions = [(place, callback) for place, callback in additions if callback is not None]
    for place, callback in additions:
        place.append(callback)
    try:
        yield
    finally:
        for place, callback in reversed(additions):
            # By identity, from the end: an equal callback of an outer block keeps its place.
            del place[max(index for index, present in enumerate(place) if present is callback)]
        if not (callbacks.observers or callbacks.state_edits or callbacks.endpoint_edits):
            del _attached[model]
            installed.close()


def adapter_for(model: Any) -> Adapter:
    """The adapter of a sampler, chosen by what the object offers: hooks know tensors and callables, not packages."""
    from .samplers import ADAPTERS

    for fits, adapter in ADAPTERS:
        if fits(model):
            return adapter
    raise ValueError(
        f"cannot attach to {type(model).__module__}.{type(model).__name__}: give this project's DiffRhythm, an "
        "upstream DiffRhythm CFM, or a supported diffusers pipeline"
    )
