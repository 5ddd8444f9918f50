"""The loop of a trace: generate a batch under hooks, read each state as it passes, write what was read."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from hooks import Edit, Event
from probes.attributes import get_attribute
from probes.support.files import file_checksum, write_whole
from tracer.long_work import reporting
from tracer.options import TraceOptions
from tracer.prompts import Prompt
from tracer.record.buffer import TraceBuffer
from tracer.record.curves_so_far import CurvesSoFar
from tracer.record.listening import heard_states, sound_path
from tracer.record.settling import Settling, stopping, write_stops
from tracer.record.shards import PromptTrace
from tracer.record.store import RunStore
from tracer.session import Session
from tracer.steering.edits import why_idle
from tracer.steering.spec import parse_edit

if TYPE_CHECKING:
    from tracer.clips import Tracks

LINEAR_FLOW_PROMPTS = 16
"""Prompts whose clips, of the first seed, are read along a linear flow too."""


class StateReader:
    """A sink: reads every state with the readout and keeps class distributions, never a latent."""

    def __init__(
        self,
        session: Session,
        options: TraceOptions,
        clips: Sequence[Prompt],
        buffer: TraceBuffer,
        folder: Path,
        edits: Sequence[Edit] = (),
    ) -> None:
        self.session, self.options, self.clips, self.buffer, self.edits = session, options, clips, buffer, edits
        self.folder = folder
        self.files: list[dict[str, str]] = [{} for _ in clips]
        """Checksums of each clip's files, by their path in the run folder."""
        self.settling: Settling | None = None
        """Told of every reading of the endpoint, where the sampling may end early."""
        self.times: list[float] = []
        """Flow time of every state that was seen."""
        self.levels: list[tuple[float, float]] = []
        """Shares of data and noise (alpha, sigma) of every state that was seen."""

    def __call__(self, event: Event) -> None:
        self.times.append(event.t)
        self.levels.append((event.alpha, event.sigma))
        assert event.endpoint is not None
        views = {"state": event.state, "endpoint": event.endpoint}
        for name, latents in views.items():
            self.session.require_finite(latents, self.clips, f"the {name} {event.index} of {event.last}", self.edits)
        keep = ["pitch"] if reads_voiced_pitch(self.session, self.options) else []
        for view in self.options.ordered_views:
            # The state is noisy; the endpoint is a clean estimate.
            noise = (event.alpha, event.sigma) if view == "state" else None
            reading = self.session.readout.read(
                views[view], event.mask, keep, baselines=self.options.baselines, noise=noise
            )
            self.buffer.add(view, event.index, event.t, event.logsnr, reading, event.mask)
            if self.settling is not None and view == "endpoint":
                self.settling.see(event, reading)
        for view, latents in views.items():
            self.hear(view, event.index, event.last, latents)

    def hear(self, view: str, index: int, last: int, latents: Tensor) -> None:
        """Decode latents [B, F, C] of a state where they are measured or their sound is kept."""
        session, options = self.session, self.options
        measured = options.ground_truth and view == "endpoint" and view in options.views
        kept = view in options.heard_views and index in heard_states(last + 1, options.listen or 0)
        if not measured and not kept:
            return
        # Family and drums are known from annotations alone: the probes read them, nothing measures them.
        names = [name for name in session.readout.bins if measured and get_attribute(name).measurable]
        audio, tracks = session.listen(self.clips, latents, names)
        if measured:
            self.buffer.add_measured(view, measured_classes(session, tracks))
        if kept:
            for row, (clip, sound) in enumerate(zip(self.clips, audio)):
                path = sound_path(self.folder, clip.stem, view, index)
                session.write_clip(path, sound)
                self.wrote(row, path)

    def wrote(self, row: int, path: Path) -> None:
        """Record a file of the clip at `row` of the batch."""
        self.files[row][path.relative_to(self.folder).as_posix()] = file_checksum(path)


def reads_voiced_pitch(session: Session, options: TraceOptions) -> bool:
    """Whether pitch is read on the frames that the finished clip voices, which takes its audio."""
    return options.save_audio and "pitch" in session.readout.attributes


