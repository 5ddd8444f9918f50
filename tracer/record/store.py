"""A run folder: created or continued by `RunStore`, read by `RunReader`.

::

    run.json            every option of the run, the prompt list's hash, and what it was made with
    prompts.csv         index, id, caption
    shards/*.parquet    class distributions: see `tracer.record.shards` for the columns
    frames/*.parquet    class and reading of every frame
    progress.csv, ...   what `tracer.results` makes of them

Every file is written beside its place and moved there when it is whole, so that a process killed at any moment leaves
finished clips and nothing half-finished. A clip is one prompt with one of the run's seeds; clips are counted prompt by
prompt, so that clip number = prompt * seeds + seed. The processes of one launch write into one folder, each its own
shards; a second command is refused while the first has run.json locked.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from probes.errors import InputError
from probes.support.files import (
    Fields,
    Missing,
    file_checksum,
    is_locked,
    lock_file,
    parse_json,
    plain_errors,
    require_fields,
    sweep_temporary,
    sync_folder,
    write_json,
    write_whole,
)
from probes.support.identity import require_same
from probes.support.remote import local_folder
from tracer.prompts import Prompt, prompts_hash
from tracer.record.shards import PromptTrace, ShardPair, write_pair

FORMAT = 2
"""Format of the folder; version 0.1.0 wrote 1, whose frames have no readings."""
Null = type(None)
HEADER: Fields = {"options": dict, "prompts": dict, "about": dict, "checksums": (bool, Missing)}
OPTIONS: Fields = {
    "frames": bool,
    "model": (str, Missing),
    "steps": (int, Null, Missing),
    "seconds": (float, Null, Missing),
    "views": (list, Missing),
    "probes": (list, Missing),
    "steer": (list, Missing),
}
ABOUT: Fields = {
    "prompts": (str, Missing),
    "set": (dict, Null, Missing),
    "bins": (dict, Null, Missing),
    "frame_rate": (float, Null, Missing),
}
"""What is read of the header, of the options, and of what is only recorded."""
FOLLOWS: dict[str, set[str]] = {
    "generator": {"model", "guidance"},
    "conditioning": {"model", "the prompts"},
    "codec": {"model", "save_audio", "ground_truth"},
    "readout": {"model"},
    "state_probes": {"model", "readout", "views"},
    "solver": {"steer"},
    "song_time": {"steer"},
}
"""What a run depends on beside the options that were given, and the options that each may follow from."""
MOST = 10**8
"""Prompts and seeds that a run can have."""
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError)


class RunStore:
    """A run folder that is being written; make one with `open`."""

    def __init__(
        self, path: Path, seeds: int, frames: bool, done: np.ndarray, run: str, held: ExitStack | None = None
    ) -> None:
        self.path = path
        self._frames = frames
        self._done = done
        self._seeds = seeds
        self._run = run
        self._held = held

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        options: Mapping[str, Any],
        prompts: Sequence[Prompt],
        about: Mapping[str, Any] | None = None,
        frames: bool = True,
        clean: bool = True,
        lock: bool = False,
    ) -> RunStore:
        """Create the folder, or continue it when it was made with the same options and prompts.

        Args:
            path: The run folder.
            options: Everything that changes what is measured, under the names of `TraceOptions`; compared on
                continuing.
            prompts: All prompts of the run.
            about: What is only recorded: versions, device, batch size.
            frames: Keep the class of every frame (needed for agreement).
            clean: Check every shard, put damaged ones aside with a warning, and remove what a killed process left.
                Of several processes, one does this before the others open the folder with `clean=False`.
            lock: Keep other commands, which do the same, from the folder until `close`.

        Raises:
            InputError: the folder cannot be written, holds something else, was made with other options, or another
                command has it locked.
        """
        folder = Path(path)
        header = {
            "format": FORMAT,
            "options": {**options, "frames": frames},
            "prompts": {"n": len(prompts), "hash": prompts_hash(prompts)},
            "about": dict(about or {}),
            "checksums": True,
        }
        header = json.loads(json.dumps(header))
        with ExitStack() as held:
            with plain_errors(folder):
                _create(folder, header)
                _require_same(folder, header)
                if lock:
                    told = f"another trace command is writing {folder}: wait for it, or choose another --out"
                    lock_file(held.enter_context(open(folder / "run.json", "r+b")), told)
                for name in ("shards", "frames") if frames else ("shards",):
                    (folder / name).mkdir(exist_ok=True)
                if not _holds(folder / "prompts.csv", prompts):
                    _write_prompts(folder / "prompts.csv", prompts)
                there = _read_header(folder)
                run = run_identity(there)
                if clean:
                    _clean(folder, frames, run, there["checksums"])
            reader = RunReader(folder)
            done = np.zeros(reader.planned, dtype=bool)
            done[reader.indices] = True
            return cls(folder, reader.seeds, frames, done, run, held.pop_all())

    def close(self) -> None:
        """Let other commands have the folder."""
        if self._held is not None:
            self._held.close()

    def pending_batches(self, batch_size: int, process: int = 0, processes: int = 1) -> list[list[int]]:
        """The batches of clip numbers that this process has still to trace.

        Batches are cut from the whole list and dealt out in turn, whatever is finished already: a continued run forms
        the batches of an uninterrupted one, and no two processes share a clip.
        """
        starts = range(0, len(self._done), batch_size)[process::processes]
        batches = (range(start, min(start + batch_size, len(self._done))) for start in starts)
        pending = ([i for i in batch if not self._done[i]] for batch in batches)
        return [batch for batch in pending if batch]

    @property
    def done(self) -> int:
        """How many clips were finished when the folder was opened, and by this process since."""
        return int(self._done.sum())

    def append(self, traces: Sequence[PromptTrace]) -> None:
        """Write the traces of finished clips as one shard. Raises InputError when there is no room for it."""
        indices = [trace.prompt * self._seeds + trace.seed for trace in traces]
        with plain_errors(self.path):
            write_pair(self.path, f"{indices[0]:07d}-{indices[-1]:07d}", traces, self._frames, self._run)
        self._done[indices] = True


class RunReader:
    """A run folder that is being read: clips in order, with memory that does not grow with their number.

    Only the place of each clip is held, eight bytes each. Shards that cannot be opened are left out with a warning.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = local_folder(path)
        header = _read_header(self.path)
        self.options: dict[str, Any] = header["options"]
        self.about: dict[str, Any] = header["about"]
        self._prompts_hash = header["prompts"]["hash"]
        self.seeds = int(self.options.get("seeds", 1))
        """Clips of each prompt."""
        self.planned = int(header["prompts"]["n"]) * self.seeds
        """Clips of the whole run."""
        self.frames = bool(self.options["frames"])
        self._run = run_identity(header)
        self._checked: bool = header["checksums"]
        self._open_pairs: dict[int, ShardPair] = {}
        self._names: list[str] = []
        self._file = np.full(self.planned, -1, dtype=np.int32)
        self._group = np.zeros(self.planned, dtype=np.int32)
        shards = _names(self.path, "shards")
        halves = shards ^ _names(self.path, "frames") if self.frames else set()
        # The two files of a pair are written one after the other.
        for name in () if halves and self.is_being_written else sorted(halves):
            there, missing = ("shard", "frames") if name in shards else ("frames file", "shard")
            told = f"{there} {name} of {self.path} has no {missing} beside it: its clips are left out"
            warnings.warn(f"{told}; run the same trace command again to redo them", stacklevel=2)
        for name in sorted(_shard_names(self.path, self.frames)):
            try:
                pair = ShardPair(self.path, name, self.frames, self._run, self._checked)
            except _READ_ERRORS as error:
                warnings.warn(f"{_damaged(self.path, name, error)}: its clips are left out", stacklevel=2)
                continue
            for group, (prompt, seed) in enumerate(pair.clips):
                clip = prompt * self.seeds + seed
                if 0 <= seed < self.seeds and 0 <= clip < self.planned and self._file[clip] < 0:
                    self._file[clip], self._group[clip] = len(self._names), group
            self._names.append(name)
            pair.close()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: all but the open files."""
        return self.__dict__ | {"_open_pairs": {}}

    @property
    def is_being_written(self) -> bool:
        """Whether a trace command is writing the run."""
        return is_locked(self.path / "run.json")

    @property
    def indices(self) -> np.ndarray:
        """Numbers of the finished clips, in order; those of the prompts where the run has one seed."""
        return np.flatnonzero(self._file >= 0)

    def trace(self, clip: int, pooled: bool = True, classes: bool = True) -> PromptTrace:
        """What was kept of a clip, as `ShardPair.read` gives it.

        Raises InputError when it is not finished or its shard is damaged.
        """
        if not 0 <= clip < self.planned or self._file[clip] < 0:
            prompt = f"prompt {clip // self.seeds}" + (f", seed {clip % self.seeds}" if self.seeds > 1 else "")
            raise InputError(f"{prompt} is not finished in {self.path}: run the same trace command again")
        number = int(self._file[clip])
        try:
            return self._pair(number).read(int(self._group[clip]), pooled, classes)
        except _READ_ERRORS as error:
            raise InputError(
                f"{_damaged(self.path, self._names[number], error)}: run the same trace command again to redo it"
            ) from error

    def changed_sound(self, clip: int, stem: str) -> str | None:
        """The first sound of a clip that is there with other bytes than were written, by its path in the run folder."""
        if not 0 <= clip < self.planned or self._file[clip] < 0:
            return None  # not finished: nothing is known of its sounds
        files = self._pair(int(self._file[clip])).files
        own = {f"audio/{stem}.wav"} | {name for name in files if name.startswith(f"audio/{stem}/")}
        return next((name for name in sorted(own & files.keys()) if _changed(self.path / name, files[name])), None)

    def traces(self, pooled: bool = True, classes: bool = True) -> Iterator[PromptTrace]:
        """The finished clips in order, one at a time."""
        for clip in self.indices:
            yield self.trace(int(clip), pooled, classes)

    def by_prompt(self, pooled: bool = True, classes: bool = True) -> Iterator[list[PromptTrace]]:
        """The finished prompts in order, with all their finished clips at a time."""
        for _, clips in itertools.groupby(self.indices.tolist(), key=lambda clip: clip // self.seeds):
            yield [self.trace(clip, pooled, classes) for clip in clips]

    @property
    def finished(self) -> int:
        """Prompts of which a clip is finished."""
        return len(np.unique(self.indices // self.seeds))

    def prompts(self) -> list[Prompt]:
        """The prompts of the run, finished or not."""
        try:
            with open(self.path / "prompts.csv", newline="", encoding="utf-8") as file:
                found = [Prompt(int(row["index"]), row["id"], row["caption"]) for row in csv.DictReader(file)]
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise InputError(
                f"{self.path / 'prompts.csv'} cannot be read: remove it and run the same trace command again"
            ) from error
        if prompts_hash(found) != self._prompts_hash:
            raise InputError(f"{self.path / 'prompts.csv'} was changed: remove it and run the same trace command again")
        return found

    def _pair(self, number: int) -> ShardPair:
        # Two processes interleave their shards, so a handful stays open.
        if number not in self._open_pairs:
            if len(self._open_pairs) >= 8:
                self._open_pairs.pop(next(iter(self._open_pairs))).close()
            self._open_pairs[number] = ShardPair(self.path, self._names[number], self.frames, self._run, self._checked)
        return self._open_pairs[number]


def _create(folder: Path, header: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "run.json"
    if target.exists():
        return
    if any(not entry.name.startswith(".") for entry in folder.iterdir()) and not target.exists():
        raise InputError(f"{folder} holds other files and no run: choose an empty or new folder for --out")
    mine = folder / f".run.json.{os.getpid()}"
    write_json(mine, header)
    try:
        os.link(mine, target)  # unlike a rename, fails when another process was first
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(mine, target)
    finally:
        mine.unlink(missing_ok=True)
    sync_folder(folder)


def _read_header(folder: Path) -> dict[str, Any]:
    try:
        header = parse_json((folder / "run.json").read_text(encoding="utf-8"))
        require_fields(folder / "run.json", header, HEADER)
        require_fields(folder / "run.json", header["prompts"], {"n": int, "hash": str})
        require_fields(folder / "run.json", header["options"], OPTIONS)
        require_fields(folder / "run.json", header["about"], ABOUT)
        sizes = header["prompts"]["n"], header["options"].get("seeds", 1)
        if not all(type(size) is int and 0 < size <= MOST for size in sizes):
            raise ValueError("counts that no run has")
    except FileNotFoundError as error:
        raise InputError(f"{folder} is not a run folder (no run.json): give the --out of a trace") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder / 'run.json'} cannot be read: trace again into another --out") from error
    if header.get("format") != FORMAT:
        raise InputError(
            f"{folder} was written in format {header.get('format')}, this version reads {FORMAT}: choose another --out"
        )
    return {"checksums": False, **header}  # runs made before clips had checksums do not say


def _require_same(folder: Path, header: dict[str, Any]) -> None:
    there = _read_header(folder)
    old, new = dict(there["options"]), dict(header["options"])
    if there["prompts"] != header["prompts"]:
        told = "n" if there["prompts"]["n"] != header["prompts"]["n"] else "hash"
        old["the prompts"], new["the prompts"] = there["prompts"][told], header["prompts"][told]
    names = _to_name(old, new)
    old, new = ({name: options[name] for name in options if name in names} for options in (old, new))
    require_same(folder, "a run", _as_typed(old), _as_typed(new))


def _to_name(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Names of the options that differ, without those that nobody gave.

    Left out are a default that only one of the two holds, and what follows from another option that is named.
    """
    from tracer.options import TraceOptions

    defaults = {entry.name: entry.default for entry in fields(TraceOptions)}
    shared = old.keys() & new.keys()
    differing = {name for name in old.keys() | new.keys() if name not in shared or old[name] != new[name]}
    one_side = {**old, **new}
    given = {name for name in differing if name in shared or name not in defaults or one_side[name] != defaults[name]}
    return {name for name in given if not given & FOLLOWS.get(name, set())} or differing


