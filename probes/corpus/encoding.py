"""Audio files to a corpus: latents and labels, in one or several processes, resumable."""

import contextlib
import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from probes.corpus.sources import Source, content_hash
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError


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
        error: One line when it failed; the other fields are then empty.
    """

    source: Source
    content_hash: str = ""
    latents: np.ndarray | None = None
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    sound: str = ""
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

        from probes.support.audio_files import resample

        audio, sample_rate, digest = source.read()
        if source.voices:
            audio = audio.mean(0, keepdims=True)
        audio = resample(audio, sample_rate, self.space.sample_rate)
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
        sound = content_hash(np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes())
        return Encoded(source, digest, latents, labels, sound)


def encode_into(
    out: str | Path,
    sources: Iterable[Source],
    recipe: Recipe,
    workers: int = 1,
    dtype: str = "float32",
    on_file: Callable[[Encoded | None], None] = lambda _: None,
) -> list[Encoded]:
    """Encode what is not in the corpus yet.

    Args:
        out: The corpus folder.
        sources: What to encode, consumed a few at a time.
        recipe: How.
        workers: Processes; 1 works in this one.
        dtype: Number format of the latents on disk.
        on_file: Called for every source, with None when it is in the corpus already.

    Returns:
        Those that failed or were a copy of another file, without their arrays.

    Raises:
        InputError: the corpus is of another kind or cannot be written, weights do not load, or a worker died.
    """
    with workplace(recipe, workers) as (config, encode_all), CorpusWriter(out, {**config, "dtype": dtype}) as writer:
        there, damaged = writer.latest(), writer.damaged()
        hashes = {row["hash"]: name for name, row in there.items()}
        sounds = {row["sound"]: (name, row["split"]) for name, row in there.items() if row.get("sound")}
        failed = []
        seen: set[str] = set()

        def waiting() -> Iterator[Source]:
            for source in sources:
                seen.add(source.name)
                row = there.get(source.name)
                changed = row is None or row["size"] != source.size or source.digest() not in (None, row["hash"])
                if row is None or changed or source.name in damaged:
                    yield source
                    continue
                if row["split"] != source.split:
                    writer.change(row, split=source.split)
                on_file(None)

        for result in encode_all(waiting()):
            name = result.source.name
            twin = hashes.get(result.content_hash)
            if result.latents is not None and twin is not None and twin != name:
                result = Encoded(result.source, error=f"{name}: the same content as {twin}")
            copy, split = sounds.get(result.sound, (name, result.source.split))
            if result.latents is not None and copy != name and split != result.source.split:
                told = f"{name}: the same recording as {copy}, which is in another split"
                result = Encoded(result.source, error=told)
            if result.latents is None:
                failed.append(result)
                if result.source.name in there:  # what was there before is of other content
                    writer.change(there[result.source.name], removed=True)
            else:
                source = result.source
                writer.add(
                    source.name, result.content_hash, result.latents, result.labels, source.split, source.size,
                    result.sound,
                )  # fmt: skip
                hashes[result.content_hash] = source.name
                sounds.setdefault(result.sound, (source.name, source.split))
            on_file(result)
        gone = [name for name in writer.latest() if name not in seen]
        for name in gone:
            writer.change(there[name], removed=True)
    if gone:
        named = ", ".join(gone[:5]) + (", ..." if len(gone) > 5 else "")
        warnings.warn(f"{len(gone)} files are no longer among the audio and left the corpus: {named}", stacklevel=2)
    return failed


EncodeAll = Callable[[Iterable[Source]], Iterator[Encoded]]


@contextlib.contextmanager
def workplace(recipe: Recipe, workers: int) -> Iterator[tuple[dict[str, Any], EncodeAll]]:
    """The corpus's description, and a function that encodes sources and gives the results in their order."""
    if workers == 1:
        encoder = Encoder(recipe)
        yield encoder.describe(), lambda sources: map(encoder.encode, sources)
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker, initargs=(recipe,))
    try:
        # Loading fails here, with its own message, before anything is written.
        yield pool.submit(describe_worker).result(), lambda sources: in_parallel(pool, sources, 2 * workers)
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


def in_parallel(pool: ProcessPoolExecutor, sources: Iterable[Source], ahead: int) -> Iterator[Encoded]:
    """Results in the order of the sources, never more than `ahead` of them in work or waiting."""
    begun = (pool.submit(encode_in_worker, source) for source in sources)
    line = deque(islice(begun, ahead))
    while line:
        yield line.popleft().result()
        line.extend(islice(begun, 1))


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
