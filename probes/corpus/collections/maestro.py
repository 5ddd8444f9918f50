"""MAESTRO v3: 199 hours of piano competitions with aligned MIDI (Hawthorne et al., ICLR 2019)."""

from pathlib import Path

from probes.corpus.collections.base import Collection, Piece, existing, read_rows, seconds_of, tell_missing
from probes.corpus.split import split_named


def find(root: Path, part: str) -> list[Piece]:
    """The recordings of the table, in its own split."""
    tables = sorted(root.glob("maestro-v*.csv"))
    if not tables:
        return []
    rows = read_rows(tables[-1], ("split", "audio_filename"))
    found = []
    for row in rows:
        name, notes = row["audio_filename"], row.get("midi_filename")
        midi = existing(root / notes) if notes else None
        found.append(Piece(name, root / name, split_named(row["split"]), seconds_of(row.get("duration")), midi))
    there = [piece for piece in found if piece.path.is_file()]
    tell_missing("MAESTRO", len(found) - len(there), len(found))
    return there


MAESTRO = Collection(
    "maestro", "MAESTRO v3", "CC BY-NC-SA 4.0", 11.7, "maestro-v3.0.0.csv beside the folders of the years", ("audio",),
    find,
)  # fmt: skip
