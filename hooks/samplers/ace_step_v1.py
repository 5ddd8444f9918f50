"""ACE-Step 1.0 (`acestep.pipeline_ace_step.ACEStepPipeline`) that a user already holds.

Its sampler calls `ace_step_transformer.decode`, never `forward`, so that hooks on the transformer would not fire: the
latent is read where it enters `proj_in`, a branch's velocity where it leaves `final_layer`. The branches are evaluated
one after the other, and only in the middle of the schedule. Its scheduler is born inside the call; its class is
wrapped for the length of the block, and only the object of the running generation is followed.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from ..attach import Callbacks
from ..events import Branch
from .pipeline_kinds import Kind, Layout
from .pipelines import Sampling, replaced


def to_frames(latent: Tensor) -> Tensor:
    """[B, 8, 16, W] (channels, mel, time) -> [B, W, 128]."""
    return latent.permute(0, 3, 1, 2).flatten(2)


def from_frames(frames: Tensor, like: Tensor) -> Tensor:
    """[B, W, 128] -> [B, 8, 16, W]."""
    return frames.unflatten(2, like.shape[1:3]).permute(0, 2, 3, 1)


KIND = Kind("ace_step_transformer", Layout(to_frames, from_frames), "separate")


def fits(model: Any) -> bool:
    """Whether the object looks like upstream's pipeline with its weights loaded."""
    network = getattr(model, "ace_step_transformer", None)
    return callable(getattr(model, "text2music_diffusion_process", None)) and all(
        hasattr(network, part) for part in ("decode", "proj_in", "final_layer")
    )


class Generation(Sampling):
    """One call of `text2music_diffusion_process`: which branches it evaluates at which state."""

    def __init__(self, model: Any, callbacks: Callbacks, given: dict[str, Any]) -> None:
        super().__init__(model, KIND, callbacks)
        self.given = given
        self.calls = 0

    def rows(self, index: int, output: Tensor) -> list[tuple[Branch, slice]]:
        """One branch a call: the conditional one, the one of the text alone if there is one, the null one."""
        self.calls = self.calls + 1 if self.called == index else 1
        self.called = index
        scales = (self.given[f"guidance_scale_{part}"] or 0.0 for part in ("text", "lyric"))
        last = 3 if all(scale > 1 for scale in scales) else 2
        if self.calls == 1:
            return [("cond", slice(None))]
        return [("null", slice(None))] if self.calls == last else []

    def guided(self, rows: list[tuple[Branch, slice]]) -> bool:
        """Whether this generation has a null branch; it is evaluated in the middle of the schedule only."""
        return self.given["guidance_scale"] not in (0.0, 1.0)


@contextmanager
def attached(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """Hook `proj_in` and `final_layer`, and wrap this object's sampling method and its scheduler's class."""
    original = model.text2music_diffusion_process
    signature = inspect.signature(original)
    schedulers = inspect.unwrap(original).__globals__["FlowMatchEulerDiscreteScheduler"]
    running: list[Generation] = []
    latents: list[Tensor] = []

    def sample(process: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        if given["scheduler_type"] != "euler":
            raise ValueError(f"hooks follow ACE-Step's euler scheduler, not {given['scheduler_type']}: pass euler")
        if getattr(model, "cpu_offload", False):
            raise ValueError("hooks cannot follow modules that CPU offload moves: build the pipeline without it")
        running.append(Generation(model, callbacks, given))
        try:
            return process(*args, **kwargs)
        finally:
            running.pop()

    def set_timesteps(method: Callable[..., None], scheduler: Any, *args: Any, **kwargs: Any) -> None:
        method(scheduler, *args, **kwargs)
        if running:
            running[-1].follow(scheduler)

    def step(method: Callable[..., Any], scheduler: Any, *args: Any, **kwargs: Any) -> Any:
        if not running or running[-1].scheduler is not scheduler:
            return method(scheduler, *args, **kwargs)
        arguments = inspect.signature(method).bind(scheduler, *args, **kwargs).arguments
        output, timestep, state = (arguments.pop(name) for name in ("model_output", "timestep", "sample"))
        del arguments["self"]

        def forward(output: Tensor, timestep: Any, state: Tensor) -> Any:
            return method(scheduler, model_output=output, timestep=timestep, sample=state, **arguments)

        return running[-1].step(forward, output, timestep, state)

    def on_entry(_: Any, args: tuple[Any, ...]) -> None:
        latents[:] = args[:1]

    def on_exit(_: Any, __: Any, output: Tensor) -> Tensor | None:
        if not running or not latents:
            return None
        edited = running[-1].branches(latents.pop(), None, output)
        return None if edited is output else edited

    network = model.ace_step_transformer
    with ExitStack() as stack:
        stack.enter_context(replaced(model, "text2music_diffusion_process", sample))
        stack.enter_context(replaced(schedulers, "set_timesteps", set_timesteps))
        stack.enter_context(replaced(schedulers, "step", step))
        stack.callback(network.proj_in.register_forward_pre_hook(on_entry).remove)
        stack.callback(network.final_layer.register_forward_hook(on_exit).remove)
        yield
