"""Install hooks on a sampler for the length of a `with` block, and remove exactly those afterwards."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, get_args

from hooks.callbacks import Attachment, Callbacks, LatentEdit
from hooks.events import Sink
from hooks.guidance import Branch
from hooks.samplers import adapter_for

_installed: dict[int, tuple[Callbacks, ExitStack, int]] = {}
"""Identity of a sampler -> its callbacks, what takes the hooks off, and the thread that attached.

The hooks hold the sampler, so that no other object takes its identity. Equal samplers have hooks of their own.
"""
_changing = threading.RLock()
"""Held while hooks are put on and taken off; by the same thread twice where garbage collection ends a block."""


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

    Blocks nest. One sampler runs one generation at a time: while a thread is attached to it, no other thread is let in.

    Args:
        model: a sampler with taps (this project's DiffRhythm), an upstream DiffRhythm `CFM`, a supported diffusers
            pipeline, or an ACE-Step 1.0 pipeline. A diffusers pipeline is followed when it is called; a loop of one's
            own must draw its noise with the pipeline's `prepare_latents`.
        observe: called with an `Event` at every state, after all edits.
        edit_state: called with every state that a step returns (not with the noise). What it returns takes the
            state's place.
        edit_endpoint: called with the clean estimate [B, F, C] that the guided output implies, whatever the branch.
            What it returns says where the branch's estimate shall move; the guided output is changed accordingly.
        branch: guidance branch that `edit_endpoint` acts on. A push of both branches moves the guided estimate once.
            With guidance v = c + w (c - n), a push of the conditional branch moves it 1 + w times, a push of the null
            branch -w times. The next edit sees the guided estimate where this one left it.

    Raises:
        ValueError: no adapter knows this kind of object, hooks cannot follow it as it is set up, or `branch` is none of
            the three.
        RuntimeError: another thread is attached to the sampler now.
        EditRefused: raised by the generation in the block, when an edit acts on a branch that does not exist, or
            whose effect on the guided output is not known.
    """
    if branch not in get_args(Branch):
        raise ValueError(f"branch must be one of {', '.join(get_args(Branch))}, got {branch!r}")
    with _changing:
        if id(model) not in _installed:
            callbacks, installed = Callbacks(), ExitStack()
            installed.enter_context(adapter_for(model)(model, callbacks))
            _installed[id(model)] = callbacks, installed, threading.get_ident()
        callbacks, installed, thread = _installed[id(model)]
        if thread != threading.get_ident():
            raise RuntimeError(
                f"another thread is attached to this {type(model).__name__}: wait until its generation has ended, or "
                "give each thread a sampler of its own"
            )
        callbacks.blocks += 1
    endpoint_edit = None if edit_endpoint is None else (edit_endpoint, branch)
    additions: list[tuple[list[Any], Any]] = [
        (callbacks.sinks, observe),
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
        with _changing:
            callbacks.blocks -= 1
            if not callbacks.blocks:
                del _installed[id(model)]
                installed.close()


def capture(model: Any, sink: Sink) -> AbstractContextManager[None]:
    """Call `sink(event)` at every state while the block runs: `with capture(model, sink): model.sample(...)`.

    Capturing does not change the generation by a bit. It keeps nothing: the sampler owns an event's tensors [B, F, C].
    A second generation in the same block starts again at index 0. An exception in the sink ends the generation.

    Args:
        model: a sampler that `hooks.attach` knows.
        sink: called with an `Event`. The last one has velocity None, and the finished latent as its endpoint.

    Raises:
        ValueError: the sink cannot be called; and as in `hooks.attach`.
    """
    if not callable(sink):
        raise ValueError(f"a sink is called with the event of every state: give a function, got {sink!r}")
    return attach(model, observe=sink)


def attached(model: Any) -> list[Attachment]:
    """List the sinks and edits that are on a sampler now, in the order in which they act; empty when there are none.

    Args:
        model: a sampler that `hooks.attach` knows.

    Raises:
        ValueError: no adapter knows this kind of object.
    """
    if id(model) in _installed:
        return _installed[id(model)][0].listed()
    adapter_for(model)
    return []
