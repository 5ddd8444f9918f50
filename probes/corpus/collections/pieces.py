"""One recording of a collection, and the choice of some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from probes.corpus.annotations import Annotation
from probes.corpus.sources import FileSource

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
"""Shares of the splits in hours that are asked for of a mirror."""


@dataclass(frozen=True)
class Piece:
    """One recording of a collection."""

    name: str
    """Unique within the collection."""
    path: Path
    split: str | None
    """train, val or test; None to go by content."""
    seconds: float | None = None
    """Length, where the collection's own table says it."""
    annotation: Annotation | None = None
    """What says what is played, where there is something."""
    voices: bool = False
    """Whether its channels are voices recorded apart."""


@dataclass(frozen=True)
class Taken:
    """What was taken of one collection."""

    name: str
    licence: str
    wanted: float | None
    """Hours asked for; None is all."""
    there: int
    """Recordings that are there; 0 where the collection is missing."""
    taken: int
    hours: float
    """Hours of what was taken."""
    versions: str = ""
    """How many of which versions were taken, where the recordings have several."""
    source: str = ""
    """Address on the hub, where it was not on this machine."""


def choose(pieces: Sequence[Piece], hours: float, seed: int) -> list[Piece]:
    """Recordings in a seeded order until they make up some hours; the one that passes the mark is the last."""
    chosen, seconds = [], 0.0
    for index in np.random.default_rng(seed).permutation(len(pieces)):
        if seconds >= hours * 3600:
            break
        chosen.append(pieces[index])
        seconds += length(pieces[index])
    return sorted(chosen, key=lambda piece: piece.name)


def choose_within(pieces: Sequence[Piece], hours: float, seed: int) -> list[Piece]:
    """Recordings in a seeded order, each that still fits into its split's share of the hours: never more than those.

    Recordings of no known length or split are left out.
    """
    room = {split: share * hours * 3600 for split, share in SHARES.items()}
    chosen = []
    for index in np.random.default_rng(seed).permutation(len(pieces)):
        piece = pieces[index]
        if piece.split in room and piece.seconds is not None and 0 < piece.seconds <= room[piece.split]:
            room[piece.split] -= piece.seconds
            chosen.append(piece)
    return sorted(chosen, key=lambda piece: piece.name)


def length(piece: Piece) -> float:
    """Seconds of a recording; 0 where it cannot be read, which the encoder will say."""
    if piece.seconds is not None:
        return piece.seconds
    import soundfile

    try:
        return float(soundfile.info(piece.path).duration)
    except (soundfile.SoundFileError, OSError):
        return 0.0


def source_of(piece: Piece) -> FileSource:
    """What the encoder takes."""
    size = piece.path.stat().st_size
    return FileSource(piece.name, piece.split, size, piece.path, annotation=piece.annotation, voices=piece.voices)
