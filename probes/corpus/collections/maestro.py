"""MAESTRO v3: 199 hours of piano competitions with aligned MIDI (Hawthorne et al., ICLR 2019)."""

from pathlib import Path

from probes.corpus.annotations import Midi
from probes.corpus.collections.base import Collection, number_in, read_rows, those_there
from probes.corpus.collections.mirrors import FileMirror
from probes.corpus.collections.pieces import Piece
from probes.corpus.split import split_named


def find(root: Path, part: str) -> list[Piece]:
    """The recordings of the table, in its own split."""
    if not list(root.glob("maestro-v*.csv")):
        return []
    pieces = listed(root)
    return those_there("MAESTRO", pieces, len(pieces))


def listed(root: Path) -> list[Piece]:
    """The recordings of the table, whether their audio is there or not. The tempo of the MIDI files says nothing."""
    found = []
    for row in read_rows(sorted(root.glob("maestro-v*.csv"))[-1], ("split", "audio_filename")):
        name, notes = row["audio_filename"], row.get("midi_filename")
        annotation = Midi(root / notes) if notes else None
        found.append(Piece(name, root / name, split_named(row["split"]), number_in(row.get("duration")), annotation))
    return found


MAESTRO = Collection(
    "maestro", "MAESTRO v3", "CC BY-NC-SA 4.0", 11.7, "maestro-v3.0.0.csv beside the folders of the years", ("audio",),
    find,
    mirror=FileMirror(
        "hf://datasets/ddPn08/maestro-v3.0.0@67e586b1dcf5925c94a6729fcd5eb7f23d504fac", "maestro-v3.0.0.csv", listed,
        {"audio": 0.61},
    ),
)  # fmt: skip
