"""Where in the song an edit acts: seconds, named sections, and targets that follow a curve."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from probes.attributes.base import middles
from probes.errors import InputError
from tracer.steering.spec import EditSpec
from tracer.steering.structure import Window, read_structure
from tracer.targets import class_position, named_value

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.steering.vectors import ClosedDisplacement, VectorDisplacement

SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*s?\s*-\s*(\d+(?:\.\d+)?)\s*s?")
RAMP = re.compile(r"ramp\(([^,()]+),([^,()]+)\)")


@dataclass(frozen=True)
class Song:
    """The time axis on which edits act."""

    frame_rate: float
    """Latent frames per second."""
    seconds: float
    """Length of the clip or recording."""
    sections: Mapping[str, Sequence[Window]] = field(default_factory=dict)
    """Windows of each named section, which may come back."""


def song_of(specs: Sequence[EditSpec], frame_rate: float, seconds: float, structure: str | Path | None = None) -> Song:
    """The time axis of a clip or recording, with the sections that a structure file names.

    Raises:
        InputError: the file cannot be read or names no section, or no edit is to act in one.
    """
    if structure is None:
        return Song(frame_rate, seconds)
    if not any(spec.during and not SECONDS.fullmatch(spec.during) for spec in specs):
        raise InputError(f"{structure} names sections and no edit has one: write during=NAME in one, or leave it out")
    return Song(frame_rate, seconds, read_structure(structure, seconds))


def song_for(spec: EditSpec, song: Song | None) -> Song:
    """The time axis that an edit in song time needs; InputError where none is known."""
    if song is None:
        raise InputError(f"{spec} acts at a place in the song, and here no song is known: give `song`")
    return song


def windows_of(spec: EditSpec, song: Song) -> list[Window]:
    """The windows of the song in which an edit acts; the whole song where it names none.

    Raises:
        InputError: no such section, or a window that is empty or lies outside the song.
    """
    if not spec.during:
        return [(0.0, song.seconds)]
    given = SECONDS.fullmatch(spec.during)
    if given is not None:
        found = [(float(given[1]), float(given[2]))]
    elif spec.during in song.sections:
        found = list(song.sections[spec.during])
    else:
        known = f"; it names {', '.join(song.sections)}" if song.sections else " (--structure FILE names some)"
        raise InputError(f"during={spec.during} is neither seconds such as 10s-20s nor a section of the song{known}")
    inside = [(start, min(stop, song.seconds)) for start, stop in found if start < song.seconds]
    if not inside or not any(frames_of(window, song) for window in inside):
        raise InputError(
            f"during={spec.during} holds no latent frame of a song of {song.seconds:.4g} s: give from < to inside it"
        )
    return inside


def frames_of(window: Window, song: Song) -> int:
    """Number of frames whose middle lies in a window."""
    places = middles(round(song.seconds * song.frame_rate) or 1, song.frame_rate)
    return int(((places >= window[0]) & (places < window[1])).sum())


def weights_of(spec: EditSpec, song: Song, frames: int) -> np.ndarray:
    """Strength of an edit on every frame, [frames] in [0, 1].

    It rises over `fade` frames from the beginning of a window and falls over as many towards its end, inside the
    window: outside nothing is moved. At the ends of the song it does not fade.
    """
    places = middles(frames, song.frame_rate)
    total = np.zeros(frames)
    for start, stop in windows_of(spec, song):
        inside = (places >= start) & (places < stop)
        into, left = (places - start) * song.frame_rate, (stop - places) * song.frame_rate
        strength = np.ones(frames)
        if spec.fade and start > 0:
            strength = np.minimum(strength, (into + 0.5) / (spec.fade + 1))
        if spec.fade and stop < song.seconds:
            strength = np.minimum(strength, (left + 0.5) / (spec.fade + 1))
        total = np.maximum(total, np.where(inside, np.clip(strength, 0, 1), 0))
    return total


def inside_and_outside(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames where an edit of this strength [frames] acts in full, and those where it does not act, both bool."""
    return weights >= weights.max(), weights == 0