def trace_batches(
    session: Session,
    options: TraceOptions,
    edits: Sequence[Edit],
    store: RunStore,
    pending: Sequence[Sequence[int]],
    progress_bar: bool,
) -> None:
    """Trace the pending batches of clip numbers into the store, one after the other."""
    what = "prompts" if options.seeds == 1 else "clips"
    done, total = 0, sum(map(len, pending))
    curves = CurvesSoFar()
    with reporting(progress_bar and total > 0, curves.text) as report:
        for batch in pending:
            report(what, done, total)
            numbers = [divmod(clip, options.seeds) for clip in batch]
            clips = [replace(session.prompts[prompt], seed=seed) for prompt, seed in numbers]

            def work(part: Sequence[Prompt]) -> list[PromptTrace]:
                return trace_batch(session, options, edits, store, part)

            for count, traces in session.batch_size.run(clips, work):
                store.append(traces)
                curves.add(traces)
                done += count
                report(what, done, total)


def trace_batch(
    session: Session, options: TraceOptions, edits: Sequence[Edit], store: RunStore, clips: Sequence[Prompt]
) -> list[PromptTrace]:
    """Generate and read one batch; audio and latents are written here, the readings are returned."""
    buffer = TraceBuffer(clips)
    reader = StateReader(session, options, clips, buffer, store.path, edits)
    with stopping(session, options, len(clips)) as reader.settling:
        latents = session.generate(clips, edits, reader)
    if reader.settling is not None:
        for row, path in enumerate(write_stops(session, store.path, clips, reader.settling, latents)):
            reader.wrote(row, path)
    tell_idle_edits(options.steer, edits, reader.times)
    if options.frames:
        read_linear_flow(session, options, reader, latents)
    if options.save_latents:
        for row, (clip, latent) in enumerate(zip(clips, latents)):
            data = save({"latent": latent.cpu().contiguous()})
            path = store.path / "latents" / f"{clip.stem}.safetensors"
            write_whole(path, data)
            reader.wrote(row, path)
    if options.save_audio:
        voiced = reads_voiced_pitch(session, options)
        audio, tracks = session.listen(clips, latents, ["pitch"] if voiced else [])
        for row, (clip, sound) in enumerate(zip(clips, audio)):
            path = store.path / "audio" / f"{clip.stem}.wav"
            session.write_clip(path, sound)
            reader.wrote(row, path)
        if voiced:
            buffer.restrict("pitch", np.stack([own.valid["pitch"] for own in tracks]))
    traces = buffer.traces()
    for trace, held in zip(traces, reader.files):
        trace.files = held
    return traces


def read_linear_flow(session: Session, options: TraceOptions, reader: StateReader, latents: Tensor) -> None:
    """Read the states that a linear flow would have passed through on its way to the finished latents [B, F, C].

    Nothing is read with a readout that does not know the covariance of its latents.
    """
    readout = session.readout
    rows = [row for row, clip in enumerate(reader.clips) if clip.index < LINEAR_FLOW_PROMPTS and clip.seed == 0]
    flow = session.linear_flow() if rows else None
    if flow is None:
        return
    finished, music = latents[rows].float(), session.music(latents.shape[1])
    for view in options.ordered_views:
        for alpha, sigma in reader.levels:
            matrix, offset = (flow.state if view == "state" else flow.endpoint)(alpha, sigma)
            moved = finished @ torch.from_numpy(matrix).to(finished).t() + torch.from_numpy(offset).to(finished)
            noise = (alpha, sigma) if view == "state" else None
            reader.buffer.add_linear_flow(view, readout.read(moved, music, only_trained=True, noise=noise), rows)


def tell_idle_edits(texts: Sequence[str], edits: Sequence[Edit], times: Sequence[float]) -> None:
    """Warn of each edit that acts at none of the states, whose flow times are given; a dose of 0 made no edit."""
    for text, edit in zip((text for text in texts if parse_edit(text).alpha != 0), edits, strict=True):
        if told := why_idle(edit, times):
            warnings.warn(f"--steer {text}: {told}", stacklevel=2)


def measured_classes(session: Session, tracks: Sequence["Tracks"]) -> dict[str, Any]:
    """Classes [B, F] of each attribute that was measured on decoded clips, -1 where there is no value."""
    bins = session.readout.bins
    return {
        name: np.stack([np.where(own.valid[name], bins[name].classes(own.values[name]), -1) for own in tracks])
        for name in tracks[0].values
    }
