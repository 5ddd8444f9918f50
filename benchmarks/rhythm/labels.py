"""Estimators of onset, tempo, chord and key against the exact labels of rendered music.

    python -m benchmarks.rhythm.labels [--pieces 96]

Every piece is rendered at 22.05 kHz and measured on the grid of the mini space (46 ms). Intervals are 95 %, by
bootstrap over pieces.
"""

import argparse
from collections import defaultdict

import mir_eval
import numpy as np

from benchmarks.rhythm.pieces import FIRST_SEEDS, RATE, SECONDS, balanced_seeds
from probes.attributes import get_attribute
from probes.attributes.key import key_of_notes
from probes.attributes.onset import onset_times, score_onsets
from probes.attributes.tempo import near
from probes.fit.probe_metrics import ratio_interval
from probes.rendering import render_example
from probes.rendering.scoring import score_example

HOP = 1024
WITHIN = 0.05  # seconds, of an onset
TITLES = {
    "onset F1": "onset F1 at 50 ms",
    "onset F1 of frames": "onset F1 at 50 ms, exact labels put in the middle of frames of 46 ms",
    "tempo": "tempo within 4 %",
    "tempo folded": "tempo within 4 %, octave-folded",
    "chord": "chord, frames with a triad",
    "chord, labelled": "chord, those of them that the estimator labels",
    "chord, given": "share of these frames that it labels",
    "chord, false": "share of frames of single voices that it labels",
    "key": "key",
    "key MIREX": "key, MIREX score",
    "key notes": "key, the same profiles on the exact notes",
    "beat": "place in the beat, in eighths",
    "beat, near": "place in the beat, at most an eighth away",
}


def onset_f1(wanted: np.ndarray, found: np.ndarray) -> float:
    """F-measure of onsets that lie within 50 ms of one another, each matched once."""
    return float(mir_eval.onset.f_measure(wanted, found, window=WITHIN)[0])


def mirex_key(found: int, wanted: int) -> float:
    """1 for the key itself, 0.5 a fifth away, 0.3 for the relative and 0.2 for the parallel key."""
    names = get_attribute("key").names
    return float(mir_eval.key.weighted_score(names[wanted], names[found]))


def of_piece(seed: int) -> dict[str, tuple[float, int]]:
    """Of each figure, the sum over a piece and over how much."""
    audio, score = render_example(seed, SECONDS, RATE).audio, score_example(seed, SECONDS)
    frames = len(audio) // HOP
    wanted = {name: get_attribute(name).of_score(score, frames, RATE / HOP) for name in ("onset", "chord", "beat")}
    found = {name: get_attribute(name).measure(audio, RATE, frames, HOP) for name in ("chord", "key", "tempo", "beat")}
    starts = score_onsets(score)
    middles = (np.flatnonzero(wanted["onset"][0]) + 0.5) * HOP / RATE
    chord, given = found["chord"]
    triad = (wanted["chord"][1] > 0) & (wanted["chord"][0] < 24)
    right = chord == wanted["chord"][0]
    alone = wanted["chord"][1] == 0
    assert score.key is not None
    assert score.tempo is not None
    key, tempo = int(found["key"][0][0]), float(found["tempo"][0][0]) * bool(found["tempo"][1][0])
    truth = score.key[0] + 12 * score.key[1]
    (place, tracked), (wanted_place, inside) = found["beat"], wanted["beat"]
    away = np.where(tracked, np.abs((place - wanted_place + 4) % 8 - 4), 8)[inside > 0]
    return {
        "onset F1": (onset_f1(starts, onset_times(audio, RATE)), 1),
        "onset F1 of frames": (onset_f1(starts, middles), 1),
        "tempo": (bool(near(tempo, score.tempo, folded=False)), 1),
        "tempo folded": (bool(near(tempo, score.tempo)), 1),
        "chord": (right[triad].sum(), triad.sum()),
        "chord, labelled": (right[triad & given].sum(), (triad & given).sum()),
        "chord, given": (given[triad].sum(), triad.sum()),
        "chord, false": (given[alone].sum() if not score.harmonies else 0, 0 if score.harmonies else alone.sum()),
        "key": (key == truth, 1),
        "key MIREX": (mirex_key(key, truth), 1),
        "key notes": (key_of_notes(score.notes) == truth, 1),
        "beat": ((away == 0).sum(), len(away)),
        "beat, near": ((away <= 1).sum(), len(away)),
    }


def main() -> None:
    """Measure and print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=96)
    options = parser.parse_args()
    figures = defaultdict(list)
    for seed in balanced_seeds(FIRST_SEEDS["test"], options.pieces):
        for name, pair in of_piece(seed).items():
            figures[name].append(pair)
    print(f"| {options.pieces} rendered pieces of {SECONDS:g} s | | 95 % interval |\n|---|---|---|")
    for name, pairs in figures.items():
        parts, wholes = np.array(pairs, dtype=float).T
        low, high = ratio_interval(parts, wholes)
        print(f"| {TITLES[name]} | {parts.sum() / wholes.sum():.3f} | {low:.3f} to {high:.3f} |")


if __name__ == "__main__":
    main()
