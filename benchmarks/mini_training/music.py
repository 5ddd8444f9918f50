"""Train the readout of music that ships: onset, tempo, chord, key, lead family, drums and voice beside the three.

    python -m benchmarks.rhythm.pieces --work FOLDER --pieces 18000
    python -m benchmarks.mini_training.music --work FOLDER

Probes on the autoencoder of the shipped readout, with labels from the notes, of clean latents and of noisy ones, joined
with those of pitch, loudness and timbre. The probes of FOLDER are kept in FOLDER/readout; a step that is done is not
done again.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from benchmarks.mini_training.noise import LEVELS
from benchmarks.rhythm.pieces import FIRST_SEEDS
from probes.corpus import Corpus
from probes.corpus.noising import spread_levels
from probes.fit.pipeline import add_noise, fit_bins, fit_probes
from probes.fit.probe_training import ProbeOptions
from probes.readout import Readout
from probes.readout.joining import join_readouts
from tracer.long_work import reporting

ATTRIBUTES = ("onset", "chord", "key", "family", "drums", "voice", "tempo")
SHIPPED = Path(__file__).resolve().parents[2] / "probes" / "weights" / "mini-music"
PROBES = ProbeOptions(epochs=2, precision="bf16")
NOISE = ProbeOptions(epochs=3, learning_rate=5e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the pieces, and for the probes on them")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of the joined readout")
    options = parser.parse_args()
    corpus = Corpus.open(options.work / "corpus")
    own = options.work / "readout"
    mini = Readout.from_pretrained("mini")
    with reporting() as report:
        if (own / "config.json").exists():
            readout = Readout.from_pretrained(own)
        else:
            readout = fit_probes(corpus, mini.sae, own, fit_bins(corpus, ATTRIBUTES), PROBES, progress=report)
        if readout.noise is None:
            readout.covariance = mini.covariance  # noise is known by one covariance in the joined readout
            add_noise(corpus, readout, spread_levels(LEVELS), NOISE, report)
            files = {split: len(corpus.files(split)) for split in ("train", "val", "test")}
            training = {"files": files, "first_seed": FIRST_SEEDS["train"], "options": asdict(NOISE)}
            readout.report["noise"]["training"] = training
            readout.save_pretrained(own)
    join_readouts([mini, readout]).save_pretrained(options.out)


if __name__ == "__main__":
    main()
