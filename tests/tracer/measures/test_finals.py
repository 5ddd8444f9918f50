"""How songs end: contrasts of one clip against the definition written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.measures.contrast import class_contrast, reading_contrast
from tracer.measures.finals import Classes, Readings


def test_by_hand():
    # Two songs of four frames. State 0 of the first shares one frame with its own end, two with the other's.
    first = np.array([[1, 5, 6, 9], [1, 2, 6, 9], [1, 2, 3, 4]], dtype=np.uint8)
    second = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [8, 5, 6, 7]], dtype=np.uint8)
    every = np.ones(4, dtype=bool)
    ends = [(song[-1], every) for song in (first, second)]
    own, other = class_contrast(first, every, [Classes(ends).without(ends[:1])])
    np.testing.assert_allclose(own, [0.25, 0.5, 1])
    np.testing.assert_allclose(other, [0.5, 0.25, 0])


def by_definition(songs, masks, which, far):
    """Own and other by comparing with every other clip, frame by frame; `far` compares two values."""
    song, mask = songs[which], masks[which]
    others = [
        (frame, [songs[i][-1, frame] for i in range(len(songs))
                 if i != which and frame < len(masks[i]) and masks[i][frame]])
        for frame in np.flatnonzero(mask)
    ]  # fmt: skip
    others = [(frame, ends) for frame, ends in others if ends]
    if not others:
        return None
    own = np.array([[far(state[frame], song[-1, frame]) for frame, _ in others] for state in song])
    other = np.array([[np.mean([far(state[frame], end) for end in ends]) for frame, ends in others] for state in song])
    return own, other


@given(st.integers(2, 6), st.integers(2, 5), st.integers(1, 9), st.integers(2, 4), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_contrasts_equal_the_definition(clips, states, longest, classes, seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, clips)
    songs = [rng.integers(0, classes, (states, length)).astype(np.uint8) for length in lengths]
    masks = [rng.random(length) < 0.8 for length in lengths]
    ends = [(song[-1], mask) for song, mask in zip(songs, masks, strict=True)]
    for which in range(clips):
        found = class_contrast(songs[which], masks[which], [Classes(ends).without([ends[which]])])
        distances = reading_contrast(songs[which].astype(float), masks[which], [Readings(ends).without([ends[which]])])
        expected = by_definition(songs, masks, which, lambda a, b: a == b)
        if expected is None:
            assert np.isnan(found[1]).all() or not Classes(ends).without([ends[which]]).counts.sum()
            assert np.isnan(distances).all()
            continue
        np.testing.assert_allclose(found, [part.mean(1) for part in expected], atol=1e-12)
        squared = by_definition(songs, masks, which, lambda a, b: (float(a) - float(b)) ** 2)
        np.testing.assert_allclose(distances, [part.sum(1) for part in squared], atol=1e-9)


def test_order_of_classes_does_not_matter():
    rng = np.random.default_rng(1)
    songs = [rng.integers(0, 20, (6, 30)).astype(np.uint8) for _ in range(5)]
    order = rng.permutation(20).astype(np.uint8)
    every = np.ones(30, dtype=bool)
    for renamed in (lambda song: song, lambda song: order[song]):
        ends = [(renamed(song)[-1], every) for song in songs]
        found = class_contrast(renamed(songs[0]), every, [Classes(ends).without(ends[:1])])
        if renamed(songs[0]) is songs[0]:
            first = found
    np.testing.assert_allclose(found, first)


def test_a_frame_is_compared_with_the_other_frames_of_its_clip():
    final, counted = np.array([2, 2, 5, 7], dtype=np.uint8), np.array([True, True, True, False])
    state = np.array([[2, 5, 5, 0], [2, 2, 5, 7]], dtype=np.uint8)
    shares = class_contrast(state, counted, [Classes([(final, counted)]).at_other_times()])[1]
    assert shares.tolist() == pytest.approx([(1 / 2 + 1 / 2 + 0) / 3, (1 / 2 + 1 / 2 + 0) / 3])
    distances = reading_contrast(state.astype(float), counted, [Readings([(final, counted)]).at_other_times()])[1]
    by_hand = [(0 + 9) / 2, (9 + 0) / 2, (9 + 9) / 2]
    assert distances[0] == pytest.approx(sum(by_hand))


def test_merged_classes_count_what_their_members_count():
    ends = [(np.array([0, 3], dtype=np.uint8), np.ones(2, bool)), (np.array([1, 2], dtype=np.uint8), np.ones(2, bool))]
    groups = np.array([0, 0, 1, 1])
    merged = Classes(ends).merged(groups)
    np.testing.assert_array_equal(merged.counts, [[2, 0], [0, 2]])
    direct = Classes([(groups[final], counted) for final, counted in ends])
    np.testing.assert_array_equal(merged.counts, direct.counts)
