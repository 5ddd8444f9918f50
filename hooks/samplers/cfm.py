"""An upstream DiffRhythm `CFM` that a user already holds: its ODE solver cannot be touched, its network can.

`CFM.sample` integrates with torchdiffeq on a fixed Euler grid. It calls `transformer` once per guidance branch and
step, all by keyword. States are read from those calls, the last one from what `sample` returns. Edits change the
velocity: to move the state after a step by dx, dx / dt is added to it.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from hooks.callbacks import Callbacks
from hooks.events import SLACK, Moment, flow_logsnr
from hooks.guidance import around_cond
from hooks.samplers.wrapping import replaced, uncopied


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


def time_grid(steps: int, sway: float | None, dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """[steps] flow times as upstream computes them."""
    grid = torch.linspace(0, 1, steps, dtype=dtype, device=device)
    return grid if sway is None else grid + sway * (torch.cos(torch.pi / 2 * grid) - 1 + grid)


class Generation:
    """One call of `sample`: its time grid, its guidance, and the conditional velocity while the null one is due."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.steps, self.sway = given["steps"], given["sway_sampling_coef"]
        self.guidance = given["cfg_strength"] if given["cfg_strength"] >= 1e-5 else 0.0
        self.segments = given.get("latent_pred_segments")
        self.grid: list[float] = []
        self.slacks: list[float] = []
        self.mask: Tensor | None = None
        self.positive: Tensor | None = None

    def begin(self, state: Tensor) -> None:
        """Compute the grid as upstream does, in the state's own precision, and the mask of the predicted segments."""
        grid = time_grid(self.steps, self.sway, state.dtype, state.device).cpu()
        self.grid = grid.tolist()
        self.slacks = (SLACK + (grid - time_grid(self.steps, self.sway, torch.float64)).abs()).tolist()
        if self.segments is not None:
            frame = torch.arange(state.shape[1], device=state.device)
            inside = [(frame >= start) & (frame < stop) for start, stop in self.segments]
            self.mask = torch.stack(inside).any(dim=0)

    def moment(self, index: int) -> Moment:
        """Position of state `index`."""
        t = self.grid[index]
        return Moment(index, len(self.grid) - 1, t, flow_logsnr(t), self.mask, slack=self.slacks[index])

    def index(self, t: float) -> int:
        """Index of the state at flow time t."""
        return min(range(len(self.grid)), key=lambda k: abs(self.grid[k] - t))


@contextmanager
def install(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """Put a forward hook on the network and wrap this object's `sample`."""
    running: list[Generation] = []

    def sample(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(original).bind(*args, **kwargs)
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
        guided, difference = velocity, None
        if generation.guidance:
            assert generation.positive is not None, "the null branch came before the conditional one"
            difference = generation.positive - velocity
            guided = generation.positive + difference * generation.guidance
            generation.positive = None
        moved = edited(generation, state, guided, difference, generation.index(float(kwargs["time"].flatten()[0])))
        if moved is guided:
            return velocity
        # The conditional call is over when the null one returns, so the null output carries the whole change: it
        # enters the guided velocity -w times.
        change = moved - guided
        return velocity - change / generation.guidance if generation.guidance else velocity + change

    def edited(generation: Generation, state: Tensor, guided: Tensor, difference: Tensor | None, index: int) -> Tensor:
        """Guided velocity [B, F, C] after all edits, in its own precision; the same object where none acts."""
        now, after = generation.moment(index), generation.moment(index + 1)
        left, dt = 1 - now.t, after.t - now.t
        push = callbacks.push(state + left * guided, now, around_cond(generation.guidance))
        moved = guided if push is None else guided + (push / left).to(guided.dtype)
        callbacks.observe(now, state, moved, state + left * moved, difference)
        arrival = state + dt * moved
        wanted = callbacks.state(arrival, after)
        return moved if wanted is arrival else moved + ((wanted - arrival) / dt).to(moved.dtype)

    with ExitStack() as stack:
        stack.enter_context(replaced(model, "sample", sample))
        stack.callback(model.transformer.register_forward_hook(uncopied(on_network), with_kwargs=True).remove)
        yield
