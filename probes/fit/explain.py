"""Which features speak for a class, and which classes a feature speaks for: c_{j->k} = W_kj f_j (arXiv 2510.23802)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from probes.corpus import Corpus
from probes.errors import InputError
from probes.readout import Readout

FRAMES = 2048


class Contribution(NamedTuple):
    feature: int
    attribute: str
    label: str  # of the class
    contribution: float
    """Mean c_{j->k} over the frames labelled k, less its mean over the attribute's classes: in nats of log odds."""
    firing: float
    """Share of those frames in which the feature is active."""


def explain_text(readout: Readout, corpus: Corpus, text: str, top: int = 10) -> list[Contribution]:
    """What a user asked for: "pitch=C4" the features of a class, "123" the classes of a feature.

    Raises InputError when it is neither.
    """
    if text.strip().isdigit():
        return feature_classes(readout, corpus, int(text), top)
    attribute, separator, target = text.partition("=")
    if not separator or attribute.strip() not in readout.attributes:
        raise InputError(f"--of takes a feature's number or ATTRIBUTE=CLASS such as pitch=C4, got {text!r}")
    attribute = attribute.strip()
    return class_features(readout, corpus, attribute, readout.bins[attribute].parse(target), top)


@torch.no_grad()
def class_features(readout: Readout, corpus: Corpus, attribute: str, k: int, top: int = 10) -> list[Contribution]:
    """The features that contribute most to a class, on the test frames with that label, strongest first.

    Raises InputError when no test frame has that label.
    """
    weights = readout.class_vector(attribute, k)
    total, active, count = torch.zeros_like(weights), torch.zeros_like(weights), 0
    for x in _frames_of_class(readout, corpus, attribute, k):
        f = readout.sae.encode(x.to(weights))
        total += f.sum(0)
        active += (f > 0).sum(0)
        count += len(f)
    if not count:
        label = readout.bins[attribute].label(k)
        raise InputError(f"no test frame of {corpus.path} is labelled {attribute} {label}: choose another class")
    contribution = weights * total / count
    best = contribution.topk(min(top, len(contribution)))
    label = readout.bins[attribute].label(k)
    return [
        Contribution(int(j), attribute, label, float(value), float(active[j] / count))
        for value, j in zip(best.values, best.indices)
    ]


@torch.no_grad()
def feature_classes(readout: Readout, corpus: Corpus, feature: int, top: int = 10) -> list[Contribution]:
    """The classes that a feature contributes most to in the test frames where it is active, strongest first."""
    hidden = readout.sae.config.hidden
    if not 0 <= feature < hidden:
        raise InputError(f"this autoencoder has features 0 to {hidden - 1}, not {feature}")
    total, active, count = 0.0, 0, 0
    for file in corpus.files("test"):
        for x in torch.from_numpy(np.array(corpus.latents(file), np.float32)).split(FRAMES):
            value = readout.sae.encode(x.to(readout.sae.mean))[:, feature]
            total += float(value.sum())
            active += int((value > 0).sum())
            count += len(value)
    found = []
    for attribute in readout.attributes:
        bins = readout.bins[attribute]
        for k in range(len(bins)):
            weight = float(readout.class_vector(attribute, k)[feature])
            found.append(
                Contribution(feature, attribute, bins.label(k), weight * total / max(1, active), active / max(1, count))
            )
    return sorted(found, key=lambda one: -one.contribution)[:top]


def _frames_of_class(readout: Readout, corpus: Corpus, attribute: str, k: int) -> list[torch.Tensor]:
    parts = []
    for file in corpus.files("test"):
        values, valid = corpus.labels(file, attribute)
        rows = np.flatnonzero(readout.bins[attribute].classes(values, valid) == k)
        if len(rows):
            parts.append(torch.from_numpy(np.array(corpus.latents(file)[rows], np.float32)))
    return parts
