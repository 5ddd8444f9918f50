"""Data sets by name: `trace fit encode --audio maestro --root DIR`, and the five of arXiv 2510.23802 together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from probes.corpus.collections.base import Collection, Piece
from probes.corpus.collections.cocochorales import COCOCHORALES
from probes.corpus.collections.damp_vsep import DAMP_VSEP
from probes.corpus.collections.egmd import EGMD
from probes.corpus.collections.guitarset import GUITARSET
from probes.corpus.collections.maestro import MAESTRO
from probes.corpus.sources import FileSource
from probes.errors import InputError

COLLECTIONS = {one.name: one for one in (GUITARSET, MAESTRO, EGMD, COCOCHORALES, DAMP_VSEP)}
PAPER = "paper"
"""The five together, in the hours of the paper."""
NAMES = (*COLLECTIONS, PAPER)


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


def collect(
    name: str, root: str | Path, part: str | None = None, seed: int = 0
) -> tuple[list[FileSource], list[Taken]]:
    """Sources of a collection, or of the paper's mix of the five.

    Args:
        name: One of `NAMES`.
        root: Folder of the collection; of the mix, a folder that holds the collections' folders, named as they like.
        part: Version of the recordings, where a collection has several.
        seed: Seed of the choice, for the mix.

    Raises:
        InputError: An unknown name or part, or a folder that holds nothing of it.
    """
    place = Path(root).expanduser()
    if name not in NAMES:
        raise InputError(f"--root goes with a collection by name, one of {', '.join(NAMES)}, not {name!r}")
    if name != PAPER:
        collection = COLLECTIONS[name]
        pieces = collection.pieces(place, part)
        return sources_of(pieces), [taken_of(collection, None, pieces, pieces)]
    if part is not None:
        raise InputError("--part goes with one collection, not with the paper's mix")
    sources: list[FileSource] = []
    table = []
    for collection in COLLECTIONS.values():
        found = find_below(collection, place)
        chosen = choose(found, collection.hours, seed)
        sources += [replace(source, name=f"{collection.name}/{source.name}") for source in sources_of(chosen)]
        table.append(taken_of(collection, collection.hours, found, chosen))
    if not sources:
        raise InputError(f"{place} holds none of {', '.join(COLLECTIONS)}: give the folder in which their folders lie")
    return sources, table


def find_below(collection: Collection, place: Path) -> list[Piece]:
    """The recordings of a collection in the first of a folder's folders that holds it; [] where none does."""
    if not place.is_dir():
        raise InputError(f"no such folder: {place}: give the folder in which the collections lie")
    for folder in sorted(entry for entry in place.iterdir() if entry.is_dir()):
        if pieces := collection.find(folder, collection.parts[0]):
            return sorted(pieces, key=lambda piece: piece.name)
    return []


def choose(pieces: list[Piece], hours: float, seed: int) -> list[Piece]:
    """Recordings in a seeded order until they make up some hours; the one that passes the mark is the last."""
    order = np.random.default_rng(seed).permutation(len(pieces))
    chosen, seconds = [], 0.0
    for index in order:
        if seconds >= hours * 3600:
            break
        chosen.append(pieces[index])
        seconds += length(pieces[index])
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


def taken_of(collection: Collection, wanted: float | None, found: list[Piece], chosen: list[Piece]) -> Taken:
    """The row of a collection."""
    hours = sum(map(length, chosen)) / 3600
    return Taken(collection.name, collection.licence, wanted, len(found), len(chosen), hours)


def sources_of(pieces: list[Piece]) -> list[FileSource]:
    """What the encoder takes."""
    return [FileSource(piece.name, piece.split, piece.path.stat().st_size, piece.path, piece.notes) for piece in pieces]