def _as_typed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by the names that the command line has for them (`--listen-state`)."""
    from tracer.options import TraceOptions, flags_of

    typed = {entry.name: flags_of(entry)[0].split("/")[0] for entry in fields(TraceOptions)}
    del typed["generator"], typed["options"]  # what is stored under these names is no option
    return {typed.get(name, name): value for name, value in options.items()}


def _write_prompts(path: Path, prompts: Sequence[Prompt]) -> None:
    text = io.StringIO()
    _prompt_table(text, prompts)
    write_whole(path, text.getvalue().encode())


def _prompt_table(text: io.StringIO, prompts: Sequence[Prompt]) -> None:
    writer = csv.writer(text, lineterminator="\n")
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # the other leaves a lone "\r" bare
    writer.writerow(["index", "id", "caption"])
    for prompt in prompts:
        row = [prompt.index, prompt.id, prompt.caption]
        (quoting if "\r" in prompt.id + prompt.caption else writer).writerow(row)


def _holds(path: Path, prompts: Sequence[Prompt]) -> bool:
    """Whether a file is the prompt list, unchanged."""
    text = io.StringIO()
    _prompt_table(text, prompts)
    return path.exists() and path.read_bytes() == text.getvalue().encode()


def _names(folder: Path, kind: str) -> set[str]:
    return {path.stem for path in (folder / kind).glob("*.parquet") if not path.name.startswith(".")}


def _shard_names(folder: Path, frames: bool) -> set[str]:
    return _names(folder, "shards") & _names(folder, "frames") if frames else _names(folder, "shards")


def run_identity(header: Mapping[str, Any]) -> str:
    """Sixteen hex digits of what decides about a run: its options and its prompts."""
    content = json.dumps([header["options"], header["prompts"]], sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _clean(folder: Path, frames: bool, run: str, checked: bool) -> None:
    kinds = ("shards", "frames") if frames else ("shards",)
    sweep_temporary(folder)
    removed: list[str] = []
    for name in sorted(_shard_names(folder, frames)):
        try:
            pair = ShardPair(folder, name, frames, run, checked)
            pair.verify()
            removed += [file for file in pair.files if not os.path.lexists(folder / file)]
            changed = [file for file, checksum in pair.files.items() if _changed(folder / file, checksum)]
            pair.close()
            if changed:
                raise pa.ArrowInvalid(f"{changed[0]} is not what was written beside it")
        except _READ_ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # too many open files, no permission, a failing disk: that says nothing of the shard
            told = f"{_damaged(folder, name, error)}: it is put aside as .damaged and its clips are traced again"
            warnings.warn(told, stacklevel=3)
            for path in (folder / kind / f"{name}.parquet" for kind in kinds):
                if path.exists():
                    path.replace(path.with_name(f"{path.name}.damaged"))
    if removed:
        more = f" and {len(removed) - 1} others" if len(removed) > 1 else ""
        warnings.warn(
            f"{removed[0]}{more} of finished clips were removed from {folder} and are not made again: take another "
            "--out to have them",
            stacklevel=3,
        )
    whole = _shard_names(folder, frames)
    for path in (path for kind in kinds for path in (folder / kind).glob("*.parquet")):
        if path.stem not in whole:  # its partner was never finished
            path.unlink()


def _changed(path: Path, checksum: str) -> bool:
    """Whether something else is there than a clip's file. One that was removed is the user's affair."""
    return os.path.lexists(path) and (not path.is_file() or file_checksum(path) != checksum)


def _damaged(folder: Path, name: str, error: BaseException) -> str:
    reason = " ".join(str(error).split())[:120]
    return f"shard {name} of {folder} is damaged ({reason})"
