"""Say what the readout that comes with the model is worth, on pieces that had no part in any choice.

    python -m benchmarks.mini_training.judge --work FOLDER

The probes were trained, and the autoencoder was chosen, on other seeds. Pitch labels are those of CREPE's small model,
as in training. The figures, with the margins of the probes and of those of shuffled labels, go into the report and the
card of the readout; no weight changes.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.mini_training.noise import LABELS
from benchmarks.mini_training.readout import SHIPPED
from probes.corpus import Corpus
from probes.corpus.encoding import Recipe, encode_into
from probes.corpus.labels import class_labels
from probes.corpus.sources import RenderedSource
from probes.fit.probe_fit import report_of
from probes.fit.probe_training import decide, of_frames
from probes.readout import Readout
from probes.readout.inputs import sae_inputs
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
    encode_into(folder, sources, Recipe("mini", attributes=LABELS, threads=1), workers)
    return Corpus.open(folder)


@torch.no_grad()
def judge(readout: Readout, corpus: Corpus) -> dict[str, dict[str, Any]]:
    """Figures of the probes of every attribute, beside those of shuffled labels and of always the commonest class."""
    inputs = sae_inputs(readout.sae, readout.log_rms)
    parts: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for file in corpus.files("test"):
        features = inputs.features(torch.from_numpy(np.array(corpus.latents(file), np.float32)))
        for block, probes in (("probes", readout.probes), ("controls", readout.controls)):
            for name, logits in probes.split(probes(features)).items():
                parts[block, name].append(decide(logits))
    labels = class_labels(corpus, "test", readout.bins)
    lengths = [file.frames for file in corpus.files("test")]
    report = {}
    for column, (name, edges) in enumerate(readout.bins.items()):
        truth = labels[:, column]
        found = {(block, name): of_frames(parts[block, name], truth, lengths) for block in ("probes", "controls")}
        # The commonest class of these pieces themselves: no fixed class does better.
        report[name] = report_of(name, edges, found, truth, truth, {})
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
