"""Train the readout of music that ships: onset, tempo, chord, key, lead family, drums and voice beside the three.

    python -m benchmarks.rhythm.pieces --work FOLDER --pieces 18000
    cp -r FOLDER LARGER
    python -m benchmarks.rhythm.pieces --work LARGER --pieces 18000 --training 48000
    python -m benchmarks.mini_training.music --work FOLDER --larger LARGER

Probes on the autoencoder of the shipped readout, with labels from the notes, of clean latents and of noisy ones, joined
with those of pitch, loudness and timbre. The lead family is learned from the larger set of training pieces; all
probes of noise are trained on the smaller one. Both sets have the same validation and test pieces. The probes are kept
in FOLDER/readout and LARGER/readout, and with those of noise in FOLDER/music; a step that is done is not done again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.mini_training.noise import LEVELS
from benchmarks.rhythm.pieces import FIRST_SEEDS
from probes.corpus import Corpus
from probes.corpus.noising import spread_levels
from probes.fit.pipeline import Progress, add_noise, fit_bins, fit_probes
from probes.fit.probe_training import ProbeOptions
from probes.readout import Readout
from probes.readout.joining import join_readouts
from tracer.long_work import reporting

ATTRIBUTES = ("onset", "chord", "key", "drums", "voice", "tempo")
OF_LARGER = ("family",)
SHIPPED = Path(__file__).resolve().parents[2] / "probes" / "weights" / "mini-music"
PROBES = ProbeOptions(epochs=2, precision="bf16")
NOISE = ProbeOptions(epochs=1, learning_rate=5e-3)


def fit(folder: Path, attributes: Sequence[str], report: Progress) -> Readout:
    """The readout of some attributes in a folder of pieces."""
    corpus, place = Corpus.open(folder / "corpus"), folder / "readout"
    if (place / "config.json").exists():
        return Readout.from_pretrained(place)
    sae = Readout.from_pretrained("mini").sae
    return fit_probes(corpus, sae, place, fit_bins(corpus, tuple(attributes)), PROBES, progress=report)


def fit_noise(folder: Path, parts: Sequence[Readout], report: Progress) -> Readout:
    """The readout of the attributes of several, with probes of noise trained on the pieces of a folder."""
    place = folder / "music"
    if (place / "config.json").exists():
        return Readout.from_pretrained(place)
    corpus, readout = Corpus.open(folder / "corpus"), join_readouts(parts)
    mini = Readout.from_pretrained("mini")  # a joined readout knows noise by one mean and covariance
    readout.own_mean, readout.covariance = mini.own_mean, mini.covariance
    add_noise(corpus, readout, spread_levels(LEVELS), NOISE, report)
    files = {split: len(corpus.files(split)) for split in ("train", "val", "test")}
    training = {"files": files, "first_seed": FIRST_SEEDS["train"], "options": asdict(NOISE)}
    readout.report["noise"]["training"] = training
    readout.save_pretrained(place)
    return readout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the pieces, and for the probes on them")
    parser.add_argument("--larger", type=Path, required=True, help="folder of the larger set, likewise")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of the joined readout")
    options = parser.parse_args()
    with reporting() as report:
        parts = fit(options.work, ATTRIBUTES, report), fit(options.larger, OF_LARGER, report)
        music = fit_noise(options.work, parts, report)
    join_readouts([Readout.from_pretrained("mini"), music]).save_pretrained(options.out)


if __name__ == "__main__":
    main()
