"""Generic directions for a fitted readout: drawn from the corpus's covariance, cut at the probes' class shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from probes.corpus import Corpus
from probes.corpus.labels import class_labels
from probes.readout.generic import DIRECTIONS, GenericDirections, cut_directions, draw_directions
from probes.readout.kinds import TRAINED
from probes.readout.pooling import peaks

if TYPE_CHECKING:
    from probes.attributes import Bins
    from probes.readout import Readout

FRAMES = 500_000
"""Most frames in which an attribute's directions are cut; of a longer corpus they are drawn."""


@torch.no_grad()
def fit_generic(
    corpus: Corpus, readout: Readout, bins: Mapping[str, Bins], count: int = DIRECTIONS, seed: int = 0
) -> GenericDirections:
    """Draw and cut `count` directions for each attribute over the frames of the train split that have its label, or
    half a million of them.

    An attribute with one value for a clip is cut over clips, at the peaks of their frames' projections, mean over the
    stretches.

    Args:
        corpus: The one the readout was trained on.
        readout: Reads the classes whose shares the directions take over.
        bins: Classes of each attribute.
        count: Directions of each attribute.
        seed: Seed of the draws.
    """
    directions = draw_directions(corpus.moments("train")[1], list(bins), count, seed)
    labels = class_labels(corpus, "train", bins)
    for column, (name, edges) in enumerate(bins.items()):
        rows = np.flatnonzero(labels[:, column] >= 0)
        if edges.grid != "clip" and len(rows) > FRAMES:
            labels[np.random.default_rng([seed, *name.encode()]).permutation(rows)[FRAMES:], column] = -1
    projections: dict[str, list[np.ndarray]] = {name: [] for name in bins}
    classes: dict[str, list[np.ndarray]] = {name: [] for name in bins}
    row = 0
    for file in corpus.files("train"):
        latents = np.array(corpus.latents(file), dtype=np.float32)
        read = readout.read(torch.from_numpy(latents)[None], only_trained=True)
        for column, (name, edges) in enumerate(bins.items()):
            known = labels[row : row + len(latents), column] >= 0
            found = read.classes[TRAINED][name][0].cpu().numpy()[known]
            projected = latents @ directions[column].T
            if edges.grid == "clip" and len(found):
                projections[name].append(peaks(torch.clone, torch.from_numpy(projected))[:1].numpy())
                classes[name].append(found[:1])
            else:
                projections[name].append(projected[known])
                classes[name].append(found)
        row += len(latents)
    return cut_directions(
        directions,
        {name: np.concatenate(parts) for name, parts in projections.items()},
        {name: np.concatenate(parts) for name, parts in classes.items()},
        max(len(edges) for edges in bins.values()),
    )
