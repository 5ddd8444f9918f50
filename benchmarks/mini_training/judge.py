"""Say what the readout that comes with the model is worth, on pieces that had no part in any choice.

    python -m benchmarks.mini_training.judge --work FOLDER

The probes were trained, and the autoencoder was chosen, on other seeds. Pitch labels are those of CREPE's small model,
as in training. The figures, with the margins of the probes and of those of shuffled labels, go into its report
and card; no weight changes.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.mini_training.readout import SHIPPED
from probes.corpus import Corpus
from probes.corpus.encoding import Recipe, encode_into
from probes.corpus.labels import class_labels
from probes.corpus.sources import RenderedSource
from probes.fit.probe_metrics import Predictions, accuracy, score
from probes.fit.probe_training import sae_inputs
from probes.readout import Readout
from probes.readout.linear import LinearProbes
from probes.sae.metrics import evaluate
from probes.spaces import space_class

FIRST_SEED = 570_000_000
SECONDS = 12.0
OF_TRAINING = ("dead", "training_frames", "silent_in_training", "fvu_in_training")
"""Figures of the autoencoder that held-out pieces do not change."""


def render_corpus(folder: Path, pieces: int, workers: int) -> Corpus:
    """Pieces with labels of the bundled readout's attributes, all held out; the same folder goes on."""
    rate = space_class("mini").sample_rate
    seeds = range(FIRST_SEED, FIRST_SEED + pieces)
    sources = [RenderedSource(f"rendered-{seed}", "test", None, seed, SECONDS, rate) for seed in seeds]
    attributes = {"pitch": {"model": "tiny"}, "loudness": {}, "timbre": {}}
    encode_into(folder, sources, Recipe("mini", attributes=attributes, threads=1), workers)
    return Corpus.open(folder)


@torch.no_grad()
def predict(readout: Readout, probes: LinearProbes, corpus: Corpus) -> dict[str, Predictions]:
    """What probes on the readout's autoencoder predict of every labelled frame, by attribute."""
    labels = class_labels(corpus, "test", readout.bins)
    inputs = sae_inputs(readout.sae, readout.log_rms)
    files = corpus.files("test")
    arrays = [torch.from_numpy(np.array(corpus.latents(file), np.float32)) for file in files]
    logits = torch.cat([probes(inputs.features(array)) for array in arrays])
    numbers = np.repeat(np.arange(len(files)), [file.frames for file in files])
    found = {}
    for column, (name, part) in enumerate(probes.split(logits).items()):
        valid = labels[:, column] >= 0
        best = part.topk(2, dim=-1).values
        confidence, classes = part.softmax(-1).max(-1)
        found[name] = Predictions(
            labels[valid, column].astype(np.int64), classes.numpy()[valid], confidence.double().numpy()[valid],
            numbers[valid], (best[:, 0] - best[:, 1]).double().numpy()[valid],
        )  # fmt: skip
    return found


def judge(readout: Readout, corpus: Corpus) -> dict[str, dict[str, Any]]:
    """Figures of the probes of every attribute, beside those of shuffled labels and of always the commonest class."""
    labels = class_labels(corpus, "test", readout.bins)
    trained, shuffled = (predict(readout, probes, corpus) for probes in (readout.probes, readout.controls))
    report = {}
    for column, (name, edges) in enumerate(readout.bins.items()):
        main, control = trained[name], shuffled[name]
        own = score(main, edges.centers if edges.scale == "midi" else None)
        # The commonest class of these pieces themselves: no fixed class does better.
        own["majority"] = float(np.bincount(main.labels).max() / len(main.labels))
        own["unlabelled"] = float(np.mean(labels[:, column] < 0))
        own["shuffled"] = accuracy(control.labels, control.classes)
        assert main.margin is not None
        assert control.margin is not None
        own["margin"], own["shuffled_margin"] = float(np.median(main.margin)), float(np.median(control.margin))
        own["shuffled_commonest_share"] = float(np.bincount(control.classes).max() / len(control.classes))
        report[name] = own
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the pieces; the same one resumes")
    parser.add_argument("--pieces", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args()
    corpus = render_corpus(options.work / "corpus", options.pieces, options.workers)
    readout = Readout.from_pretrained(SHIPPED)
    before = readout.report["sae"]
    figures = evaluate(readout.sae, [corpus.latents(file) for file in corpus.files("test")])
    readout.report["sae"] = figures | {name: before[name] for name in OF_TRAINING}
    readout.report["probes"] = judge(readout, corpus)
    readout.report["judged"] = {"first_seed": FIRST_SEED, "pieces": options.pieces}
    readout.save_pretrained(SHIPPED)


if __name__ == "__main__":
    main()
