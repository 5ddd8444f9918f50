"""Samplers that pass their states through tap modules (this project's DiffRhythm), where forward hooks suffice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hooks.callbacks import Callbacks
from hooks.events import Moment, flow_logsnr
from hooks.guidance import around_cond


def fits(model: Any) -> bool:
    """Whether the object has the three taps."""
    return all(hasattr(getattr(model, "taps", None), name) for name in ("state", "branches", "observe"))


def network(model: Any) -> Any:
    """The network of a sampler, its module `transformer`.

    Raises:
        ValueError: it has none of this name.
    """
    found = getattr(model, "transformer", None)
    if not isinstance(found, torch.nn.Module):
        raise ValueError(
            f"the network of this {type(model).__name__} cannot be left out: a sampler with taps must hold it as its "
            "module `transformer`"
        )
    return found


def moment(step: Any) -> Moment:
    """Position that the sampler itself reports."""
    return Moment(step.index, step.last, step.t, flow_logsnr(step.t), step.mask)


@contextmanager
def install(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """Put forward hooks on the taps for states, guidance branches and observation."""

    # Between a state's branches and its observation: conditional minus null output.
    difference: list[Tensor | None] = [None]

    def on_state(_: Any, args: tuple[Any, ...], state: Tensor) -> Tensor:
        step = args[1]
        # A sampling begins with noise, or with a state that was edited when it was made.
        return state if step.index == getattr(step, "start", 0) else callbacks.state(state, moment(step))

    def on_branches(_: Any, args: tuple[Any, ...], branches: Any) -> Any:
        _, state, step = args
        positive, null = branches
        difference[0] = None if null is None else positive - null
        guided = positive if difference[0] is None else positive + difference[0] * step.guidance
        left = 1 - step.t
        gains = around_cond(0.0 if null is None else step.guidance)
        push = callbacks.push(state + left * guided, moment(step), gains)
        if push is None:
            return None
        # x1 = x + (1 - t) v: moving x1 by d takes d / (1 - t) of velocity. In both branches it enters v once.
        change = push / left
        return positive + change, None if null is None else null + change

    def on_observe(_: Any, args: tuple[Any, ...], __: None) -> None:
        state, velocity, step = args
        endpoint = state if velocity is None else state + (1 - step.t) * velocity
        callbacks.observe(moment(step), state, velocity, endpoint, None if velocity is None else difference[0])
        difference[0] = None

    taps = model.taps
    handles = [
        taps.state.register_forward_hook(on_state),
        taps.branches.register_forward_hook(on_branches),
        taps.observe.register_forward_hook(on_observe),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
