"""Samplings that end when their readings have come to rest."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from hooks import Event, Moment
from probes.errors import InputError
from tracer import trace
from tracer.curves import TRAINED
from tracer.generators import Generator, load_generator
from tracer.options import TraceOptions
from tracer.prompts import Prompt
from tracer.record.settling import Settling, stop_summary, stopping
from tracer.session import Session

SMALL: dict[str, Any] = {"steps": 16, "seconds": 1.0, "progress_bar": False}


@pytest.fixture(scope="module")
def mini() -> Generator:
    return load_generator("mini")


def event(index: int, endpoint: Tensor, mask: Tensor | None = None) -> Event:
    return Event(index, 9, index / 9, endpoint, endpoint, endpoint, mask, 0.0)


def reading(values: list[list[float]]) -> Any:
    """Readings of [clips] frames each, of an attribute with 10 classes."""
    return SimpleNamespace(values={TRAINED: {"level": torch.tensor(values)}})


def test_each_clip_is_held_where_its_own_readings_have_rested() -> None:
    watch = Settling({"level": 10}, clips=2, states=2, within=0.05)
    # The first clip moves by 1 class once and then rests; the second one rests from state 3 on.
    paths = [[0, 1, 1.1, 1.2, 1.2, 1.2], [0, 3, 6, 6, 6.4, 6.3]]
    for index in range(6):
        endpoint = torch.full((2, 3, 4), float(index))
        held = watch(endpoint, Moment(index, 9, index / 9, 0.0))
        watch.see(event(index, held), reading([[path[index]] * 3 for path in paths]))
    assert watch.at.tolist() == [3, 4]
    assert watch.rests()
    assert watch.evaluated == 5
    last = watch(torch.full((2, 3, 4), 8.0), Moment(8, 9, 8 / 9, 0.0))
    assert (last[0] == 3).all()
    assert (last[1] == 4).all()


def test_until_a_clip_has_settled_nothing_is_changed() -> None:
    watch = Settling({"level": 10}, clips=1, states=2, within=0.05)
    endpoint = torch.ones(1, 3, 4)
    for index in range(6):
        watch.see(event(index, endpoint), reading([[float(index)] * 3]))
    assert watch(endpoint, Moment(6, 9, 0.6, 0.0)) is endpoint
    assert not watch.rests()
    assert watch.evaluated == 9


def test_frames_outside_the_song_do_not_count() -> None:
    watch = Settling({"level": 10}, clips=1, states=1, within=0.05)
    mask = torch.tensor([[True, False]])
    watch.see(event(0, torch.ones(1, 2, 4), mask), reading([[1.0, 0.0]]))
    watch.see(event(1, torch.ones(1, 2, 4), mask), reading([[1.0, 9.0]]))
    assert watch.at.tolist() == [1]


def endpoints(session: Session, clips: Sequence[Prompt], options: TraceOptions) -> tuple[list[Tensor], Settling | None]:
    """The clean estimates of every state, and what held them."""
    kept: list[Tensor] = []
    with stopping(session, options, len(clips)) as settling:

        def see(event: Event) -> None:
            assert event.endpoint is not None
            kept.append(event.endpoint.clone())
            if settling is not None:
                settling.see(event, session.readout.read(event.endpoint, event.mask, only_trained=True))

        session.generate(clips, (), see)
    return kept, settling


def test_a_sampling_goes_as_ever_up_to_where_it_is_stopped_whatever_its_batch(mini: Generator) -> None:
    given: dict[str, Any] = {"generator": mini, "prompts": ["a soft piano", "loud drums"], "steps": 16, "seconds": 1.0}
    options = TraceOptions(**given, stop_when_settled="loudness", settled_states=2, settled_within=0.02)
    session = Session.open(options, "cpu")
    whole, none = endpoints(session, session.prompts, TraceOptions(**given))
    both, settling = endpoints(session, session.prompts, options)
    assert none is None
    assert settling is not None
    for row, clip in enumerate(session.prompts):
        alone, own = endpoints(session, [clip], options)
        assert own is not None
        stop = int(own.at[0])
        assert stop == settling.at[row]
        assert 2 <= stop < 15
        assert own.evaluated == stop + 1 <= settling.evaluated
        for state in range(16):
            expected = whole[min(state, stop)][row]
            torch.testing.assert_close(both[state][row], expected, atol=2e-4, rtol=1e-3)
            torch.testing.assert_close(alone[state][0], expected, atol=2e-4, rtol=1e-3)


def test_a_run_says_what_stopping_saved_and_cost(mini: Generator, tmp_path: Path) -> None:
    run = trace(
        mini, ["a soft piano", "loud drums"], out=tmp_path / "early", stop_when_settled="loudness", settled_states=1,
        settled_within=0.05, **SMALL,
    )  # fmt: skip
    assert run is not None
    about = [json.loads((run.path / "stopped" / f"{prompt:05d}.json").read_text()) for prompt in range(2)]
    summary = stop_summary(run.path)
    assert summary is not None
    assert summary["stopped"] == summary["checked"] == 2
    assert summary["at"] == sum(row["stopped_at"] for row in about) / 2
    assert summary["saved"] == pytest.approx(1 - about[0]["evaluated"] / 15)
    assert summary["cost"]["log_mel_db"] == pytest.approx(sum(row["cost"]["log_mel_db"] for row in about) / 2)
    assert summary["cost"]["log_mel_db"] > 0
    assert stop_summary(tmp_path) is None


def test_a_sampler_whose_network_cannot_rest_is_refused_before_a_folder_exists(mini: Generator, tmp_path: Path) -> None:
    named = copy.copy(mini)
    named.sampler = SimpleNamespace(taps=mini.sampler.taps, config=mini.sampler.config)
    with pytest.raises(InputError, match=r"stop_when_settled cannot work here: .*`transformer`"):
        trace(named, ["a piano"], out=tmp_path / "out", stop_when_settled="all", **SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stop_when_settled": "tempo"}, "pitch, loudness, timbre"),
        ({"stop_when_settled": "all", "steer": ["loudness=+"]}, "one of the two"),
        ({"stop_when_settled": "all", "views": ("state",)}, "leave it in"),
        ({"ground_truth": True, "views": ("state",)}, "ground_truth measures the endpoint: leave it in"),
        ({"stop_when_settled": "all", "settled_states": 0}, "at least 1"),
        ({"stop_when_settled": "all", "settled_within": 0.0}, "between 0 and 1"),
        ({"settled_states": 5}, "go with"),
    ],
)
def test_what_cannot_work_is_refused(mini: Generator, tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        trace(mini, ["a piano"], out=tmp_path / "out", **(SMALL | options))
    assert says in str(refused.value)
    assert not (tmp_path / "out").exists()
