"""Classes merged to one entropy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.measures.matching import BITS, entropy, matched_groups


def test_entropy_of_known_histograms():
    assert entropy(np.ones(8)) == pytest.approx(3)
    assert entropy(np.array([4, 4, 0])) == pytest.approx(1)
    assert entropy(np.array([7, 0])) == 0


@pytest.mark.parametrize("classes", [20, 66])
def test_even_classes_come_near_to_the_wanted_entropy(classes):
    groups = matched_groups(np.full(classes, 100))
    assert entropy(np.bincount(groups, np.full(classes, 100))) == pytest.approx(BITS, abs=0.13)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=66))
def test_only_neighbours_are_merged_and_never_split(counts):
    groups = matched_groups(np.array(counts))
    assert len(groups) == len(counts)
    assert (np.diff(groups) >= 0).all()
    merged = entropy(np.bincount(groups, counts)) if sum(counts) else 0
    assert sum(counts) == 0 or merged <= entropy(np.array(counts)) + 1e-9


def test_few_classes_stay_as_they_are():
    assert matched_groups(np.array([5, 5, 5])).tolist() == [0, 1, 2]
