"""What an event and a moment say of themselves, and the scale of noise levels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hooks import Event, Moment
from hooks.events import flow_logsnr


def event(**changes: object) -> Event:
    tensor = torch.full((2, 128, 64), 12345.678)
    parts = {"index": 3, "last": 31, "t": 3 / 31, "state": tensor, "velocity": tensor, "endpoint": tensor[:, :, :8]}
    return Event(**({**parts, "mask": None, "logsnr": -4.4659} | changes))


def test_an_event_says_where_it_is_and_the_shapes_of_its_tensors() -> None:
    assert repr(event()) == (
        "Event(state 3 of 31, t=0.09677, logsnr=-4.466, state=[2, 128, 64], velocity=[2, 128, 64], "
        "endpoint=[2, 128, 8])"
    )
    mask = torch.arange(128).expand(2, 128) < 100
    finished = event(index=31, t=1.0, logsnr=math.inf, velocity=None, mask=mask)
    assert repr(finished) == (
        "Event(state 31 of 31, t=1, logsnr=inf, state=[2, 128, 64], velocity=None, endpoint=[2, 128, 8], "
        "mask=200 of 256 frames)"
    )
    assert "12345" not in repr(event())


def test_a_moment_says_where_it_is() -> None:
    assert repr(Moment(0, 31, 0.0, -math.inf)) == "Moment(state 0 of 31, t=0, logsnr=-inf)"
    masked = Moment(1, 4, 0.25, flow_logsnr(0.25), torch.tensor([True, False]))
    assert repr(masked) == "Moment(state 1 of 4, t=0.25, logsnr=-2.197, mask=1 of 2 frames)"


@given(st.floats(1e-6, 1 - 1e-6))
def test_the_log_snr_of_a_flow_is_odd_around_the_middle(t: float) -> None:
    assert flow_logsnr(t) == pytest.approx(-flow_logsnr(1 - t), abs=1e-6)
    assert flow_logsnr(t) == pytest.approx(2 * math.log(t / (1 - t)))


def test_the_ends_of_a_flow_are_infinite() -> None:
    assert (flow_logsnr(0.0), flow_logsnr(0.5), flow_logsnr(1.0)) == (-math.inf, 0, math.inf)


def test_alpha_and_sigma_follow_from_flow_time_and_scale() -> None:
    straight = event(t=0.25)
    assert (straight.alpha, straight.sigma) == (0.25, 0.75)
    kept = event(t=0.5, scale=math.sqrt(2))
    assert kept.alpha**2 + kept.sigma**2 == pytest.approx(1)
