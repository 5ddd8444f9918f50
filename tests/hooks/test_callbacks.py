"""The order of edits, what the next one sees, and the names of what is attached."""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hooks import Event, Moment
from hooks.callbacks import LONGEST_NAME, Callbacks, short_name
from hooks.guidance import Gains

MOMENT = Moment(3, 8, 0.375, -1.0)
LATENT = torch.zeros(1, 4, 2)


def adding(amount: float, seen: list[float]):
    def edit(latent: Tensor, moment: Moment) -> Tensor:
        seen.append(float(latent[0, 0, 0]))
        return latent + amount

    return edit


def idle(latent: Tensor, moment: Moment) -> Tensor:
    return latent


def test_an_endpoint_edit_sees_what_the_ones_before_it_really_did() -> None:
    seen: list[float] = []
    edits = [adding(1.0, seen), idle, adding(10.0, seen), adding(100.0, seen)]
    callbacks = Callbacks(endpoint_edits=list(zip(edits, ["cond", "cond", "null", "both"])))
    push = callbacks.push(LATENT, MOMENT, Gains(cond=4.0, null=-3.0))
    assert seen == [0, 4, -26]
    torch.testing.assert_close(push, torch.full_like(LATENT, 74.0))


def test_without_an_edit_that_acts_nothing_is_pushed() -> None:
    assert Callbacks().push(LATENT, MOMENT, Gains()) is None
    assert Callbacks(endpoint_edits=[(idle, "null")]).push(LATENT, MOMENT, Gains()) is None
    assert Callbacks(state_edits=[idle]).state(LATENT, MOMENT) is LATENT


def test_state_edits_act_one_after_the_other() -> None:
    seen: list[float] = []
    edited = Callbacks(state_edits=[adding(1.0, seen), adding(2.0, seen)]).state(LATENT, MOMENT)
    assert seen == [0, 1]
    torch.testing.assert_close(edited, torch.full_like(LATENT, 3.0))


def forgetful(latent: Tensor, moment: Moment) -> None:
    latent.clone()[..., :1] = 5.0


def writing(latent: Tensor, moment: Moment) -> Tensor:
    latent[..., :1] = 5.0
    return latent


@pytest.mark.parametrize(
    ("edit", "says"), [(forgetful, "forgetful returned None"), (writing, "writing wrote into the latent")]
)
def test_an_edit_that_writes_into_its_latent_or_returns_nothing_is_told(edit: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"{says}.*: an edit returns a new tensor"):
        Callbacks(state_edits=[edit]).state(LATENT.clone(), MOMENT)
    with pytest.raises(ValueError, match=f"{says}.*: an edit returns a new tensor"):
        Callbacks(endpoint_edits=[(edit, "both")]).push(LATENT.clone(), MOMENT, Gains())


def test_an_edit_keeps_the_shape_of_its_latent() -> None:
    with pytest.raises(ValueError, match=r"returned \[3, 4, 2\] for a latent \[1, 4, 2\]"):
        Callbacks(state_edits=[lambda latent, moment: latent + torch.ones(3, 4, 2)]).state(LATENT, MOMENT)
    with pytest.raises(ValueError, match="returned a float: an edit returns a new tensor"):
        Callbacks(state_edits=[lambda latent, moment: 2.0]).state(LATENT, MOMENT)  # type: ignore[list-item,return-value]


@pytest.mark.parametrize("part", ["state", "velocity", "endpoint"])
def test_a_sink_that_writes_into_its_event_is_told(part: str) -> None:
    def erasing(event: Event) -> None:
        getattr(event, part).zero_()

    with pytest.raises(ValueError, match="erasing wrote into the event"):
        Callbacks(sinks=[erasing]).observe(MOMENT, *(torch.randn(1, 4, 2) for _ in range(3)))


def test_edits_act_under_inference_mode_too() -> None:
    with torch.inference_mode():
        edited = Callbacks(state_edits=[adding(1.0, [])]).state(torch.zeros(1, 4, 2), MOMENT)
    assert edited.tolist() == torch.ones(1, 4, 2).tolist()


def test_an_event_carries_the_moment_and_a_mask_of_every_clip() -> None:
    events: list[Event] = []
    mask = torch.tensor([True, True, False, False])
    state = torch.randn(3, 4, 2)
    Callbacks(sinks=[events.append]).observe(Moment(3, 8, 0.375, -1.0, mask), state, None, state)
    (event,) = events
    assert (event.index, event.last, event.t, event.logsnr) == (3, 8, 0.375, -1.0)
    assert event.state is event.endpoint is state
    assert event.mask.tolist() == [mask.tolist()] * 3


class Plain:
    def method(self, latent: Tensor) -> Tensor:
        return latent


class Described:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (adding(1.0, []), "edit"),
        (torch.zeros_like, "zeros_like"),
        (print, "print"),
        ([].append, "list.append"),
        (Plain().method, "Plain.method"),
        (Plain(), "Plain"),
        (Described("Push(pitch up)"), "Push(pitch up)"),
        (Described("x" * 1000), "x" * (LONGEST_NAME - 3) + "..."),
        (nn.Sequential(nn.Linear(2, 2)), "Sequential"),
    ],
)
def test_names_take_one_short_line(callback: object, name: str) -> None:
    assert short_name(callback) == name


def test_a_partial_function_has_a_name_of_one_line() -> None:
    assert "\n" not in short_name(functools.partial(idle, moment=MOMENT))
