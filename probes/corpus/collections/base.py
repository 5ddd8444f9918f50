"""What a collection is: a data set as it lies on disk after unpacking, and which of its files to take."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from probes.corpus.annotations import Midi
from probes.corpus.collections.mirrors import Mirror
from probes.corpus.collections.pieces import Piece
from probes.errors import InputError


@dataclass(frozen=True)
class Collection:
    """A data set that is known by name."""

    name: str
    title: str
    licence: str
    hours: float
    """Hours of it in arXiv 2510.23802."""
    expects: str
    """What lies in its folder."""
    parts: tuple[str, ...]
    """Versions of a recording; the first is taken where none is named."""
    find: Callable[[Path, str], list[Piece]]
    """The recordings below a folder, of one part; [] where the folder holds none."""
    together: bool = False
    """Whether the parts are recordings of one performance: the paper's mix takes the next part for further hours."""
    mirror: Mirror | None = None
    """Where the hub has it."""

    def pieces(self, root: Path, part: str | None = None) -> list[Piece]:
        """The recordings below a folder, in order of their names.

        Args:
            root: Folder of the collection.
            part: One of `parts`; None is the first.

        Raises:
            InputError: An unknown part, or a folder that is not this collection.
        """
        part = self.part_named(part)
        if not root.is_dir():
            raise InputError(f"no such folder: {root}: give the folder of {self.title} with --root")
        found = self.find(root, part)
        if not found:
            raise InputError(f"{root} is not {self.title}: it needs {self.expects}")
        return sorted(found, key=lambda piece: piece.name)

    def versions(self, root: Path) -> dict[str, list[Piece]]:
        """What the paper's mix can take of a folder: the first part, or all that are recordings of one performance."""
        found = {part: self.find(root, part) for part in (self.parts if self.together else self.parts[:1])}
        return {
            part: sorted(
                (piece if part == self.parts[0] else replace(piece, name=f"{part}/{piece.name}") for piece in pieces),
                key=lambda piece: piece.name,
            )
            for part, pieces in found.items()
            if pieces
        }

    def part_named(self, part: str | None) -> str:
        """A part by name, the first where none is given.

        Raises:
            InputError: It has none of this name.
        """
        if part is not None and part not in self.parts:
            raise InputError(f"{self.name} has the parts {', '.join(self.parts)}, not {part!r}")
        return part or self.parts[0]


def read_rows(path: Path, columns: tuple[str, ...]) -> list[Mapping[str, str]]:
    """Rows of a collection's own table.

    Raises:
        InputError: It cannot be read, or lacks one of the columns.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows: list[Mapping[str, str]] = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    lacking = [column for column in columns if not rows or column not in rows[0]]
    if lacking:
        raise InputError(f"{path} has no column {lacking[0]!r}: take the table that comes with the collection")
    return rows


def those_there(title: str, listed: list[Piece], rows: int) -> list[Piece]:
    """The recordings of a table whose audio is there, each with its MIDI file where that is there too.

    Args:
        title: Of the collection.
        listed: Its recordings.
        rows: Number of rows of the table, with a warning for those that have no audio here.

    Raises:
        InputError: None is there.
    """
    found = {piece.name: with_annotation(piece) for piece in listed if piece.path.is_file()}
    if not found:
        raise InputError(f"none of the {rows} recordings in the table of {title} is there: unpack its audio beside it")
    if rows > len(found):
        warnings.warn(f"{title}: {rows - len(found)} of {rows} rows have no audio here and are left out", stacklevel=3)
    return list(found.values())


def with_annotation(piece: Piece) -> Piece:
    """A piece whose annotation is None where its file is missing."""
    lacks = isinstance(piece.annotation, Midi) and not piece.annotation.path.is_file()
    return replace(piece, annotation=None) if lacks else piece


def number_in(text: str | None) -> float | None:
    """A number in a table; None where it is none."""
    try:
        return float(text or "")
    except ValueError:
        return None
