"""Samplers that pass their states through tap modules (this project's DiffRhythm): plain forward hooks do it all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..attach import Callbacks
from ..events import Moment, flow_logsnr


def fits(model: Any) -> bool:
    """Whether the object has the three taps."""
    return all(hasattr(getattr(model, "taps", None), name) for name in ("state", "branches", "observe"))


def moment(step: Any) -> Moment:
    """The sampler's own account of where it is."""
    return Moment(step.index, step.last, step.t, flow_logsnr(step.t), step.mask)


@contextmanager
def attached(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """Forward hooks on the taps for states, guidance branches and observation."""

    def on_state(_: Any, args: tuple[Any, ...], state: Tensor) -> Tensor:
        step = args[1]
        return state if step.index == 0 else callbacks.state(state, moment(step))

    def on_branches(_: Any, args: tuple[Any, ...], branches: Any) -> Any:
        _, state, step = args
        positive, null = branches
        guided = positive if null is None else positive + (positive - null) * step.guidance
        left = 1 - step.t
        for push, branch in callbacks.pushes(state + left * guided, moment(step)):
            if branch == "null" and null is None:
                raise ValueError("an edit of the null branch needs guidance: there is no null branch without it")
            # x1 = x + (1 - t) v: moving x1 by d takes d / (1 - t) of velocity.
            positive = positive if branch == "null" else positive + push / left
            null = null if branch == "cond" or null is None else null + push / left
        return positive, null

    def on_observe(_: Any, args: tuple[Any, ...], __: None) -> None:
        state, velocity, step = args
        endpoint = state if velocity is None else state + (1 - step.t) * velocity
        callbacks.observe(moment(step), state, velocity, endpoint)

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
