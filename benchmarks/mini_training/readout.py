"""Train the readout that comes with the model: rendered music through the bundled codec, autoencoder, probes.

    python -m benchmarks.mini_training.readout --work FOLDER --hours 12

The same as `trace fit encode --audio rendered` and `trace fit readout`, with the options of the shipped readout.
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
from probes.readout import Readout
from probes.sae.config import SAEConfig
from probes.support.devices import pick_device
from tracer.reporting import reporting

SHIPPED = Path(__file__).resolve().parents[2] / "probes" / "weights" / "mini-readout"


def train_readout(work: Path, hours: float, out: Path, steps: int = 1500) -> Readout:
    """Render and encode a corpus into `work`/corpus, then train the autoencoder and the probes into `out`.

    Args:
        work: Folder for the corpus; the same one continues it.
        hours: Hours of rendered music.
        out: Folder of the readout.
        steps: Number of the autoencoder's optimiser steps.
    """
    with reporting() as report:
        encode_corpus(
            EncodeOptions(out=work / "corpus", audio="rendered", space="mini", crepe="tiny", hours=hours), report
        )
        corpus = Corpus.open(work / "corpus")
        config = SAEConfig(channels=corpus.channels, hidden=4096, lam=0.005)
        training = TrainingOptions(steps=steps, precision="bf16")
        probes = ProbeOptions(precision="bf16")
        return fit_readout(corpus, out, config, training, probes, fit_bins(corpus), pick_device("auto"), report)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus; the same one continues it")
    parser.add_argument("--hours", type=float, default=12.0, help="hours of rendered music")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder for the readout")
    parser.add_argument("--steps", type=int, default=1500, help="optimiser steps of the autoencoder")
    options = parser.parse_args()
    train_readout(options.work, options.hours, options.out, options.steps)


if __name__ == "__main__":
    main()
