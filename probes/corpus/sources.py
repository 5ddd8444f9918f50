"""Where the audio of a corpus comes from: a folder, a manifest, a dataset, or rendered music."""

import csv
import hashlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from probes.attributes.score import Score
from probes.corpus.annotations import Annotation
from probes.corpus.split import split_named
from probes.errors import InputError
from probes.support.audio_files import OTHER_SUFFIXES, SUFFIXES, read_audio


@dataclass(frozen=True)
class Source:
    """One piece of audio, small enough to hand to another process.

    Attributes:
        name: Unique within the corpus.
        split: "train", "val", "test", or None to go by content.
        size: Bytes, to recognise a file that is done already; None where the name says it all.
        annotation: What says what is played, where there is something.
        voices: Whether the channels are voices recorded apart, which are heard together: their mean is encoded.
    """

    name: str
    split: str | None = None
    size: int | None = None
    annotation: Annotation | None = field(default=None, kw_only=True)
    voices: bool = field(default=False, kw_only=True)

    def read(self) -> tuple[np.ndarray, int, str]:
        """Samples `[channels, n]`, sample rate and a hash of the content.

        Raises:
            InputError: the audio cannot be read.
        """
        raise NotImplementedError

    def digest(self) -> str | None:
        """The hash that `read` gives, without decoding; None where the name says it all."""
        return None

    def score(self) -> Score:
        """What is known to be played.

        Raises:
            InputError: nothing is.
        """
        if self.annotation is None:
            raise InputError(f"{self.name}: no annotation comes with it")
        return self.annotation.score()

    def said(self) -> str | None:
        """A hash of what its annotation says; None where none comes with it or none can be read."""
        try:
            return None if self.annotation is None else score_hash(self.annotation.score())
        except InputError:
            return None


@dataclass(frozen=True)
class FileSource(Source):
    """An audio file."""

    path: Path = Path()

    def digest(self) -> str | None:
        """Hash of the file; None when it cannot be read, which the encoder will say."""
        try:
            return content_hash(self.path.read_bytes())
        except OSError:
            return None

    def read(self) -> tuple[np.ndarray, int, str]:
        audio, sample_rate = read_audio(self.path)
        return audio, sample_rate, content_hash(self.path.read_bytes())


@dataclass(frozen=True)
class BytesSource(Source):
    """The bytes of an audio file, as datasets hold them."""

    content: bytes = b""

    def digest(self) -> str | None:
        """Hash of the bytes."""
        return content_hash(self.content)

    def read(self) -> tuple[np.ndarray, int, str]:
        audio, sample_rate = read_audio(self.content)
        return audio, sample_rate, content_hash(self.content)


@dataclass(frozen=True)
class RenderedSource(Source):
    """Music composed and rendered from a seed."""

    seed: int = 0
    seconds: float = 12.0
    sample_rate: int = 44100

    def read(self) -> tuple[np.ndarray, int, str]:
        from probes.rendering import render_example

        example = render_example(self.seed, self.seconds, self.sample_rate)
        key = f"{self.seed} {self.seconds} {self.sample_rate}"
        return np.atleast_2d(example.audio), self.sample_rate, content_hash(key.encode())

    def score(self) -> Score:
        from probes.rendering.scoring import score_example

        return score_example(self.seed, self.seconds)


def score_hash(score: Score) -> str:
    """A hash of everything that a score says."""
    return content_hash(repr(score).encode())


def content_hash(content: bytes) -> str:
    """Thirty-two hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def audio_sources(audio: str, **dataset: Any) -> list[Source] | Iterator[Source]:
    """Sources for what a user named: a folder, an audio file, a manifest (.csv), or a dataset on the Hub.

    Args:
        audio: The path or the hub id.
        dataset: Options of `dataset_sources`.

    Raises:
        InputError: no such thing, or no audio in it.
    """
    path = Path(audio).expanduser()
    if path.is_dir():
        files = list(files_below(path))
        # A table beside audio files describes them; a folder of Parquet files alone is a dataset.
        if any(file.suffix == ".parquet" for file in files) and not any(
            file.suffix.lower() in SUFFIXES for file in files
        ):
            return dataset_sources(str(path), **dataset)
        return folder_sources(path)
    if path.suffix.lower() == ".csv":
        return manifest_sources(path)
    if path.is_file():
        return [FileSource(path.name, None, path.stat().st_size, path)]
    if audio.count("/") == 1 and not audio.startswith((".", "~", "/")):
        return dataset_sources(audio, **dataset)
    raise InputError(f"no such file or folder: {audio}")


def folder_sources(folder: Path) -> list[Source]:
    """Every audio file below a folder, in the order of names. Links are followed; what cannot be read is named."""
    everything = list(_names_below(folder))
    files = [path for path in everything if path.is_file()]
    paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    dead = [path for path in everything if path.is_symlink() and not path.exists()]
    if dead:
        told = f"left out: {len(dead)} links in {folder} that lead nowhere or in a circle; the first is {dead[0].name}"
        warnings.warn(told, stacklevel=2)
    others = sorted({path.suffix.lower() for path in files} & set(OTHER_SUFFIXES))
    if others:
        count = sum(path.suffix.lower() in others for path in files)
        warnings.warn(
            f"left out: {count} files of {folder} that end in {', '.join(others)}; convert them to WAV or FLAC first",
            stacklevel=2,
        )
    if not paths:
        raise InputError(f"{folder} holds no audio: it needs files that end in {', '.join(SUFFIXES[:4])}")
    return [FileSource(path.relative_to(folder).as_posix(), None, path.stat().st_size, path) for path in paths]


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, also behind links; a folder that links lead back to is entered once."""
    return (path for path in _names_below(folder) if path.is_file())


