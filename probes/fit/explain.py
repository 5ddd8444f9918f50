"""Which features speak for a class, and which classes a feature speaks for: c_{j->k} = W_kj f_j (arXiv 2510.23802).

f_j are what the probe sees of feature j: its activations in frames, and for an attribute with one value for a clip
its peaks (`probes.readout.pooling`), of which each clip has two parts, whose contributions are added.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from probes.corpus import Corpus
from probes.corpus.folder import CorpusFile
from probes.corpus.labels import clip_labels
from probes.errors import InputError
from probes.readout import Readout
from probes.readout.pooling import peaks

FRAMES = 2048
"""Most frames whose features are held at a time."""


class Contribution(NamedTuple):
    feature: int
    attribute: str
    label: str  # of the class
    contribution: float
    """Mean c_{j->k} over the frames, or clips, labelled k, less its mean over the attribute's classes: in nats of log
    odds."""
    firing: float
    """Share of those frames, or clips, in which the feature is active."""


def explain_text(readout: Readout, corpus: Corpus, text: str, top: int = 10) -> list[Contribution]:
    """What a user asked for: "pitch=C4" the features of a class, "123" the classes of a feature.

    Raises InputError when it is neither.
    """
    if top < 1:
        raise InputError(f"--top must be at least 1, not {top}")
    if text.strip().isdecimal():
        return feature_classes(readout, corpus, int(text), top)
    attribute, separator, target = text.partition("=")
    if not separator or attribute.strip() not in readout.attributes:
        raise InputError(f"--of takes a feature's number or ATTRIBUTE=CLASS such as pitch=C4, got {text!r}")
    attribute = attribute.strip()
    return class_features(readout, corpus, attribute, readout.bins[attribute].parse(target), top)


@torch.no_grad()
def class_features(readout: Readout, corpus: Corpus, attribute: str, k: int, top: int = 10) -> list[Contribution]:
    """The features that contribute most to a class, on the test frames or clips with that label, strongest first.

    Raises InputError when none has that label.
    """
    weights = readout.class_weights(attribute, k)
    total, active, count = torch.zeros_like(weights), torch.zeros_like(weights[0]), 0
    for f in _seen_of_class(readout, corpus, attribute, k):
        total += f.sum(0)
        active += (f[:, 0] > 0).sum(0)
        count += len(f)
    label = readout.bins[attribute].label(k)
    if not count:
        seen = "clip" if attribute in readout.clips else "frame"
        raise InputError(f"no test {seen} of {corpus.path} is labelled {attribute} {label}: choose another class")
    features, contribution = strongest_features(weights, total, count, top)
    return [
        Contribution(j, attribute, label, value, float(active[j] / count))
        for value, j in zip(contribution.tolist(), features.tolist())
    ]


def strongest_features(weights: Tensor, total: Tensor, count: int | Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The features that contribute most to classes, and their mean contributions, strongest first, [..., top] both.

    Args:
        weights: Centred weights of each class, [..., parts, H].
        total: Sums of what the probe sees where the class is the label, [..., parts, H].
        count: Number of frames, or clips, that were summed, [..., 1]; contributions to a class without one are NaN.
        top: Number of features.
    """
    mean = (weights * total).sum(-2) / count
    best = mean.nan_to_num(-torch.inf).topk(min(top, mean.shape[-1]))
    return best.indices, best.values.masked_fill(torch.as_tensor(count, device=mean.device) == 0, torch.nan)


@torch.no_grad()
def feature_classes(readout: Readout, corpus: Corpus, feature: int, top: int = 10) -> list[Contribution]:
    """The classes that a feature contributes most to in the test frames, or clips, where it is active, strongest
    first.
    """
    hidden = readout.sae.config.hidden
    if not 0 <= feature < hidden:
        raise InputError(f"this autoencoder has features 0 to {hidden - 1}, not {feature}")
    frames, clips = np.zeros(3), np.zeros(4)  # sums of what probes see of it, number where it is active, of all
    for file in corpus.files("test"):
        for f in _features(readout, corpus, file, np.arange(file.frames)):
            frames += _counted(f[..., feature])
        if readout.clips and file.frames:
            clips += _counted(clip_features(readout, corpus, file)[None, :, feature])
    found = []
    for attribute in readout.attributes:
        *total, active, count = (clips if attribute in readout.clips else frames).tolist()
        bins = readout.bins[attribute]
        for k in range(len(bins)):
            weights = readout.class_weights(attribute, k)[:, feature].tolist()
            contribution = sum(map(operator.mul, weights, total)) / max(1, active)
            found.append(Contribution(feature, attribute, bins.label(k), contribution, active / max(1, count)))
    return sorted(found, key=lambda one: -one.contribution)[:top]


def _counted(seen: Tensor) -> np.ndarray:
    """Of what probes see of a feature [n, parts]: the sum of each part, number where it is active, and n."""
    return np.array([*seen.sum(0).tolist(), int((seen[:, 0] > 0).sum()), len(seen)])


def clip_features(readout: Readout, corpus: Corpus, file: CorpusFile) -> Tensor:
    """Peaks [2, H] of a file's features: what probes of attributes with one value for a clip see of it."""
    latents = torch.from_numpy(np.array(corpus.latents(file), np.float32))
    return peaks(readout.sae.encode, latents.to(readout.sae.mean))


def _features(readout: Readout, corpus: Corpus, file: CorpusFile, rows: np.ndarray) -> Iterator[Tensor]:
    """Features [n, 1, H] of some frames of a file, at most `FRAMES` at a time."""
    latents = corpus.latents(file)
    for start in range(0, len(rows), FRAMES):
        part = torch.from_numpy(np.array(latents[rows[start : start + FRAMES]], np.float32))
        yield readout.sae.encode(part.to(readout.sae.mean))[:, None]


def _seen_of_class(readout: Readout, corpus: Corpus, attribute: str, k: int) -> Iterator[Tensor]:
    """What the probe sees of the test frames, or clips, that are labelled k, [n, parts, H] at a time."""
    for file in corpus.files("test"):
        classes = readout.bins[attribute].classes(*corpus.labels(file, attribute))
        if attribute not in readout.clips:
            yield from _features(readout, corpus, file, np.flatnonzero(classes == k))
        elif clip_labels(classes, [len(classes)])[0] == k:
            yield clip_features(readout, corpus, file)[None]
