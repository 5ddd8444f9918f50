"""Where prompts come from: the built-in captions, MusicCaps, or a file.

A source is one of

- ``demo``: captions of our own (``tracer/data/demo_prompts.csv``), made to cover instruments, registers, dynamics,
  brightness, tempo and genres; the first ``n`` in order.
- ``musiccaps``: the 5,521 captions of ``google/MusicCaps`` at a pinned revision, read through ``datasets``; a seeded
  random choice of ``n``, from the genre-balanced thousand if asked for.
- a path: ``.txt`` (one prompt per line), ``.csv`` (a column ``caption``, ``prompt`` or ``text``; a MusicCaps CSV is
  recognised by its columns and treated like ``musiccaps``), ``.jsonl`` (objects with one of those keys, or strings);
  the first ``n`` in order.

A seeded choice is a prefix of one permutation per seed, so the first 100 of ``n=500`` are the prompts of ``n=100``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from probes.errors import InputError

MUSICCAPS = "google/MusicCaps"
MUSICCAPS_REVISION = "0a51889b340037bb75a9a0858af2e4ece21f7f89"
MUSICCAPS_FILE = "musiccaps-public.csv"
CAPTION_FIELDS = ("caption", "prompt", "text")
_MUSICCAPS_COLUMNS = {"ytid", "caption", "is_balanced_subset"}
LONGEST_CAPTION = 100_000  # characters; the CSV readers of others stop at 131,072
_SUFFIXES = (".txt", ".csv", ".jsonl")


@dataclass(frozen=True)
class Prompt:
    """One prompt of a run.

    Attributes:
        index: Position in the run, from 0; a prompt's noise is seeded from (run seed, index).
        id: Where it comes from: `demo-007`, a MusicCaps `ytid`, the file's own `id`, or a line number.
        caption: The text, on one line.
        seed: Number of its noise among those of a run with several seeds.
    """

    index: int
    id: str
    caption: str
    seed: int = 0

    @property
    def stem(self) -> str:
        """Name of its clip's files: "00003", and "00003-1" for the second seed."""
        return f"{self.index:05d}" + (f"-{self.seed}" if self.seed else "")


def load_prompts(source: str, n: int | None = None, seed: int = 0, balanced: bool = False) -> list[Prompt]:
    """Read prompts from a source.

    Args:
        source: "demo", "musiccaps" or a file; see the module.
        n: Number of prompts; None reads all there are.
        seed: Chooses them, where prompts are chosen at random.
        balanced: Choose from MusicCaps' balanced subset.

    Raises:
        InputError: the source cannot be read or holds fewer than `n` prompts.
    """
    if n is not None and n <= 0:
        raise InputError(f"the number of prompts must be at least 1, not {n}: give --n 1 or more")
    if source == "demo":
        rows, choose = _demo_rows(), False
    elif source == "musiccaps":
        rows, choose = _musiccaps_rows(_download_musiccaps(), balanced, MUSICCAPS), True
    else:
        rows, choose = _file_rows(Path(source).expanduser(), balanced)
    if balanced and not choose:
        raise InputError("the balanced subset exists only in MusicCaps: leave it out, or use --prompts musiccaps")
    _require_enough(source, len(rows), n)
    if choose and n is not None:
        rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))[:n]]
    return [Prompt(index, id_, caption) for index, (id_, caption) in enumerate(rows[:n])]


def choose_prompts(
    prompts: str | Path | Sequence[str], n: int | None = None, seed: int = 0, balanced: bool = False
) -> list[Prompt]:
    """The prompts of a source (16 of demo when `n` is None), or of a list of captions.

    Raises:
        InputError: as `load_prompts`; or a list without captions, with an empty one, or with fewer than `n`.
    """
    if isinstance(prompts, str | Path):
        return load_prompts(str(prompts), 16 if prompts == "demo" and n is None else n, seed, balanced)
    captions = captions_of(prompts)
    for index, caption in enumerate(captions):
        _check_text("--prompts", str(index), caption)
    _require_enough("the list of captions", len(captions), n)
    return [Prompt(index, f"caption-{index:03d}", caption) for index, caption in enumerate(captions[:n])]


def captions_of(prompts: object) -> list[str]:
    """The captions of a list. Raises InputError where it is none, holds none, or holds an empty one."""
    captions = list(prompts) if isinstance(prompts, Iterable) else []
    if not captions or not all(isinstance(caption, str) and caption.strip() for caption in captions):
        raise InputError("--prompts must be a source name, a file, or a list of captions that are not empty")
    return captions


