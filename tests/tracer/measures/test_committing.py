"""Commitment: when each frame takes the class it keeps."""

import numpy as np
import pytest

from tracer.measures.committing import CommitmentMap, commitment


@pytest.mark.parametrize(
    ("frame", "step"), [([3, 3, 3, 3], 0), ([1, 3, 3, 3], 1), ([3, 1, 3, 3], 2), ([1, 2, 0, 3], 3)]
)
def test_commitment(frame, step):
    assert commitment(np.array(frame, dtype=np.uint8)[:, None]).tolist() == [step]


def test_commitment_map_is_the_share_of_prompts():
    gathered = CommitmentMap(3)
    gathered.add(np.array([[1, 5], [1, 2], [1, 2]], dtype=np.uint8))
    gathered.add(np.array([[0, 2, 7], [1, 3, 7], [2, 2, 7]], dtype=np.uint8), np.array([True, False, True]))
    np.testing.assert_array_equal(gathered.share(), [[0.5, 0, 1], [0.5, 1, 1], [1, 1, 1]])
    gathered.add(np.zeros((3, 4), dtype=np.uint8), np.zeros(4, dtype=bool))
    assert np.isnan(gathered.share()[:, 3]).all()
