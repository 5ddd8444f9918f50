"""ACE-Step 1.0 (`acestep.pipeline_ace_step.ACEStepPipeline`) that a user already holds.

Its sampler calls `ace_step_transformer.decode`, never `forward`, so hooks on the transformer would not fire: the calls
are counted where they leave `final_layer`. The guidance branches are evaluated one after the other, and only in the
middle of the schedule. The scheduler is born inside the call. Its class is wrapped for the length of the block, and
only the object of the running generation is followed.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from hooks.callbacks import Callbacks
from hooks.guidance import SKIPPED, UNGUIDED, Gains, around_null, refused
from hooks.samplers.pipeline_kinds import Kind, Layout
from hooks.samplers.pipelines import Sampling
from hooks.samplers.schedules import last, position
from hooks.samplers.wrapping import replaced, uncopied


def to_frames(latent: Tensor) -> Tensor:
    """[B, 8, 16, W] (channels, mel, time) -> [B, W, 128]."""
    return latent.permute(0, 3, 1, 2).flatten(2)


def from_frames(frames: Tensor, like: Tensor) -> Tensor:
    """[B, W, 128] -> [B, 8, 16, W]."""
    return frames.unflatten(2, like.shape[1:3]).permute(0, 2, 3, 1)


KIND = Kind("ace_step_transformer", Layout(to_frames, from_frames), batched=False)


def fits(model: Any) -> bool:
    """Whether the object looks like upstream's pipeline with its weights loaded."""
    network = getattr(model, "ace_step_transformer", None)
    return callable(getattr(model, "text2music_diffusion_process", None)) and all(
        hasattr(network, part) for part in ("decode", "final_layer")
    )


class Generation(Sampling):
    """One call of `text2music_diffusion_process`."""

    def __init__(self, model: Any, callbacks: Callbacks, given: dict[str, Any]) -> None:
        super().__init__(model, KIND, callbacks)
        self.given = given
        self.thread = threading.get_ident()
        self.stepped = False
        """Whether its scheduler has taken a step."""

    def gains(self, batch: int) -> Gains:
        """Effect of a push of one branch on the guided output of the current state, which has `batch` clips."""
        given = self.given
        if given["guidance_scale"] in (0.0, 1.0):
            return UNGUIDED
        if not self.guided(batch):
            return SKIPPED
        text, lyric = (given[f"guidance_scale_{part}"] or 0.0 for part in ("text", "lyric"))
        if text > 1 and lyric > 1:
            # (1 - text) n + (text - lyric) m + lyric c, with a branch m of the text alone that no edit acts on.
            return Gains(cond=lyric, null=1 - text)
        if given["cfg_type"] != "cfg":
            return refused(
                f"guidance with cfg_type={given['cfg_type']!r} is not linear, so that a push of one branch has no "
                "fixed effect on the guided output: edit branch both, or pass cfg_type='cfg'"
            )
        return around_null(self.scale_at(position(self.scheduler, None)))

    def scale_at(self, index: int) -> float:
        """Guidance scale of a state inside the guided interval, where upstream may let it fall linearly."""
        given, steps = self.given, last(self.scheduler)
        scale, decay, interval = (given[f"guidance_{name}"] for name in ("scale", "interval_decay", "interval"))
        if decay <= 0:
            return float(scale)
        first, end = int(steps * ((1 - interval) / 2)), int(steps * (interval / 2 + 0.5))
        progress = (index - first) / (end - first - 1)
        return float(scale - (scale - given["min_guidance_scale"]) * progress * decay)


@contextmanager
def install(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """Hook `final_layer`, and wrap this object's sampling method and its scheduler's class."""
    original = model.text2music_diffusion_process
    signature = inspect.signature(original)
    schedulers = inspect.unwrap(original).__globals__["FlowMatchEulerDiscreteScheduler"]
    running: list[Generation] = []

    def sample(process: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        if given["scheduler_type"] != "euler":
            raise ValueError(f"hooks follow ACE-Step's euler scheduler, not {given['scheduler_type']}: pass euler")
        if getattr(model, "cpu_offload", False):
            raise ValueError("hooks cannot follow modules that CPU offload moves: build the pipeline without it")
        generation = Generation(model, callbacks, given)
        running.append(generation)
        try:
            result = process(*args, **kwargs)
        finally:
            running.pop()
        if not generation.stepped:
            raise ValueError(
                "hooks saw nothing of this generation: it took no step of its scheduler, as repaint and extend do not; "
                "run it without hooks"
            )
        return result

    def edit(process: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        raise ValueError("hooks do not follow ACE-Step's edit task, which changes a song that is there: run it without")

    def set_timesteps(method: Callable[..., None], scheduler: Any, *args: Any, **kwargs: Any) -> None:
        method(scheduler, *args, **kwargs)
        # Another thread may set up a scheduler for a pipeline of its own meanwhile.
        if running and running[-1].thread == threading.get_ident():
            running[-1].follow(scheduler)

    def step(method: Callable[..., Any], scheduler: Any, *args: Any, **kwargs: Any) -> Any:
        if not running or running[-1].scheduler is not scheduler:
            return method(scheduler, *args, **kwargs)
        arguments = inspect.signature(method).bind(scheduler, *args, **kwargs).arguments
        output, timestep, state = (arguments.pop(name) for name in ("model_output", "timestep", "sample"))
        del arguments["self"]

        def forward(output: Tensor, timestep: Any, state: Tensor) -> Any:
            return method(scheduler, model_output=output, timestep=timestep, sample=state, **arguments)

        running[-1].stepped = True
        return running[-1].step(forward, output, timestep, state)

    def on_network(_: Any, __: Any, velocity: Tensor) -> None:
        if running:
            running[-1].evaluated.append(len(velocity))

    with ExitStack() as stack:
        stack.enter_context(replaced(model, "text2music_diffusion_process", sample))
        if hasattr(model, "flowedit_diffusion_process"):
            stack.enter_context(replaced(model, "flowedit_diffusion_process", edit))
        stack.enter_context(replaced(schedulers, "set_timesteps", set_timesteps))
        stack.enter_context(replaced(schedulers, "step", step))
        stack.callback(model.ace_step_transformer.final_layer.register_forward_hook(uncopied(on_network)).remove)
        yield
