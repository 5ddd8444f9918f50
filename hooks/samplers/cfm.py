"""An upstream DiffRhythm `CFM` that a user already holds: its ODE solver cannot be touched, its network can.

`CFM.sample` integrates with torchdiffeq on a fixed Euler grid and calls `transformer` once per guidance branch and
step, all by keyword. States are read from those calls, the last one from what `sample` returns. Edits go through the
velocity: to move the state after a step by dx, the solver is given dx / dt more of it.
"""

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..attach import Callbacks
from ..events import Moment, flow_logsnr


def fits(model: Any) -> bool:
    """Whether the object looks like upstream's CFM: a network named `transformer`, and `sample` with its arguments."""
    if not (isinstance(model, torch.nn.Module) and callable(getattr(model, "sample", None))):
        return False
    sample: Any = model.sample
    arguments = inspect.signature(sample).parameters
    return isinstance(getattr(model, "transformer", None), torch.nn.Module) and {
        "steps",
        "cfg_strength",
        "sway_sampling_coef",
    } <= set(arguments)


class Generation:
    """One call of `sample`: its time grid, its guidance, and the branch that was evaluated last."""

    def __init__(self, steps: int, guidance: float, sway: float | None) -> None:
        grid = torch.linspace(0, 1, steps)
        grid = grid if sway is None else grid + sway * (torch.cos(torch.pi / 2 * grid) - 1 + grid)
        self.grid = grid.tolist()
        self.guidance = guidance if guidance >= 1e-5 else 0.0
        self.positive: Tensor | None = None

    def moment(self, t: float) -> Moment:
        """Where flow time t is on the grid; the solver may hold it in half precision."""
        index = min(range(len(self.grid)), key=lambda k: abs(self.grid[k] - t))
        return Moment(index, len(self.grid) - 1, self.grid[index], flow_logsnr(self.grid[index]))


@contextmanager
def attached(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """A forward hook on the network and a wrapper around this object's `sample`."""
    original, shadowed = model.sample, vars(model).get("sample")
    signature = inspect.signature(original)
    running: list[Generation] = []

    @functools.wraps(original)
    def sample(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        running.append(Generation(given["steps"], given["cfg_strength"], given["sway_sampling_coef"]))
        try:
            result = original(*args, **kwargs)
            last = result[1][-1]
            callbacks.observe(running[-1].moment(1.0), last, None, last)
            return result
        finally:
            running.pop()

    def on_network(_: Any, __: Any, kwargs: dict[str, Any], velocity: Tensor) -> Tensor:
        if not running:
            return velocity
        generation, state = running[-1], kwargs["x"]
        if generation.guidance and not kwargs["drop_text"]:
            generation.positive = velocity
            return velocity
        guided = velocity
        if generation.guidance:
            assert generation.positive is not None, "the null branch came before the conditional one"
            guided = generation.positive + (generation.positive - velocity) * generation.guidance
            generation.positive = None
        change = net_change(generation, state, guided, float(kwargs["time"].flatten()[0]))
        if change is None:
            return velocity
        # The conditional call is over when the null one returns, so the null output carries the whole change: it
        # enters the guided velocity -w times.
        return velocity - change / generation.guidance if generation.guidance else velocity + change

    def net_change(generation: Generation, state: Tensor, guided: Tensor, t: float) -> Tensor | None:
        """What the edits add to the guided velocity; None where they add nothing."""
        now = generation.moment(t)
        moved, left = guided, 1 - now.t
        gains = {"both": 1.0, "cond": 1 + generation.guidance, "null": -generation.guidance}
        for push, branch in callbacks.pushes(state + left * guided, now):
            if branch == "null" and not generation.guidance:
                raise ValueError("an edit of the null branch needs guidance: there is no null branch without it")
            moved = moved + gains[branch] * push / left
        callbacks.observe(now, state, moved, state + left * moved)
        dt = generation.grid[now.index + 1] - now.t
        arrival = state + dt * moved
        t_next = generation.grid[now.index + 1]
        edited = callbacks.state(arrival, Moment(now.index + 1, now.last, t_next, flow_logsnr(t_next)))
        if edited is not arrival:
            moved = moved + (edited - arrival) / dt
        return None if moved is guided else moved - guided

    handle = model.transformer.register_forward_hook(on_network, with_kwargs=True)
    model.sample = sample
    try:
        yield
    finally:
        handle.remove()
        if shadowed is None:
            del model.sample
        else:
            model.sample = shadowed
