"""Measures on frames: by hand, against the definition written out, and their limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.measures.frame_classes import CommitmentMap, Finals, commitment, prompt_agreement


def finals_of(songs, masks=None):
    finals = Finals()
    for i, song in enumerate(songs):
        finals.add(song[-1], None if masks is None else masks[i])
    return finals


def test_by_hand():
    # Two songs of four frames. State 0 of the first shares one frame with its own end, two with the other's.
    first = np.array([[1, 5, 6, 9], [1, 2, 6, 9], [1, 2, 3, 4]], dtype=np.uint8)
    second = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [8, 5, 6, 7]], dtype=np.uint8)
    found = prompt_agreement(first, finals_of([first, second]))
    np.testing.assert_allclose(found.own, [0.25, 0.5, 1])
    np.testing.assert_allclose(found.other, [0.5, 0.25, 0])
    np.testing.assert_allclose(found.values, [(0.25 - 0.5) / 0.5, (0.5 - 0.25) / 0.75, 1])


def by_definition(songs, masks, which):
    """Own and other shares by comparing with every other prompt, frame by frame."""
    song, mask = songs[which], masks[which]
    frames = [
        f
        for f in range(song.shape[1])
        if mask[f] and any(f < len(masks[i]) and masks[i][f] for i in range(len(songs)) if i != which)
    ]
    if not frames:
        return None
    own = [np.mean([state[f] == song[-1, f] for f in frames]) for state in song]
    other = []
    for state in song:
        shares = []
        for f in frames:
            ends = [songs[i][-1, f] for i in range(len(songs)) if i != which and f < songs[i].shape[1] and masks[i][f]]
            shares.append(np.mean([state[f] == end for end in ends]))
        other.append(np.mean(shares))
    return np.array(own), np.array(other)


@given(st.integers(2, 6), st.integers(2, 5), st.integers(1, 9), st.integers(2, 4), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_two_passes_equal_the_definition(prompts, states, longest, classes, seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, prompts)
    songs = [rng.integers(0, classes, (states, length)).astype(np.uint8) for length in lengths]
    masks = [rng.random(length) < 0.8 for length in lengths]
    finals = finals_of(songs, masks)
    for which in range(prompts):
        found, expected = prompt_agreement(songs[which], finals, masks[which]), by_definition(songs, masks, which)
        if expected is None:
            assert np.isnan(found.values).all()
            continue
        own, other = expected
        np.testing.assert_allclose(found.own, own, atol=1e-12)
        np.testing.assert_allclose(found.other, other, atol=1e-12)
        open_ = other < 1 - 1e-9
        np.testing.assert_allclose(
            found.values[open_], ((own - other) / np.where(open_, 1 - other, 1))[open_], atol=1e-9
        )
        assert np.isfinite(found.values).all()
        assert found.values[-1] == pytest.approx(1)


def test_states_that_know_nothing_are_at_zero():
    rng = np.random.default_rng(0)
    marginal = rng.dirichlet(np.ones(5))  # a skewed marginal, which raw shares reward
    songs = [rng.choice(5, size=(3, 400), p=marginal).astype(np.uint8) for _ in range(40)]
    finals = finals_of(songs)
    values = np.array([prompt_agreement(song, finals).values for song in songs])
    own = np.array([prompt_agreement(song, finals).own for song in songs])
    assert abs(values[:, :2].mean()) < 0.01
    assert own[:, :2].mean() > 0.2
    assert (values[:, 2] == 1).all()


def test_order_of_classes_does_not_matter():
    rng = np.random.default_rng(1)
    songs = [rng.integers(0, 20, (6, 30)).astype(np.uint8) for _ in range(5)]
    order = rng.permutation(20).astype(np.uint8)
    renamed = [order[song] for song in songs]
    for song, other in zip(songs, renamed, strict=True):
        np.testing.assert_allclose(
            prompt_agreement(song, finals_of(songs)).values, prompt_agreement(other, finals_of(renamed)).values
        )


def test_one_prompt_reports_its_own_share():
    song = np.array([[0, 1], [0, 2]], dtype=np.uint8)
    found = prompt_agreement(song, finals_of([song]))
    assert found.other.tolist() == [0, 0]
    assert found.values.tolist() == found.own.tolist() == [0.5, 1]


def test_equal_songs_are_defined():
    song = np.array([[0, 1], [0, 2], [0, 2]], dtype=np.uint8)
    found = prompt_agreement(song, finals_of([song, song, song]))
    assert found.other[-1] == 1
    assert np.isfinite(found.values).all()
    assert found.values.tolist() == [0, 1, 1]  # half of the frames agree with everybody alike: nothing particular


def test_like_another_song_and_not_like_its_own():
    first = np.array([[7, 7], [1, 1]], dtype=np.uint8)
    second = np.array([[0, 0], [7, 7]], dtype=np.uint8)
    assert prompt_agreement(first, finals_of([first, second])).values.tolist() == [0, 1]


def test_masked_frames_do_not_count():
    song = np.array([[1, 2, 9], [1, 3, 4]], dtype=np.uint8)
    other = np.array([[0, 0, 0], [5, 5, 5]], dtype=np.uint8)
    masks = [np.array([True, True, False]), np.ones(3, dtype=bool)]
    found = prompt_agreement(song, finals_of([song, other], masks), masks[0])
    assert found.own.tolist() == [0.5, 1]
    silent = prompt_agreement(song, finals_of([song, other], masks), np.zeros(3, dtype=bool))
    assert np.isnan(silent.values).all()


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
