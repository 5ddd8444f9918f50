"""What a probe's predictions are worth: pure functions on arrays of frames."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from probes.support.intervals import interval

Classes = NDArray[np.int64]


class Predictions(NamedTuple):
    """Predictions for the labelled frames of a split, or its labelled clips where a clip has one value."""

    labels: Classes  # [N]
    classes: Classes  # [N] most probable class
    confidence: NDArray[np.float64]  # [N] its probability
    files: Classes  # [N] number of the file each frame is from
    margin: NDArray[np.float64] | None = None  # [N] gap of the two largest logits


def of_clips(labels: Classes, pooled: NDArray[np.float64]) -> Predictions:
    """Predictions of an attribute that has one value for a clip: one for each labelled file.

    Args:
        labels: [files], -1 where a file has none.
        pooled: [files, K] mean class distribution over the file's frames.
    """
    files = np.flatnonzero(labels >= 0)
    shares = pooled[files]
    two = np.log(np.maximum(np.sort(shares, axis=1)[:, [-1, -min(2, shares.shape[1])]], 1e-300))
    return Predictions(labels[files].astype(np.int64), shares.argmax(1), shares.max(1), files, two[:, 0] - two[:, 1])


def accuracy(labels: Classes, classes: Classes) -> float:
    return float(np.mean(labels == classes))


def macro_f1(labels: Classes, classes: Classes) -> float:
    """Mean F1 over the classes that occur in the labels."""
    scores = []
    for k in np.unique(labels):
        hit = np.sum((labels == k) & (classes == k))
        scores.append(2 * hit / (np.sum(labels == k) + np.sum(classes == k)))
    return float(np.mean(scores))


def within_one(labels: Classes, classes: Classes) -> float:
    """Share of frames at most one class away: a semitone for pitch, a bin for the others."""
    return float(np.mean(np.abs(labels - classes) <= 1))


def octave_folded(labels: Classes, classes: Classes, notes: NDArray[np.float64]) -> float:
    """Share of frames with the right pitch class; notes [K] are the classes' MIDI numbers."""
    names = np.round(notes).astype(int) % 12
    return float(np.mean(names[labels] == names[classes]))


def calibration_error(labels: Classes, classes: Classes, confidence: NDArray[np.float64], bins: int = 15) -> float:
    """Expected calibration error: mean |accuracy - confidence| over equal bins of confidence (Naeini et al., 2015)."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = (labels == classes).astype(float) - confidence
    return float(np.abs(np.bincount(place, gap, minlength=bins)).sum() / len(labels))


def bootstrap_interval(
    right: NDArray[np.bool_], files: Classes, draws: int = 1000, seed: int = 0
) -> list[float] | None:
    """95 % interval of the accuracy, resampling whole files: frames of one file are not independent.

    None for a single file, which says nothing of others.
    """
    there, index = np.unique(files, return_inverse=True)
    if len(there) < 2:
        return None
    return [float(value) for value in ratio_interval(np.bincount(index, right), np.bincount(index), draws, seed)]


def ratio_interval(parts: NDArray[Any], wholes: NDArray[Any], draws: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """95 % interval [2, ...] of sum of parts [n, ...] over sum of wholes [n, ...], drawing n of the n rows anew."""
    chosen = np.random.default_rng(seed).integers(0, len(parts), (draws, len(parts)))
    ratios = parts[chosen].sum(1) / wholes[chosen].sum(1)
    return interval(ratios, len(parts))


def score(found: Predictions, notes: NDArray[np.float64] | None = None, ordered: bool = True) -> dict[str, Any]:
    """Everything above for one probe.

    Args:
        found: Predictions for frames, or for clips.
        notes: MIDI numbers of the classes, for octave_folded; None where they are no notes.
        ordered: Whether neighbouring classes are alike; within_one means something only then.
    """
    labels, classes = found.labels, found.classes
    result = {
        "frames": len(labels),
        "files": len(np.unique(found.files)),
        "accuracy": accuracy(labels, classes),
        "interval": bootstrap_interval(labels == classes, found.files),
        "macro_f1": macro_f1(labels, classes),
        "calibration_error": calibration_error(labels, classes, found.confidence),
    }
    if ordered:
        result["within_one"] = within_one(labels, classes)
    if notes is not None:
        result["octave_folded"] = octave_folded(labels, classes, notes)
    return result
