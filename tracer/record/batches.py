"""The loop of a trace: generate a batch under hooks, read each state as it passes, write what was read."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import Tensor

from hooks import Edit, Event
from probes.support.files import write_whole
from tracer.bars import prompt_bar
from tracer.options import TraceOptions
from tracer.prompts import Prompt
from tracer.record.buffer import TraceBuffer
from tracer.record.shards import PromptTrace
from tracer.record.store import RunStore
from tracer.session import Session


class StateReader:
    """A sink: reads every state with the readout and keeps class distributions, never a latent."""

    def __init__(self, session: Session, options: TraceOptions, buffer: TraceBuffer) -> None:
        self.session, self.options, self.buffer = session, options, buffer

    def __call__(self, event: Event) -> None:
        for view in self.options.ordered_views:
            latents = event.state if view == "state" else event.endpoint
            assert latents is not None
            reading = self.session.readout.read(latents, event.mask)
            self.buffer.add(view, event.index, event.t, event.logsnr, reading, event.mask)
            if self.options.ground_truth and view == "endpoint":
                self.buffer.add_measured(view, measured_classes(self.session, latents))


def trace_batches(
    session: Session,
    options: TraceOptions,
    edits: Sequence[Edit],
    store: RunStore,
    pending: Sequence[Sequence[int]],
    progress_bar: bool,
) -> None:
    """Trace the pending batches of prompt indices into the store, one after the other."""
    total = sum(map(len, pending))
    with prompt_bar(total) if progress_bar and total else nullcontext() as advance:
        for batch in pending:
            prompts = [session.prompts[index] for index in batch]
            store.append(trace_batch(session, options, edits, store, prompts))
            if advance is not None:
                advance(len(batch))


def trace_batch(
    session: Session, options: TraceOptions, edits: Sequence[Edit], store: RunStore, prompts: Sequence[Prompt]
) -> list[PromptTrace]:
    """Generate and read one batch; audio and latents are written here, the readings are returned."""
    buffer = TraceBuffer([prompt.index for prompt in prompts])
    latents = session.generate(prompts, edits, StateReader(session, options, buffer))
    if options.save_latents:
        for prompt, latent in zip(prompts, latents):
            data = save({"latent": latent.cpu().contiguous()})
            write_whole(store.path / "latents" / f"{prompt.index:05d}.safetensors", data)
    if options.save_audio:
        reads_pitch = "pitch" in session.readout.attributes
        audio, tracks = session.listen(latents, ["pitch"] if reads_pitch else [])
        for prompt, clip in zip(prompts, audio):
            session.write_clip(store.path / "audio" / f"{prompt.index:05d}.wav", clip)
        if reads_pitch:
            buffer.restrict("pitch", np.stack([voiced(own.valid["pitch"]) for own in tracks]))
    return buffer.traces()


def voiced(valid: np.ndarray) -> np.ndarray:
    """[F] where the finished audio has a pitch; everywhere when it has none at all."""
    return valid if valid.any() else np.ones_like(valid)


def measured_classes(session: Session, latents: Tensor) -> dict[str, Any]:
    """Classes [B, F] of each attribute on the decoded latents, -1 where there is no value."""
    readout = session.readout
    _, tracks = session.listen(latents, readout.attributes)
    return {
        name: np.stack([np.where(own.valid[name], readout.bins[name].classes(own.values[name]), -1) for own in tracks])
        for name in readout.attributes
    }
