"""Train the readout that comes with the model: rendered music through the bundled codec, autoencoder, probes.

    python -m benchmarks.mini_training.readout --work FOLDER --hours 12

The same as `trace fit encode --audio rendered` and `trace fit readout`, with the settings of the shipped readout.
Pitch labels are those of CREPE's small model: many pieces help more than exact labels, and `evaluate readout` asks
the large one.
"""

import argparse
from pathlib import Path

from probes.corpus import Corpus
from probes.corpus.job import EncodeOptions, encode_corpus
from probes.fit.pipeline import fit_bins, fit_readout
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import TrainingOptions
from probes.sae import ReluConfig
from probes.support.devices import pick_device
from tracer.long_work import reporting

SHIPPED = Path(__file__).resolve().parents[2] / "probes" / "weights" / "mini-readout"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus; the same one resumes")
    parser.add_argument("--hours", type=float, default=12.0, help="hours of music to render")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder for the readout")
    parser.add_argument("--steps", type=int, default=1500, help="optimiser steps of the autoencoder")
    options = parser.parse_args()
    corpus = options.work / "corpus"
    with reporting() as report:
        encode_corpus(EncodeOptions(corpus, audio="rendered", pitch_tracker="tiny", hours=options.hours), report)
        opened = Corpus.open(corpus)
        config = ReluConfig(channels=opened.channels, hidden=4096, lam=0.005)
        training = TrainingOptions(steps=options.steps, precision="bf16")
        probes = ProbeOptions(precision="bf16")
        fit_readout(opened, options.out, config, training, probes, fit_bins(opened), pick_device("auto"), report)


if __name__ == "__main__":
    main()
