"""Copies of collections on the hub, of which some hours are taken without the rest."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from probes.corpus.annotations import Annotation
from probes.corpus.collections.pieces import Piece, choose_within, source_of
from probes.corpus.sources import BytesSource, Source
from probes.errors import InputError
from probes.support.remote import fetch, remote_errors


class Mirror(Protocol):
    """A repository on the hub that holds a collection."""

    @property
    def gigabytes(self) -> Mapping[str, float]:
        """What an hour of each part is to fetch."""
        ...

    @property
    def address(self) -> str:
        """Where it is, with its revision."""
        ...

    def take(self, part: str, hours: float, seed: int) -> tuple[list[Piece], list[Piece], Iterator[Source]]:
        """All recordings that it has, those that are taken, and their audio, which is fetched one after the other.

        Raises:
            InputError: The hub cannot be reached, or the repository is not what it was; one line.
        """
        ...


@dataclass(frozen=True)
class FileMirror:
    """One that has every file for itself, and a table of them: only the table and what is taken are fetched.

    They are kept in a copy on this machine, so that the next time they are here.
    """

    url: str
    table: str
    listed: Callable[[Path], list[Piece]]
    """The recordings of the table in a folder, whether their audio is there or not."""
    gigabytes: Mapping[str, float]

    @property
    def address(self) -> str:
        return self.url

    def take(self, part: str, hours: float, seed: int) -> tuple[list[Piece], list[Piece], Iterator[Source]]:
        folder = fetch(self.url, [self.table])
        pieces = self.listed(folder)
        chosen = choose_within(pieces, hours, seed)
        return pieces, chosen, (self.source(folder, piece) for piece in chosen)

    def source(self, folder: Path, piece: Piece) -> Source:
        """A recording with its annotation, fetched."""
        paths = [piece.path, getattr(piece.annotation, "path", None)]
        fetch(self.url, [path.relative_to(folder).as_posix() for path in paths if path is not None])
        return source_of(piece)


@dataclass(frozen=True)
class RowMirror:
    """One that has a row for each recording, with an audio column for each part: `datasets` streams it.

    First the columns that say what there is are read, then the audio column with what is annotated, up to the last row
    that is taken. A group of rows is transferred as a whole, also where not all of them are taken.
    """

    name: str
    revision: str | None
    keys: tuple[str, ...]
    """Columns that `piece` reads."""
    piece: Callable[[Mapping[str, Any], str], Piece | None]
    """The recording of a row, for a part; None where the row holds none."""
    annotated: tuple[str, ...]
    """Columns that `annotation` reads."""
    annotation: Callable[[Mapping[str, Any]], Annotation]
    gigabytes: Mapping[str, float]

    @property
    def address(self) -> str:
        return f"hf://datasets/{self.name}" + (f"@{self.revision}" if self.revision else "")

    def take(self, part: str, hours: float, seed: int) -> tuple[list[Piece], list[Piece], Iterator[Source]]:
        pieces = [piece for row in self.rows(self.keys) if (piece := self.piece(row, part)) is not None]
        chosen = choose_within(pieces, hours, seed)
        return pieces, chosen, self.sources(part, chosen)

    def sources(self, part: str, chosen: Sequence[Piece]) -> Iterator[Source]:
        """The audio of the rows that are taken."""
        left = {piece.name for piece in chosen}
        column = f"audio_{part.replace('-', '_')}"
        for row in self.rows((*self.keys, column, *self.annotated), column) if left else ():
            piece = self.piece(row, part)
            if piece is None or piece.name not in left:
                continue
            left.remove(piece.name)
            content = (row[column] or {}).get("bytes")
            if content:
                annotation = self.annotation(row)
                yield BytesSource(
                    piece.name, piece.split, len(content), content, annotation=annotation, voices=piece.voices
                )
            else:
                warnings.warn(f"left out: {piece.name} of {self.name}, which holds no audio", stacklevel=2)
            if not left:
                return

    def rows(self, columns: Sequence[str], audio: str | None = None) -> Iterator[Mapping[str, Any]]:
        """Some columns of all rows, streamed; that of the audio as the bytes of files.

        Raises:
            InputError: The repository cannot be had, or has not these columns.
        """
        from datasets import Audio, load_dataset

        with remote_errors(self.address):
            rows = load_dataset(self.name, split="train", revision=self.revision, streaming=True, columns=list(columns))
            lacking = sorted(set(columns) - set(rows.features or ()))
            if lacking:
                raise InputError(f"{self.address} has no column {lacking[0]}: give the data set's folder with --root")
            if audio is not None:
                rows = rows.cast_column(audio, Audio(decode=False))
            yield from rows