def prompts_hash(prompts: Iterable[Prompt]) -> str:
    """SHA-256 (hex) of the ids and captions in order: equal for equal prompt lists, whatever they were read from."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(json.dumps([prompt.id, prompt.caption]).encode())
    return digest.hexdigest()


def _require_enough(source: str, held: int, n: int | None) -> None:
    if n is not None and n > held:
        count = "1 prompt" if held == 1 else f"{held} prompts"
        raise InputError(f"{source} holds {count}, fewer than the {n} asked for: give --n {held} or less")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _demo_rows() -> list[tuple[str, str]]:
    text = resources.files("tracer").joinpath("data", "demo_prompts.csv").read_text(encoding="utf-8")
    return [(row["id"], row["caption"]) for row in csv.DictReader(io.StringIO(text))]


def _download_musiccaps() -> list[Mapping[str, Any]]:
    import datasets
    import huggingface_hub as hub

    repo, file, revision = MUSICCAPS, MUSICCAPS_FILE, MUSICCAPS_REVISION
    try:
        if not isinstance(hub.try_to_load_from_cache(repo, file, revision=revision, repo_type="dataset"), str):
            # The hub's downloads retry for half a minute without a network; this question fails at once.
            hub.HfApi().dataset_info(repo, revision=revision, timeout=20)
        path = hub.hf_hub_download(repo, file, revision=revision, repo_type="dataset")
        table = datasets.load_dataset("csv", data_files=path, split="train")
        return list(table.select_columns(["ytid", "caption", "is_balanced_subset"]))
    except Exception as error:  # offline, proxy, disk, a changed file: every cause has the same way out
        raise InputError(
            f"{MUSICCAPS} could not be fetched ({type(error).__name__}): fetch {MUSICCAPS_FILE} where there is a"
            f" network and give its path, as in --prompts {MUSICCAPS_FILE}"
        ) from error


def _musiccaps_rows(table: Sequence[Mapping[str, Any]], balanced: bool, name: str) -> list[tuple[str, str]]:
    rows = [
        (str(row["ytid"]), _one_line(row["caption"] or ""))
        for row in table
        if not balanced or str(row["is_balanced_subset"]) == "True"
    ]
    if not any(caption for _, caption in rows):
        raise InputError(f"{name} holds no {'balanced ' if balanced else ''}captions: check that the file is whole")
    return _with_captions(name, rows)


def _file_rows(path: Path, balanced: bool) -> tuple[list[tuple[str, str]], bool]:
    """The (id, caption) rows of a prompt file, and whether it is MusicCaps, whose prompts are chosen at random."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise InputError(
            f"no prompts at {path}: give --prompts demo, musiccaps, or the path of a .txt, .csv or .jsonl file"
        )
    if not path.is_file() or suffix not in _SUFFIXES:
        raise InputError(f"{path} is not a .txt, .csv or .jsonl file: give prompts in one of these forms")
    text = _read_text(path)
    if suffix == ".csv":
        table = _read_csv(path, text)
        if table and set(table[0]) >= _MUSICCAPS_COLUMNS:
            return _musiccaps_rows(table, balanced, str(path)), True
        rows = _caption_rows(path, table)
    elif suffix == ".jsonl":
        rows = _caption_rows(path, _read_jsonl(path, text))
    else:
        # Not splitlines(): a caption may hold U+2028 and its kin, which end no line of a text file.
        lines = re.split(r"\r\n|\n|\r", text)
        rows = [(f"{path.stem}-{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    rows = [(id_, _one_line(caption)) for id_, caption in rows]
    if not any(caption for _, caption in rows):
        raise InputError(f"{path} holds no prompts: write at least one")
    for id_, caption in rows:
        _check_text(str(path), id_, caption)
    return _with_captions(str(path), rows), False


def _with_captions(name: str, rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows that have a caption; warns of the others, since every later prompt has another place and noise then."""
    empty = [id_ for id_, caption in rows if not caption]
    if empty:
        named = ", ".join(id_[:40] for id_ in empty[:3]) + (", ..." if len(empty) > 3 else "")
        count, verb = ("1 row", "is") if len(empty) == 1 else (f"{len(empty)} rows", "are")
        warnings.warn(
            f"{count} of {name} without a caption {verb} left out ({named}): the prompts after it move up, and "
            "their noise is that of their new place",
            stacklevel=3,
        )
    return [row for row in rows if row[1]]


def _check_text(source: str, id_: str, caption: str) -> None:
    """Raise InputError for a caption that cannot be kept in the run's files."""
    if len(caption) > LONGEST_CAPTION or len(id_) > LONGEST_CAPTION:
        raise InputError(
            f"{source}: the caption {caption[:30]!r}... has {len(caption):,} characters, more than "
            f"{LONGEST_CAPTION:,}: shorten it"
        )
    for text in (id_, caption):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{source}: the caption {caption[:60]!a} holds half of a surrogate pair, which is no character: "
                "write the character itself"
            ) from error


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if "\0" in text:
        raise InputError(f"{path} is a binary file, not text: give a .txt, .csv or .jsonl file of captions")
    if not text.strip():
        raise InputError(f"{path} is empty: write at least one prompt")
    return text


def _read_csv(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        table = list(reader)
    except csv.Error as error:
        raise InputError(f"{path} is not a well-formed CSV file ({error}): check its quotes") from error
    columns = list(reader.fieldnames or [])
    for number, row in enumerate(table, 2):
        if None in row:
            raise InputError(f"{path}, row {number}, has more cells than the header: quote captions with commas")
    if not set(columns) & set(CAPTION_FIELDS):
        shown = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
        raise InputError(
            f"{path} has no column {', '.join(CAPTION_FIELDS[:-1])} or {CAPTION_FIELDS[-1]}; its columns are {shown}"
        )
    if not table:
        raise InputError(f"{path} has a header and no rows: write at least one prompt")
    return table


def _read_jsonl(path: Path, text: str) -> list[Mapping[str, Any]]:
    table: list[Mapping[str, Any]] = []
    # Not splitlines(): JSON strings may hold U+2028 and its kin, which are no line ends here.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", type(error).__name__)
            raise InputError(f"{path}, line {number}, is not JSON ({reason}): one object per line") from error
        if isinstance(row, str):
            row = {"caption": row}
        if not isinstance(row, dict) or not set(row) & set(CAPTION_FIELDS):
            raise InputError(f"{path}, line {number}, has no key {', '.join(CAPTION_FIELDS)}: add one of them")
        table.append(row)
    return table


def _caption_rows(path: Path, table: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    rows = []
    for number, row in enumerate(table, 1):
        field = next(name for name in CAPTION_FIELDS if name in row)
        caption = row.get(field)
        if caption is not None and not isinstance(caption, str):
            raise InputError(f"{path}, row {number}: {field} is not text but {type(caption).__name__}")
        id_ = row.get("id")
        rows.append((str(id_) if id_ not in (None, "") else f"{path.stem}-{number}", caption or ""))
    return rows
