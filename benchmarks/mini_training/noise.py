"""Give the readout that comes with the model probes that know the noise.

    python -m benchmarks.mini_training.noise --work FOLDER --hours 2

Renders pieces whose seeds no bundled weights were trained on, labels them as `readout` does, and trains 8 log-SNRs on
them. Only noise.safetensors is added; config.json and README.md get a part more, every other file stays as it is.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from benchmarks.mini_training.readout import SHIPPED
from probes.corpus import Corpus
from probes.corpus.encoding import Recipe, encode_into
from probes.corpus.noising import spread_levels
from probes.corpus.sources import rendered_sources
from probes.fit.pipeline import add_noise
from probes.fit.probe_training import ProbeOptions
from probes.readout import Readout
from probes.readout.card import noise_section
from probes.readout.files import write_noise
from probes.spaces import space_class
from probes.support.files import read_json, write_json, write_whole
from tracer.long_work import reporting

FIRST_SEED = 200_000_000
LEVELS = 8
LABELS = {"pitch": {"model": "tiny"}, "loudness": {}, "timbre": {}}
"""What the bundled readout reads, labelled as in its training."""


def render_corpus(folder: Path, hours: float) -> Corpus:
    """Pieces with labels of the bundled readout's attributes; the same folder goes on."""
    sources = rendered_sources(hours, space_class("mini").sample_rate, seed=FIRST_SEED)
    encode_into(folder, sources, Recipe("mini", attributes=LABELS), 1, "float32", lambda _: None)
    return Corpus.open(folder)


def add_to_files(readout: Readout, folder: Path) -> None:
    """Write the probes of noise beside a readout's files, and what they are worth into its config and card."""
    write_noise(readout, folder)
    config = read_json(folder / "config.json")
    report = config["report"] | {"noise": readout.report["noise"]}
    write_json(folder / "config.json", {**config, "noise": True, "report": report})
    card = (folder / "README.md").read_text(encoding="utf-8").split("\n## Through noise")[0].rstrip("\n")
    section = "\n".join(noise_section(readout.report["noise"]))
    write_whole(folder / "README.md", f"{card}\n\n{section}".encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus; the same one resumes")
    parser.add_argument("--hours", type=float, default=2.0, help="hours of music to render")
    parser.add_argument("--readout", type=Path, default=SHIPPED, help="folder of the readout to add to")
    options = parser.parse_args()
    corpus = render_corpus(options.work / "corpus", options.hours)
    readout = Readout.from_pretrained(options.readout)
    # With a few hundred inputs, which start as the clean probes, few epochs at a high rate are enough.
    training = ProbeOptions(epochs=5, learning_rate=5e-3)
    with reporting() as report:
        add_noise(corpus, readout, spread_levels(LEVELS), training, report)
    files = {split: len(corpus.files(split)) for split in ("train", "val", "test")}
    readout.report["noise"]["training"] = {"files": files, "first_seed": FIRST_SEED, "options": asdict(training)}
    add_to_files(readout, options.readout)


if __name__ == "__main__":
    main()
