"""Files, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from probes.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no such lock: there, two commands on one folder are not noticed
    fcntl = None  # type: ignore[assignment]


class Missing:
    """Among the types of a field of a JSON object: it may be missing."""


Fields = Mapping[str, type | tuple[type, ...]]
"""The fields that a JSON object must have, each with its type or types."""
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with the home folder in the place of ~; where no user has that name, as it is."""
    return Path(os.path.expanduser(path))


@contextlib.contextmanager
def plain_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError raised inside into an InputError: one line on why `path` cannot be written, and what to do."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _FULL:
            raise InputError(
                f"no room left to write {path} ({reason}): free some and run the same command again; "
                "what is finished is kept"
            ) from error
        raise InputError(f"{path} cannot be written ({reason}): choose another --out") from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to, and move it there when the block ends without an error.

    A reader, or a process killed at any moment, sees the old file or the new one, never a part. The folder is made
    where it is missing. After an error the temporary file is removed.

    Raises:
        InputError: The file cannot be written; one line.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with plain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _sync_file(temporary)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes as `whole_file` does."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented, as `whole_file` does."""
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def finite(content: Any) -> Any:
    """JSON content with None in the place of numbers that are not finite, for which JSON has none."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def file_checksum(path: Path) -> str:
    """32 hex digits over a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def parse_json(text: str) -> Any:
    """What JSON text says. Raises ValueError, also for half of a surrogate pair, which no file can hold."""
    content = json.loads(text)
    if "\\u" in text:
        json.dumps(content, ensure_ascii=False).encode()
    return content


def read_json(path: Path, fields: Fields | None = None) -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        path: The file.
        fields: The fields it must have, with their types; None checks none.

    Raises:
        InputError: It is none, or a field is missing or of another type; one line that names the file.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{path} is not valid JSON: {reason}") from error
    require_fields(path, content, fields or {})
    return dict(content)


def read_json_lines(path: Path, fields: Fields) -> list[dict[str, Any]]:
    """The JSON objects of a file that holds one a line. A last line without its end, cut short by a crash, is left out.

    Raises:
        InputError: A line is no object with these fields; one line that names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({os.strerror(error.errno or 0)}): restore the file") from error
    rows = []
    for number, line in enumerate(lines, 1):
        place = f"line {number} of {path}"
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place} is not valid JSON: it is damaged, restore it or make it anew") from error
        require_fields(place, row, fields)
        rows.append(row)
    return rows


def require_fields(place: Path | str, content: Mapping[str, Any], fields: Fields) -> None:
    """Check that a JSON object has these fields, of these types; a whole number stands for a float too.

    Args:
        place: Where it stands: a file, or a line of one.
        content: The object.
        fields: Each field's type, or types. One that may be missing has `Missing` among them.

    Raises:
        InputError: One is missing or of another type; one line that names the place.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"{place} does not hold a JSON object: it is damaged, restore it or make it anew")
    for name, kind in fields.items():
        if name not in content:
            if isinstance(kind, tuple) and Missing in kind:
                continue
            raise InputError(f"{place} has no {name!r}: it is damaged or of something else, restore it or make it anew")
        value = content[name]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        fits = isinstance(value, (*kinds, int) if float in kinds else kinds)
        if not fits or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join("null" if one is type(None) else one.__name__ for one in kinds if one is not Missing)
            raise InputError(f"{place}: {name!r} must be of type {wanted}, not {type(value).__name__}")
        if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
            raise InputError(f"{place}: {name!r} must be a finite number")


def require_each(place: Path | str, values: Mapping[str, Any] | list[Any], kind: type | tuple[type, ...]) -> None:
    """Check that every value of a JSON object or list is of a type, as `require_fields` does."""
    named = {str(number): value for number, value in enumerate(values, 1)} if isinstance(values, list) else values
    require_fields(place, named, dict.fromkeys(named, kind))


def lock_file(file: IO[Any], told: str) -> None:
    """Keep an open file for this process until it closes it or ends, in whatever way.

    Where the system or the disk has no such lock, nothing is done.

    Args:
        file: The file, open for writing, which a shared disk asks for.
        told: What an error says.

    Raises:
        InputError: Another process, or another opening of the file in this one, has it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(told) from error
    except OSError:
        pass


def is_locked(path: Path) -> bool:
    """Whether somebody keeps a file by `lock_file`; False where that cannot be told."""
    if fcntl is None:
        return False
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


_OURS = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.tmp")


def sweep_temporary(folder: Path) -> None:
    """Remove what was being written in a folder and the folders in it when its process was killed."""
    for path in [*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")]:
        found = _OURS.fullmatch(path.name)
        if found and not _runs(int(found["process"])):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _runs(process: int) -> bool:
    """Whether a process of this machine runs."""
    import psutil

    return bool(psutil.pid_exists(process))


def _sync_file(path: Path) -> None:
    with open(path, "r+b") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force the names in a folder onto the disk, where the system can: Windows does not open folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
