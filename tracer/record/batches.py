"""The loop of a trace: generate a batch under hooks, read each state as it passes, write what was read."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import Tensor

from hooks import Edit, Event
from probes.support.files import write_whole
from tracer.long_work import reporting
from tracer.options import TraceOptions
from tracer.prompts import Prompt
from tracer.record.buffer import TraceBuffer
from tracer.record.shards import PromptTrace
from tracer.record.store import RunStore
from tracer.session import Session


class StateReader:
    """A sink: reads every state with the readout and keeps class distributions, never a latent."""

    def __init__(
        self,
        session: Session,
        options: TraceOptions,
        prompts: Sequence[Prompt],
        buffer: TraceBuffer,
        edits: Sequence[Edit] = (),
    ) -> None:
        self.session, self.options, self.prompts, self.buffer, self.edits = session, options, prompts, buffer, edits
        self.times: list[float] = []
        """Flow time of every state that was seen."""

    def __call__(self, event: Event) -> None:
        self.times.append(event.t)
        for name, latents in (("state", event.state), ("endpoint", event.endpoint)):
            assert latents is not None
            self.session.require_finite(latents, self.prompts, f"the {name} {event.index} of {event.last}", self.edits)
        for view in self.options.ordered_views:
            latents = event.state if view == "state" else event.endpoint
            assert latents is not None
            reading = self.session.readout.read(latents, event.mask)
            self.buffer.add(view, event.index, event.t, event.logsnr, reading, event.mask)
            if self.options.ground_truth and view == "endpoint":
                self.buffer.add_measured(view, measured_classes(self.session, self.prompts, latents))


def trace_batches(
    session: Session,
    options: TraceOptions,
    edits: Sequence[Edit],
    store: RunStore,
    pending: Sequence[Sequence[int]],
    progress_bar: bool,
) -> None:
    """Trace the pending batches of prompt indices into the store, one after the other."""
    done, total = 0, sum(map(len, pending))
    with reporting(progress_bar and total > 0) as report:
        for batch in pending:
            report("prompts", done, total)
            prompts = [session.prompts[index] for index in batch]
            store.append(trace_batch(session, options, edits, store, prompts))
            done += len(batch)
            report("prompts", done, total)


def trace_batch(
    session: Session, options: TraceOptions, edits: Sequence[Edit], store: RunStore, prompts: Sequence[Prompt]
) -> list[PromptTrace]:
    """Generate and read one batch; audio and latents are written here, the readings are returned."""
    buffer = TraceBuffer([prompt.index for prompt in prompts])
    reader = StateReader(session, options, prompts, buffer, edits)
    latents = session.generate(prompts, edits, reader)
    tell_idle_edits(options.steer, edits, reader.times)
    if options.save_latents:
        for prompt, latent in zip(prompts, latents):
            data = save({"latent": latent.cpu().contiguous()})
            write_whole(store.path / "latents" / f"{prompt.index:05d}.safetensors", data)
    if options.save_audio:
        reads_pitch = "pitch" in session.readout.attributes
        audio, tracks = session.listen(prompts, latents, ["pitch"] if reads_pitch else [])
        for prompt, clip in zip(prompts, audio):
            session.write_clip(store.path / "audio" / f"{prompt.index:05d}.wav", clip)
        if reads_pitch:
            buffer.restrict("pitch", np.stack([voiced(own.valid["pitch"]) for own in tracks]))
    return buffer.traces()


def tell_idle_edits(texts: Sequence[str], edits: Sequence[Edit], times: Sequence[float]) -> None:
    """Warn of an edit whose window holds none of the states, whose flow times are given."""
    for edit in edits:
        # An edit of the state acts on what a step returns, one of the endpoint on what a step begins with.
        reached = times[1:] if edit.site == "state" else times[:-1]
        if not any(edit.strength(t) for t in reached):
            grid = ", ".join(f"{t:.3g}" for t in times[:12]) + (", ..." if len(times) > 12 else "")
            warnings.warn(
                f"--steer {'; '.join(texts)}: no state lies in the window {edit.start:g} to {edit.stop:g} of flow "
                f"time, so that nothing was steered; the states lie at {grid}",
                stacklevel=2,
            )


def voiced(valid: np.ndarray) -> np.ndarray:
    """[F] where the finished audio has a pitch; everywhere when it has none at all."""
    return valid if valid.any() else np.ones_like(valid)


def measured_classes(session: Session, prompts: Sequence[Prompt], latents: Tensor) -> dict[str, Any]:
    """Classes [B, F] of each attribute on the decoded latents, -1 where there is no value."""
    readout = session.readout
    _, tracks = session.listen(prompts, latents, readout.attributes)
    return {
        name: np.stack([np.where(own.valid[name], readout.bins[name].classes(own.values[name]), -1) for own in tracks])
        for name in readout.attributes
    }
