"""What every feature of an autoencoder is: how often it fires and how strongly, where in a corpus it fires most, which
classes it speaks for and against, and which features lie beside it. Gathered in one pass, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from probes.corpus import Corpus
from probes.corpus.folder import CorpusFile
from probes.corpus.labels import clip_labels
from probes.errors import InputError
from probes.fit.explain import clip_features, strongest_features
from probes.readout import Readout
from probes.spaces.base import Space
from probes.support.ogg import write_ogg

SECONDS = 2.0
"""Length of a moment."""
MOMENTS = 8
NEIGHBOURS = 8
STRONGEST = 8
"""Features that are named for a class."""
EDGES = np.concatenate([[-np.inf], np.arange(-10, 10.5, 0.5), [np.inf]])
"""Edges of an activation histogram, as log2 of the activation."""
_ELEMENTS = 1 << 22  # features of frames that are held at a time


@dataclass(frozen=True)
class Atlas:
    """Figures of H features, gathered from every file of a corpus. A moment is a window of two seconds of a file.

    Attributes:
        frames: Number of frames that were read.
        window: Frames of a moment.
        files: Names of the files.
        density: Share of frames in which the feature is active, [H].
        maximum: Its strongest activation, [H].
        histogram: Number of active frames by log2 of the activation, in the bins of `EDGES`, [H, bins].
        value: Peak activation in its strongest moments, strongest first, [H, 8]; 0 where it has fewer.
        file: Number of the moment's file, [H, 8]; -1 where it has fewer.
        peak: Frame of that file at which the peak lies, [H, 8].
        labels: Class of each attribute at the peak, [H, 8]; -1 where there is no value.
        strongest: For each attribute, the features that contribute most to each class, strongest first, [K, 8].
        contribution: Their mean contribution over the frames labelled so, less its mean over the attribute's classes,
            in nats of log odds (c_{j->k} = W_kj f_j, arXiv 2510.23802); NaN where no frame is labelled so. Of an
            attribute with one value for a clip f_j are the peaks of a clip, and the mean is over the clips labelled so.
        neighbours: Features whose decoder directions are nearest by cosine, nearest first, [H, 8].
        cosine: Their cosines.
    """

    frames: int
    window: int
    files: tuple[str, ...]
    density: np.ndarray
    maximum: np.ndarray
    histogram: np.ndarray
    value: np.ndarray
    file: np.ndarray
    peak: np.ndarray
    labels: dict[str, np.ndarray]
    strongest: dict[str, np.ndarray]
    contribution: dict[str, np.ndarray]
    neighbours: np.ndarray
    cosine: np.ndarray

    @property
    def moments(self) -> list[tuple[int, int]]:
        """Number of file and of window of every moment that a feature names, in order."""
        held = self.file >= 0
        return sorted(set(zip(self.file[held].tolist(), (self.peak[held] // self.window).tolist())))


@torch.no_grad()
def make_atlas(
    readout: Readout, corpus: Corpus, report: Callable[[str, int, int | None], None] = lambda *_: None
) -> Atlas:
    """Gather the figures of every feature from all files of a corpus.

    Args:
        readout: Autoencoder and probes.
        corpus: Latents and labels of the same space.
        report: Told how far it is: stage, done, total.

    Raises:
        InputError: The corpus is of another space, or latents in it are not finite.
    """
    if corpus.space not in readout.spaces and not set(corpus.space_info.get("spaces", ())) & set(readout.spaces):
        read = ", ".join(readout.spaces)
        raise InputError(f"the corpus {corpus.path} is of {corpus.space}, this readout reads {read}")
    gathered = _Gathered(readout, corpus)
    files = corpus.files()
    for number, file in enumerate(files):
        report("files", number, len(files))
        gathered.add(number, file)
    report("files", len(files), len(files))
    return gathered.atlas(files)


class _Gathered:
    """Sums over the frames read so far, and the strongest moments among them."""

    def __init__(self, readout: Readout, corpus: Corpus) -> None:
        self.readout, self.corpus, self.sae = readout, corpus, readout.sae
        self.attributes = [name for name in readout.attributes if name in corpus.attributes]
        self.hidden = hidden = readout.sae.config.hidden
        self.window = max(1, round(SECONDS * corpus.frame_rate))
        like = readout.sae.mean
        self.frames = 0
        self.active = torch.zeros(hidden, dtype=torch.int64, device=like.device)
        self.histogram = torch.zeros(hidden * (len(EDGES) - 1), dtype=torch.int64, device=like.device)
        self.edges = torch.tensor(EDGES[1:-1], dtype=torch.float32, device=like.device)
        self.value = torch.zeros(MOMENTS, hidden, device=like.device)
        self.file = torch.full((MOMENTS, hidden), -1, dtype=torch.int64, device=like.device)
        self.peak = torch.zeros(MOMENTS, hidden, dtype=torch.int64, device=like.device)
        kinds = {name: len(readout.bins[name]) for name in self.attributes}
        self.weights = {
            name: torch.stack([readout.class_weights(name, k) for k in range(count)]) for name, count in kinds.items()
        }
        self.sums = {name: torch.zeros_like(weights) for name, weights in self.weights.items()}
        self.counts = {name: torch.zeros(count, dtype=torch.int64, device=like.device) for name, count in kinds.items()}

    def add(self, number: int, file: CorpusFile) -> None:
        """Read one file, a whole number of windows at a time."""
        classes = {name: self.readout.bins[name].classes(*self.corpus.labels(file, name)) for name in self.attributes}
        step = self.window * max(1, _ELEMENTS // (self.hidden * self.window))
        latents = self.corpus.latents(file)
        for start in range(0, len(latents), step):
            part = np.array(latents[start : start + step], np.float32)
            if not np.isfinite(part).all():
                raise InputError(f"the latents of {file.name} hold NaN or infinity: leave the file out")
            x = torch.from_numpy(part).to(self.sae.mean)
            features = self.sae.encode(x)
            self.frames += len(features)
            self.count(features)
            for name, own in classes.items():
                if name not in self.readout.clips:
                    self.sum_classes(name, features[:, None], own[start : start + step])
            self.keep_moments(number, start, features)
        of_clips = {name: clip_labels(own, [len(own)]) for name, own in classes.items() if name in self.readout.clips}
        if any((own >= 0).any() for own in of_clips.values()):
            seen = clip_features(self.readout, self.corpus, file)[None]
            for name, own in of_clips.items():
                self.sum_classes(name, seen, own.astype(np.int64))

    def count(self, features: Tensor) -> None:
        """Add how often and how strongly features [n, H] fire."""
        rows, columns = (features > 0).nonzero(as_tuple=True)
        self.active += torch.bincount(columns, minlength=self.hidden)
        bins = torch.bucketize(features[rows, columns].log2(), self.edges, right=True)
        self.histogram += torch.bincount(columns * (len(EDGES) - 1) + bins, minlength=len(self.histogram))

    def sum_classes(self, name: str, features: Tensor, classes: np.ndarray) -> None:
        """Add what the probe sees of n frames or clips, [n, parts, H], to the sums of their classes [n], -1 where there
        is none.
        """
        labelled = torch.from_numpy(np.flatnonzero(classes >= 0)).to(features.device)
        if len(labelled):
            index = torch.from_numpy(classes).to(features.device)[labelled]
            # Summed by themselves first: a frame added to a sum over many hours is rounded away in float32.
            self.sums[name] += torch.zeros_like(self.sums[name]).index_add_(0, index, features[labelled])
            self.counts[name] += torch.bincount(index, minlength=len(self.counts[name]))

    def keep_moments(self, number: int, start: int, features: Tensor) -> None:
        """Keep the strongest windows of features [n, H], whose first frame is `start` of file `number`."""
        parts = [part.max(0) for part in features.split(self.window)]
        value = torch.stack([part.values for part in parts])
        first = start + self.window * torch.arange(len(parts), device=features.device)
        peak = torch.stack([part.indices for part in parts]) + first[:, None]
        file = torch.full_like(peak, number).masked_fill_(value <= 0, -1)
        # Stable: of equal moments the earlier one stays.
        ordered, order = torch.cat([self.value, value]).sort(dim=0, descending=True, stable=True)
        self.value = ordered[:MOMENTS]
        self.file, self.peak = (
            torch.cat([old, new]).gather(0, order[:MOMENTS]) for old, new in ((self.file, file), (self.peak, peak))
        )

    def atlas(self, files: list[CorpusFile]) -> Atlas:
        """Everything as arrays."""
        value, file, peak = (kept.t().cpu().numpy() for kept in (self.value, self.file, self.peak))
        strongest, contribution = {}, {}
        for name in self.attributes:
            strongest[name], contribution[name] = self.strongest_of(name)
        neighbours, cosine = nearest(self.sae.dictionary)
        return Atlas(
            self.frames, self.window, tuple(one.name for one in files),
            self.active.cpu().numpy() / max(1, self.frames), value[:, 0],
            self.histogram.view(self.hidden, -1).cpu().numpy(), value, file, peak, self.labels_at(files, file, peak),
            strongest, contribution, neighbours, cosine,
        )  # fmt: skip

    def strongest_of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Features that contribute most to each class of an attribute, and their contributions, [K, 8] both."""
        best, mean = strongest_features(self.weights[name], self.sums[name], self.counts[name][:, None], STRONGEST)
        return best.cpu().numpy(), mean.cpu().numpy()

    def labels_at(self, files: list[CorpusFile], file: np.ndarray, peak: np.ndarray) -> dict[str, np.ndarray]:
        """Class of each attribute at the peaks [H, 8] of moments."""
        found = {name: np.full(file.shape, -1, dtype=np.int64) for name in self.attributes}
        for number in np.unique(file[file >= 0]):
            here = file == number
            for name, labels in found.items():
                classes = self.readout.bins[name].classes(*self.corpus.labels(files[number], name))
                labels[here] = classes[peak[here]]
        return found


