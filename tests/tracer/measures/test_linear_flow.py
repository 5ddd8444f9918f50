"""The linear flow against what can be computed otherwise: the sampler's own equation, and Gaussian conditioning."""

import numpy as np
import pytest

from tracer.measures.linear_flow import LinearFlow

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=5)
FACTOR = RNG.normal(size=(5, 5))
COVARIANCE = FACTOR @ FACTOR.T
FLOW = LinearFlow(MEAN, COVARIANCE)


def test_the_finished_latent_is_its_own_state_and_estimate():
    x = RNG.normal(size=5)
    for found in (FLOW.state(1, 0), FLOW.endpoint(1, 0)):
        assert found.matrix @ x + found.offset == pytest.approx(x)


@pytest.mark.parametrize(("alpha", "sigma"), [(0.0, 1.0), (0.3, 0.7), (0.6, 0.8), (1.0, 0.0)])
def test_states_and_estimates_are_those_of_the_gaussian(alpha, sigma):
    state, endpoint = FLOW.state(alpha, sigma), FLOW.endpoint(alpha, sigma)
    noisy = alpha**2 * COVARIANCE + sigma**2 * np.eye(5)
    # A state that comes from x ~ N(m, S) by the flow has the distribution of alpha x + sigma n.
    assert state.matrix @ COVARIANCE @ state.matrix.T == pytest.approx(noisy)
    x = RNG.normal(size=5)
    at = state.matrix @ x + state.offset
    given = MEAN + alpha * COVARIANCE @ np.linalg.solve(noisy, at - alpha * MEAN)
    assert endpoint.matrix @ x + endpoint.offset == pytest.approx(given)


def test_small_steps_along_the_velocity_follow_the_flow():
    x = np.linspace(-2, 2, 5)
    steps = 4000
    at = FLOW.state(0.2, 0.8)
    now = at.matrix @ x + at.offset
    for t in np.linspace(0.2, 1, steps + 1)[:-1]:
        noisy = t**2 * COVARIANCE + (1 - t) ** 2 * np.eye(5)
        estimate = MEAN + t * COVARIANCE @ np.linalg.solve(noisy, now - t * MEAN)
        now = now + (estimate - now) / (1 - t) * 0.8 / steps
    assert now == pytest.approx(x, abs=5e-3)


def test_a_displacement_of_a_state_arrives_as_the_transport_says():
    x, moved = RNG.normal(size=(2, 5))
    state = FLOW.state(0.4, 0.6)
    back = np.linalg.solve(state.matrix, state.matrix @ x + moved)
    assert FLOW.transport(0.4, 0.6) @ moved == pytest.approx(back - x)


@pytest.mark.parametrize("covariance", [np.eye(4), np.full((5, 5), np.nan), -np.eye(5), np.triu(np.ones((5, 5)))])
def test_what_is_no_covariance_is_refused(covariance):
    with pytest.raises(ValueError, match="covariance"):
        LinearFlow(MEAN, covariance)
