"""Verdicts: right where the answer was planted, and no more false alarms than promised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.measures.contrast import closeness_parts, ratio, reading_contrast
from tracer.measures.finals import Readings
from tracer.measures.linear_flow import LinearFlow
from tracer.measures.progress import settled, settled_between
from tracer.measures.verdicts import at_index, generic_difference, holm, paired_difference, split_variance

TIMES = np.linspace(0, 1, 24)


def parts_of(readings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators of closeness, [songs, states], from readings [songs, states, frames]."""
    every = np.ones(readings.shape[2], dtype=bool)
    ends = [(song[-1], every) for song in readings]
    finals = Readings(ends)
    pairs = [reading_contrast(song, every, [finals.without([end])]) for song, end in zip(readings, ends, strict=True)]
    return closeness_parts(*np.moveaxis(np.array(pairs), 1, 0))


def replicates(parts: tuple[np.ndarray, np.ndarray], draws: np.ndarray) -> np.ndarray:
    return ratio(parts[0][draws].sum(1), parts[1][draws].sum(1))


def simulate(seed: int, lead: float) -> str:
    """Verdict on an attribute that is one more generic direction of a Gaussian latent, read `lead` of flow time early.

    Songs are finished latents [frames, 8]. States of a straight flow hold noise: a direction settles by its variance.
    """
    rng = np.random.default_rng(seed)
    songs, frames, channels = 24, 6, 8
    deviations = np.exp(rng.normal(0.8, 0.6, channels))
    latents = rng.normal(size=(songs, frames, channels)) * deviations
    noise = rng.normal(size=latents.shape)
    directions = rng.normal(size=(5, channels)) * deviations
    draws = rng.integers(0, songs, (200, songs))

    def reading(direction: np.ndarray, early: float) -> np.ndarray:
        t = np.minimum(TIMES + early, 1)[:, None]
        states = t * (latents @ direction)[:, None] + (1 - t) * (noise @ direction)[:, None]
        return states

    own = parts_of(reading(directions[0], lead))
    others = [parts_of(reading(direction, 0)) for direction in directions[1:]]
    together = tuple(np.sum([other[k] for other in others], axis=0) for k in range(2))
    found = generic_difference(
        ratio(own[0].sum(0), own[1].sum(0)),
        [ratio(other[0].sum(0), other[1].sum(0)) for other in others],
        (replicates(own, draws), replicates(together, draws)),
        songs,
    )
    return found.word


def test_false_alarms_are_at_most_five_in_a_hundred():
    words = [simulate(seed, lead=0.0) for seed in range(200)]
    assert words.count("earlier") <= 10
    assert words.count("later") <= 10
    assert words.count("unknown") == 0


def test_an_attribute_that_is_planted_early_is_found_earlier():
    words = [simulate(seed, lead=0.4) for seed in range(40)]
    assert words.count("earlier") >= 32
    assert "later" not in words


def test_a_linear_gaussian_generator_lies_on_its_linear_flow():
    """Euler steps along the exact velocity of Gaussian data, against the flow built from its finished latents."""
    rng = np.random.default_rng(3)
    songs, frames, channels, steps = 30, 12, 5, 64
    factor = rng.normal(size=(channels, channels))
    mean, covariance = rng.normal(size=channels), factor @ factor.T
    flow = LinearFlow(mean, covariance)
    state = rng.normal(size=(songs, frames, channels))
    direction = rng.normal(size=channels)
    read, estimates = [], []
    for t in np.linspace(0, 1, steps):
        noisy = t**2 * covariance + (1 - t) ** 2 * np.eye(channels)
        estimate = mean + t * (state - t * mean) @ np.linalg.solve(noisy, covariance)
        read.append(state @ direction)
        estimates.append(estimate @ direction)
        if t < 1:
            state = state + (estimate - state) / (1 - t) / (steps - 1)
    draws = rng.integers(0, songs, (300, songs))
    for seen, rule in ((read, flow.state), (estimates, flow.endpoint)):
        null = [rule(t, 1 - t) for t in np.linspace(0, 1, steps)]
        along = [(state @ at.matrix.T + at.offset) @ direction for at in null]
        own, other = (parts_of(np.stack(readings, axis=1)) for readings in (seen, along))
        curves = [ratio(parts[0].sum(0), parts[1].sum(0)) for parts in (own, other)]
        assert curves[0] == pytest.approx(curves[1], abs=0.06)
        found = paired_difference(*curves, (replicates(own, draws), replicates(other, draws)), songs)
        assert abs(found.value) < 1
        assert found.low - 0.5 <= 0 <= found.high + 0.5


@given(st.lists(st.floats(0, 1), min_size=3, max_size=20), st.floats(0.01, 0.5))
def test_settling_between_states_lies_in_the_last_step_into_the_threshold(values, threshold):
    curve = np.array(values)
    at, between = int(settled(curve, threshold)), float(settled_between(curve, threshold))
    assert max(at - 1, 0) <= between + 1e-9
    assert between <= at + 1e-9


def test_settling_between_states_by_hand():
    assert settled_between(np.array([0, 0.5, 0.8, 1.0]), 0.1) == pytest.approx(2.5)
    assert settled_between(np.array([1.0, 1.0])) == 0
    assert np.isnan(settled_between(np.array([np.nan, 1.0])))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5]) == [0.5]
    assert holm([]) == []


def test_log_snr_between_states():
    axis = np.array([-np.inf, -2.0, 2.0, np.inf])
    assert at_index(axis, 1.5) == 0
    assert at_index(axis, 2) == 2
    assert (at_index(axis, 0.3), at_index(axis, 2.1)) == (-np.inf, np.inf)


def test_variance_is_split_as_planted():
    rng = np.random.default_rng(0)
    points = 10 + 3 * rng.normal(size=(2000, 1)) + 2 * rng.normal(size=(2000, 3))
    found = split_variance(points)
    assert found.mean == pytest.approx(10, abs=0.2)
    assert found.between_prompts == pytest.approx(9, rel=0.1)
    assert found.between_seeds == pytest.approx(4, rel=0.1)
    assert split_variance(2 * rng.normal(size=(2000, 3))).between_prompts < 0.2