def nearest(dictionary: Tensor, count: int = NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest atoms of each atom of a dictionary [H, C] by cosine, and their cosines, [H, count]."""
    unit = torch.nn.functional.normalize(dictionary.detach().float(), dim=1)
    hidden = len(unit)
    count = min(count, hidden - 1)
    indices, cosines = [], []
    for start in range(0, hidden, 1024):
        part = unit[start : start + 1024] @ unit.t()
        part[torch.arange(len(part)), torch.arange(start, start + len(part))] = -torch.inf
        best = part.topk(count, dim=1)
        indices.append(best.indices)
        cosines.append(best.values)
    return torch.cat(indices).cpu().numpy(), torch.cat(cosines).cpu().numpy()


def clip_name(file: int, window: int) -> str:
    """Name of the sound of a moment."""
    return f"{file:05d}-{window:04d}.ogg"


def write_clips(
    atlas: Atlas,
    corpus: Corpus,
    space: Space,
    folder: Path,
    report: Callable[[str, int, int | None], None] = lambda *_: None,
) -> None:
    """Decode every moment that a feature names, once, and write it as Ogg Vorbis.

    Args:
        atlas: What names the moments.
        corpus: The corpus that it was made from.
        space: Codec of the corpus' latents.
        folder: Folder of the sounds; those that are there already stay.
        report: Told how far it is: stage, done, total.
    """
    files = corpus.files()
    moments = atlas.moments
    for done, (number, window) in enumerate(moments):
        report("clips", done, len(moments))
        path = folder / clip_name(number, window)
        if not path.exists():
            write_ogg(path, decoded(corpus.latents(files[number]), window, atlas.window, space), space.sample_rate)
    report("clips", len(moments), len(moments))


def decoded(latents: np.ndarray, window: int, length: int, space: Space) -> np.ndarray:
    """Audio [channels, samples] of one window of a file's latents, decoded with context so that no edge is heard."""
    start = window * length
    stop = min(start + length, len(latents))
    first, last = max(0, start - space.context_frames), min(len(latents), stop + space.context_frames)
    audio = space.decode(torch.from_numpy(np.array(latents[first:last], np.float32))[None])[0]
    return audio[:, (start - first) * space.hop : (stop - first) * space.hop].cpu().numpy()


def votes(readout: Readout, feature_block: slice) -> Iterator[tuple[str, np.ndarray]]:
    """For each attribute, the centred weights [K, n] of its classes on a block of features."""
    features = range(readout.sae.config.hidden)[feature_block]  # the level, where probes have it too, is no feature
    for name in readout.attributes:
        weights = readout.probes.weight[readout.probes.rows(name), features.start : features.stop]
        yield name, (weights - weights.mean(0)).cpu().numpy()
