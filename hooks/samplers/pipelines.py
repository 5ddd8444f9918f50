"""Diffusers pipelines: the scheduler's `step` shows every state with its guided output, and can change both.

The wrapper around `step` keeps the signature, because pipelines read it to decide whether the scheduler takes a
generator: behind a bare wrapper Stable Audio's noise would be unseeded. An edit of one guidance branch changes the
guided output too, by the gain that the pipeline's own guidance gives to that branch. A forward hook on the network
notes at which states the null branch is evaluated.

Several pipelines may share one scheduler and one network. So all this acts only from the moment at which the attached
pipeline draws its noise, in `prepare_latents`, until its last state or the end of its call.
"""

import inspect
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from hooks.callbacks import Callbacks
from hooks.events import Moment
from hooks.guidance import SKIPPED, UNGUIDED, Gains, around_null, refused
from hooks.samplers.pipeline_kinds import Kind, kind_of
from hooks.samplers.schedules import Level, LevelAt, forget_history, last, level_rule, position
from hooks.samplers.wrapping import argument, call_replaced, replaced, uncopied

NO_CLIP = torch.zeros(1, dtype=torch.bool)
"""[1], False for every clip."""


def changed_clips(change: Tensor) -> Tensor:
    """[B] bool on the CPU, True for the clips in which a change [B, ...] is not zero everywhere."""
    return change.flatten(1).any(1).cpu()


def fits(model: Any) -> bool:
    """Whether the object is one of the pipelines in `KINDS`."""
    return kind_of(model) is not None


def network(model: Any) -> torch.nn.Module:
    """The network that the pipeline's loop calls."""
    kind = kind_of(model)
    assert kind is not None
    found: torch.nn.Module = getattr(model, kind.network)
    return found


