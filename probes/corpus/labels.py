"""Class labels of a corpus, and the shuffled ones of the control probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from probes.corpus import Corpus
from probes.errors import InputError

if TYPE_CHECKING:
    from probes.attributes import Bins

Labels = NDArray[np.int16]


def class_labels(corpus: Corpus, split: str, bins: Mapping[str, Bins]) -> Labels:
    """[frames, attributes] classes of all frames of a split, files end to end in their order; -1 where masked.

    Raises:
        InputError: no file trains, or none tests; files that validate may be missing.
    """
    parts = [np.empty((0, len(bins)), np.int16)]
    for file in corpus.files(split):
        columns = []
        for name, edges in bins.items():
            values, valid = corpus.labels(file, name)
            columns.append(edges.classes(values, valid).astype(np.int16))
        parts.append(np.stack(columns, axis=1))
    if len(parts) == 1 and split != "val":
        raise InputError(f"the corpus {corpus.path} has no file in its {split} split: add files")
    return np.concatenate(parts)


def shuffled_labels(labels: Labels, lengths: Sequence[int], seed: int) -> Labels:
    """Labels of other music: each file is given the label track of one other file, drawn at random.

    A track keeps its order in time and says nothing about the latents it lies on. On a shorter file its end is cut off,
    on a longer one it begins again. A single file's track is turned by half.

    Args:
        labels: [frames, attributes].
        lengths: Frames of each file, in order.
    """
    tracks = np.split(labels, np.cumsum(lengths)[:-1])
    if len(tracks) == 1:
        return np.roll(labels, len(labels) // 2, axis=0)
    order = np.random.default_rng(seed).permutation(len(tracks))
    # one place further in the permuted order: no file gets its own track
    source = np.empty_like(order)
    source[order] = np.roll(order, 1)
    shuffled = [np.resize(tracks[source[index]], (length, labels.shape[1])) for index, length in enumerate(lengths)]
    return np.concatenate(shuffled)


def clip_labels(labels: Labels, lengths: Sequence[int]) -> Labels:
    """[files] one class for each file: the commonest of its frames; -1 where no frame has one.

    Args:
        labels: [frames] of one attribute.
        lengths: Frames of each file, in order.
    """
    parts = np.split(labels, np.cumsum(lengths)[:-1])[: len(lengths)]
    found = [np.bincount(part[part >= 0]).argmax() if (part >= 0).any() else -1 for part in parts]
    return np.array(found, dtype=np.int16)


def check_labels(corpus: Corpus, bins: Mapping[str, Bins]) -> None:
    """Raises InputError when probes of these classes cannot be trained, or not be judged, on a corpus."""
    lengths = [file.frames for file in corpus.files("train")]
    check_enough(class_labels(corpus, "train", bins), bins, lengths)
    check_judged(class_labels(corpus, "test", bins), bins)


def check_judged(labels: Labels, bins: Mapping[str, Bins]) -> None:
    """Raises InputError when the test split's labels [frames, attributes] have none of an attribute."""
    for column, name in enumerate(bins):
        if not (labels[:, column] >= 0).any():
            raise InputError(f"the test split has no labelled frame of {name}: add audio")


def check_enough(labels: Labels, bins: Mapping[str, Bins], lengths: Sequence[int]) -> None:
    """Raises InputError when an attribute has more classes than labelled frames, or clips where it has one for each."""
    for column, (name, edges) in enumerate(bins.items()):
        whole = edges.grid == "clip"
        counted = clip_labels(labels[:, column], lengths) if whole else labels[:, column]
        found = int((counted >= 0).sum())
        if found < len(edges):
            raise InputError(
                f"{name} has {len(edges)} classes but only {found} labelled training {'clips' if whole else 'frames'}: "
                "add audio or use fewer bins"
            )
