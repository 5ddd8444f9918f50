"""Pooled agreement and closeness: known answers, and nothing read into what says nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.measures import agreement, closeness
from tracer.measures.contrast import (
    class_contrasts,
    clip_curves,
    closeness_parts,
    drawn_parts,
    pooled,
    reading_contrasts,
)
from tracer.measures.progress import settled_between


def static_songs(alike: int, songs: int = 16, frames: int = 10) -> list[np.ndarray]:
    """Songs of one class throughout, of which some share class 0; state 0 reads class 0 in every frame."""
    finals = [0] * alike + list(range(1, songs - alike + 1))
    return [np.stack([np.zeros(frames), np.full(frames, final)]).astype(np.uint8) for final in finals]


@pytest.mark.parametrize("alike", [8, 12, 14, 15])
def test_static_songs_hold_nothing_before_their_end(alike: int) -> None:
    assert agreement(static_songs(alike)) == pytest.approx([0, 1], abs=1e-12)


def test_agreement_by_its_definition() -> None:
    random = np.random.default_rng(0)
    songs = [random.integers(0, 4, (5, 30)).astype(np.uint8) for _ in range(6)]
    above, below = np.zeros(5), np.zeros(5)
    for which, song in enumerate(songs):
        own = (song == song[-1]).mean(axis=1)
        other = np.mean([(song == o[-1]).mean(axis=1) for k, o in enumerate(songs) if k != which], axis=0)
        above, below = above + own - other, below + 1 - other
    assert agreement(songs) == pytest.approx(above / below)


def closeness_by_definition(songs: list[np.ndarray], masks: list[np.ndarray]) -> np.ndarray:
    own, other = [], []
    for which, (song, mask) in enumerate(zip(songs, masks)):
        for frame in np.flatnonzero(mask):
            others = [
                o[-1, frame] for k, o in enumerate(songs) if k != which and frame < o.shape[1] and masks[k][frame]
            ]
            if others:
                own.append((song[:, frame] - song[-1, frame]) ** 2)
                other.append(np.mean([(song[:, frame] - final) ** 2 for final in others], axis=0))
    return 1 - np.mean(own, axis=0) / np.mean(other, axis=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_closeness_by_its_definition_with_masks_and_other_lengths(seed: int) -> None:
    random = np.random.default_rng(seed)
    songs = [random.normal(size=(4, int(random.integers(3, 9)))) for _ in range(4)]
    masks = [random.random(song.shape[1]) < 0.7 for song in songs]
    if sum(mask[: min(s.shape[1] for s in songs)].any() for mask in masks) < 2:
        return
    assert closeness(songs, masks) == pytest.approx(closeness_by_definition(songs, masks), nan_ok=True)


@pytest.mark.parametrize("scale", ["all", "song", "frame"])
def test_readings_that_say_nothing_are_not_close(scale: str) -> None:
    """Means over 100 simulated runs; the last state is the song itself."""
    random = np.random.default_rng(1)
    runs = []
    for _ in range(100):
        level = random.normal(size=(2, 24, 1))
        songs = [random.normal(size=(2, 12)) + level[:, k] for k in range(24)]
        runs.append(closeness(songs, scale=scale))
    values = np.array(runs)
    assert values[:, 1] == pytest.approx(1)
    assert abs(values[:, 0].mean()) < 3 * values[:, 0].std() / 10


def test_scales_take_a_song_apart() -> None:
    random = np.random.default_rng(2)
    means, shapes = random.normal(size=(30, 1)), random.normal(size=(30, 40))
    shapes -= shapes.mean(axis=1, keepdims=True)
    finals = means + shapes
    # State 0 knows the mean of the song alone, state 1 its course alone.
    songs = [np.stack([means[k] + 0 * shapes[k], shapes[k], finals[k]]) for k in range(30)]
    assert closeness(songs, scale="song")[0] == pytest.approx(1)
    assert closeness(songs, scale="frame")[1] == pytest.approx(1)
    assert closeness(songs, scale="frame")[0] < 0.6
    assert 0 < closeness(songs, scale="all")[0] < 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(0.1, 10), shift=st.floats(-100, 100))
def test_closeness_has_no_unit(seed: int, factor: float, shift: float) -> None:
    random = np.random.default_rng(seed)
    songs = [random.normal(size=(3, 8)) for _ in range(5)]
    moved = [factor * song + shift for song in songs]
    for scale in ("all", "song", "frame"):
        assert closeness(moved, scale=scale) == pytest.approx(closeness(songs, scale=scale), abs=1e-5)


@pytest.mark.parametrize(("factor", "shift"), [(1e-7, 0.0), (1.0, 1e8), (1e6, -1e6)])
def test_closeness_keeps_its_precision_in_any_unit(factor: float, shift: float) -> None:
    random = np.random.default_rng(6)
    songs = [random.normal(size=(4, 30)) for _ in range(5)]
    assert closeness([factor * song + shift for song in songs]) == pytest.approx(closeness(songs), abs=1e-6)


def test_what_is_masked_has_no_say() -> None:
    random = np.random.default_rng(7)
    songs = [random.integers(0, 4, (3, 20)) for _ in range(4)]
    mask = np.arange(20) < 15
    cut = [song[:, :15] for song in songs]
    for song in songs:
        song[:, 15:] = -1
    assert agreement(songs, [mask] * 4) == pytest.approx(agreement(cut))
    readings = [np.where(mask, song, np.nan) for song in songs]
    assert closeness(readings, [mask] * 4) == pytest.approx(closeness([song.astype(float) for song in cut]))


def test_a_prompt_without_a_valid_frame_counts_nowhere() -> None:
    random = np.random.default_rng(3)
    songs = [random.integers(0, 5, (4, 20)).astype(np.uint8) for _ in range(4)]
    masks = [None, None, None, np.zeros(20, bool)]
    assert agreement(songs, masks) == pytest.approx(agreement(songs[:3]))
    readings = [song.astype(float) for song in songs]
    for scale in ("all", "song", "frame"):
        assert closeness(readings, masks, scale) == pytest.approx(closeness(readings[:3], scale=scale))


def test_one_prompt_and_songs_that_end_alike() -> None:
    song = np.array([[0, 1, 2], [0, 1, 1]], np.uint8)
    assert agreement([song]) == pytest.approx([2 / 3, 1])
    assert np.isnan(closeness([song.astype(float)])).all()
    same = [np.zeros((2, 3), np.uint8)] * 3
    assert np.isnan(agreement(same)).all()
    assert np.isnan(closeness([song.astype(float) for song in same])).all()


def test_no_chance_is_made_up_where_one_prompt_has_valid_frames() -> None:
    random = np.random.default_rng(4)
    songs = [random.integers(0, 2, (3, 50)).astype(np.uint8) for _ in range(4)]
    masks = [np.full(50, song == 0) for song in range(4)]
    assert np.isnan(agreement(songs, masks)).all()
    masks[1][:20] = True
    assert agreement(songs, masks) == pytest.approx(agreement([song[:, :20] for song in songs[:2]]))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="each prompt"):
        agreement([])
    with pytest.raises(ValueError, match="same number of states"):
        agreement([np.zeros((2, 3), np.uint8), np.zeros((3, 3), np.uint8)])
    with pytest.raises(ValueError, match="scale is"):
        closeness([np.zeros((2, 3))], scale="bar")
    songs = [np.arange(6).reshape(2, 3)] * 2
    for masks in ([np.ones(3, bool)], [np.ones(4, bool)] * 2, [np.arange(2)] * 2):
        with pytest.raises(ValueError, match="valid holds a mask"):
            agreement(songs, masks)
    with pytest.raises(ValueError, match="whether it counts"):
        agreement(songs, [np.arange(3)] * 2)
    with pytest.raises(ValueError, match="number of states"):
        agreement([np.zeros((0, 3), np.uint8)] * 2)


@pytest.mark.parametrize("wrong", [-1, 0.5, np.nan])
def test_a_class_that_is_none_is_refused(wrong: float) -> None:
    songs = [np.zeros((2, 3)), np.ones((2, 3))]
    songs[0][0, 1] = wrong
    for some in (songs, songs[:1]):
        with pytest.raises(ValueError, match="no whole number from 0"):
            agreement(some)


@pytest.mark.parametrize("state", [0, 1])
def test_a_reading_that_is_not_finite_is_refused(state: int) -> None:
    songs = [np.zeros((2, 3)), np.ones((2, 3))]
    songs[0][state, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        closeness(songs)


@pytest.mark.parametrize("of", ["classes", "readings"])
def test_what_ends_are_to_the_others_adds_up_to_what_the_others_are_to_them(of):
    """A mean over pairs of songs can be summed over either side; `target` is checked pair by pair too."""
    rng = np.random.default_rng(3)
    if of == "classes":
        songs = [rng.integers(0, 5, (6, 9)) for _ in range(5)]
        own, other, target, frames = np.moveaxis(class_contrasts(songs), 1, 0)
        pair = lambda states, end: (states == end).mean(axis=1)  # noqa: E731
    else:
        songs = [rng.normal(size=(6, 9)) for _ in range(5)]
        spread = np.concatenate([song[-1] for song in songs]).std()
        own, other, target, frames = np.moveaxis(reading_contrasts(songs), 1, 0)
        pair = lambda states, end: np.square((states - end) / spread).sum(axis=1)  # noqa: E731
    np.testing.assert_allclose(other.sum(axis=0), target.sum(axis=0), rtol=1e-5)
    assert (frames == 9).all()
    for number, song in enumerate(songs):
        rest = [each for k, each in enumerate(songs) if k != number]
        np.testing.assert_allclose(target[number], np.mean([pair(each, song[-1]) for each in rest], axis=0), rtol=1e-5)
        np.testing.assert_allclose(own[number], pair(song, song[-1]), rtol=1e-5)


def test_ends_and_others_of_masked_songs_of_several_lengths_add_up():
    rng = np.random.default_rng(4)
    songs = [rng.normal(size=(4, length)) for length in (8, 8, 5, 8)]
    masks = [np.ones(8, bool), rng.random(8) < 0.7, np.ones(5, bool), np.zeros(8, bool)]
    _, other, target, frames = np.moveaxis(reading_contrasts(songs, masks)[:3], 1, 0)
    assert frames[:, 0].tolist() == [mask.sum() for mask in masks[:3]]
    np.testing.assert_allclose(other.sum(axis=0), target.sum(axis=0), rtol=1e-6)


def test_intervals_hold_the_truth_and_vanish_where_there_is_nothing_to_know():
    """Where all songs begin at one reading closeness is exactly 0 at the first state, whatever the songs."""
    rng = np.random.default_rng(5)
    ends = rng.normal(size=(12, 1)) + 0.3 * rng.normal(size=(12, 20))
    songs = [np.stack([np.full(20, 0.7), 0.5 * end + 0.5 * rng.normal(size=20), end]) for end in ends]
    contrasts = reading_contrasts(songs)
    own, other = contrasts[:, 0], contrasts[:, 1]
    draws = rng.multinomial(12, np.ones(12) / 12, size=500)
    part, whole = (draws @ each for each in drawn_parts("closeness", contrasts))
    replicates = part / whole
    assert pooled(*closeness_parts(own, other))[0] == pytest.approx(0, abs=1e-12)
    fixed = (draws @ (other - own))[:, 0] / (draws @ other)[:, 0]  # with the endings held fixed
    assert replicates[:, 0].std() < 0.15 * fixed.std()
    assert fixed.std() > 0.1


def masked_songs(rng: np.random.Generator, prompts: int) -> np.ndarray:
    """Contrasts of songs that differ in their frames, of which a tenth to all count, at two states."""
    ends = 1.1 * rng.normal(size=(prompts, 32))
    songs = [np.stack([end + 1.5 * rng.normal(size=32), end]) for end in ends]
    masks = [rng.random(32) < share for share in rng.uniform(0.1, 1, prompts)]
    for mask in masks:
        mask[0] = True
    return reading_contrasts(songs, masks)


@pytest.mark.parametrize("prompts", [8, 32])
def test_songs_with_few_frames_do_not_widen_the_interval(prompts):
    """The deviation of the bootstrap is that of the measure; where frames counted twice it was up to six times that."""
    values, spreads = [], []
    for seed in range(150):
        rng = np.random.default_rng([seed, prompts])
        contrasts = masked_songs(rng, prompts)
        values.append(pooled(*closeness_parts(contrasts[:, 0], contrasts[:, 1]))[0])
        draws = rng.multinomial(prompts, np.ones(prompts) / prompts, size=300)
        part, whole = (draws @ each for each in drawn_parts("closeness", contrasts))
        low, high = np.percentile((part / whole)[:, 0], [2.5, 97.5])
        spreads.append((high - low) / 2 / 1.96)
    assert np.mean(spreads) == pytest.approx(np.std(values), rel=0.25)


def test_clips_settle_where_they_were_planted_whatever_their_level_and_their_frames():
    """A clip that is far from the others ends where one that is near them does: at 1."""
    rng = np.random.default_rng(6)
    for deviation in (0.3, 3.0):  # of the songs' levels, beside frames of 1
        ends = deviation * rng.normal(size=(30, 1)) + rng.normal(size=(30, 60))
        noise = 1.5 * np.sqrt(deviation**2 + 1) * np.linspace(1, 0, 20)
        songs = [end + noise[:, None] * rng.normal(size=(20, 60)) for end in ends]
        for song, end in zip(songs, ends, strict=True):
            song[-1] = end
        masks = [rng.random(60) < share for share in rng.uniform(0.3, 1, 30)]
        own, other, _, frames = np.moveaxis(reading_contrasts(songs, masks), 1, 0)
        curves = clip_curves("closeness", own, other, frames)
        assert (curves[:, -1] == 1).all()
        expected = 1 - noise**2 / (noise**2 + 2 * (deviation**2 + 1))
        np.testing.assert_allclose(np.mean(curves, axis=0), expected, atol=0.1)
        assert np.std(settled_between(curves)) < 1
