"""Tables of a steering run, and how a run that was interrupted goes on from them."""

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from probes.errors import InputError
from probes.support.files import read_json, write_json, write_whole
from probes.support.identity import require_same

Row = dict[str, Any]
TEXTS = ("id", "edit", "attribute", "kind", "reason", "verdict")
"""Columns whose cells are words, also where these look like numbers."""
LONGEST_NAME = 200
"""Bytes of a version in the name of a file; file systems take 255 with what is written around it."""


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with the union of their columns, the fullest row's first; numbers to six digits. Whole or not at all."""
    fullest: Mapping[str, Any] = max(rows, key=len, default={})
    columns = list(dict.fromkeys(column for row in (fullest, *rows) for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    write_whole(path, text.getvalue().encode())


def read_csv(path: Path, *columns: str) -> list[Row]:
    """Read rows that `write_csv` wrote: numbers as float but for `TEXTS`, empty cells left out; [] without a file.

    Raises:
        InputError: one of the columns is missing, or a row has more cells than there are.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            rows = list(table)
    except (UnicodeDecodeError, csv.Error):
        raise damaged(path) from None
    if (rows and not set(columns) <= set(table.fieldnames or ())) or any(None in row for row in rows):
        raise damaged(path)
    return [
        {key: text if key in TEXTS else number(text) for key, text in row.items() if text not in ("", None)}
        for row in rows
    ]


def damaged(path: Path) -> InputError:
    """Says that a table is not what was written."""
    return InputError(f"{path} is damaged or of something else: restore it, or make the folder anew")


def number(text: str) -> float | str:
    """The number that a cell holds, or the cell."""
    try:
        return float(text)
    except ValueError:
        return text


def clip_file(prompt: int, version: str) -> str:
    """Name in audio/ of a prompt's clip of a version, "plain" or "EDIT-KIND-ALPHA"; an edit may hold a long path."""
    name = version.replace("/", "_")
    if len(name.encode()) > LONGEST_NAME:
        name = f"{name[:40]}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
    return f"{prompt:05d}-{name}.wav"


def held_column(attribute: str) -> str:
    """Column with the 95 % quantile, over frames, of the change of a held attribute's expected class, in classes."""
    return f"held_{attribute}_high"


def held_changes(row: Mapping[str, Any]) -> dict[str, float]:
    """Attribute -> value in its `held_column`, in classes, of the attributes that have one.

    Empty where nothing is held, and for a row of a table that was written before each attribute had its column.
    """
    columns = [match for match in map(re.compile(held_column("(.+)")).fullmatch, row) if match]
    return {match[1]: float(row[match[0]]) for match in columns if not math.isnan(row[match[0]])}


def open_run(folder: Path, name: str, about: Mapping[str, Any]) -> None:
    """Make the folder and write what the run is into `name`, or see that the folder holds the same run.

    Raises:
        InputError: it holds a run with other options, or other files, or cannot be written.
    """
    if (folder / name).exists():
        # As JSON says it: tuples are lists there.
        require_same(folder, "a run", read_json(folder / name), json.loads(json.dumps(about)))
        return
    if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise InputError(f"{folder} holds other files and no {name}: choose an empty or new folder for --out")
    write_json(folder / name, about)
