"""What the page of a run shows of each clip: its caption, when it settled, its readings at every state, its sound."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.errors import InputError
from tracer.curves import MEASURED, NO_CLASS, TRAINED, Curve
from tracer.measures.contrast import parts_of, ratio
from tracer.measures.progress import settled
from tracer.page.folder import bring, bring_as_ogg, write_data
from tracer.prompts import Prompt
from tracer.record import contrasts
from tracer.record.buffer import STEP
from tracer.record.listening import sound_path, sounds

if TYPE_CHECKING:
    from tracer.record.shards import PromptTrace
    from tracer.run import Run


def write_songs(run: Run, folder: Path, prompts: Sequence[int] | None, report: Callable[[int, int], None]) -> None:
    """Write data/songs.js, the list of clips, and for each clip data/clip-STEM.js and its sounds.

    Args:
        run: The run.
        folder: Folder of the page.
        prompts: Indices of the prompts to show; None for all that are finished.
        report: Called with the number of clips that are written, and of all.

    Raises:
        InputError: A prompt is not finished or does not exist, or a sound was changed since it was written.
    """
    clips = chosen(run, prompts)
    when = settled_states(run)
    songs = []
    for done, clip in enumerate(clips):
        report(done, len(clips))
        number, seed = divmod(clip, run.reader.seeds)
        prompt = run.prompts[number]
        stem = Prompt(number, prompt.id, prompt.caption, seed).stem
        trace = run.reader.trace(clip, pooled=False)
        if changed := run.reader.changed_sound(clip, stem):
            raise InputError(f"{run.path / changed} is not what the run wrote: give its trace command again to redo it")
        heard = bring_sounds(run.path, folder, stem)
        write_data(folder, f"clip-{stem}", readings(trace, run) | {"sounds": heard})
        song = {"stem": stem, "prompt": number, "seed": seed, "caption": prompt.caption, "settled": when.get(clip, {})}
        songs.append(song)
    write_data(folder, "songs", songs)
    report(len(clips), len(clips))


def chosen(run: Run, prompts: Sequence[int] | None) -> list[int]:
    """Numbers of the finished clips of some prompts, or of all."""
    clips = [int(clip) for clip in run.reader.indices]
    if prompts is None:
        return clips
    found = [clip for clip in clips if clip // run.reader.seeds in set(prompts)]
    missing = sorted(set(prompts) - {clip // run.reader.seeds for clip in found})
    if missing:
        there = sorted({clip // run.reader.seeds for clip in clips})
        some = ",".join(str(number) for number in there[:3])
        raise InputError(f"{run.path} has no finished prompt {missing[0]}: --prompts takes numbers such as {some}")
    return found


def settled_states(run: Run) -> dict[int, dict[str, int]]:
    """For each clip, the state from which each attribute of the endpoint (or of the one view) is settled."""
    measure = run.results.main_measure
    if not run.reader.frames or not (run.path / contrasts.FILE).exists():
        return {}
    view = "endpoint" if "endpoint" in run.views else run.views[0]
    found: dict[int, dict[str, int]] = {}
    known: set[str] = set()
    # By agreement where an attribute's classes have no order.
    for each in dict.fromkeys((measure, "agreement")):
        rows = contrasts.read_contrasts(run.path, TRAINED, each)
        held = {(own, name): clips for (own, name), clips in rows.items() if own == view and name not in known}
        for (_, attribute), clips in held.items():
            known.add(attribute)
            for (prompt, seed), (own, other, *_) in clips.items():
                curve = ratio(*parts_of(each, own, other))
                if np.isfinite(curve).all():
                    found.setdefault(prompt * run.reader.seeds + seed, {})[attribute] = int(settled(curve))
    return found


def readings(trace: PromptTrace, run: Run) -> dict[str, Any]:
    """Readings of every frame and state, of each view and attribute, packed as base64.

    `readings` are 16-bit, in steps of 1/64 class, [states, frames], and whole classes where these have no order;
    `valid` and `measured` (class, 255 for none) 8-bit.
    """
    kept: dict[str, dict[str, Any]] = {}
    frames = 0
    for curve, classes in trace.classes.items():
        if curve.probe != TRAINED:
            continue
        values = trace.values.get(curve, classes).astype(np.float64)
        frames = values.shape[1]
        steps = np.clip(np.round(values * STEP), 0, 2**16 - 1).astype("<u2")
        own = {"readings": packed(steps), "valid": packed(trace.valid[curve].astype(np.uint8))}
        measured = trace.classes.get(Curve(curve.view, MEASURED, curve.attribute))
        if measured is not None and (measured != NO_CLASS).any():
            own["measured"] = packed(measured)
        kept.setdefault(curve.view, {})[curve.attribute] = own
    rate = run.reader.about.get("frame_rate") or frames / run.options["seconds"]
    return {"frames": frames, "frame_rate": rate, "read": kept}


def packed(values: np.ndarray) -> str:
    """The bytes of an array as base64."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def bring_sounds(run: Path, folder: Path, stem: str) -> dict[str, dict[str, str]]:
    """Bring a clip's sounds into the page.

    Returns:
        For each view, the file of each state, by its index. A clip without sounds of its states has its finished sound
        as that of the last state, "last".
    """
    heard = {
        view: {str(index): _brought(sound_path(run, stem, view, index), folder, run) for index in indices}
        for view, indices in sounds(run, stem).items()
    }
    clip = run / "audio" / f"{stem}.wav"
    if not heard and clip.exists():
        bring_as_ogg(clip, folder / "audio" / f"{stem}.ogg")
        heard = {"endpoint": {"last": f"audio/{stem}.ogg"}}
    return heard


def _brought(path: Path, folder: Path, run: Path) -> str:
    name = path.relative_to(run)
    bring(path, folder / name)
    return name.as_posix()