def _names_below(folder: Path) -> Iterator[Path]:
    entered: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        yield from (Path(place, name) for name in names)


def manifest_sources(path: Path) -> list[Source]:
    """The rows of a CSV file with the column `path` (relative to the manifest) and, if there is one, `split`.

    A file that does not exist is left for the encoder to report.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the manifest {path}: {error}") from error
    if not rows or "path" not in rows[0]:
        raise InputError(f"the manifest {path} needs a header with the column `path` and one row per file")
    sources: dict[str, Source] = {}
    for number, row in enumerate(rows, 2):
        name, split = (row.get("path") or "").strip(), (row.get("split") or "").strip() or None
        if None in row:
            raise InputError(f"line {number} of the manifest {path} has more cells than its header: quote its commas")
        if not name:
            raise InputError(f"line {number} of the manifest {path} names no path: fill it in, or remove the line")
        if split is not None:
            try:
                split = split_named(split)
            except InputError as error:
                raise InputError(f"line {number} of the manifest {path}: {error}, or nothing") from error
        if name in sources:
            told = f"line {number} of the manifest {path} is left out: it names {name}, which stands there already"
            warnings.warn(f"{told} with the split {sources[name].split}", stacklevel=2)
            continue
        file_path = path.parent / name
        size = file_path.stat().st_size if os.path.isfile(file_path) else None  # False too for a name too long
        sources[name] = FileSource(name, split, size, file_path)
    return list(sources.values())


def dataset_sources(
    name: str, config: str | None = None, part: str = "train", revision: str | None = None
) -> Iterator[Source]:
    """Every row of a dataset with an audio column, streamed; files are decoded by soundfile.

    Args:
        name: Hub id, or a folder of Parquet files.
        config: Configuration, of a dataset that has several.
        part: The dataset's own split to read. It does not become the corpus's split.
        revision: Branch, tag or commit.

    Raises:
        InputError: the dataset cannot be had, or has no audio column.
    """
    from datasets import Audio, load_dataset

    try:
        rows = load_dataset(name, config, split=part, revision=revision, streaming=True)
    except Exception as error:  # the Hub, the cache and the builders each have errors of their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"cannot load the dataset {name}: {reason}") from error
    features = rows.features or {}
    column = next((key for key, kind in features.items() if isinstance(kind, Audio)), None)
    if column is None:
        raise InputError(f"the dataset {name} has no audio column; it has {', '.join(features) or 'none'}")
    rows = rows.cast_column(column, Audio(decode=False))

    def sources() -> Iterator[Source]:
        for index, row in enumerate(rows):
            cell = row[column] or {}
            if not cell.get("bytes") and not cell.get("path"):
                warnings.warn(f"left out: row {index} of {name}, which holds no audio", stacklevel=2)
                continue
            label = f"{index:07d}" + (f"-{Path(cell['path']).name}" if cell.get("path") else "")
            if cell.get("bytes") is not None:
                yield BytesSource(label, None, len(cell["bytes"]), cell["bytes"])
            else:
                path = Path(cell["path"])
                yield FileSource(label, None, path.stat().st_size if path.is_file() else None, path)

    return sources()


def rendered_sources(hours: float, sample_rate: int, seconds: float = 12.0, seed: int = 0) -> list[Source]:
    """Rendered pieces that make up some hours; piece i has the seed `seed + i`."""
    if not 0 < hours < float("inf"):
        raise InputError(f"--hours must be positive, not {hours}")
    count = max(1, round(hours * 3600 / seconds))
    return [
        RenderedSource(f"rendered-{seed + index:07d}", None, None, seed + index, seconds, sample_rate)
        for index in range(count)
    ]
