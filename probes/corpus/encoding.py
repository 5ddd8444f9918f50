"""Audio files to a corpus: latents and labels, in one or several processes, resumable."""

import contextlib
import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from probes.corpus.sources import Source, content_hash, score_hash
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError

Row = Mapping[str, Any]
"""A line of files.jsonl."""


@dataclass(frozen=True)
class Recipe:
    """What turns audio into latents and labels, in a form that another process can follow.

    Attributes:
        space: Name of the latent space.
        weights, device, options: As `load_space` takes them.
        attributes: Name -> options of its measurement.
        threads: For torch, in each process; None leaves it alone.
        annotated: Take the labels that annotations can say from the annotation that comes with the audio.
    """

    space: str
    weights: str | None = None
    device: str = "cpu"
    options: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    threads: int | None = None
    annotated: bool = False


@dataclass
class Encoded:
    """One file, encoded, or the reason why it was not.

    Attributes:
        source: Where it came from.
        content_hash: Hash of its content.
        latents: `[F, C]` float32.
        labels: Attribute -> `[F, 2]`: value and confidence.
        sound: Hash of the decoded samples.
        said: Hash of what the annotation says, where labels are taken from one.
        row: The line of a corpus that holds this content already; latents and labels are then empty.
        error: One line when it failed; the other fields are then empty.
    """

    source: Source
    content_hash: str = ""
    latents: np.ndarray | None = None
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    sound: str = ""
    said: str | None = None
    row: Row | None = None
    error: str | None = None


class Encoder:
    """A space and its attributes, loaded once per process."""

    def __init__(self, recipe: Recipe) -> None:
        import torch

        from probes.attributes import get_attribute
        from probes.spaces import load_space

        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        self.space = load_space(recipe.space, recipe.weights, recipe.device, **recipe.options)
        self.attributes = {name: get_attribute(name, **options) for name, options in recipe.attributes.items()}
        self.notated = {name for name, one in self.attributes.items() if one.notated} if recipe.annotated else set()

    def describe(self) -> dict[str, Any]:
        """What corpus.json records."""
        attributes = {
            name: attribute.describe_notated() if name in self.notated else attribute.describe()
            for name, attribute in self.attributes.items()
        }
        return {"space": self.space.describe(), "attributes": attributes}

    def encode(self, source: Source) -> Encoded:
        """Encode and measure one source. Whatever goes wrong with it is told in the result."""
        try:
            return self._encode(source)
        except InputError as error:
            return Encoded(source, error=str(error) if source.name in str(error) else f"{source.name}: {error}")
        except Exception as error:  # one file must not end a run of thousands
            first = (str(error).strip().splitlines() or [""])[0]
            return Encoded(source, error=f"{source.name}: {type(error).__name__} {first}".strip())

    def _encode(self, source: Source) -> Encoded:
        import torch

        from probes.support.audio_files import resample, to_mono

        audio, sample_rate, digest = source.read()
        if source.voices:
            audio = audio.mean(0, keepdims=True)
        audio = resample(audio, sample_rate, self.space.sample_rate)
        if self.space.audio_channels == 1:  # what is measured is what the codec is given
            audio = to_mono(audio)[None]
        heard = audio[:1] if (audio == audio[:1]).all() else audio  # as a copy in mono has it
        sound = content_hash(np.round(np.clip(heard, -1, 1) * 32767).astype(np.int16).tobytes())
        latents = self.space.encode(torch.from_numpy(audio).unsqueeze(0))[0].cpu().numpy()
        if not np.isfinite(latents).all():
            raise InputError(f"{source.name}: the codec returned values that are not finite")
        frames = len(latents)
        score = source.score() if self.notated else None
        labels = {}
        for name, attribute in self.attributes.items():
            if score is not None and name in self.notated:
                found = attribute.of_score(score, frames, self.space.frame_rate)
            else:
                found = attribute.confidence(audio, self.space.sample_rate, frames, self.space.hop)
            labels[name] = np.stack(found, axis=1).astype(np.float32)
        said = None if score is None or source.annotation is None else score_hash(score)
        return Encoded(source, digest, latents, labels, sound, said)


