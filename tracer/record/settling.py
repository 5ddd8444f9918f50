"""End a sampling when its readings have come to rest, and say what that saved and cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hooks import Moment, attach, resting
from hooks.samplers import network_call
from probes.errors import InputError
from probes.support.files import read_json, write_json
from tracer.clips import MEASURED, distortion
from tracer.curves import TRAINED

if TYPE_CHECKING:
    from hooks import Event
    from probes.readout import Reading, Readout
    from tracer.options import TraceOptions
    from tracer.prompts import Prompt
    from tracer.session import Session

CHECKED = 4
"""Prompts that are generated in full too, to say what stopping early costs."""
FOLDER = "stopped"
ALL = "all"


class Settling:
    """Watches the readings of the clean estimate, and holds the estimate of each clip whose readings have settled.

    A clip has settled when the readings of all watched attributes have moved by less than `within` at each of the last
    `states` states: mean over the frames of the change of the expected class, as a share of the attribute's classes.
    From then on its estimate stays what it was (an endpoint edit), so that the sampler goes straight to it; when all
    clips of the batch are held, the network rests. A clip's result does not depend on its companions.

    Args:
        classes: Number of classes of each watched attribute.
        clips: Number of clips in the batch.
        states: How many states the readings must have rested for.
        within: How little they may have moved at each.
    """

    def __init__(self, classes: Mapping[str, int], clips: int, states: int, within: float) -> None:
        self.classes, self.states, self.within = classes, states, within
        self.quiet = np.zeros(clips, dtype=int)
        """States for which each clip's readings have rested."""
        self.at = np.full(clips, -1)
        """State at which each clip was held; -1 while it is not."""
        self.last = 0
        self._before: dict[str, Tensor] = {}
        self._held: Tensor | None = None
        self._is_held: Tensor | None = None

    def see(self, event: Event, reading: Reading) -> None:
        """Note what the clean estimate of a state reads as."""
        assert event.endpoint is not None
        self.last = event.last
        moved = np.zeros(len(self.at))
        for name, count in self.classes.items():
            values = reading.values[TRAINED][name]
            if name in self._before:
                moves = (values - self._before[name]).abs() / count
                moves = moves.mean(1) if event.mask is None else (moves * event.mask).sum(1) / event.mask.sum(1)
                moved = np.maximum(moved, moves.double().cpu().numpy())
            self._before[name] = values
        if event.index == 0 or event.index == event.last:
            return
        self.quiet = np.where(moved < self.within, self.quiet + 1, 0)
        now = (self.at < 0) & (self.quiet >= self.states)
        if now.any():
            self.at[now] = event.index
            rows = torch.from_numpy(now).to(event.endpoint.device)[:, None, None]
            kept = event.endpoint if self._held is None else self._held
            self._held = torch.where(rows, event.endpoint, kept)
            self._is_held = torch.from_numpy(self.at >= 0).to(event.endpoint.device)[:, None, None]

    def __call__(self, endpoint: Tensor, moment: Moment, /) -> Tensor:
        """The clean estimate [B, F, C] with the held clips in the places where they were."""
        if self._held is None or self._is_held is None:
            return endpoint
        return torch.where(self._is_held, self._held.to(endpoint), endpoint)

    def rests(self) -> bool:
        """Whether every clip is held."""
        return bool((self.at >= 0).all())

    @property
    def evaluated(self) -> int:
        """States at which the network was asked, for the whole batch."""
        return int(self.at.max()) + 1 if self.rests() else self.last


def watched(text: str, readout: Readout) -> dict[str, int]:
    """Number of classes of the attributes to watch: those named with commas, or all whose classes have an order.

    Raises:
        InputError: One that the readout does not read, or without an order.
    """
    names = readout.ordered if text == ALL else tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in readout.ordered:
            raise InputError(f"--stop-when-settled takes {', '.join(readout.ordered)} with commas, not {name!r}")
    return {name: len(readout.bins[name]) for name in names}


