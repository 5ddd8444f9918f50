"""Damage to files, drawn from a source of random numbers: the same source does the same damage."""

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WORDS = ("caption", "index", "frames", "shard", "k", "nan", "-1", "0", "train", "'", ",", "=", "+", "[", "{", "alpha")
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**400,
    2**63,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\ud800",
    "x" * 200_000,
    "../../../etc/passwd",
    "[red]x[/red] $\\frac{1}{0}$ {0.__class__}",
    [],
    {},
    [[1, 2], "a", None],
)
ODD_TEXT = (
    "\ud800",
    "\0",
    "\ufeff",
    "\u2028",
    "9" * 5000,
    "nan",
    "inf",
    "1e999",
    "-0",
    "99999dB",
    "\r",
    '"',
    "\t",
    "é́",
)
MARKER = "code-was-run"


class _Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (self.marker,)


def damage(folder: Path, source: random.Random, only: tuple[str, ...] = ()) -> str:
    """Do one thing to one file below `folder` (those with a name in `only`, if given). Returns what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = [path for path in files if not only or path.name in only or path.suffix in only]
    path = source.choice(files)
    kinds = list(GENERAL)
    if path.suffix in (".json", ".jsonl"):
        kinds += list(JSON) * 3
    if path.suffix in (".csv", ".txt", ".jsonl", ".md"):
        kinds += list(TEXT) * 2
    if path.suffix in (".npy", ".safetensors"):
        kinds += list(NUMBERS) * 2
    if path.suffix == ".parquet":
        kinds += list(TABLES) * 3
    kind = source.choice(kinds)
    return f"{kind.__name__.strip('_')} {path.relative_to(folder)}: {kind(path, source)}"


def damage_text(text: str, source: random.Random) -> str:
    """The text with one to three changes."""
    for _ in range(source.randint(1, 3)):
        place, end = sorted((source.randint(0, len(text)), source.randint(0, len(text))))
        text = source.choice(
            (
                lambda text, place, end: text[:place] + text[end:],
                lambda text, place, end: text[:place] + source.choice(ODD_TEXT + WORDS) + text[place:],
                lambda text, place, end: text[:place] + source.choice(ODD_TEXT + WORDS) + text[end:],
                lambda text, place, end: text[:end] + text[place:end] * source.choice((1, 3, 500)) + text[end:],
            )
        )(text, place, end)
    return text


def truncate(path: Path, source: random.Random) -> str:
    size = source.randrange(max(1, path.stat().st_size))
    os.truncate(path, size)
    return f"{size} bytes left"


def flip_bytes(path: Path, source: random.Random) -> str:
    data = bytearray(path.read_bytes())
    places = [source.randrange(len(data)) for _ in range(source.choice((1, 1, 4, 64)))] if data else []
    for place in places:
        data[place] ^= 1 << source.randrange(8)
    path.write_bytes(data)
    return f"bytes {places[:4]}"


def zero_bytes(path: Path, source: random.Random) -> str:
    data = bytearray(path.read_bytes())
    start = source.randrange(max(1, len(data)))
    length = min(len(data) - start, source.choice((1, 512, 4096)))
    data[start : start + length] = bytes(length)
    path.write_bytes(data)
    return f"{length} from {start}"


def empty(path: Path, source: random.Random) -> str:
    path.write_bytes(b"")
    return ""


def remove(path: Path, source: random.Random) -> str:
    path.unlink()
    return ""


def append(path: Path, source: random.Random) -> str:
    more = source.choice((b"\0" * 100, b"\n", b"garbage", path.read_bytes()))
    path.write_bytes(path.read_bytes() + more)
    return f"{len(more)} bytes"


def folder_instead(path: Path, source: random.Random) -> str:
    path.unlink()
    path.mkdir()
    return ""


def link_loop(path: Path, source: random.Random) -> str:
    path.unlink()
    path.symlink_to(path.name)
    return ""


def other_content(path: Path, source: random.Random) -> str:
    marker = str(path.parent / MARKER)
    contents = {
        "pickle": pickle.dumps(_Bomb(marker)),
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234\n",
        "page": b"<!DOCTYPE html><html><body>404</body></html>",
        "list": b"[1, 2, 3]",
        "nothing": b"null",
        "deep": b"[" * 100_000 + b"]" * 100_000,
        "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "zip": b"PK\x03\x04" + b"\0" * 100,
        "binary": bytes(range(256)) * 8,
    }
    name = source.choice(sorted(contents))
    path.write_bytes(contents[name])
    return name


def swap(path: Path, source: random.Random) -> str:
    others = sorted(other for other in path.parent.iterdir() if other.is_file() and other != path)
    if not others:
        return "nothing to swap with"
    other = source.choice(others)
    mine, its = path.read_bytes(), other.read_bytes()
    path.write_bytes(its)
    other.write_bytes(mine)
    return other.name


def copy_over(path: Path, source: random.Random) -> str:
    others = sorted(other for other in path.parent.iterdir() if other.is_file() and other != path)
    if not others:
        return "nothing to copy"
    other = source.choice(others)
    shutil.copyfile(other, path)
    return f"by {other.name}"


def _change_json(content: Any, source: random.Random) -> str:
    """Change one value of a JSON structure in place."""
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        keys = list(part) if isinstance(part, dict) else list(range(len(part))) if isinstance(part, list) else []
        for key in keys:
            places.append((part, key))
            walk(part[key])

    walk(content)
    if not places:
        return "nothing in it"
    part, key = source.choice(places)
    kind = source.choice(("replace", "replace", "replace", "delete", "rename", "add", "number"))
    if kind == "delete":
        del part[key]
    elif kind == "rename" and isinstance(part, dict):
        part[f"{key}x"] = part.pop(key)
    elif kind == "add" and isinstance(part, dict):
        part["surplus"] = source.choice(VALUES)
    elif kind == "number" and isinstance(part[key], int | float) and not isinstance(part[key], bool):
        part[key] = source.choice((part[key] + 1, -part[key], part[key] * 2, float(part[key]), str(part[key])))
    else:
        part[key] = source.choice(VALUES)
    return f"{kind} {key}: {str(part[key] if kind == 'replace' else '')[:40]}"


def json_value(path: Path, source: random.Random) -> str:
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    number = source.randrange(len(lines))
    content = json.loads(lines[number])
    told = _change_json(content, source)
    lines[number] = json.dumps(content)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"line {number}, {told}"


def lines(path: Path, source: random.Random) -> str:
    rows = path.read_bytes().splitlines(keepends=True)
    number = source.randrange(max(1, len(rows)))
    kind = source.choice(("delete", "double", "reverse", "blank", "cut"))
    if kind == "delete":
        del rows[number : number + 1]
    elif kind == "double":
        rows[number:number] = rows[number : number + 1]
    elif kind == "reverse":
        rows[1:] = rows[1:][::-1]
    elif kind == "blank":
        rows.insert(number, b"\n")
    elif rows:
        rows[number] = rows[number][: len(rows[number]) // 2] + b"\n"
    path.write_bytes(b"".join(rows))
    return f"{kind} {number}"


def text(path: Path, source: random.Random) -> str:
    changed = damage_text(path.read_text(encoding="utf-8", errors="surrogateescape"), source)
    path.write_bytes(changed.encode("utf-8", errors="surrogatepass"))
    return ""


def number(path: Path, source: random.Random) -> str:
    data = bytearray(path.read_bytes())
    value = source.choice((float("nan"), float("inf"), -float("inf"), 1e30, 0.0, -1.0, 123.0))
    start = len(data) - 4 * source.randint(1, max(1, (len(data) - 400) // 4))
    data[start : start + 4] = np.float32(value).tobytes()
    path.write_bytes(data)
    return f"{value} at {start}"


def parquet_table(path: Path, source: random.Random) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    kind = source.choice(("rows", "column", "metadata", "groups", "order", "values"))
    size = max(1, table.num_rows // max(1, pq.ParquetFile(path).num_row_groups))
    if kind == "rows":
        table = table.slice(0, source.randrange(table.num_rows))
    elif kind == "column":
        table = table.drop_columns([source.choice(table.column_names)])
    elif kind == "metadata":
        table = table.replace_schema_metadata({})
    elif kind == "groups":
        size = 1
    elif kind == "order":
        table = table.take(pa.array(list(range(table.num_rows))[::-1]))
    else:
        name = source.choice(table.column_names)
        column = table[name]
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values = column.to_pylist()
            values[source.randrange(len(values))] = source.choice((0, 1, 3))
            table = table.set_column(
                table.column_names.index(name), table.schema.field(name), pa.array(values, column.type)
            )
        kind = f"values of {name}"
    pq.write_table(table, path, row_group_size=size)
    return kind


GENERAL = (
    truncate, flip_bytes, flip_bytes, zero_bytes, empty, remove, append, folder_instead, link_loop, other_content,
    other_content, swap, copy_over,
)  # fmt: skip
JSON = (json_value,)
TEXT = (lines, text)
NUMBERS = (number,)
TABLES = (parquet_table,)