def encode_into(
    out: str | Path,
    sources: Iterable[Source],
    recipe: Recipe,
    workers: int = 1,
    dtype: str = "float32",
    on_file: Callable[[Encoded | None], None] = lambda _: None,
) -> list[Encoded]:
    """Encode what is not in the corpus yet, and let go what is no longer among the sources.

    A file that was renamed or moved is known by its content and not encoded again.

    Args:
        out: The corpus folder.
        sources: What to encode, consumed a few at a time.
        recipe: How.
        workers: Processes; 1 works in this one.
        dtype: Number format of the latents on disk.
        on_file: Called for every source, in their order, with None when its content is in the corpus already.

    Returns:
        Those that failed or were a copy of another file, without their arrays.

    Raises:
        InputError: the corpus is of another kind or cannot be written, weights do not load, or a worker died.
    """
    with workplace(recipe, workers) as (config, encode_all), CorpusWriter(out, {**config, "dtype": dtype}) as writer:
        there, damaged = writer.latest(), writer.damaged()
        rows = {name: row for name, row in there.items() if name not in damaged}
        # Labels of an annotation belong to a name; those that are measured, to the content.
        by_hash = {} if recipe.annotated else {row["hash"]: row for row in rows.values()}
        failed: list[Encoded] = []
        seen: set[str] = set()
        hashes: dict[str, str] = {}
        sounds: dict[str, tuple[str, str | None]] = {}
        for result in encode_all(looked_up(source, rows, by_hash, recipe.annotated) for source in sources):
            source = result.source
            seen.add(source.name)
            if told := result.error or copy_of(result, hashes, sounds) or too_large(writer, result):
                # Without the bytes that a dataset's row brings.
                result = Encoded(Source(source.name, source.split, source.size), error=told)
                failed.append(result)
                if source.name in there:  # what was there before is of other content
                    writer.change(there[source.name], removed=True)
            else:
                put(writer, result)
                hashes[result.content_hash] = source.name
                if result.sound:
                    sounds.setdefault(result.sound, (source.name, source.split))
            on_file(result if result.row is None else None)
        let_go(writer, seen, hashes)
    return failed


def looked_up(
    source: Source, rows: Mapping[str, Row], by_hash: Mapping[str, Row], annotated: bool = False
) -> Source | Encoded:
    """The source, or what the corpus has of its content already, under its own name or another.

    Args:
        source: What is to be encoded.
        rows: The corpus's lines by name.
        by_hash: Those that may be taken for a source of another name, by the hash of the content.
        annotated: Whether labels come from annotations, which may have been corrected since.
    """
    if not rows:
        return source
    row, digest = rows.get(source.name), source.digest()
    if row is None or row["size"] != source.size or digest not in (None, row["hash"]):
        row = None if digest is None or source.voices else by_hash.get(digest)
    if row is None or (annotated and row.get("said") is not None and row["said"] != source.said()):
        return source
    about = Source(source.name, source.split, source.size)  # without the bytes that a dataset's row brings
    return Encoded(about, row["hash"], sound=row.get("sound") or "", row=row)


def copy_of(result: Encoded, hashes: Mapping[str, str], sounds: Mapping[str, tuple[str, str | None]]) -> str | None:
    """Says of which earlier source a result is a copy that is left out; None when it is not.

    Args:
        result: What is to be put into the corpus.
        hashes: Hash of the content -> name, of the earlier sources.
        sounds: Hash of the decoded samples -> name and split, likewise.
    """
    name, split = result.source.name, result.source.split
    twin = hashes.get(result.content_hash, name)
    if twin != name:
        return f"{name}: the same content as {twin}"
    twin, other = sounds.get(result.sound, (name, split))
    if twin != name and other != split:
        return f"{name}: the same recording as {twin}, which is in another split"
    return None


def too_large(writer: CorpusWriter, result: Encoded) -> str | None:
    """Why the corpus cannot hold what was encoded; None where it can."""
    try:
        if result.latents is not None:
            writer.require_held(result.latents, result.source.name)
    except InputError as error:
        return str(error)
    return None


