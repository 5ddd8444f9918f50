"""Encoded audio on disk: latents and labels of many files, memory-mapped.

A corpus is a folder:

    corpus.json       the space, the attributes with their options, the number format
    files.jsonl       one line per finished file: name, hash, split (or null), shard, start, frames, and a checksum
                      of its rows in each array
    shards/00000/     latents.npy [rows, channels] and, per attribute, NAME.npy [rows, 2]: value, confidence
    summary.json      counts, label histograms, skipped files

The frames of a file are consecutive rows of one shard. The arrays are ordinary .npy files, opened as memory
maps: reading a file never loads a shard. The first time a file's rows are asked for they are compared with their
checksum, in the pass over them that is made anyway where there is one.

    corpus = Corpus.open("corpora/mine")
    for file in corpus.files("train"):
        latents = corpus.latents(file)                   # memory map [frames, channels]
        values, valid = corpus.labels(file, "pitch")     # float32 [frames], bool [frames]
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.corpus.index import checksum, read_config, read_index, shard_folder
from probes.corpus.split import SPLITS, assign
from probes.errors import InputError
from probes.support.files import read_json
from probes.support.hub import pinned
from probes.support.remote import local_folder

if TYPE_CHECKING:
    from probes.spaces.base import Space


@dataclass(frozen=True)
class CorpusFile:
    """One encoded file: `frames` rows from row `start` of shard number `shard`."""

    name: str
    split: str
    shard: int
    start: int
    frames: int
    checksums: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    """Of its rows, by the name of the array; empty in an older corpus."""


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
        self.path = local_folder(path)
        self.config = read_config(self.path)
        self.space_info: dict[str, Any] = self.config["space"]
        self.space: str = self.space_info["name"]
        self.channels: int = self.space_info["channels"]
        self.frame_rate: float = self.space_info["frame_rate"]
        self.attributes: tuple[str, ...] = tuple(self.config["attributes"])
        self._arrays: dict[tuple[int, str], np.ndarray] = {}
        self._checked: set[tuple[CorpusFile, str]] = set()
        self._moments: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @classmethod
    def open(cls, path: str | Path) -> "Corpus":
        """Open a corpus folder.

        Args:
            path: The folder, or its URL (s3://, gs://, hf://, ...), of which a copy is read.

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
            CorpusFile(row["name"], split, row["shard"], row["start"], row["frames"], row.get("checksums", {}))
            for row, split in zip(rows, splits, strict=True)
        ]
        return sorted(files, key=lambda file: file.name)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when the space, the attributes or a file's content, split or annotation do."""
        latest = {row["name"]: row for row in read_index(self.path)}
        files = [[file.name, file.split, file.frames, latest[file.name]["hash"]] for file in self._files]
        for entry in files:
            if "said" in latest[entry[0]]:  # a hash of the annotation, where labels are from one
                entry.append(latest[entry[0]]["said"])
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
        """Memory map `[frames, channels]`, float32 or float16. Raises InputError when it is damaged."""
        return self._whole_rows(file, "latents")

    def labels(self, file: CorpusFile, attribute: str) -> tuple[np.ndarray, np.ndarray]:
        """Measured values float32 `[frames]` in the attribute's unit, and whether each means something."""
        values, confidence = self.confidence(file, attribute)
        return values, confidence >= self.config["attributes"][attribute]["threshold"]

    def confidence(self, file: CorpusFile, attribute: str) -> tuple[np.ndarray, np.ndarray]:
        """Measured values, and how sure the measurement is, in [0, 1]: for pitch, CREPE's periodicity."""
        if attribute not in self.attributes:
            has = ", ".join(self.attributes) or "no labels: it was made from ready latents"
            raise InputError(f"the corpus {self.path} has no labels of {attribute!r}; it has {has}")
        rows = self._whole_rows(file, attribute)
        values, confidence = np.array(rows[:, 0]), np.array(rows[:, 1])
        # A frame without a value has confidence 0 and may hold NaN.
        if not np.isfinite(confidence).all() or not np.isfinite(values[confidence > 0]).all():
            raise self._damage(file, attribute, f"labels of {attribute} of {file.name} are not finite")
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
        """Mean `[channels]` and covariance `[channels, channels]` of a split's frames, float64, in one pass.

        Ask for them before the latents themselves: the pass compares the checksums too.
        """
        if split not in self._moments:
            self._moments[split] = self._pass_over(split)
        return self._moments[split]

    def check(self, *arrays: str) -> None:
        """Compare every file's rows in some arrays with their checksums, as far as that is not done yet.

        Args:
            arrays: "latents", and names of attributes.

        Raises:
            InputError: Some are not those that were written; one line that names the array and the file.
        """
        for file in self.files():
            for name in arrays:
                self._whole_rows(file, name)

    def damaged(self) -> list[str]:
        """Names of the files whose rows are not there, or are not those that were written."""
        found = []
        for file in self.files():
            try:
                for name in ("latents", *self.attributes):
                    self._whole_rows(file, name)
            except InputError:
                found.append(file.name)
        return found

    def _pass_over(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        count, mean, squares = 0, np.zeros(self.channels), np.zeros((self.channels, self.channels))
        for file in self.files(split):
            # Chan et al. (1983): merging means and sums of products of deviations stays exact for large counts.
            rows = np.array(self._rows(file, "latents"))
            self._compare(file, "latents", rows)
            part = rows.astype(np.float64)
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
        if made_with and revision:
            made_with = f"{pinned(made_with, None)[0]}@{revision}"
        return load_space(self.space, weights or made_with, device, **(info.get("options") or {}))

    @property
    def summary(self) -> dict[str, Any]:
        """What `trace fit encode` wrote at the end; empty when it was interrupted."""
        path = self.path / "summary.json"
        return read_json(path) if path.exists() else {}

    def _whole_rows(self, file: CorpusFile, name: str) -> np.ndarray:
        rows = self._rows(file, name)
        self._compare(file, name, rows)
        return rows

    def _compare(self, file: CorpusFile, name: str, rows: np.ndarray) -> None:
        if (file, name) in self._checked:
            return
        wanted = file.checksums.get(name)
        if wanted is not None and checksum(rows) != wanted:
            raise self._damage(file, name, f"the rows of {file.name} are not those that were written")
        self._checked.add((file, name))

    def _damage(self, file: CorpusFile, name: str, what: str) -> InputError:
        path = shard_folder(self.path, file.shard) / f"{name}.npy"
        return InputError(f"{path} is damaged, {what}: the same `trace fit encode` again encodes its files anew")

    def _rows(self, file: CorpusFile, name: str) -> np.ndarray:
        key = (file.shard, name)
        if key not in self._arrays:
            path = shard_folder(self.path, file.shard) / f"{name}.npy"
            try:
                self._arrays[key] = np.load(path, mmap_mode="r", allow_pickle=False)
            except Exception as error:  # numpy's reader of headers has many of its own
                raise self._damage(file, name, "it cannot be read") from error
            width = self.channels if name == "latents" else 2
            found = self._arrays[key]
            if found.ndim != 2 or found.shape[1] != width or found.dtype.kind != "f":
                raise self._damage(file, name, f"it is not [frames, {width}]")
        rows = self._arrays[key][file.start : file.start + file.frames]
        if len(rows) != file.frames:
            raise self._damage(file, name, "it is too short")
        return rows
