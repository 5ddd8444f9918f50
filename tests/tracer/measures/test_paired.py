"""Paired comparisons: what was planted is told, and what is alike is not."""

import numpy as np
import pytest

from tracer.measures.contrast import reading_contrast
from tracer.measures.finals import Readings
from tracer.measures.paired import Comparison, Song, compare, draw, verdicts

STATES, FRAMES, PROMPTS = 20, 30, 24


def song(seed: int, middle: float, classes: int, prompts: int = PROMPTS) -> Song:
    """An attribute of `classes` classes whose readings reach their end around state `middle`."""
    rng = np.random.default_rng(seed)
    progress = 1 / (1 + np.exp(-(np.arange(STATES) - middle) / 1.5))
    progress = (progress - progress[0]) / (progress[-1] - progress[0])
    every, readings = np.ones(FRAMES, dtype=bool), []
    for _ in range(prompts):
        final, start = rng.uniform(0, classes, FRAMES), rng.uniform(0, classes, FRAMES)
        readings.append(progress[:, None] * final + (1 - progress)[:, None] * start)
    ends = [(reading[-1], every) for reading in readings]
    finals = Readings(ends)
    pairs = [reading_contrast(r, every, [finals.without([end])]) for r, end in zip(readings, ends, strict=True)]
    return Song(np.array(pairs), "closeness")


def test_attributes_of_equal_dynamics_and_other_class_counts_are_not_told_apart():
    drawn = draw([song(1, 10, 5), song(2, 10, 20), song(3, 10, 66)], paired=True)
    found = [compare(drawn[a], drawn[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert [word for _, word in verdicts(found)] == ["not told apart"] * 3


def test_a_planted_order_is_told_with_its_distance():
    drawn = draw([song(1, 8, 20), song(2, 11, 20)], paired=True)
    found = compare(*drawn)
    assert found.difference == pytest.approx(-3, abs=0.5)
    assert found.low < found.difference < found.high < 0
    assert verdicts([found])[0][1] == "earlier"
    assert verdicts([compare(drawn[1], drawn[0])])[0][1] == "later"
    on_time = compare(drawn[0], drawn[1], (np.linspace(0, 1, STATES),) * 2)
    assert on_time.difference == pytest.approx(found.difference / (STATES - 1))


def test_what_is_plain_is_told_among_many_pairs():
    pairs = 60
    found = compare(*draw([song(1, 8, 20, prompts=8), song(2, 11, 20, prompts=8)], paired=True, pairs=pairs))
    assert verdicts([found] * pairs)[0][1] == "earlier"


def test_the_same_prompts_say_more_than_others():
    one, two = song(1, 10, 20, prompts=10), song(1, 10.3, 20, prompts=10)
    widths = [np.ptp([found.low, found.high]) for found in (compare(*draw([one, two], p)) for p in (True, False))]
    assert widths[0] < widths[1]


def test_p_is_corrected_for_the_number_of_pairs_and_unknown_without_a_value():
    found = [Comparison(-1, -2, -0.5, 0.02), Comparison(-1, -2, -0.1, 0.04), Comparison(0, np.nan, np.nan, np.nan)]
    told = verdicts(found)
    assert [p for p, _ in told[:2]] == pytest.approx([0.04, 0.04])
    assert [word for _, word in told] == ["earlier", "earlier", "not told apart"]
    assert np.isnan(told[2][0])
