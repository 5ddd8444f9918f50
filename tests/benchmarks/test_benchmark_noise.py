"""The benchmark of probes that know the noise: its intervals are those of a bootstrap over prompts."""

import numpy as np
import pytest

from benchmarks.noise import Clip, draws, settled_points
from probes.support.intervals import tail
from tracer.measures import agreement, closeness
from tracer.measures.progress import settled_between

PROMPTS, STATES, FRAMES = 12, 16, 30


def clips() -> list[Clip]:
    """Songs whose readings come to their end at states of their own."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(PROMPTS):
        end = random.uniform(0, 19, FRAMES)
        share = np.clip(np.linspace(0, 1, STATES) / random.uniform(0.3, 1.0), 0, 1)[:, None]
        values = (share * end + (1 - share) * 9.5).astype(np.float32)
        truth = np.where(random.uniform(size=FRAMES) < 0.9, end.astype(int), -1)
        key = ("after", "loudness")
        found.append(Clip({key: np.round(values).astype(np.uint8)}, {key: values}, {"loudness": truth}))
    return found


def plain_sums(found: list[Clip], measure: str) -> np.ndarray:
    """Own, other and target of every prompt by the formulas, pair by pair, [prompts, 3, states]."""
    held = [(clip.classes if measure == "agreement" else clip.values)["after", "loudness"] for clip in found]
    known = [clip.truth["loudness"] >= 0 for clip in found]
    sums = np.zeros((PROMPTS, 3, STATES))
    for i in range(PROMPTS):
        others = [j for j in range(PROMPTS) if j != i]
        frames = [f for f in np.flatnonzero(known[i]) if any(known[j][f] for j in others)]
        for f in frames:
            ends = {j: held[j][-1, f] for j in others if known[j][f]}
            for j, end in {i: held[i][-1, f], **ends}.items():
                now = held[i][:, f].astype(float)
                found_here = (now == end) / len(frames) if measure == "agreement" else (now - end) ** 2
                if j == i:
                    sums[i, 0] += found_here
                else:  # a pair counts for the song whose states are compared, and for the one whose end it is
                    sums[i, 1] += found_here / len(ends)
                    sums[j, 2] += found_here / len(ends)
    return sums


@pytest.mark.parametrize("measure", ["agreement", "closeness"])
def test_the_interval_of_a_settled_point_counts_a_prompt_as_often_as_it_is_drawn(measure: str) -> None:
    found = clips()
    of = agreement if measure == "agreement" else closeness
    held = [(clip.classes if measure == "agreement" else clip.values)["after", "loudness"] for clip in found]
    whole = settled_between(of(held, [clip.truth["loudness"] >= 0 for clip in found]))
    sums = plain_sums(found, measure)
    own, other, target = np.moveaxis(np.tensordot(draws(PROMPTS), sums, 1), 1, 0)
    frames = np.array([(clip.truth["loudness"] >= 0).sum() for clip in found])
    usual = np.outer(frames / frames.mean(), sums[:, 2].mean(0))  # what an end of as many frames is to the others
    other = other + target - draws(PROMPTS) @ usual
    assert len(other) == 1000
    curves = (own - other) / (PROMPTS - other) if measure == "agreement" else 1 - own / other
    out = 100 * tail(PROMPTS)
    low, high = np.percentile(settled_between(curves), [out, 100 - out])
    assert low < high
    assert settled_points(found, "after", "loudness", measure) == pytest.approx((float(whole), low, high))
