"""E-GMD: 444 hours of drumming on 43 electronic kits (Callender, Hawthorne and Engel, 2020)."""

from pathlib import Path

from probes.corpus.collections.base import Collection, Piece, read_rows, seconds_of, tell_missing
from probes.corpus.split import split_named


def find(root: Path, part: str) -> list[Piece]:
    """The recordings of the table, in its own split. An id stands once for every kit, so audio files are the names."""
    tables = sorted(root.glob("e-gmd-v*.csv"))
    if not tables:
        return []
    rows = read_rows(tables[-1], ("split", "audio_filename"))
    found = {}
    for row in rows:
        name = (row["audio_filename"] or "").strip()
        if name and (root / name).is_file():
            found[name] = Piece(name, root / name, split_named(row["split"]), seconds_of(row.get("duration")))
    tell_missing("E-GMD", len(rows) - len(found), len(rows))
    return list(found.values())


EGMD = Collection(
    "egmd", "E-GMD", "CC BY 4.0", 7.8, "e-gmd-v1.0.0.csv beside the folders of the drummers", ("audio",), find
)
