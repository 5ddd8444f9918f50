"""An upstream DiffRhythm `CFM` that a user already holds: its ODE solver cannot be touched, its network can.

`CFM.sample` integrates with torchdiffeq on a fixed Euler grid and calls `transformer` once per guidance branch and
step, all by keyword. States are read from those calls, the last one from what `sample` returns. Edits go through the
velocity: to move the state after a step by dx, the solver is given dx / dt more of it.
"""

import functools
import inspect
from collections.abc import Iterator, Mapping
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

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.steps, self.sway = given["steps"], given["sway_sampling_coef"]
        self.guidance = given["cfg_strength"] if given["cfg_strength"] >= 1e-5 else 0.0
        self.segments = given.get("latent_pred_segments")
        self.grid: list[float] = []
        self.mask: Tensor | None = None
        self.positive: Tensor | None = None

    def begin(self, state: Tensor) -> None:
        """Compute the grid as upstream does, in the state's own precision, and the mask of the predicted segments."""
        grid = torch.linspace(0, 1, self.steps, dtype=state.dtype, device=state.device)
        if self.sway is not None:
            grid = grid + self.sway * (torch.cos(torch.pi / 2 * grid) - 1 + grid)
        self.grid = grid.tolist()
        if self.segments is not None:
            frame = torch.arange(state.shape[1], device=state.device)
            inside = [(frame >= start) & (frame < stop) for start, stop in self.segments]
            self.mask = torch.stack(inside).any(dim=0)

    def moment(self, index: int) -> Moment:
        """Where state `index` is."""
        return Moment(index, len(self.grid) - 1, self.grid[index], flow_logsnr(self.grid[index]), self.mask)

    def index(self, t: float) -> int:
        """The state at flow time t."""
        return min(range(len(self.grid)), key=lambda k: abs(self.grid[k] - t))


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
        running.append(Generation(bound.arguments))
        try:
            result = original(*args, **kwargs)
            generation, last = running[-1], result[1][-1]
            if not generation.grid:
                generation.begin(last)
            callbacks.observe(generation.moment(generation.steps - 1), last, None, last)
            return result
        finally:
            running.pop()

    # Sinks and edits are the caller's Python: a compiled network calls them outside its graphs.
    @torch.compiler.disable
    def on_network(_: Any, __: Any, kwargs: dict[str, Any], velocity: Tensor) -> Tensor:
        if not running:
            return velocity
        generation, state = running[-1], kwargs["x"]
        if not generation.grid:
            generation.begin(state)
        if generation.guidance and not kwargs["drop_text"]:
            generation.positive = velocity
            return velocity
        guided = velocity
        if generation.guidance:
            assert generation.positive is not None, "the null branch came before the conditional one"
            guided = generation.positive + (generation.positive - velocity) * generation.guidance
            generation.positive = None
        moved = edited(generation, state, guided, generation.index(float(kwargs["time"].flatten()[0])))
        if moved is guided:
            return velocity
        # The conditional call is over when the null one returns, so the null output carries the whole change: it
        # enters the guided velocity -w times.
        change = moved - guided
        return velocity - change / generation.guidance if generation.guidance else velocity + change

    def edited(generation: Generation, state: Tensor, guided: Tensor, index: int) -> Tensor:
        """The guided velocity after all edits; the same object where none acts."""
        now, after = generation.moment(index), generation.moment(index + 1)
        moved, left = guided, 1 - now.t
        gains = {"both": 1.0, "cond": 1 + generation.guidance, "null": -generation.guidance}
        for push, branch in callbacks.pushes(state + left * guided, now):
            if branch == "null" and not generation.guidance:
                raise ValueError("an edit of the null branch needs guidance: there is no null branch without it")
            moved = moved + gains[branch] * push / left
        callbacks.observe(now, state, moved, state + left * moved)
        dt = after.t - now.t
        arrival = state + dt * moved
        wanted = callbacks.state(arrival, after)
        return moved if wanted is arrival else moved + (wanted - arrival) / dt

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
