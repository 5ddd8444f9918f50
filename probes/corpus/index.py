"""What a corpus says of itself: corpus.json, the table of its files, and the checksum of each file's rows."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from probes.corpus.split import SPLITS, is_hash
from probes.errors import InputError
from probes.support.files import Fields, Missing, read_json, read_json_lines, require_fields

FORMAT = 1
Null = type(None)
CONFIG: Fields = {"space": dict, "attributes": dict, "dtype": str}
SPACE: Fields = {"name": str, "channels": int, "frame_rate": float}
ATTRIBUTE: Fields = {"unit": str, "threshold": float}
ROW: Fields = {
    "name": str,
    "hash": str,
    "split": (str, Null),
    "size": (int, Null),
    "shard": int,
    "start": int,
    "frames": int,
    "sound": (str, Null, Missing),
    "checksums": (dict, Missing),
    "removed": (bool, Missing),
}
"""A line of files.jsonl. Older corpora have no checksums."""


def shard_folder(corpus: Path, shard: int) -> Path:
    """Folder of one shard."""
    return corpus / "shards" / f"{shard:05d}"


def checksum(rows: np.ndarray) -> str:
    """Sixteen hex digits over the bytes of a file's rows in one array, as files.jsonl holds them."""
    return hashlib.blake2b(np.ascontiguousarray(rows).tobytes(), digest_size=8).hexdigest()


def read_config(path: Path) -> dict[str, Any]:
    """corpus.json of a folder.

    Raises:
        InputError: there is none, it is damaged, or of a newer format.
    """
    file = path / "corpus.json"
    if not file.is_file():
        raise InputError(f"{path} is not a corpus (no corpus.json): make one with `trace fit encode`")
    config = read_json(file)
    if config.get("format") != FORMAT:
        raise InputError(f"the corpus {path} has format {config.get('format')}, this version reads {FORMAT}")
    require_fields(file, config, CONFIG)
    require_fields(file, config["space"], SPACE)
    for name, about in config["attributes"].items():
        require_fields(f"{file}, {name}", about, ATTRIBUTE)
    return config


def read_index(path: Path) -> list[dict[str, Any]]:
    """The lines about a corpus's finished files, in the order written; a last one cut short by a crash is left out.

    The last line about a file counts; one with "removed" says that the file has left the corpus.

    Raises:
        InputError: a line that is damaged.
    """
    index = path / "files.jsonl"
    if not index.exists():
        return []
    rows = read_json_lines(index, ROW)
    for number, row in enumerate(rows, 1):
        sizes = row["shard"] >= 0 and row["start"] >= 0 and row["frames"] >= 0
        placed = row["split"] in SPLITS or (row["split"] is None and is_hash(row.get("sound") or row["hash"]))
        if not (sizes and placed):
            raise InputError(f"line {number} of {index} is damaged: restore the file, or make it anew")
    return rows
