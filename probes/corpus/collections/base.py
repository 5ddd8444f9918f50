"""What a collection is: a data set as it lies on disk after unpacking, and which of its files to take."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from probes.errors import InputError


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
    notes: Path | None = None
    """Annotation of its notes (JAMS or MIDI), where there is one."""


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

    def pieces(self, root: Path, part: str | None = None) -> list[Piece]:
        """The recordings below a folder, in order of their names.

        Args:
            root: Folder of the collection.
            part: One of `parts`; None is the first.

        Raises:
            InputError: An unknown part, or a folder that is not this collection.
        """
        part = part or self.parts[0]
        if part not in self.parts:
            raise InputError(f"{self.name} has the parts {', '.join(self.parts)}, not {part!r}")
        if not root.is_dir():
            raise InputError(f"no such folder: {root}: give the folder of {self.title} with --root")
        found = self.find(root, part)
        if not found:
            raise InputError(f"{root} is not {self.title}: it needs {self.expects}")
        return sorted(found, key=lambda piece: piece.name)


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


def tell_missing(title: str, missing: int, of: int) -> None:
    """Warn of rows of a table whose audio is not there.

    Raises:
        InputError: None is there.
    """
    if missing == of:
        raise InputError(f"none of the {of} recordings in the table of {title} is there: unpack its audio beside it")
    if missing:
        warnings.warn(f"{title}: {missing} of {of} rows have no audio here and are left out", stacklevel=3)


def existing(path: Path) -> Path | None:
    """The path, if there is a file."""
    return path if path.is_file() else None


def seconds_of(text: str | None) -> float | None:
    """A length in a table; None where it is no number."""
    try:
        return float(text or "")
    except ValueError:
        return None
