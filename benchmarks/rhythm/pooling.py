"""Which mean of a clip's frames says what the clip is: of all, or of those at onsets; of features, or of their squares.

    python -m benchmarks.rhythm.pieces --work FOLDER --pieces 4500
    python -m benchmarks.rhythm.pooling --work FOLDER

Onsets are those that the probe of `mini-music` reads, weights those of `probes.readout.pooling`. Each mean has a
softmax probe of its own, fitted as `probes.fit.clip_probes` fits those of readouts. It is judged on a fifth of the
training pieces, from which it has not learned: the test pieces have no part in what is chosen by these figures.
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
from probes.readout.pooling import onset_weights

ATTRIBUTES = ("family", "key", "drums", "voice")
POOLED = ("mean", "mean at onsets", "root mean square", "root mean square at onsets")


@torch.no_grad()
def pooled(readout: Readout, latents: Tensor) -> Tensor:
    """Features of frames [F, C], pooled in each way of `POOLED`: [ways, H]."""
    features = readout.sae.encode(latents)
    curve = readout.logits(latents)[:, readout.probes.rows("onset")].softmax(-1)[:, 1]
    weights = torch.stack([torch.ones_like(curve), onset_weights(curve)])
    weights = weights / weights.sum(1, keepdim=True)
    mean, square = weights @ features, (weights @ features.square()).sqrt()
    return torch.stack([mean[0], mean[1], square[0], square[1]])


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
    print(f"| {len(learned)} training pieces | | all | 95 % | {' | '.join(TEXTURES)} |")
    print("|---" * (4 + len(TEXTURES)) + "|")
    for column, name in enumerate(ATTRIBUTES):
        for way, title in enumerate(POOLED):
            pair = (train[way][learned], classes[learned, column]), (val[way], checked[:, column])
            probe = fit_softmax(*pair, len(readout.bins[name]))
            found = (train[way][judged] @ probe.weight.t() + probe.bias).argmax(1)
            right = (found == classes[judged, column]).numpy().astype(float)
            low, high = mean_interval(right)
            apart = [f"{right[textures[judged] == texture].mean():.3f}" for texture in TEXTURES]
            print(f"| {name} | {title} | {right.mean():.3f} | {low:.3f} to {high:.3f} | {' | '.join(apart)} |")


if __name__ == "__main__":
    main()
