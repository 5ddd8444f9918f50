"""The benchmark of probes that know the noise: its intervals are those of a bootstrap over prompts."""

import numpy as np
import pytest

from benchmarks.noise import Clip, draws, settled_points
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


def plain_parts(found: list[Clip], measure: str, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Part and whole of a measure that a prompt brings, against all others, by the formulas, [states] each."""
    held = [(clip.classes if measure == "agreement" else clip.values)["after", "loudness"] for clip in found]
    known = [clip.truth["loudness"] >= 0 for clip in found]
    others = [j for j in range(PROMPTS) if j != i]
    frames = [f for f in np.flatnonzero(known[i]) if any(known[j][f] for j in others)]
    own, other = np.zeros(STATES), np.zeros(STATES)
    for f in frames:
        ends = np.array([held[j][-1, f] for j in others if known[j][f]])
        now = held[i][:, f, None].astype(float)
        if measure == "agreement":
            own += (now[:, 0] == held[i][-1, f]) / len(frames)
            other += (now == ends).mean(1) / len(frames)
        else:
            own += (now[:, 0] - held[i][-1, f]) ** 2
            other += ((now - ends) ** 2).mean(1)
    return (own - other, 1 - other) if measure == "agreement" else (other - own, other)


@pytest.mark.parametrize("measure", ["agreement", "closeness"])
def test_the_interval_of_a_settled_point_counts_a_prompt_as_often_as_it_is_drawn(measure: str) -> None:
    found = clips()
    of = agreement if measure == "agreement" else closeness
    held = [(clip.classes if measure == "agreement" else clip.values)["after", "loudness"] for clip in found]
    whole = settled_between(of(held, [clip.truth["loudness"] >= 0 for clip in found]))
    parts = np.array([plain_parts(found, measure, i) for i in range(PROMPTS)])  # [prompts, 2, states]
    sums = np.array([parts[chosen].sum(0) for chosen in draws(PROMPTS)])
    assert len(sums) == 1000
    low, high = np.percentile(settled_between(sums[:, 0] / sums[:, 1]), [2.5, 97.5])
    assert low < high
    assert settled_points(found, "after", "loudness", measure) == pytest.approx((float(whole), low, high))
