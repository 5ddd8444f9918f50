"""Whether intervals of closeness hold the truth, and what is alike is told apart no more often than is said.

    python benchmarks/coverage.py

Songs of a known generator: they differ in level and in their frames, and a reading is its end with noise that fades, so
that the closeness of a population of such songs is known at every state. Two attributes of equal dynamics, with songs
of their own, differ in nothing that `trace compare` should tell. "ends fixed" is a bootstrap over the sums of the songs
that are compared, which forgets that the ends of the others are drawn too.
"""

import argparse

import numpy as np

from probes.support.intervals import LEVEL, difference, interval
from tracer.measures.contrast import closeness_parts, drawn_parts, ratio, reading_contrasts
from tracer.measures.progress import settled_between

STATES, FRAMES = 16, 32
FADE = 1.5 * np.linspace(1, 0, STATES) ** 1.5
"""Standard deviation of the noise at each state."""
KINDS = {
    "songs of their own level": (1.0, 0.5, 1.0),
    "frames alone": (0.0, 1.1, 1.0),
    "frames alone, a tenth to all of them counted": (0.0, 1.1, 0.1),
}
"""Standard deviations of songs and of their frames, and the least share of a song's frames that count."""


def songs(rng: np.random.Generator, prompts: int, kind: str) -> np.ndarray:
    """Contrasts [prompts, 4, states] of songs of a kind."""
    level, frame, least = KINDS[kind]
    ends = level * rng.normal(size=(prompts, 1)) + frame * rng.normal(size=(prompts, FRAMES))
    states = ends[:, None] + FADE[:, None] * rng.normal(size=(prompts, STATES, FRAMES))
    states[:, -1] = ends
    masks = rng.random((prompts, FRAMES)) < rng.uniform(least, 1, (prompts, 1))
    masks[:, 0] = True
    return reading_contrasts(list(states), list(masks) if least < 1 else None)


def truth(kind: str) -> np.ndarray:
    """Closeness of all such songs, [states]."""
    between = 2 * sum(deviation**2 for deviation in KINDS[kind][:2])
    return 1 - FADE**2 / (FADE**2 + between)


def replicates(contrasts: np.ndarray, draws: np.ndarray, fixed: bool) -> np.ndarray:
    """Bootstrap replicates [replicates, states] of closeness for counts of prompts [replicates, prompts]."""
    own, other = contrasts[:, 0], contrasts[:, 1]
    part, whole = closeness_parts(own, other) if fixed else drawn_parts("closeness", contrasts)
    return ratio(draws @ part, draws @ whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="simulated runs of each kind")
    runs = parser.parse_args().runs
    print("| songs | prompts | coverage, ends fixed | coverage | told apart at 5 %, ends fixed | told apart |")
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        for prompts in (8, 16, 64):
            held, told = np.zeros(2), np.zeros(2)
            for seed in range(runs):
                rng = np.random.default_rng([seed, prompts])
                both = [songs(rng, prompts, kind) for _ in range(2)]
                draws = rng.multinomial(prompts, np.ones(prompts) / prompts, size=500)
                for place, fixed in enumerate((True, False)):
                    low, high = interval(replicates(both[0], draws, fixed), prompts)
                    held[place] += ((low <= truth(kind)) & (truth(kind) <= high))[1 : STATES - 2].mean()
                    points = [settled_between(replicates(one, draws, fixed)) for one in both]
                    told[place] += difference(points[0] - points[1], prompts).p < 1 - LEVEL
            cells = [f"{value:.2f}" for pair in (held / runs, told / runs) for value in pair]
            print(f"| {kind} | {prompts} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
