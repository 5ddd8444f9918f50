"""E-GMD: 444 hours of drumming on 43 electronic kits (Callender, Hawthorne and Engel, 2020)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from probes.corpus.annotations import Midi, tempo_of
from probes.corpus.collections.base import Collection, number_in, read_rows, those_there
from probes.corpus.collections.mirrors import FileMirror
from probes.corpus.collections.pieces import Piece
from probes.corpus.split import split_named


def find(root: Path, part: str) -> list[Piece]:
    """The recordings of the table, in its own split. An id stands once for every kit, so audio files are the names."""
    tables = sorted(root.glob("e-gmd-v*.csv"))
    if not tables:
        return []
    rows = read_rows(tables[-1], ("split", "audio_filename"))
    return those_there("E-GMD", listed(root, rows, "audio_filename", "midi_filename"), len(rows))


def mirrored(root: Path) -> list[Piece]:
    """The recordings of the mirror's table."""
    rows = read_rows(root / "metadata.csv", ("split", "duration", "audio_path", "midi_path"))
    return listed(root, rows, "audio_path", "midi_path")


def listed(root: Path, rows: Sequence[Mapping[str, str]], audio: str, midi: str) -> list[Piece]:
    """The recordings of a table that name an audio file, whether it is there or not."""
    found = []
    for row in rows:
        name, notes = (row[audio] or "").strip(), row.get(midi)
        if name:
            seconds, tempo = number_in(row.get("duration")), tempo_of(row.get("bpm"))
            annotation = Midi(root / notes, tempo) if notes else None
            found.append(Piece(name, root / name, split_named(row["split"]), seconds, annotation))
    return found


EGMD = Collection(
    "egmd", "E-GMD", "CC BY 4.0", 7.8, "e-gmd-v1.0.0.csv beside the folders of the drummers", ("audio",), find,
    mirror=FileMirror(
        "hf://datasets/schism-audio/e-gmd@4ab131ef425da2486cf2838febb555d6cfb639c8", "metadata.csv", mirrored,
        {"audio": 0.32},
    ),
)  # fmt: skip
