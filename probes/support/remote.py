"""Folders that lie elsewhere (s3://, gs://, hf://, ...), read through a copy on this machine that is kept in step."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from probes.errors import InputError
from probes.support.files import expanded, read_json, write_json

# Path("s3://bucket/run") spells itself with one slash.
_URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]+):(?P<slashes>/+)(?P<rest>.*)", re.DOTALL)
_VERSIONS = (
    "etag", "ETag", "blob_id", "checksum", "md5Hash", "generation", "LastModified", "last_modified", "mtime", "created",
)  # fmt: skip
"""What the drivers call the mark of a file's content, or the time of its last change."""
_LOCAL = ("file", "local")


def url_of(place: str | os.PathLike[str]) -> str | None:
    """The URL that a place stands for; None for a path of this machine."""
    found = _URL.fullmatch(os.fspath(place))
    if not found:
        return None
    from fsspec import available_protocols

    if len(found["slashes"]) == 1 and found["protocol"] not in available_protocols():
        return None
    slashes = "///" if found["protocol"] in _LOCAL else "//"
    return f"{found['protocol']}:{slashes}{found['rest'].rstrip('/')}"


def refuse_remote(place: str | os.PathLike[str], option: str = "--out") -> None:
    """Refuse a URL where something is to be written.

    Raises:
        InputError: It is one.
    """
    url = url_of(place)
    if url is not None:
        raise InputError(
            f"{option} {url} is not on this machine: give a folder here, and copy it there, or `trace push` a run"
        )


def local_folder(place: str | os.PathLike[str]) -> Path:
    """The folder of a place: itself, or for a URL a copy on this machine, made or brought up to date.

    Args:
        place: A path, in which ~ is the home folder, or a URL of a protocol that fsspec knows.

    Raises:
        InputError: There is no driver for the protocol, nothing lies there, or it cannot be read; one line.
    """
    url = url_of(place)
    return expanded(place) if url is None else fetch(url)


def fetch(url: str, names: Sequence[str] | None = None) -> Path:
    """Bring the copy of a remote folder up to date: what is new there, or has another mark or size, is read anew.

    Nothing is written there. The copy lies in `cache_folder`.

    Args:
        url: The folder.
        names: Files to read, relative to it; None reads them all, but hidden ones, and removes what is gone there.

    Returns:
        The copy.

    Raises:
        InputError: As `local_folder`.
    """
    from filelock import FileLock

    system, root = open_system(url)
    with remote_errors(url):
        found = listing(system, root, names)
    if not found:
        raise InputError(f"nothing lies at {url}: check the address")
    place = cache_folder() / hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    folder = place / (PurePosixPath(root).name or "copy")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{place} cannot be made ({error.strerror}): set XDG_CACHE_HOME to a folder of yours"
        ) from error
    with FileLock(place / "lock"):
        known = read_json(place / "files.json") if (place / "files.json").is_file() else {}
        changed = [
            name for name, info in found.items() if known.get(name) != mark(info) or not (folder / name).exists()
        ]
        try:
            download(system, url, folder, {name: found[name] for name in changed}, known)
            for name in set(known) - set(found) if names is None else ():
                (folder / name).unlink(missing_ok=True)
                del known[name]
        finally:
            write_json(place / "files.json", known)
    return folder


def cache_folder() -> Path:
    """Where copies lie: `generation-tracer` in XDG_CACHE_HOME, which is ~/.cache unless the environment says it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "generation-tracer"


def open_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the folder's path in it.

    Raises:
        InputError: fsspec does not know the protocol, or its driver is not installed.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = url.partition("://")[0]
    try:
        with remote_errors(url):
            system, root = url_to_fs(url)
            system.invalidate_cache()
    except ImportError as error:
        driver = known_implementations.get(protocol, {}).get("class", protocol).partition(".")[0]
        raise InputError(f"{url} needs {driver}, which is not installed: pip install {driver}") from error
    return system, str(root)


def listing(system: Any, root: str, names: Sequence[str] | None) -> dict[str, Mapping[str, Any]]:
    """What is known of each file below a remote folder, by its path from there."""
    if names is not None:
        return {name: system.info(f"{root}/{name}") for name in names}
    found = {}
    for path, info in system.find(root, detail=True).items():
        parts = PurePosixPath(path.removeprefix(root).lstrip("/")).parts
        if not parts or ".." in parts or not path.startswith(root):
            raise InputError(f"{path} does not lie below {root}: name the folder itself")
        if not any(part.startswith(".") for part in parts):
            found["/".join(parts)] = info
    return found


def mark(info: Mapping[str, Any]) -> list[str]:
    """What tells a remote file from an older one."""
    return [str(info.get("size")), *(f"{key} {info[key]}" for key in _VERSIONS if info.get(key) is not None)]


def download(
    system: Any, url: str, folder: Path, files: Mapping[str, Mapping[str, Any]], known: dict[str, list[str]]
) -> None:
    """Read files into a folder, with a bar on a terminal, and note the mark of each that is there."""
    from fsspec.callbacks import TqdmCallback

    if not files:
        return
    total = sum(int(info.get("size") or 0) for info in files.values())
    callback = TqdmCallback({"desc": url, "unit": "B", "unit_scale": True, "disable": None})
    callback.set_size(total)
    try:
        for name, info in files.items():
            path = folder / name
            part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                with remote_errors(f"{url}/{name}"):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    system.get_file(str(info["name"]), str(part))
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
            known[name] = mark(info)
            callback.relative_update(int(info.get("size") or 0))
    finally:
        callback.close()


@contextlib.contextmanager
def remote_errors(url: str) -> Iterator[None]:
    """Turn what a driver raises into one line."""
    try:
        yield
    except (InputError, ImportError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"nothing lies at {url}: check the address") from error
    except Exception as error:  # every driver has errors of its own
        if getattr(error, "errno", None) == errno.ENOSPC:
            told = f"no room left in {cache_folder()} for {url}: free some, or set XDG_CACHE_HOME to another folder"
            raise InputError(told) from error
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(f"cannot read {url} ({type(error).__name__}: {first[:200]})") from error
