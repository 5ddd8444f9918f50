"""Data sets by name: `trace fit encode --audio maestro --root DIR`, and the five of arXiv 2510.23802 together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from probes.corpus.collections.base import Collection
from probes.corpus.collections.cocochorales import COCOCHORALES
from probes.corpus.collections.damp_vsep import DAMP_VSEP
from probes.corpus.collections.egmd import EGMD
from probes.corpus.collections.guitarset import GUITARSET
from probes.corpus.collections.maestro import MAESTRO
from probes.corpus.collections.pieces import Piece, Taken, choose, length, source_of
from probes.corpus.sources import Source
from probes.errors import InputError

COLLECTIONS = {one.name: one for one in (GUITARSET, MAESTRO, EGMD, COCOCHORALES, DAMP_VSEP)}
PAPER = "paper"
"""The five together, in the hours of the paper."""
NAMES = (*COLLECTIONS, PAPER)

__all__ = ["COLLECTIONS", "NAMES", "PAPER", "Taken", "collect", "collect_from_hub"]


def collect(name: str, root: str | Path, part: str | None = None, seed: int = 0) -> tuple[list[Source], list[Taken]]:
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
        return [source_of(piece) for piece in pieces], [taken_of(collection, None, pieces, pieces)]
    if part is not None:
        raise InputError("--part goes with one collection, not with the paper's mix")
    sources: list[Source] = []
    table = []
    for collection in COLLECTIONS.values():
        found = find_below(collection, place)
        chosen = choose_versions(found, collection.hours, seed)
        pieces = [piece for those in chosen.values() for piece in those]
        sources += [replace(source_of(piece), name=f"{collection.name}/{piece.name}") for piece in pieces]
        row = taken_of(collection, collection.hours, [piece for those in found.values() for piece in those], pieces)
        told = ", ".join(f"{part} {len(those):,}" for part, those in chosen.items()) if collection.together else ""
        table.append(replace(row, versions=told))
    if not sources:
        raise InputError(f"{place} holds none of {', '.join(COLLECTIONS)}: give the folder in which their folders lie")
    return sources, table


def collect_from_hub(
    name: str, part: str | None = None, hours: float = 1.0, seed: int = 0
) -> tuple[Iterator[Source], list[Taken]]:
    """Sources of some hours of a collection, from its mirror on the hub, fetched as they are asked for.

    Args:
        name: One of `NAMES`.
        part: As in `collect`.
        hours: Never more than these.
        seed: Seed of the choice.

    Raises:
        InputError: The hub has no mirror of it that is known, or cannot be reached; or not one recording is so short.
    """
    mirrors = [one.name for one in COLLECTIONS.values() if one.mirror is not None]
    mirror = COLLECTIONS[name].mirror if name != PAPER else None
    if mirror is None:
        raise InputError(
            f"{name} is known by name, but no mirror of it on the hub: give its folder with --root, or take one of "
            f"{', '.join(mirrors)}"
        )
    if not 0 < hours < float("inf"):
        raise InputError(f"--hours must be positive, not {hours}")
    collection = COLLECTIONS[name]
    there, chosen, sources = mirror.take(collection.part_named(part), hours, seed)
    if not chosen:
        raise InputError(f"no recording of {collection.title} fits into --hours {hours}: ask for more")
    return sources, [replace(taken_of(collection, hours, there, chosen), source=mirror.address)]


def find_below(collection: Collection, place: Path) -> Mapping[str, Sequence[Piece]]:
    """What the mix can take of a collection, by part, in the first of a folder's folders that holds it."""
    if not place.is_dir():
        raise InputError(f"no such folder: {place}: give the folder in which the collections lie")
    for folder in sorted(entry for entry in place.iterdir() if entry.is_dir()):
        if found := collection.versions(folder):
            return found
    return {}


def choose_versions(found: Mapping[str, Sequence[Piece]], hours: float, seed: int) -> dict[str, list[Piece]]:
    """Recordings of the first part in a seeded order, then of the next ones, until they make up some hours."""
    chosen: dict[str, list[Piece]] = {}
    for part, pieces in found.items():
        if hours > 0:
            chosen[part] = choose(pieces, hours, seed)
            hours -= sum(map(length, chosen[part])) / 3600
    return chosen


def taken_of(collection: Collection, wanted: float | None, found: Sequence[Piece], chosen: Sequence[Piece]) -> Taken:
    """The row of a collection."""
    hours = sum(map(length, chosen)) / 3600
    return Taken(collection.name, collection.licence, wanted, len(found), len(chosen), hours)
