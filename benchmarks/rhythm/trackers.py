"""Pitch trackers and onset detectors against the exact labels of rendered music.

    python -m benchmarks.rhythm.trackers [--pieces 96] [--split test] [--pitch full,tiny,swift-f0] [--threshold X]

The pieces, the grid and the intervals are those of `benchmarks.rhythm.labels`. Pitch is scored on frames in which one
note sounds alone, as the score has it, and on frames in which none does; F1 counts a pitch within 50 cents of the only
note as found, and every other one as false. CPU time is that of one thread.
"""

import argparse
import time
from collections import defaultdict

import numpy as np
import torch

from benchmarks.rhythm.labels import HOP, interval, onset_f1
from benchmarks.rhythm.pieces import FIRST_SEEDS, RATE, SECONDS, balanced_seeds
from probes.attributes import basic_pitch, get_attribute, onset
from probes.attributes.base import middles
from probes.attributes.score import Score
from probes.rendering import render_example
from probes.rendering.scoring import score_example

Figures = dict[str, tuple[float, float]]
"""Of each figure, the sum over a piece and over how much."""
DETECTORS = {"librosa": onset.onset_times, "basic-pitch": basic_pitch.onset_times}


def of_pitch(tracker: str, audio: np.ndarray, score: Score, threshold: float | None) -> Figures:
    """Figures of one tracker on one piece."""
    frames = len(audio) // HOP
    measure = get_attribute("pitch", model=tracker, threshold=threshold)
    wanted, alone = measure.of_score(score, frames, RATE / HOP)
    alone, silent = alone > 0, sounding(score, frames) == 0
    began = time.process_time()
    found, voiced = measure.measure(audio, RATE, frames, HOP)
    cents = 100 * (found - wanted)
    right = voiced & (np.abs(cents) <= 50)
    folded = voiced & (np.abs(cents - 1200 * np.round(cents / 1200)) <= 50)
    return {
        "CPU seconds for a minute": (time.process_time() - began, SECONDS / 60),
        "one note: within 50 cents, of those voiced": (right[alone].sum(), voiced[alone].sum()),
        "the same, octave-folded": (folded[alone].sum(), voiced[alone].sum()),
        "one note: voiced": (voiced[alone].sum(), alone.sum()),
        "no note: voiced": (voiced[silent].sum(), silent.sum()),
        "F1": (2 * right[alone].sum(), voiced[alone].sum() + voiced[silent].sum() + alone.sum()),
    }


def sounding(score: Score, frames: int) -> np.ndarray:
    """How many notes sound in the middle of each frame, `[frames]`."""
    places, count = middles(frames, RATE / HOP), np.zeros(frames, dtype=int)
    for note in score.notes:
        count[slice(*np.searchsorted(places, [note.start, note.stop]))] += 1
    return count


def of_onsets(detector: str, audio: np.ndarray, score: Score) -> Figures:
    """Figures of one detector on one piece."""
    began = time.process_time()
    found = DETECTORS[detector](audio, RATE)
    took = time.process_time() - began
    f1 = onset_f1(onset.score_onsets(score), found)
    drums = bool(score.hits)
    return {
        "CPU seconds for a minute": (took, SECONDS / 60),
        "F1 at 50 ms": (f1, 1),
        "pieces without drums": (0 if drums else f1, not drums),
        "pieces with drums": (f1 if drums else 0, drums),
    }


def of_piece(seed: int, trackers: list[str], threshold: float | None) -> dict[tuple[str, str], tuple[float, float]]:
    """All figures of one piece by who is measured and what."""
    audio, score = render_example(seed, SECONDS, RATE).audio, score_example(seed, SECONDS)
    named = {tracker: of_pitch(tracker, audio, score, threshold) for tracker in trackers}
    named |= {detector: of_onsets(detector, audio, score) for detector in DETECTORS}
    return {(name, title): pair for name, figures in named.items() for title, pair in figures.items()}


def table(pieces: list[dict[tuple[str, str], tuple[float, float]]]) -> str:
    """The figures of some pieces, as Markdown."""
    figures = defaultdict(list)
    for piece in pieces:
        for key, pair in piece.items():
            figures[key].append(pair)
    lines = [f"| {len(pieces)} rendered pieces of {SECONDS:g} s | | | 95 % over pieces |", "|---|---|---|---|"]
    for (name, title), pairs in figures.items():
        parts, wholes = np.array(pairs, dtype=float).T
        low, high = interval(parts, wholes)
        lines.append(f"| {name} | {title} | {parts.sum() / wholes.sum():.3f} | {low:.3f} to {high:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=96)
    parser.add_argument("--split", default="test", choices=tuple(FIRST_SEEDS), help="val to choose thresholds on")
    parser.add_argument("--pitch", default="full,tiny,swift-f0", help="pitch trackers, separated by commas")
    parser.add_argument("--threshold", type=float, help="of pitch, in place of each tracker's own")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = balanced_seeds(FIRST_SEEDS[options.split], options.pieces)
    print(table([of_piece(seed, options.pitch.split(","), options.threshold) for seed in seeds]))


if __name__ == "__main__":
    main()
