"""Shuffled batches of latent frames from many files, without holding the files in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from probes.corpus import Corpus
from probes.errors import InputError

CHUNK = 256  # consecutive frames read together
BUFFER = 1 << 17  # frames shuffled together


class FrameSampler:
    """Batches as a function of the step number alone, so that the position in the data is that number.

    In each epoch the files' chunks of 256 frames are permuted, read into a buffer of about 131,000 frames and shuffled
    there. Every frame comes once an epoch, except the last few that do not fill a batch.

    Args:
        arrays: Latents [frames, channels] of each file, memory maps or arrays.
        batch: Frames a batch; the whole data when it has fewer.
        seed: Seed of every permutation.
        names: Names of the files, for error messages.
    """

    def __init__(
        self, arrays: Sequence[np.ndarray], batch: int, seed: int = 0, names: Sequence[str] | None = None
    ) -> None:
        self._arrays = list(arrays)
        self._names = list(names or [f"file {index}" for index in range(len(self._arrays))])
        self.frames = sum(len(array) for array in self._arrays)
        if not self.frames:
            raise InputError("there are no latent frames to train on")
        self.batch = min(batch, self.frames)
        self.seed = seed
        self.batches_per_epoch = self.frames // self.batch
        self._buffer_frames = max(1, BUFFER // self.batch) * self.batch
        pieces = []
        first = 0
        for index, array in enumerate(self._arrays):
            for start in range(0, len(array), CHUNK):
                pieces.append((index, start, min(CHUNK, len(array) - start), first + start))
            first += len(array)
        self._chunks = np.array(pieces, dtype=np.int64)
        self._key: tuple[int, int] | None = None
        self._rows = np.empty(0, np.int64)
        self._latents = torch.empty(0)

    @classmethod
    def of_corpus(cls, corpus: Corpus, split: str, batch: int, seed: int = 0) -> FrameSampler:
        """Frames of one split of a corpus. Raises InputError when it is empty."""
        files = corpus.files(split)
        if not files:
            raise InputError(f"the corpus {corpus.path} has no file in its {split} split: add files")
        return cls([corpus.latents(file) for file in files], batch, seed, [file.name for file in files])

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number `step`: latents [batch, C] float32, and the rows [batch] they are in all files joined.

        Raises InputError when a file holds values that are not finite.
        """
        epoch, within = divmod(step, self.batches_per_epoch)
        buffer, place = divmod(within, self._buffer_frames // self.batch)
        self._load(epoch, buffer)
        part = slice(place * self.batch, (place + 1) * self.batch)
        return self._latents[part], torch.from_numpy(self._rows[part])

    def _load(self, epoch: int, buffer: int) -> None:
        if self._key == (epoch, buffer):
            return
        order = self._chunks[np.random.default_rng([self.seed, epoch]).permutation(len(self._chunks))]
        ends = np.cumsum(order[:, 2])
        first = buffer * self._buffer_frames
        last = min(first + self._buffer_frames, self.frames)
        latents, rows = [], []
        for place in range(np.searchsorted(ends, first, "right"), np.searchsorted(ends, last, "left") + 1):
            index, start, count, row = order[place]
            begin = ends[place] - count
            low, high = max(first - begin, 0), min(last - begin, count)
            part = np.asarray(self._arrays[index][start + low : start + high], dtype=np.float32)
            if not np.isfinite(part).all():
                raise InputError(f"the latents of {self._names[index]} hold NaN or infinity: leave the file out")
            latents.append(part)
            rows.append(np.arange(row + low, row + high))
        shuffle = np.random.default_rng([self.seed, epoch, buffer]).permutation(last - first)
        self._latents = torch.from_numpy(np.concatenate(latents)[shuffle])
        self._rows = np.concatenate(rows)[shuffle]
        self._key = (epoch, buffer)
