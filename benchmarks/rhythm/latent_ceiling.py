"""How much of key and lead family the latents hold at all: a convolutional network in the place of linear probes.

    python -m benchmarks.rhythm.latent_ceiling --work FOLDER

FOLDER holds the pieces of `benchmarks.rhythm.pieces`. The network sees the latents in the order of time, no
autoencoder's features; it is trained on the train split and stopped by the val split. What it reads and a linear probe
does not is in the latents, but not in a linear form.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rhythm.pieces import TEXTURES, texture_of
from benchmarks.rhythm.probes import mean_interval, seed_of
from probes.attributes import Bins
from probes.corpus import Corpus
from probes.corpus.labels import class_labels
from probes.fit.clip_probes import clip_table
from probes.fit.pipeline import fit_bins

ATTRIBUTES = ("key", "family")
EPOCHS, BATCH, RATE = 16, 64, 2e-3


class Network(nn.Module):
    """Latents [B, C, F] -> logits [B, K] of each attribute."""

    def __init__(self, channels: int, classes: Sequence[int], width: int = 128) -> None:
        super().__init__()
        sizes = [(channels, 5, 1), (width, 3, 2), (width, 3, 2), (width, 3, 2)]
        self.body = nn.Sequential(
            *(
                layer
                for inputs, kernel, stride in sizes
                for layer in (nn.Conv1d(inputs, width, kernel, stride, kernel // 2), nn.BatchNorm1d(width), nn.ReLU())
            )
        )
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, count))
            for count in classes
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        h = self.body(x)
        pooled = torch.cat([h.mean(-1), h.amax(-1)], 1)
        return [head(pooled) for head in self.heads]


def load(corpus: Corpus, split: str, bins: Mapping[str, Bins], frames: int) -> tuple[Tensor, Tensor]:
    """Latents [files, C, frames], classes [files, attributes]."""
    files = corpus.files(split)
    latents = np.zeros((len(files), corpus.channels, frames), np.float32)
    for row, file in enumerate(files):
        latents[row] = np.asarray(corpus.latents(file))[:frames].T
    classes = clip_table(class_labels(corpus, split, bins), [file.frames for file in files])
    return torch.from_numpy(latents), torch.from_numpy(classes).long()


@torch.no_grad()
def hits(network: Network, x: Tensor, y: Tensor) -> np.ndarray:
    """Whether each attribute is right, [files, attributes]."""
    network.eval()
    parts = [torch.stack([one.argmax(1) for one in network(chunk)], 1) for chunk in x.split(256)]
    network.train()
    return (torch.cat(parts) == y).numpy()


def fit(network: Network, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Train, and keep for each attribute the state of the epoch that is best on `val`."""
    x, y = train
    steps = EPOCHS * -(-len(x) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    best = dict.fromkeys(ATTRIBUTES, -1.0)
    kept: dict[str, dict[str, Tensor]] = {}
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            logits = network(x[rows])
            loss = sum(nn.functional.cross_entropy(one, y[rows, column]) for column, one in enumerate(logits))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        reached = hits(network, *val).mean(0)
        for name, value in zip(ATTRIBUTES, reached):
            if value > best[name]:
                best[name] = value
                kept[name] = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        print(f"epoch {epoch + 1} of {EPOCHS}: " + ", ".join(f"{n} {v:.3f}" for n, v in zip(ATTRIBUTES, reached)))
    return kept


def main() -> None:
    """Train, and print accuracies of held-out pieces, by texture too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    corpus = Corpus.open(options.work / "corpus")
    bins = fit_bins(corpus, ATTRIBUTES)
    frames = min(file.frames for file in corpus.files())
    splits = {split: load(corpus, split, bins, frames) for split in ("train", "val", "test")}
    x = splits["train"][0]
    mean, std = x.mean((0, 2), keepdim=True), x.std((0, 2), keepdim=True)
    train, val, test = (((latents - mean) / std, classes) for latents, classes in splits.values())
    network = Network(corpus.channels, [len(own) for own in bins.values()])
    kept = fit(network, train, val)
    textures = np.array([texture_of(seed_of(file)) for file in corpus.files("test")])
    for column, name in enumerate(ATTRIBUTES):
        network.load_state_dict(kept[name])
        right = hits(network, *test)[:, column]
        low, high = mean_interval(right.astype(float))
        apart = ", ".join(f"{texture} {right[textures == texture].mean():.3f}" for texture in TEXTURES)
        print(f"{name}: {right.mean():.3f} ({low:.3f} to {high:.3f}) of {len(right)} pieces; {apart}")


if __name__ == "__main__":
    main()
