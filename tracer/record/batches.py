"""The loop of a trace: generate a batch under hooks, read each state as it passes, write what was read."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from safetensors.torch import save_file
from torch import Tensor

from hooks import Event, capture, steer
from probes.attributes import get_attribute
from tracer.bars import prompt_bar
from tracer.generators import Generator, prompt_seed
from tracer.prompts import Prompt
from tracer.record.buffer import TraceBuffer
from tracer.record.store import RunStore

if TYPE_CHECKING:
    from probes.readout import Readout


@dataclass
class Job:
    """What is done to each batch."""

    generator: Generator
    readout: "Readout"
    seed: int
    steps: int
    seconds: float
    guidance: float
    views: tuple[str, ...]
    edits: list[Any]
    ground_truth: bool
    save_audio: bool
    save_latents: bool


class StateReader:
    """A sink: reads every state with the readout and keeps class distributions, never a latent."""

    def __init__(self, job: Job, buffer: TraceBuffer) -> None:
        self.job, self.buffer = job, buffer

    def __call__(self, event: Event) -> None:
        for view in self.job.views:
            latents = event.state if view == "state" else event.endpoint
            assert latents is not None
            reading = self.job.readout.read(latents, event.mask)
            self.buffer.add(view, event.index, event.t, event.logsnr, reading, event.mask)
            if self.job.ground_truth and view == "endpoint":
                self.buffer.add_measured(view, measure(self.job, latents))


def trace_batches(
    job: Job, store: RunStore, prompts: Sequence[Prompt], pending: Sequence[Sequence[int]], progress_bar: bool
) -> None:
    """Trace the pending batches of prompt indices into the store, one after the other."""
    total = sum(map(len, pending))
    with prompt_bar(total) if progress_bar and total else nullcontext() as advance:
        for batch in pending:
            store.append(trace_batch(job, store, [prompts[index] for index in batch]))
            if advance is not None:
                advance(len(batch))


def trace_batch(job: Job, store: RunStore, prompts: Sequence[Prompt]) -> TraceBuffer:
    """Generate and read one batch; audio and latents are written here, the readings are returned."""
    model, buffer = job.generator, TraceBuffer([prompt.index for prompt in prompts])
    with steer(model.sampler, job.edits), capture(model.sampler, StateReader(job, buffer)):
        latents = model.generate(
            [prompt.caption for prompt in prompts],
            [prompt_seed(job.seed, prompt.index) for prompt in prompts],
            steps=job.steps,
            seconds=job.seconds,
            guidance=job.guidance,
        )
    if job.save_latents:
        (store.path / "latents").mkdir(exist_ok=True)
        for prompt, latent in zip(prompts, latents):
            save_file({"latent": latent.cpu().contiguous()}, store.path / "latents" / f"{prompt.index:05d}.safetensors")
    if job.save_audio:
        audio = model.decode(latents)
        (store.path / "audio").mkdir(exist_ok=True)
        for prompt, clip in zip(prompts, audio):
            # 24 bits and a clip at full scale: what the model made, not normalised, so that loudness can be compared.
            path = store.path / "audio" / f"{prompt.index:05d}.wav"
            # Some models make a latent of fixed length and cut the audio to what was asked for.
            asked = clip[:, : round(job.seconds * model.sample_rate)]
            soundfile.write(path, np.clip(asked, -1, 1).T, model.sample_rate, subtype="PCM_24")
        if "pitch" in job.readout.attributes:
            buffer.restrict("pitch", np.stack([voiced(job, clip, latents.shape[1]) for clip in audio]))
    return buffer


def voiced(job: Job, clip: np.ndarray, frames: int) -> np.ndarray:
    """[F] where the finished audio [channels, n] has a pitch; everywhere when it has none at all."""
    _, valid = measured(job, "pitch", clip, frames)
    return valid if valid.any() else np.ones_like(valid)


def measured(job: Job, attribute: str, clip: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and validity [F] of one attribute on decoded audio [channels, n]; CREPE's small model for pitch."""
    model = job.generator
    options = {"model": "tiny"} if attribute == "pitch" else {}
    hop = model.sample_rate / model.frame_rate
    return get_attribute(attribute, **options).measure(clip.mean(0), model.sample_rate, frames, hop)


def measure(job: Job, latents: Tensor) -> dict[str, np.ndarray]:
    """Classes [B, F] of each attribute on the decoded latents, -1 where there is no value."""
    audio = job.generator.decode(latents)
    classes: dict[str, list[np.ndarray]] = {attribute: [] for attribute in job.readout.attributes}
    for clip in audio:
        for attribute, rows in classes.items():
            values, valid = measured(job, attribute, clip, latents.shape[1])
            rows.append(np.where(valid, job.readout.bins[attribute].classes(values), -1))
    return {attribute: np.stack(rows) for attribute, rows in classes.items()}