def require_resting(session: Session) -> None:
    """Raise InputError where the sampler's network cannot be left out."""
    try:
        network_call(session.generator.sampler)
    except ValueError as error:
        raise InputError(f"--stop-when-settled cannot work here: {error}") from error


@contextmanager
def stopping(session: Session, options: TraceOptions, clips: int) -> Iterator[Settling | None]:
    """Hold what settles while the block generates; None where that was not asked for."""
    if options.stop_when_settled is None:
        yield None
        return
    classes = watched(options.stop_when_settled, session.readout)
    settling = Settling(classes, clips, options.settled_states, options.settled_within)
    sampler = session.generator.sampler
    with ExitStack() as stack:
        stack.enter_context(resting(sampler, settling.rests))
        stack.enter_context(attach(sampler, edit_endpoint=settling))
        yield settling


def write_stops(
    session: Session, folder: Path, clips: Sequence[Prompt], settling: Settling, latents: Tensor
) -> list[Path]:
    """Write for each clip where it was stopped, and for the first prompts what that cost; returns the files.

    Args:
        session: Generator and readout.
        folder: Run folder.
        clips: Those of the batch.
        settling: What held them.
        latents: Final latents [B, F, C].
    """
    checked = [row for row, clip in enumerate(clips) if clip.index < CHECKED and clip.seed == 0]
    costs = cost(session, [clips[row] for row in checked], latents[checked]) if checked else []
    about: list[dict[str, Any]] = []
    for clip, at in zip(clips, settling.at.tolist()):
        stopped = None if at < 0 else at
        about.append({"prompt": clip.index, "seed": clip.seed, "stopped_at": stopped})
        about[-1] |= {"evaluated": settling.evaluated, "last": settling.last}
    for row, own in zip(checked, costs):
        about[row]["cost"] = own
    paths = [folder / FOLDER / f"{clip.stem}.json" for clip in clips]
    for path, content in zip(paths, about):
        write_json(path, content)
    return paths


def cost(session: Session, clips: Sequence[Prompt], stopped: Tensor) -> list[dict[str, float | None]]:
    """How far stopped clips [B, F, C] are from the same in full, on the decoded audio.

    Differences of level (dB), centroid (octaves) and pitch (semitones), without their sign, and the log-mel distance.
    """
    audio, tracks = session.listen(clips, stopped, MEASURED)
    whole_audio, whole = session.listen(clips, session.generate(clips), MEASURED)
    rate, costs = session.generator.sample_rate, []
    for own_audio, own, full_audio, full in zip(audio, tracks, whole_audio, whole):
        shifts = own.shift(full).items()
        error: dict[str, float | None] = {name: None if math.isnan(value) else abs(value) for name, value in shifts}
        costs.append(error | {"log_mel_db": distortion(own_audio, full_audio, rate)["log_mel_db"]})
    return costs


def stop_summary(folder: Path) -> dict[str, Any] | None:
    """What stopping early saved and cost in a run folder; None for a run that was sampled to the end.

    `clips` and how many were `stopped`, the mean state `at` which they were, `saved`, the share of the network's
    evaluations that was left out, and `cost`: over the `checked` clips that were generated in full too, the mean
    difference of level (dB), centroid (octaves) and pitch (semitones), without its sign, and the log-mel distance (dB).
    """
    found = [read_json(path) for path in sorted((folder / FOLDER).glob("*.json"))]
    if not found:
        return None
    stopped = [row["stopped_at"] for row in found if row["stopped_at"] is not None]
    costs = [row["cost"] for row in found if "cost" in row]
    names = (*MEASURED, "log_mel_db")
    known = {name: [own[name] for own in costs if own[name] is not None] for name in names}
    return {
        "clips": len(found),
        "stopped": len(stopped),
        "at": float(np.mean(stopped)) if stopped else None,
        "saved": 1 - sum(row["evaluated"] for row in found) / sum(row["last"] for row in found),
        "checked": len(costs),
        "cost": {name: float(np.mean(values)) if values else None for name, values in known.items()},
    }
