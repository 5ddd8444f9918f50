"""What of a clip's features says what the clip is: their mean, their energy, or their peaks.

    python -m benchmarks.rhythm.pieces --work FOLDER --pieces 4500
    python -m benchmarks.rhythm.pooling --work FOLDER

Each way has a softmax probe of its own, fitted as `probes.fit.clip_probes` fits those of readouts. It is judged on a
fifth of the training pieces, from which it has not learned: the test pieces have no part in what is chosen by these
figures.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.rhythm.pieces import TEXTURES, texture_of
from benchmarks.rhythm.probes import mean_interval, seed_of
from probes.corpus import Corpus
from probes.corpus.labels import class_labels
from probes.fit.clip_probes import clip_table, fit_softmax
from probes.readout import Readout
from probes.readout.pooling import STRETCH, peaks

ATTRIBUTES = ("family", "key", "drums", "voice")
STRETCHES = (16, 32, 64, 128)
"""Frames over which the largest value is taken, before the mean."""
POOLED = ("mean", "root mean square", *(f"peaks of {frames} frames" for frames in STRETCHES), "peaks of the clip")
WAYS = (*((one,) for one in POOLED), (f"peaks of {STRETCH} frames", "peaks of the clip"))
"""What a probe sees: one thing, or two of them with weights of their own."""


@torch.no_grad()
def pooled(readout: Readout, latents: Tensor) -> Tensor:
    """Features of frames [F, C], pooled in each way of `POOLED`: [ways, H]."""
    features = readout.sae.encode(latents)
    found = [features.mean(0), features.square().mean(0).sqrt()]
    found += [peaks(torch.clone, features, frames)[0] for frames in STRETCHES]
    return torch.stack([*found, features.amax(0)])


def seen(pooled: Tensor, way: tuple[str, ...]) -> Tensor:
    """What a probe sees of pieces [ways, pieces, H]: [pieces, inputs]."""
    return torch.cat([pooled[POOLED.index(one)] for one in way], 1)


def of_split(readout: Readout, corpus: Corpus, split: str) -> tuple[Tensor, Tensor, np.ndarray]:
    """Of each piece the pooled features [ways, pieces, H], the classes [pieces, attributes] and the texture."""
    files = corpus.files(split)
    found = torch.empty(len(POOLED), len(files), readout.sae.config.hidden)
    for number, file in enumerate(files):
        found[:, number] = pooled(readout, torch.from_numpy(np.array(corpus.latents(file), dtype=np.float32)))
    labels = class_labels(corpus, split, {name: readout.bins[name] for name in ATTRIBUTES})
    classes = clip_table(labels, [file.frames for file in files]).astype(np.int64)
    return found, torch.from_numpy(classes), np.array([texture_of(seed_of(file)) for file in files])


def main() -> None:
    """Fit and print, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the pieces")
    corpus, readout = Corpus.open(parser.parse_args().work / "corpus"), Readout.from_pretrained("mini-music")
    (train, classes, textures), (val, checked, _) = (of_split(readout, corpus, split) for split in ("train", "val"))
    order = np.random.default_rng(0).permutation(len(classes))
    judged, learned = np.split(order, [len(order) // 5])
    print(f"| {len(learned)} training pieces | | all | 95 % | more than the mean | {' | '.join(TEXTURES)} |")
    print("|---" * (5 + len(TEXTURES)) + "|")
    for column, name in enumerate(ATTRIBUTES):
        of_mean = None
        for way in WAYS:
            own = seen(train, way)
            pair = (own[learned], classes[learned, column]), (seen(val, way), checked[:, column])
            weight, bias = fit_softmax(*pair, len(readout.bins[name]))
            found = (own[judged] @ weight.t() + bias).argmax(1)
            right = (found == classes[judged, column]).numpy().astype(float)
            of_mean = right if of_mean is None else of_mean
            more = right - of_mean
            spans = [f"{low:.3f} to {high:.3f}" for low, high in (mean_interval(right), mean_interval(more))]
            apart = [f"{right[textures[judged] == texture].mean():.3f}" for texture in TEXTURES]
            row = (name, " and ".join(way), f"{right.mean():.3f}", spans[0], f"{more.mean():+.3f} ({spans[1]})", *apart)
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
