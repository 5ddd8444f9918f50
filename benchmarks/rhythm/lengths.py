"""What the shipped readout of music reads of clips of other lengths than the 12 s that it was trained on.

    python -m benchmarks.rhythm.lengths --work FOLDER [--pieces 400] [--seconds 6 24] [--workers 2]

The same seeds are composed at each length: a piece keeps its key, tempo, players and colour, and goes on for longer.
They are test pieces, which nothing was learned from or chosen on. Beside the accuracy stands its difference from that
of 12 s, with its interval over pieces, each drawn at both lengths. The figures go to FOLDER/figures.json.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rhythm.pieces import FIRST_SEEDS, RATE, SECONDS, balanced_seeds, encode
from benchmarks.rhythm.probes import clip_hits, mean_interval, read, tempo_hits
from probes.corpus import Corpus
from probes.corpus.sources import RenderedSource
from probes.readout import Readout
from probes.support.files import write_json


def pieces(count: int, seconds: float) -> list[RenderedSource]:
    """Test pieces of a length."""
    seeds = balanced_seeds(FIRST_SEEDS["test"], count)
    return [RenderedSource(f"test-{seed}", "test", None, seed, seconds, RATE) for seed in seeds]


def hits(readout: Readout, folder: Path) -> dict[str, np.ndarray]:
    """Whether each attribute of clips is right, 0 or 1 for each piece, and the share of tempo windows that are."""
    corpus = Corpus.open(folder / "corpus")
    read_pieces = read(readout, corpus, "test", baselines=())
    found = {name: clip_hits(readout, corpus, read_pieces, "trained", name) for name in readout.clips}
    return found | {"tempo, windows": tempo_hits(readout, read_pieces, "trained")[0]}


def figures(by_length: dict[float, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Accuracy at each length with its interval, and what it is more than at 12 s."""
    return {
        f"{seconds:g} s": {
            name: {
                "accuracy": [float(own.mean()), *mean_interval(own)],
                "more": [float((own - usual).mean()), *mean_interval(own - usual)],
            }
            for name, own, usual in ((name, own, by_length[SECONDS][name]) for name, own in found.items())
        }
        for seconds, found in by_length.items()
    }


def main() -> None:
    """Render, encode, read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpora; the same one resumes")
    parser.add_argument("--pieces", type=int, default=400, help="of each length")
    parser.add_argument("--seconds", type=float, nargs="+", default=[6.0, 24.0], help="lengths beside 12 s")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args()
    readout, by_length = Readout.from_pretrained("mini-music"), {}
    for seconds in sorted({SECONDS, *options.seconds}):
        folder = options.work / f"{seconds:g}s"
        encode(folder, pieces(options.pieces, seconds), options.workers)
        by_length[seconds] = hits(readout, folder)
    found = figures(by_length)
    write_json(options.work / "figures.json", found)
    for name in next(iter(found.values())):
        print(name, *(f"{length}: {own[name]['accuracy'][0]:.3f}" for length, own in found.items()))


if __name__ == "__main__":
    main()