def put(writer: CorpusWriter, result: Encoded) -> None:
    """Add what was encoded, or say under which name and in which split the corpus holds it now."""
    source = result.source
    if result.latents is not None:
        writer.add(
            source.name,
            result.content_hash,
            result.latents,
            result.labels,
            source.split,
            source.size,
            result.sound,
            result.said,
        )
    elif result.row is not None:
        place = {"name": source.name, "split": source.split, "size": source.size}
        if any(result.row[key] != value for key, value in place.items()):
            writer.change(result.row, **place)


def let_go(writer: CorpusWriter, seen: Collection[str], hashes: Collection[str]) -> None:
    """Remove what is no longer among the sources, with a warning unless it is there under another name.

    Args:
        writer: Of the corpus.
        seen: Names of the sources.
        hashes: Of the content of what is in the corpus now.
    """
    gone = {name: row for name, row in writer.latest().items() if name not in seen}
    for row in gone.values():
        writer.change(row, removed=True)
    lost = [name for name, row in gone.items() if row["hash"] not in hashes]
    if lost:
        named = ", ".join(lost[:5]) + (", ..." if len(lost) > 5 else "")
        warnings.warn(f"{len(lost)} files are no longer among the audio and left the corpus: {named}", stacklevel=3)


EncodeAll = Callable[[Iterable[Source | Encoded]], Iterator[Encoded]]


@contextlib.contextmanager
def workplace(recipe: Recipe, workers: int) -> Iterator[tuple[dict[str, Any], EncodeAll]]:
    """The corpus's description, and a function that encodes sources and gives the results in their order.

    What is encoded already passes through it.
    """
    if workers == 1:
        encoder = Encoder(recipe)
        yield (
            encoder.describe(),
            lambda items: (item if isinstance(item, Encoded) else encoder.encode(item) for item in items),
        )
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker, initargs=(recipe,))
    try:
        # Loading fails here, with its own message, before anything is written.
        yield pool.submit(describe_worker).result(), lambda items: in_parallel(pool, items, 2 * workers)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process died: run again with fewer --workers if memory is short; a script that starts workers "
            "needs the line `if __name__ == '__main__':` before its calls"
        ) from error
    finally:
        # After an interruption nobody waits for the files in work: they are not in the corpus and will be done again.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(active_children()) - others:
            process.terminate()


def in_parallel(pool: ProcessPoolExecutor, items: Iterable[Source | Encoded], ahead: int) -> Iterator[Encoded]:
    """Results in the order of the items, never more than `ahead` sources in work or waiting."""
    line: deque[Future[Encoded] | Encoded] = deque()
    busy = 0

    def first() -> Encoded:
        nonlocal busy
        one = line.popleft()
        if isinstance(one, Encoded):
            return one
        busy -= 1
        return one.result()

    for item in items:
        if isinstance(item, Encoded):
            line.append(item)
        else:
            line.append(pool.submit(encode_in_worker, item))
            busy += 1
        while line and (busy == ahead or isinstance(line[0], Encoded)):
            yield first()
    while line:
        yield first()


_worker: list[Encoder | InputError] = []


def start_worker(recipe: Recipe) -> None:
    """Runs once in each worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    Thread(target=leave_with_parent, daemon=True).start()
    try:
        _worker.append(Encoder(recipe))
    except InputError as error:
        _worker.append(error)


def leave_with_parent() -> None:
    """End this worker when its parent is gone; a pool's workers would otherwise wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def worker_encoder() -> Encoder:
    """This worker's encoder, or the reason why there is none."""
    encoder = _worker[0]
    if isinstance(encoder, InputError):
        raise encoder
    return encoder


def describe_worker() -> dict[str, Any]:
    """`Encoder.describe` in a worker."""
    return worker_encoder().describe()


def encode_in_worker(source: Source) -> Encoded:
    """`Encoder.encode` in a worker."""
    return worker_encoder().encode(source)
