"""Encoded audio on disk: latents and labels of many files, memory-mapped.

A corpus is a folder:

    corpus.json       the space, the attributes with their options, the number format
    files.jsonl       one line per finished file: name, hash, split (or null), shard, start, frames
    shards/00000/     latents.npy [rows, channels] and, per attribute, NAME.npy [rows, 2]: value, confidence
    summary.json      counts, label histograms, skipped files

The frames of a file are consecutive rows of one shard. The arrays are ordinary .npy files, opened as memory
maps: reading a file never loads a shard.

    corpus = Corpus.open("corpora/mine")
    for file in corpus.files("train"):
        latents = corpus.latents(file)                   # memory map [frames, channels]
        values, valid = corpus.labels(file, "pitch")     # float32 [frames], bool [frames]
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.corpus.split import SPLITS, assign
from probes.errors import InputError
from probes.support.files import require_fields

if TYPE_CHECKING:
    from probes.spaces.base import Space

FORMAT = 1


@dataclass(frozen=True)
class CorpusFile:
    """One encoded file: `frames` rows from row `start` of shard number `shard`."""

    name: str
    split: str
    shard: int
    start: int
    frames: int


class Corpus:
    """A corpus folder, read only.

    Attributes:
        path: The folder.
        space: Name of the latent space.
        space_info: `Space.describe()` of the space that made the latents.
        channels: Numbers per frame.
        frame_rate: Frames per second.
        attributes: Names of the attributes labelled; empty for a corpus of ready latents.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = read_config(self.path)
        self.space_info: dict[str, Any] = self.config["space"]
        self.space: str = self.space_info["name"]
        self.channels: int = self.space_info["channels"]
        self.frame_rate: float = self.space_info["frame_rate"]
        self.attributes: tuple[str, ...] = tuple(self.config["attributes"])
        self._arrays: dict[tuple[int, str], np.ndarray] = {}

    @classmethod
    def open(cls, path: str | Path) -> "Corpus":
        """Open a corpus folder.

        Raises:
            InputError: not a corpus, or one without a finished file.
        """
        corpus = cls(path)
        if not corpus._files:
            raise InputError(f"the corpus {path} holds no finished file: run `trace fit encode` again")
        return corpus

    def __repr__(self) -> str:
        files = ", ".join(f"{len(self.files(split))} {split}" for split in SPLITS)
        hours = self.frames() / self.frame_rate / 3600
        return (
            f'Corpus "{self.path}" of {self.space} latents [frames, {self.channels}] at {self.frame_rate:.4g} frames a '
            f"second: {hours:.2g} hours in {files} files, labels of {', '.join(self.attributes) or 'nothing'}"
        )

    @cached_property
    def _files(self) -> list[CorpusFile]:
        # A file that changed was encoded again: its last line counts.
        latest = {row["name"]: row for row in read_index(self.path)}
        rows = [row for row in latest.values() if not row.get("removed")]
        # By the decoded sound, where it is known: copies of a recording in several formats share a split.
        splits = assign([row.get("sound") or row["hash"] for row in rows], [row["split"] for row in rows])
        files = [
            CorpusFile(row["name"], split, row["shard"], row["start"], row["frames"])
            for row, split in zip(rows, splits, strict=True)
        ]
        return sorted(files, key=lambda file: file.name)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when the space, the attributes, a file's content or its split differ."""
        latest = {row["name"]: row for row in read_index(self.path)}
        files = [[file.name, file.split, file.frames, latest[file.name]["hash"]] for file in self._files]
        about = {key: self.config[key] for key in ("space", "attributes", "dtype")}
        digest = hashlib.blake2b(json.dumps([about, files], sort_keys=True).encode(), digest_size=8)
        return digest.hexdigest()

    def files(self, split: str | None = None) -> list[CorpusFile]:
        """Files of "train", "val" or "test" (all of them for None), in the order of their names."""
        if split is not None and split not in SPLITS:
            raise InputError(f"a corpus has no split {split!r}: choose train, val or test")
        return [file for file in self._files if split is None or file.split == split]

    def frames(self, split: str | None = None) -> int:
        """Number of frames in a split."""
        return sum(file.frames for file in self.files(split))

    def latents(self, file: CorpusFile) -> np.ndarray:
        """Memory map `[frames, channels]`, float32 or float16."""
        return self._rows(file, "latents")

    def labels(self, file: CorpusFile, attribute: str) -> tuple[np.ndarray, np.ndarray]:
        """Measured values float32 `[frames]` in the attribute's unit, and whether each means something."""
        values, confidence = self.confidence(file, attribute)
        return values, confidence >= self.config["attributes"][attribute]["threshold"]

    def confidence(self, file: CorpusFile, attribute: str) -> tuple[np.ndarray, np.ndarray]:
        """Measured values, and how sure the measurement is, in [0, 1]: for pitch, CREPE's periodicity."""
        if attribute not in self.attributes:
            has = ", ".join(self.attributes) or "no labels: it was made from ready latents"
            raise InputError(f"the corpus {self.path} has no labels of {attribute!r}; it has {has}")
        rows = self._rows(file, attribute)
        values, confidence = np.array(rows[:, 0]), np.array(rows[:, 1])
        # A frame without a value has confidence 0 and may hold NaN.
        if not np.isfinite(confidence).all() or not np.isfinite(values[confidence > 0]).all():
            raise InputError(f"the corpus {self.path} is damaged: labels of {attribute} of {file.name} are not finite")
        return values, confidence

    def train_values(self, attribute: str) -> np.ndarray:
        """Valid values of the train split, for fitting bins."""
        parts = [self.labels(file, attribute) for file in self.files("train")]
        return np.concatenate([values[valid] for values, valid in parts] or [np.empty(0, np.float32)])

    def statistics(self, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation per channel, float64 `[channels]`, in one pass over a split."""
        mean, covariance = self.moments(split)
        return mean, np.sqrt(covariance.diagonal())

    def moments(self, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
        """Mean `[channels]` and covariance `[channels, channels]` of a split's frames, float64, in one pass."""
        count, mean, squares = 0, np.zeros(self.channels), np.zeros((self.channels, self.channels))
        for file in self.files(split):
            # Chan et al. (1983): merging means and sums of products of deviations stays exact for large counts.
            part = np.asarray(self.latents(file), dtype=np.float64)
            shift = part.mean(0) - mean
            total = count + len(part)
            deviations = part - part.mean(0)
            squares += deviations.T @ deviations + np.outer(shift, shift) * (count * len(part) / total)
            mean += shift * len(part) / total
            count = total
        if not count:
            raise InputError(f"the corpus {self.path} has no file in its {split} split: add files")
        return mean, squares / count

    def open_space(self, device: str = "cpu", weights: str | None = None) -> "Space":
        """The codec that made the latents, loaded again.

        Args:
            device: Device to compute on.
            weights: Path or hub id of its weights; None is what the corpus was encoded with.
        """
        from probes.spaces import load_space

        info = self.space_info
        made_with, revision = info.get("weights"), info.get("revision")
        pinned = f"{made_with}@{revision}" if made_with and revision else made_with
        return load_space(self.space, weights or pinned, device, **(info.get("options") or {}))

    @property
    def summary(self) -> dict[str, Any]:
        """What `trace fit encode` wrote at the end; empty when it was interrupted."""
        path = self.path / "summary.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def _rows(self, file: CorpusFile, name: str) -> np.ndarray:
        key = (file.shard, name)
        if key not in self._arrays:
            path = shard_folder(self.path, file.shard) / f"{name}.npy"
            try:
                self._arrays[key] = np.load(path, mmap_mode="r", allow_pickle=False)
            except Exception as error:  # numpy's reader of headers has many of its own
                raise InputError(f"the corpus {self.path} is damaged: {path.name} in shard {file.shard}") from error
            width = self.channels if name == "latents" else 2
            found = self._arrays[key]
            if found.ndim != 2 or found.shape[1] != width or found.dtype.kind != "f":
                raise InputError(
                    f"the corpus {self.path} is damaged: {path.name} in shard {file.shard} is not [frames, {width}]"
                )
        rows = self._arrays[key][file.start : file.start + file.frames]
        if len(rows) != file.frames:
            raise InputError(f"the corpus {self.path} is damaged: {name}.npy in shard {file.shard} is too short")
        return rows


def shard_folder(corpus: Path, shard: int) -> Path:
    """Folder of one shard."""
    return corpus / "shards" / f"{shard:05d}"


def read_config(path: Path) -> dict[str, Any]:
    """corpus.json of a folder.

    Raises:
        InputError: there is none, or it is of a newer format.
    """
    try:
        config = json.loads((path / "corpus.json").read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a corpus (no corpus.json): make one with `trace fit encode`") from error
    if not isinstance(config, dict):
        raise InputError(f"{path / 'corpus.json'} does not hold a JSON object")
    if config.get("format") != FORMAT:
        raise InputError(f"the corpus {path} has format {config.get('format')}, this version reads {FORMAT}")
    require_fields(path / "corpus.json", config, {"space": dict, "attributes": dict})
    space = {"name": str, "channels": int, "frame_rate": float}
    require_fields(path / "corpus.json", config["space"], space)
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
    rows = []
    try:
        lines = index.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise InputError(f"{index} cannot be read: encode into a new folder, or restore the file") from error
    for number, line in enumerate(lines[:-1], 1):
        try:
            row = json.loads(line)
            whole = {"name", "hash", "split", "size", "shard", "start", "frames"} <= row.keys()
        except (ValueError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise InputError(f"line {number} of {index} is damaged: encode into a new folder, or restore the file")
        rows.append(row)
    return rows