def goal_of(spec: EditSpec, song: Song, frames: int, readout: Readout) -> np.ndarray | None:
    """Expected class that every frame shall have, [frames]; None for an edit whose target is no curve.

    `ramp(a,b)` goes from a to b over each window; `@FILE` is a table of seconds and values. Between two values it goes
    straight in dB, octaves or semitones.

    Raises:
        InputError: a file that cannot be read, values that are none of the attribute's, or a bare number of pitch.
    """
    if not spec.is_curve:
        return None
    places = middles(frames, song.frame_rate)
    if spec.target.startswith("@"):
        seconds, values = read_curve(Path(spec.target[1:]).expanduser(), spec.attribute, readout)
        return class_position(spec.attribute, np.interp(places, seconds, values), readout)
    found = RAMP.fullmatch(spec.target)
    if found is None:
        raise InputError(f"cannot read the target {spec.target!r}: write ramp(quiet,loud), ramp(-30dB,-12dB) or @FILE")
    ends = [named_value(spec.attribute, found[side].strip(), readout) for side in (1, 2)]
    numbers = np.full(frames, ends[0])
    for start, stop in windows_of(spec, song):
        inside = (places >= start) & (places < stop)
        numbers[inside] = np.interp(places[inside], (start, stop), ends)
    return class_position(spec.attribute, numbers, readout)


def read_curve(path: Path, attribute: str, readout: Readout) -> tuple[np.ndarray, np.ndarray]:
    """Seconds, rising, and the numbers of `named_value` of a table with two columns; a heading is left out.

    Raises:
        InputError: names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [
                (number, row) for number, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the curve {path}: give a .csv with the columns seconds and value") from error
    if rows and rows[0][1][0].strip().lower() == "seconds":
        rows = rows[1:]
    seconds: list[float] = []
    values: list[float] = []
    for number, row in rows:
        try:
            time, text = float(row[0]), row[1].strip()
        except (ValueError, IndexError):
            raise InputError(f"{path}, line {number}: give seconds and a value, such as 2.5,-20dB") from None
        if len(row) > 2 or not 0 <= time < float("inf") or (seconds and time <= seconds[-1]):
            raise InputError(f"{path}, line {number}: give two columns, the seconds rising from 0")
        seconds.append(time)
        values.append(named_value(attribute, text, readout))
    if not seconds:
        raise InputError(f"the curve {path} has no line: give seconds and values")
    return np.array(seconds), np.array(values)


def curve_hash(spec: EditSpec) -> str | None:
    """Sixteen hex digits of a curve's file; None without one."""
    if not spec.target.startswith("@"):
        return None
    return hashlib.blake2b(Path(spec.target[1:]).expanduser().read_bytes(), digest_size=8).hexdigest()


@dataclass
class SongDisplacement:
    """A displacement in windows of the song, towards a curve where there is one; frames outside are not touched."""

    inner: VectorDisplacement | ClosedDisplacement
    spec: EditSpec
    song: Song

    _placed: dict[int, tuple[np.ndarray, np.ndarray | None]] = field(default_factory=dict, repr=False)
    """Strength and goal of every frame, by the number of frames: the same at every state, and a curve's file is read
    once."""

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        frames = latents.shape[1]
        if frames not in self._placed:
            goal = goal_of(self.spec, self.song, frames, self.inner.readout)
            self._placed[frames] = weights_of(self.spec, self.song, frames), goal
        strength, goal = self._placed[frames]
        weights = torch.from_numpy(strength).to(latents)
        inside = weights > 0
        moved = torch.zeros_like(latents)
        if goal is None:
            # A vector in units of a clip's spread looks at the whole clip.
            whole = self.spec.unit == "std"
            part = self.inner(latents)[:, inside] if whole else self.inner(latents[:, inside])
        else:
            wanted = torch.from_numpy(goal).to(latents)[inside]
            part = self.inner.towards(latents[:, inside], wanted.expand(len(latents), -1))  # type: ignore[union-attr]
        moved[:, inside] = weights[inside][:, None] * part
        return moved
