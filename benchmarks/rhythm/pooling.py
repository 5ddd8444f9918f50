"""Which mean of a clip's frames says the lead's family: of all frames alike, or of those at onsets; of features or of
their squares.

    python -m benchmarks.rhythm.pieces --work FOLDER --pieces 4500
    python -m benchmarks.rhythm.pooling --work FOLDER

A readout takes the mean over all frames. Here the frames of an onset, by the onset probe of `mini-music`, and the ones
behind them are weighted by the probability of that onset, and the root of the mean square stands beside the mean. Each
has a softmax probe of its own, fitted as `probes.fit.clip_probes` fits those of readouts.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.rhythm.pieces import TEXTURES, texture_of
from benchmarks.rhythm.probes import mean_interval, seed_of
from probes.corpus import Corpus
from probes.corpus.labels import class_labels, clip_labels
from probes.fit.clip_probes import fit_softmax
from probes.readout import Readout
from probes.readout.kinds import TRAINED

POOLED = ("mean", "mean at onsets", "root mean square", "root mean square at onsets")


@torch.no_grad()
def pooled(readout: Readout, latents: Tensor) -> Tensor:
    """Features of frames [F, C], pooled in each way of `POOLED`: [ways, H]."""
    features = readout.sae.encode(latents)
    onset = readout.read(latents[None], only_trained=True).values[TRAINED]["onset"][0]
    at_onsets = onset + torch.cat([onset.new_zeros(1), onset[:-1]])
    weights = torch.stack([torch.ones_like(onset), at_onsets])
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-6)
    mean, square = weights @ features, (weights @ features.square()).sqrt()
    return torch.stack([mean[0], mean[1], square[0], square[1]])


def of_split(readout: Readout, corpus: Corpus, split: str) -> tuple[Tensor, Tensor, list[str]]:
    """Of each piece the pooled features [ways, pieces, H], the family [pieces] and the texture."""
    files = corpus.files(split)
    found = torch.empty(len(POOLED), len(files), readout.sae.config.hidden)
    for number, file in enumerate(files):
        found[:, number] = pooled(readout, torch.from_numpy(np.array(corpus.latents(file), dtype=np.float32)))
    labels = class_labels(corpus, split, {"family": readout.bins["family"]})[:, 0]
    families = torch.from_numpy(clip_labels(labels, [file.frames for file in files]).astype(np.int64))
    return found, families, [texture_of(seed_of(file)) for file in files]


def main() -> None:
    """Fit and print, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the pieces")
    corpus, readout = Corpus.open(parser.parse_args().work / "corpus"), Readout.from_pretrained("mini-music")
    (train, learned, _), (val, checked, _), (test, wanted, textures) = (
        of_split(readout, corpus, split) for split in ("train", "val", "test")
    )
    print(f"| family, {len(learned)} training pieces | all | 95 % | {' | '.join(TEXTURES)} |")
    print("|---" * (3 + len(TEXTURES)) + "|")
    for way, name in enumerate(POOLED):
        probe = fit_softmax((train[way], learned), (val[way], checked), len(readout.bins["family"]))
        right = ((test[way] @ probe.weight.t() + probe.bias).argmax(1) == wanted).numpy().astype(float)
        low, high = mean_interval(right)
        apart = [f"{right[np.array(textures) == texture].mean():.3f}" for texture in TEXTURES]
        print(f"| {name} | {right.mean():.3f} | {low:.3f} to {high:.3f} | {' | '.join(apart)} |")


if __name__ == "__main__":
    main()
