"""Writing a corpus folder file by file, so that whatever was finished survives a crash."""

import json
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from probes.corpus.folder import Corpus
from probes.corpus.index import FORMAT, checksum, read_config, read_index, shard_folder
from probes.errors import InputError
from probes.support.files import lock_file, plain_errors, write_json
from probes.support.identity import require_same

SHARD_BYTES = 256 * 2**20


class GrowingArray:
    """A .npy file that takes more rows.

    numpy leaves room in the header for a longer row count (numpy.lib.format, GROWTH_AXIS_MAX_DIGITS), so the
    header is rewritten in place after the rows. Rows beyond `rows`, left by a crash, are cut off on opening.
    """

    def __init__(self, path: Path, width: int, dtype: np.dtype[Any], rows: int) -> None:
        self.rows, self.dtype, self._width = rows, dtype, width
        self._file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115 - open as long as the shard
        self._write_header()
        self._data = self._file.tell()
        self._file.truncate(self._data + self._bytes(rows))

    def append(self, values: np.ndarray) -> None:
        """Add rows `[n, width]`, and make them count only once they are all there."""
        self._file.seek(self._data + self._bytes(self.rows))
        self._file.write(np.ascontiguousarray(values, self.dtype).tobytes())
        self._file.flush()
        self.rows += len(values)
        self._write_header()
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _bytes(self, rows: int) -> int:
        return rows * self._width * self.dtype.itemsize

    def _write_header(self) -> None:
        self._file.seek(0)
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.rows, self._width),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


class CorpusWriter:
    """Adds files to a corpus folder; a context manager that holds the folder's lock.

    Args:
        path: The folder, made when absent. An existing corpus is continued.
        config: What corpus.json records: "space" (`Space.describe()`), "attributes" and "dtype".
        shard_bytes: A new shard begins once the latents of one reach this size.

    Raises:
        InputError: the folder holds another kind of corpus, another process writes it, or it cannot be
        written.
    """

    def __init__(self, path: str | Path, config: Mapping[str, Any], shard_bytes: int = SHARD_BYTES) -> None:
        self.path = Path(path)
        self._config = {"format": FORMAT, **config}
        self._dtype = np.dtype(self._config["dtype"])
        self._channels: int = self._config["space"]["channels"]
        self._shard_bytes = shard_bytes
        self._arrays: dict[str, GrowingArray] = {}
        self._shard = 0

    def __enter__(self) -> "CorpusWriter":
        with plain_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if (self.path / "corpus.json").exists():
                require_same(self.path, "a corpus", compared(read_config(self.path)), compared(self._config))
            elif any(self.path.iterdir()):
                raise InputError(f"{self.path} is not empty and not a corpus: choose another folder")
            with ExitStack() as opened:
                self._index = opened.enter_context(open(self.path / "files.jsonl", "a+"))
                self._lock()
                write_json(self.path / "corpus.json", self._config)
                self.finished = read_index(self.path)
                _cut_half_line(self.path / "files.jsonl")
                self._shard = max((row["shard"] for row in self.finished), default=0)
                opened.pop_all()  # the folder is this writer's until it is left
        return self

    def __exit__(self, *_: object) -> None:
        self._close_shard()
        self._index.close()

    def add(
        self,
        name: str,
        content_hash: str,
        latents: np.ndarray,
        labels: Mapping[str, np.ndarray],
        split: str | None = None,
        size: int | None = None,
        sound: str | None = None,
        said: str | None = None,
    ) -> None:
        """Append one file.

        Args:
            name: Unique within the corpus.
            content_hash: Hexadecimal; decides the split unless one is given.
            latents: `[F, channels]`.
            labels: Attribute name -> `[F, 2]`: value and confidence.
            split: "train", "val", "test", or None.
            size: Bytes of the source, to recognise it when a run continues.
            sound: Hash of the decoded samples, to recognise a copy in another format.
            said: Hash of what the annotation says that the labels are from, to recognise a corrected one.
        """
        with plain_errors(self.path):
            if not self._arrays:
                self._open_shard()
            start, checksums = self._arrays["latents"].rows, {}
            for key, array in self._arrays.items():
                rows = np.ascontiguousarray(latents if key == "latents" else labels[key], array.dtype)
                array.append(rows)
                checksums[key] = checksum(rows)
            row = {
                "name": name,
                "hash": content_hash,
                "split": split,
                "size": size,
                "shard": self._shard,
                "start": start,
                "frames": len(latents),
                "sound": sound,
                "checksums": checksums,
                **({} if said is None else {"said": said}),
            }
            self._index.write(json_line(row))
            self._index.flush()
            self.finished.append(row)
            if self._arrays["latents"].rows * self._channels * self._dtype.itemsize >= self._shard_bytes:
                self._close_shard()
                self._shard += 1

    def require_held(self, latents: np.ndarray, name: str) -> None:
        """InputError where the corpus's number type cannot hold the latents `[F, channels]` of a file."""
        with np.errstate(over="ignore"):
            if not np.isfinite(latents.astype(self._dtype)).all():
                raise InputError(f"{name}: its latents are too large for {self._dtype}: keep them as float32")

    def latest(self) -> dict[str, dict[str, Any]]:
        """The last line about each file that is in the corpus, by its name."""
        rows = {row["name"]: row for row in self.finished}
        return {name: row for name, row in rows.items() if not row.get("removed")}

    def damaged(self) -> set[str]:
        """Names of the files to add again, told in a warning: their rows are not those that were written."""
        found = Corpus(self.path).damaged()
        if found:
            named = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
            told = f"{len(found)} files of the corpus {self.path} are damaged and encoded again: {named}"
            warnings.warn(told, stacklevel=3)
        return set(found)

    def change(self, row: Mapping[str, Any], **changes: Any) -> None:
        """Say something new of a finished file: another split, or that it is removed."""
        with plain_errors(self.path):
            changed = {**row, **changes}
            self._index.write(json_line(changed))
            self._index.flush()
            self.finished.append(changed)

    def _lock(self) -> None:
        try:
            lock_file(self._index, f"another process is writing the corpus {self.path}: wait for it")
        except InputError:
            self._index.close()
            raise

    def _open_shard(self) -> None:
        folder = shard_folder(self.path, self._shard)
        folder.mkdir(parents=True, exist_ok=True)
        rows = max((row["start"] + row["frames"] for row in self.finished if row["shard"] == self._shard), default=0)
        self._arrays["latents"] = GrowingArray(folder / "latents.npy", self._channels, self._dtype, rows)
        for name in self._config["attributes"]:
            self._arrays[name] = GrowingArray(folder / f"{name}.npy", 2, np.dtype(np.float32), rows)

    def _close_shard(self) -> None:
        for array in self._arrays.values():
            array.close()
        self._arrays = {}


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json of a corpus."""
    write_json(path / "summary.json", summary)


def _cut_half_line(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def json_line(row: Mapping[str, Any]) -> str:
    """One line of files.jsonl."""
    return json.dumps(row) + "\n"


def compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """What two corpora must have in common to be one, under names for people."""
    space = config["space"]
    return {
        "space": space["name"],
        "options": space.get("options"),
        "weights": space.get("fingerprint"),
        "attributes": config["attributes"],
        "dtype": config["dtype"],
    }
