"""What comes with a recording and says what is played in it, for labels in the place of measured ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from probes.attributes.bins import NOTES
from probes.attributes.chord import TRIADS
from probes.attributes.score import Harmony, Note, Score
from probes.errors import InputError

MINOR_MODES = ("minor", "aeolian", "dorian", "phrygian", "locrian")
MAJOR_MODES = ("major", "ionian", "lydian", "mixolydian")
"""Modes of a JAMS key by their third."""


class Annotation(Protocol):
    """An annotation of one recording, small enough to hand to another process."""

    def score(self) -> Score:
        """What it says.

        Raises:
            InputError: It cannot be read, or holds no notes; one line.
        """
        ...


@dataclass(frozen=True)
class Jams:
    """A JAMS file: notes of all strings or voices, instructed chords, key, tempo and beats."""

    path: Path
    chords: bool = True
    """Whether the chords are played. A single voice over them does not say which chord is meant."""

    def score(self) -> Score:
        return jams_score(self.path, self.chords)


@dataclass(frozen=True)
class Midi:
    """A MIDI file whose notes and drums are all that is played. Its tempo counts where another table says it."""

    path: Path
    tempo: float | None = None

    def score(self) -> Score:
        return midi_score([self.path], self.tempo)


@dataclass(frozen=True)
class Played:
    """Notes that are known already."""

    notes: tuple[Note, ...]

    def score(self) -> Score:
        return Score(self.notes)


def jams_score(path: Path, chords: bool = True) -> Score:
    """Notes (namespace note_midi), chords, key (key_mode), tempo and beats (beat_position) of a JAMS file.

    Chords are those of the first annotation of the namespace `chord`: GuitarSet's lead sheet, which the players were
    given. Several keys or tempos in one file count as none.

    Args:
        path: The file.
        chords: Whether its chords are played.

    Raises:
        InputError: It cannot be read, or holds no notes; one line.
    """
    try:
        annotations = json.loads(path.read_text(encoding="utf-8"))["annotations"]
        held: dict[str, list[list[Mapping[str, Any]]]] = {}
        for annotation in annotations:
            held.setdefault(annotation["namespace"], []).append(observations(annotation["data"]))
        notes = tuple(
            Note(float(one["time"]), float(one["time"]) + float(one["duration"]), float(one["value"]))
            for voice in held.get("note_midi", [])
            for one in voice
        )
        harmonies = [
            Harmony(float(one["time"]), float(one["time"]) + float(one["duration"]), chord_tones(str(one["value"])))
            for one in next(iter(held.get("chord", [])), [])
        ]
        key = only(key_named(str(one["value"])) for voice in held.get("key_mode", []) for one in voice)
        tempo = only(tempo_of(one["value"]) for voice in held.get("tempo", []) for one in voice)
        beats = tuple(sorted(float(one["time"]) for one in next(iter(held.get("beat_position", [])), [])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JAMS: {type(error).__name__} {str(error)[:80]}") from error
    if not notes:
        raise InputError(f"{path} holds no notes")
    said = None if "chord" not in held else tuple(harmonies) if chords else ()
    return Score(notes, None, said, key, tempo, beats=beats or None)


def observations(data: Any) -> list[Mapping[str, Any]]:
    """The observations of a JAMS annotation, which dense namespaces keep as lists side by side."""
    if isinstance(data, Mapping):
        return [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]
    return list(data)


def tempo_of(value: Any) -> float | None:
    """A tempo as an annotation or a table has it; None where it is no positive number."""
    try:
        tempo = float(value)
    except (TypeError, ValueError):
        return None
    return tempo if 0 < tempo < float("inf") else None


def only(found: Iterable[Any]) -> Any:
    """The one value among those found; None where they differ or there is none."""
    values = set(found)
    return values.pop() if len(values) == 1 else None


def chord_tones(label: str) -> frozenset[int] | None:
    """Pitch classes of a chord in the syntax of Harte et al. (ISMIR 2005), as JAMS has it.

    A chord whose tones up to the fifth are those of a major or minor triad counts as that triad, in any inversion and
    with any seventh, as in MIREX's vocabulary (`mir_eval.chord.majmin`).

    Args:
        label: Such as Eb:maj, A#:hdim7/b7, N.

    Returns:
        The triad, the tones of any other chord, none for N (no chord), None for X (not known).

    Raises:
        ValueError: It is no chord.
    """
    from mir_eval.chord import NO_CHORD, X_CHORD, InvalidChordException, encode

    if label in (NO_CHORD, X_CHORD):
        return frozenset() if label == NO_CHORD else None
    try:
        root, steps, _ = encode(label)
    except InvalidChordException as error:
        raise ValueError(f"{label[:20]!r} is no chord") from error
    tones, lowest = (frozenset(int(root + step) % 12 for step in np.flatnonzero(part)) for part in (steps, steps[:8]))
    return lowest if lowest in TRIADS else tones


def key_named(text: str) -> tuple[int, bool] | None:
    """Pitch class of the tonic and whether its third is minor, of a JAMS key such as Eb:major; None without a mode."""
    tonic, _, mode = text.partition(":")
    place = "CDEFGAB".find(tonic[:1])
    if place < 0 or not tonic or tonic.strip("ABCDEFG#b") or mode not in (*MAJOR_MODES, *MINOR_MODES):
        return None
    natural = (0, 2, 4, 5, 7, 9, 11)[place]
    return (natural + tonic.count("#") - tonic.count("b")) % len(NOTES), mode in MINOR_MODES


def midi_score(paths: Sequence[Path], tempo: float | None = None, family: str | None = None) -> Score:
    """Notes and drum hits of MIDI files that are played together.

    Args:
        paths: The files, one for each voice or one for all.
        tempo: Quarter notes per minute, where it is known from elsewhere: MIDI files are often written with any.
        family: Family of the instrument that leads, where it is known.

    Raises:
        InputError: One cannot be read, or nothing is played in them.
    """
    try:
        import pretty_midi
    except ImportError as error:
        raise InputError("MIDI annotations need pretty_midi: pip install 'generation-tracer[rendering]'") from error
    instruments = []
    for path in paths:
        try:
            instruments += pretty_midi.PrettyMIDI(str(path)).instruments
        except Exception as error:  # the parser has many of its own
            raise InputError(f"{path} cannot be read as MIDI: {type(error).__name__} {str(error)[:80]}") from error
    notes = tuple(
        Note(note.start, note.end, float(note.pitch)) for one in instruments if not one.is_drum for note in one.notes
    )
    hits = tuple(note.start for one in instruments if one.is_drum for note in one.notes)
    if not notes and not hits:
        raise InputError(f"{paths[0]} holds no notes")
    return Score(notes, hits, None, None, tempo, family)
