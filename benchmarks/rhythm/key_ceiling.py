"""How much of the key the notes of rendered pieces say at all: a linear classifier of the notes themselves.

    python -m benchmarks.rhythm.key_ceiling

Pieces are composed, not rendered. Features are, for each pitch class, its share of the time, whether it occurs, and
whether the lowest of the first notes and the last note have it. Every training piece is taken in all twelve
transpositions.
"""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.rhythm.pieces import SECONDS
from probes.attributes.key import key_of_notes
from probes.attributes.score import Score
from probes.rendering.scoring import score_example

FIRST_SEED, TRAIN, TEST = 700_000_000, 6000, 2000


def features(score: Score) -> np.ndarray:
    """[4, 12] of a piece."""
    time, first, last = np.zeros(12), np.zeros(12), np.zeros(12)
    for note in score.notes:
        time[round(note.pitch) % 12] += note.stop - note.start
    lowest = min(score.notes, key=lambda note: (round(note.start, 1), note.pitch))
    first[round(lowest.pitch) % 12] = 1
    last[round(max(score.notes, key=lambda note: note.start).pitch) % 12] = 1
    return np.stack([time / time.sum(), time > 0, first, last])


def main() -> None:
    """Train, and print both accuracies."""
    scores = [score_example(FIRST_SEED + place, SECONDS) for place in range(TRAIN + TEST)]
    inputs = np.stack([features(score) for score in scores])
    keys = np.array([score.key for score in scores])
    moved = np.concatenate([np.roll(inputs[:TRAIN], steps, axis=-1).reshape(TRAIN, -1) for steps in range(12)])
    wanted = np.concatenate([(keys[:TRAIN, 0] + steps) % 12 + 12 * keys[:TRAIN, 1] for steps in range(12)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 60 steps do not reach the optimum; more change little
        classifier = LogisticRegression(max_iter=60).fit(moved, wanted)
    truth = keys[TRAIN:, 0] + 12 * keys[TRAIN:, 1]
    profiles = np.mean([key_of_notes(score.notes) == one for score, one in zip(scores[TRAIN:], truth)])
    print(f"profiles on the notes: {profiles:.3f} of {TEST} pieces")
    print(f"linear classifier of the notes: {classifier.score(inputs[TRAIN:].reshape(TEST, -1), truth):.3f}")


if __name__ == "__main__":
    main()