class Sampling:
    """The generation that runs: its states, its guidance, and the edits of both."""

    def __init__(self, pipeline: Any, kind: Kind, callbacks: Callbacks) -> None:
        self.pipeline, self.kind, self.callbacks = pipeline, kind, callbacks
        self.scheduler: Any = None
        self.level_at: LevelAt
        self.seconds: tuple[Tensor, Tensor] | None = None
        self.scale: float | None = None
        """Guidance scale of the running call; None between calls."""
        self.generating: int | None = None
        """Thread in which the pipeline generates; None from its last state until it draws noise again."""
        self.begin(0)

    def follow(self, scheduler: Any) -> None:
        """Read states from this scheduler."""
        self.scheduler, self.level_at = scheduler, level_rule(scheduler)

    def begin(self, batch: int) -> None:
        """Forget the generation before: noise for `batch` clips has been drawn."""
        self.batch = batch
        self.evaluated: list[int] = []
        """Batch size of each call of the network since the last step."""
        self.pushed = NO_CLIP
        """[B] bool, the clips whose output was pushed at the last step."""
        self.moved = NO_CLIP
        """[B] bool, the clips whose state was edited since the last step."""

    def state(self, sample: Tensor, level: Level) -> Tensor:
        """[B, F, C] of the scheduler's sample."""
        return self.kind.layout.to_frames(sample if level.scale == 1 else sample / level.scale)

    def moment(self, index: int, level: Level, frames: int) -> Moment:
        """Position of state `index` in the form that all generators share."""
        return Moment(index, last(self.scheduler), level.t, level.logsnr, self.mask(frames), level.alpha + level.sigma)

    def mask(self, frames: int) -> Tensor | None:
        """[B, F], True on frames whose middle lies in the audio that is kept; None when nothing is cut."""
        if self.seconds is None:
            return None
        rate = self.pipeline.vae.config.sampling_rate / self.pipeline.vae.hop_length
        start, end = (s.repeat_interleave(self.batch // len(s))[:, None] * rate for s in self.seconds)
        middles = torch.arange(frames, device=start.device) + 0.5
        return (middles >= start) & (middles < end)

    def guided(self, batch: int) -> bool:
        """Whether the network evaluated a null branch for the current state, which has `batch` clips."""
        return max(self.evaluated, default=0) > batch if self.kind.batched else len(self.evaluated) > 1

    def gains(self, batch: int) -> Gains:
        """Effect of a push of one branch on the guided output of the current state, which has `batch` clips."""
        # Some pipelines keep the scale as an attribute while they run, the others as an argument of their call alone.
        scale = getattr(self.pipeline, "guidance_scale", self.scale)
        if scale is None:
            return refused(
                "the guidance scale of this loop is not known: call the pipeline itself, or edit branch both"
            )
        if scale <= 1:
            return UNGUIDED
        if not self.guided(batch):
            return SKIPPED
        if not self.kind.linear:
            return refused(
                f"the guidance of {type(self.pipeline).__name__} is not linear (adaptive projection), so that a push "
                "of one branch has no fixed effect on the guided output: edit branch both"
            )
        return around_null(scale)

    def step(
        self, step: Callable[..., Any], output: Tensor, timestep: Any, sample: Tensor, *rest: Any, **named: Any
    ) -> Any:
        """Take one step of the scheduler; its output is edited, its state observed before and edited after."""
        index = position(self.scheduler, timestep)
        level = self.level_at(self.scheduler, index)
        state, velocity = self.state(sample, level), self.kind.layout.to_frames(output)
        moment = self.moment(index, level, state.shape[1])
        push = None
        if self.callbacks.endpoint_edits:
            push = self.callbacks.push(level.endpoint(state, velocity), moment, self.gains(len(state)))
        if push is not None:
            velocity = velocity + (push / level.gain).to(velocity.dtype)
            output = self.laid_out(velocity, output)
        self.callbacks.observe(moment, state, velocity, level.endpoint(state, velocity))
        pushed = NO_CLIP.expand(len(state)) if push is None else changed_clips(push)
        forget_history(self.scheduler, (pushed != self.pushed) | self.moved, output, sample)
        self.pushed, self.moved = pushed, NO_CLIP
        result = step(output, timestep, sample, *rest, **named)
        arrival = result[0] if isinstance(result, tuple) else result.prev_sample
        edited = self.arrive(index + 1, arrival)
        self.evaluated.clear()
        if edited is arrival:
            return result
        if isinstance(result, tuple):
            return (edited, *result[1:])
        result.prev_sample = edited
        return result

    def arrive(self, index: int, sample: Tensor) -> Tensor:
        """Edit the sample that the loop goes on with. The finished one is observed here, the others at their step."""
        level = self.level_at(self.scheduler, index)
        state = self.state(sample, level)
        moment = self.moment(index, level, state.shape[1])
        edited = self.callbacks.state(state, moment)
        if edited is not state:
            change = self.laid_out((edited - state) * level.scale, sample)
            if change.any():
                sample = sample + change
                self.moved = changed_clips(change)
        if index == moment.last:
            finished = self.state(sample, level)
            self.callbacks.observe(moment, finished, None, finished)
            self.generating = None
        return sample

    def laid_out(self, frames: Tensor, like: Tensor) -> Tensor:
        """[B, F, C] as a tensor of the pipeline's shape, type and strides, on which the bits of a kernel may depend."""
        return torch.empty_like(like).copy_(self.kind.layout.from_frames(frames, like))


@contextmanager
def install(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """Wrap the scheduler's step, the drawing of the noise and the call of one pipeline, and hook its network."""
    kind = kind_of(model)
    assert kind is not None
    refuse_offload(model)
    sampling = Sampling(model, kind, callbacks)
    parts, told, on_parts = list[Any](), list[bool](), ExitStack()

    def follow() -> None:
        """Hook the scheduler and the network that the pipeline has now; another one may have taken their place."""
        present = [model.scheduler, network(model)]
        if [id(part) for part in parts] == [id(part) for part in present]:
            return
        sampling.follow(model.scheduler)
        on_parts.close()
        on_parts.enter_context(replaced(model.scheduler, "step", step))
        on_parts.callback(network(model).register_forward_hook(uncopied(on_network)).remove)
        parts[:] = present

    def generates() -> bool:
        return sampling.generating == threading.get_ident()

    def call(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        sampling.scale = argument(original, "guidance_scale", args, kwargs)
        try:
            return original(*args, **kwargs)
        finally:
            sampling.scale = sampling.generating = None

    def prepare_latents(original: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        follow()
        latents = original(*args, **kwargs)
        sampling.begin(len(latents))
        sampling.generating = threading.get_ident()
        return latents

    def step(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if generates():
            return sampling.step(original, *args, **kwargs)
        if not told:
            told.append(True)
            warnings.warn(
                "the scheduler of a pipeline with hooks makes a step outside a call of this pipeline: hooks leave it "
                "alone (a loop of your own must draw its noise with the pipeline's prepare_latents)",
                stacklevel=2,
            )
        return original(*args, **kwargs)

    def encode_prompt(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(original).bind(*args, **kwargs).arguments
        if given["num_waveforms_per_prompt"] > 1:
            raise ValueError(
                f"{type(model).__name__} re-ranks several waveforms of a prompt, so that its audio is no longer in "
                "the order of the trace: ask for one waveform per prompt"
            )
        return original(*args, **kwargs)

    def on_durations(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        # A pipeline says how long its audio is before it draws noise; what is said meanwhile is somebody else's.
        if sampling.generating is None and kwargs.get("end_seconds") is not None:
            sampling.seconds = kwargs["start_seconds"], kwargs["end_seconds"]

    @torch.compiler.disable
    def on_network(_: Any, __: Any, result: Any) -> None:
        if generates():
            sampling.evaluated.append(len(result[0] if isinstance(result, tuple) else result.sample))

    with ExitStack() as stack:
        stack.enter_context(on_parts)
        follow()
        stack.enter_context(replaced(model, "prepare_latents", prepare_latents))
        stack.enter_context(call_replaced(model, call))
        if kind.prompts is not None:
            stack.enter_context(replaced(model, kind.prompts, encode_prompt))
        if kind.durations is not None:
            module = getattr(model, kind.durations)
            stack.callback(module.register_forward_pre_hook(uncopied(on_durations), with_kwargs=True).remove)
        yield


def refuse_offload(pipeline: Any) -> None:
    """Raise ValueError when the pipeline's modules move between devices while it runs."""
    for name, module in pipeline.components.items():
        hook = getattr(module, "_hf_hook", None)
        if type(hook).__name__ == "CpuOffload" or getattr(hook, "offload", False):
            raise ValueError(
                f"{name} is moved to the CPU between calls (CPU offload), where hooks cannot follow it: load the "
                "pipeline without offload, in a smaller dtype if memory is short"
            )
