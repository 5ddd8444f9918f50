"""Diffusers pipelines: the scheduler's `step` shows every state with its guided output, and can change both.

The wrapper around `step` keeps the signature (`functools.wraps`), because pipelines read it to decide whether the
scheduler takes a generator: Stable Audio's noise would be unseeded behind a bare wrapper. Guidance branches are reached
by a forward hook on the network; the pipeline then applies its own guidance to them, linear or not.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from ..attach import Callbacks
from ..events import Branch, Moment
from .pipeline_kinds import Kind, kind_of
from .schedules import Level, LevelAt, forget_history, last, level_rule, position


def fits(model: Any) -> bool:
    """Whether the object is one of the pipelines in `KINDS`."""
    return kind_of(model) is not None


class Sampling:
    """The generation that runs, and the edits of its three sites: states, guided output, single branches."""

    def __init__(self, pipeline: Any, kind: Kind, callbacks: Callbacks) -> None:
        self.pipeline, self.kind, self.callbacks = pipeline, kind, callbacks
        self.scheduler: Any = None
        self.level_at: LevelAt
        self.seconds: tuple[Tensor, Tensor] | None = None
        self.begin(0)

    def follow(self, scheduler: Any) -> None:
        """Read states from this scheduler."""
        self.scheduler, self.level_at = scheduler, level_rule(scheduler)

    def begin(self, batch: int) -> None:
        """Noise for `batch` clips has been drawn: nothing of the generation before counts any more."""
        self.batch = batch
        self.called = -1
        self.pushed = self.pushed_before = False

    def state(self, sample: Tensor, level: Level) -> Tensor:
        """[B, F, C] of the scheduler's sample."""
        return self.kind.layout.to_frames(sample if level.scale == 1 else sample / level.scale)

    def moment(self, index: int, level: Level, frames: int) -> Moment:
        """State `index` in the form that all generators share."""
        return Moment(index, last(self.scheduler), level.t, level.logsnr, self.mask(frames))

    def mask(self, frames: int) -> Tensor | None:
        """[B, F] True on frames whose middle lies in the audio that is kept; None when nothing is cut."""
        if self.seconds is None:
            return None
        rate = self.pipeline.vae.config.sampling_rate / self.pipeline.vae.hop_length
        start, end = (s.repeat_interleave(self.batch // len(s))[:, None] * rate for s in self.seconds)
        middles = torch.arange(frames, device=start.device) + 0.5
        return (middles >= start) & (middles < end)

    def push(self, state: Tensor, output: Tensor, level: Level, moment: Moment, branch: Branch) -> Tensor:
        """The output [B, F, C] after the endpoint edits of one branch; the same object where none acts."""
        for edit, wanted in self.callbacks.endpoint_edits:
            if wanted != branch:
                continue
            endpoint = level.endpoint(state, output)
            edited = edit(endpoint, moment)
            if edited is not endpoint:
                change = (edited - endpoint) / level.gain
                self.pushed = self.pushed or bool(change.any())
                output = output + change.to(output.dtype)
        return output

    def step(
        self, step: Callable[..., Any], output: Tensor, timestep: Any, sample: Tensor, *rest: Any, **named: Any
    ) -> Any:
        """One step of the scheduler, with its state observed before and edited after."""
        index = position(self.scheduler, timestep)
        level = self.level_at(self.scheduler, index)
        state, velocity = self.state(sample, level), self.kind.layout.to_frames(output)
        moment = self.moment(index, level, state.shape[1])
        pushed = self.push(state, velocity, level, moment, "both")
        if pushed is not velocity:
            output = self.laid_out(pushed, output)
        self.callbacks.observe(moment, state, pushed, level.endpoint(state, pushed))
        if self.pushed != self.pushed_before:
            forget_history(self.scheduler)
        self.pushed, self.pushed_before = False, self.pushed
        result = step(output, timestep, sample, *rest, **named)
        arrival = result[0] if isinstance(result, tuple) else result.prev_sample
        edited = self.arrive(index + 1, arrival)
        if edited is arrival:
            return result
        if isinstance(result, tuple):
            return (edited, *result[1:])
        result.prev_sample = edited
        return result

    def arrive(self, index: int, sample: Tensor) -> Tensor:
        """The sample that the loop goes on with; the finished one is observed here, the others at their step."""
        level = self.level_at(self.scheduler, index)
        state = self.state(sample, level)
        moment = self.moment(index, level, state.shape[1])
        edited = self.callbacks.state(state, moment)
        if edited is not state:
            change = self.laid_out((edited - state) * level.scale, sample)
            if change.any():
                sample = sample + change
                forget_history(self.scheduler)
        if index == moment.last:
            finished = self.state(sample, level)
            self.callbacks.observe(moment, finished, None, finished)
        return sample

    def laid_out(self, frames: Tensor, like: Tensor) -> Tensor:
        """[B, F, C] as a tensor of the pipeline's shape, type and strides, on which the bits of a kernel may depend."""
        return torch.empty_like(like).copy_(self.kind.layout.from_frames(frames, like))

    def branches(self, latent: Tensor, timestep: Any, output: Tensor) -> Tensor:
        """The network's output with the edits of single guidance branches; the same object where there are none."""
        wanted = {branch for _, branch in self.callbacks.endpoint_edits} - {"both"}
        index = position(self.scheduler, timestep)
        rows = self.rows(index, output)
        if not wanted or not rows:
            return output
        level, states = self.level_at(self.scheduler, index), self.kind.layout.to_frames(latent)
        outputs = self.kind.layout.to_frames(output)
        moment = self.moment(index, level, states.shape[1])
        edited = [
            self.push(states[part], outputs[part], level, moment, branch) if branch in wanted else outputs[part]
            for branch, part in rows
        ]
        if (
            "null" in wanted
            and not self.guided(rows)
            and self.push(states, outputs, level, moment, "null") is not outputs
        ):
            # Asked only whether it acts here: an edit of a branch that is not evaluated must not be lost in silence.
            raise ValueError("an edit of the null branch needs guidance: there is no null branch without it")
        return self.laid_out(torch.cat(edited), output)

    def rows(self, index: int, output: Tensor) -> list[tuple[Branch, slice]]:
        """The guidance branches that this call of the network evaluates, in batch order."""
        again, self.called = self.called == index, index
        if self.kind.branches == "separate":
            return [("null" if again else "cond", slice(None))]
        if len(output) == self.batch:
            return [("cond", slice(None))]
        first, second = self.kind.branches.split(", ")
        return [(first, slice(self.batch)), (second, slice(self.batch, None))]  # type: ignore[list-item]

    def guided(self, rows: list[tuple[Branch, slice]]) -> bool:
        """Whether this generation has a null branch, at this state or at others."""
        distilled = getattr(self.pipeline, "is_turbo", False)
        return len(rows) == 2 or (getattr(self.pipeline, "guidance_scale", 0) > 1 and not distilled)


@contextmanager
def replaced(owner: Any, name: str, wrapper: Callable[..., Any]) -> Iterator[None]:
    """Put `wrapper(original, *args, **kwargs)` in the place of an object's method, signature kept, for a while."""
    original = getattr(owner, name)
    shadowed, saved = name in vars(owner), vars(owner).get(name)

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(owner, name, method)
    try:
        yield
    finally:
        if shadowed:
            setattr(owner, name, saved)
        else:
            delattr(owner, name)


@contextmanager
def attached(model: Any, callbacks: Callbacks) -> Iterator[None]:
    """Wrap the scheduler's step and the drawing of the noise, and hook the network, of one pipeline object."""
    kind = kind_of(model)
    assert kind is not None
    refuse_offload(model)
    sampling = Sampling(model, kind, callbacks)
    sampling.follow(model.scheduler)

    def prepare_latents(original: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        latents = original(*args, **kwargs)
        sampling.begin(len(latents))
        return latents

    def encode_prompt(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(original).bind(*args, **kwargs).arguments
        if given["num_waveforms_per_prompt"] > 1:
            raise ValueError(
                f"{type(model).__name__} re-ranks several waveforms of a prompt, so that its audio is no longer in "
                "the order of the trace: ask for one waveform per prompt"
            )
        return original(*args, **kwargs)

    def on_durations(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        if kwargs.get("end_seconds") is not None:
            sampling.seconds = kwargs["start_seconds"], kwargs["end_seconds"]

    def on_network(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        latent = args[0] if args else kwargs["hidden_states"]
        timestep = args[1] if len(args) > 1 else kwargs["timestep"]
        output = result[0] if isinstance(result, tuple) else result.sample
        edited = sampling.branches(latent, timestep, output)
        if edited is output:
            return None
        if isinstance(result, tuple):
            return (edited, *result[1:])
        result.sample = edited
        return result

    with ExitStack() as stack:
        stack.enter_context(replaced(model.scheduler, "step", sampling.step))
        stack.enter_context(replaced(model, "prepare_latents", prepare_latents))
        if kind.prompts is not None:
            stack.enter_context(replaced(model, kind.prompts, encode_prompt))
        if kind.durations is not None:
            module = getattr(model, kind.durations)
            stack.callback(module.register_forward_pre_hook(on_durations, with_kwargs=True).remove)
        network = getattr(model, kind.network)
        stack.callback(network.register_forward_hook(on_network, with_kwargs=True).remove)
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
