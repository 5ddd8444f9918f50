"""Samplers that pass their states through tap modules (this project's DiffRhythm), where forward hooks suffice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hooks.callbacks import Callbacks
from hooks.events import Moment, flow_logsnr
from hooks.guidance import around_cond
from hooks.samplers.wrapping import uncopied


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
    """Position that the sampler itself reports, in plain numbers."""
    t = float(step.t)
    return Moment(int(step.index), int(step.last), t, flow_logsnr(t), step.mask)


def passed(names: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Arguments of a tap's call in the order of their names, by position or by name."""
    return [*args, *(kwargs[name] for name in names[len(args) :])]


@contextmanager
def install(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """Put forward hooks on the taps for states, guidance branches and observation."""

    # Between a state's branches and its observation: conditional minus null output.
    difference: list[Tensor | None] = [None]

    def on_state(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], state: Tensor) -> Tensor:
        _, step = passed(("state", "step"), args, kwargs)
        # A sampling begins with noise, or with a state that was edited when it was made.
        if step.index == getattr(step, "start", 0):
            return state
        return callbacks.state(state, moment(step)).to(state.dtype)

    def on_branches(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], branches: Any) -> Any:
        _, state, step = passed(("branches", "state", "step"), args, kwargs)
        now, (positive, null) = moment(step), branches
        difference[0] = None if null is None else positive - null
        guided = positive if difference[0] is None else positive + difference[0] * step.guidance
        left = 1 - now.t
        gains = around_cond(0.0 if null is None else step.guidance)
        push = callbacks.push(state + left * guided, now, gains)
        if push is None:
            return None
        # x1 = x + (1 - t) v: moving x1 by d takes d / (1 - t) of velocity. In both branches it enters v once.
        change = (push / left).to(positive.dtype)
        return positive + change, None if null is None else null + change

    def on_observe(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], __: None) -> None:
        state, velocity, step = passed(("state", "velocity", "step"), args, kwargs)
        now = moment(step)
        endpoint = state if velocity is None else state + (1 - now.t) * velocity
        callbacks.observe(now, state, velocity, endpoint, None if velocity is None else difference[0])
        difference[0] = None

    taps = model.taps
    handles = [
        taps.state.register_forward_hook(uncopied(on_state), with_kwargs=True),
        taps.branches.register_forward_hook(uncopied(on_branches), with_kwargs=True),
        taps.observe.register_forward_hook(uncopied(on_observe), with_kwargs=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
