"""One meaning for an edit of the endpoint, over every adapter: one row each.

An edit is given the clean estimate that the guided output implies, on every branch. A push of one branch moves that
estimate by the branch's gain, and the next edit sees it there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from support.linear_samplers import LinearCFM, LinearFlow
from support.lookalike_ace_step import ACEStepPipeline
from support.lookalike_ace_step import generate as generate_ace_step
from support.pipelines import save
from support.sinks import Kept
from torch import Tensor, nn

from hooks import NULL_NEEDS_GUIDANCE, Edit, EditRefused, Event, Moment, attach, capture, resting, steer
from hooks.samplers import network_call
from hooks.samplers.wrapping import replaced
from tracer.generators import load_generator

NOISE = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
GUIDED = {"both": 1.0, "cond": 4.0, "null": -3.0}
"""Guidance v = c + 3 (c - n), or what is the same, v = n + 4 (c - n)."""

Generate = Callable[..., Any]
"""Runs the sampler; `guided` turns guidance on or off."""
PushBranch = Callable[[Any, str], Any]
"""(sampler, branch) -> a context in which an ordinary hook adds 1 to what the network says on that branch."""


@dataclass(frozen=True)
class Row:
    """One kind of sampler."""

    name: str
    build: Callable[[Path], tuple[Any, Generate]]
    """(empty folder) -> the sampler, and how to run it."""
    push_branch: PushBranch | None = None
    """None without guidance, where it is not linear, or where another file tests it."""
    state: int = 1
    """Index of a state at which guidance is on; it is on for the first time one state earlier."""
    gains: dict[str, float] = field(default_factory=lambda: GUIDED)
    """Branch -> how far a push of 1 moves the guided estimate; a branch that is not here is refused."""
    refusal: str = ""
    """What the refusal of one branch says, where guidance is not linear."""
    can_guide: bool = True
    """Whether this sampler has guidance at all."""


def flow(model: Any) -> tuple[Any, Generate]:
    return model, lambda guided=True: model.run(NOISE, 5, 3.0 if guided else 0.0)


def pipeline(name: str, **options: Any) -> Callable[[Path], tuple[Any, Generate]]:
    def build(folder: Path) -> tuple[Any, Generate]:
        model = load_generator(name, weights=save(name, folder, **options))

        def generate(guided: bool = True) -> None:
            guidance = 4.0 if guided else 1.0
            captions = ["slow piano", "fast drums"][: model.max_batch or 2]
            seeds = list(range(11, 11 + len(captions)))
            model.generate(captions, seeds, steps=5, seconds=0.4, guidance=guidance)

        return model.sampler, generate

    return build


def ace_step_v1(**options: Any) -> Callable[[Path], tuple[Any, Generate]]:
    def build(_: Path) -> tuple[Any, Generate]:
        model = ACEStepPipeline()
        return model, lambda guided=True: generate_ace_step(
            model, **{"guidance_scale": 4.0 if guided else 1.0, **options}
        )

    return build


@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any], **options: Any) -> Iterator[None]:
    handle = module.register_forward_hook(hook, **options)
    try:
        yield
    finally:
        handle.remove()


def on_taps(sampler: Any, branch: str) -> Any:
    def push(_: Any, __: Any, branches: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return tuple(velocity + (name == branch) for name, velocity in zip(("cond", "null"), branches))

    return hooked(sampler.taps.branches, push)


def on_drop_text(sampler: Any, branch: str) -> Any:
    def push(_: Any, __: Any, kwargs: dict[str, Any], velocity: Tensor) -> Tensor:
        return velocity + (kwargs["drop_text"] == (branch == "null"))

    return hooked(sampler.transformer, push, with_kwargs=True)


def on_rows(network: str, *order: str) -> PushBranch:
    """One call evaluates both branches, in this order."""

    def context(sampler: Any, branch: str) -> Any:
        def push(_: Any, __: Any, result: Any) -> None:
            output = result[0] if isinstance(result, tuple) else result.sample
            output.chunk(2)[order.index(branch)].add_(1)

        return hooked(getattr(sampler, network), push)

    return context


def on_calls(sampler: Any, branch: str) -> Any:
    """The two branches are evaluated in turn, the conditional one first."""
    turns = iter(["cond", "null"] * 10)

    def push(_: Any, __: Any, result: Any) -> None:
        result.sample.add_(next(turns) == branch)

    return hooked(sampler.transformer, push)


UNET, TRANSFORMER = on_rows("unet", "null", "cond"), on_rows("transformer", "null", "cond")
APG = {"both": 1.0}
ROWS = [
    Row("tapped", lambda _: flow(LinearFlow()), on_taps),
    Row("cfm", lambda _: flow(LinearCFM()), on_drop_text),
    Row("stable-audio", pipeline("stable-audio"), TRANSFORMER),
    Row("stable-audio-3", pipeline("stable-audio-3", distilled=False), TRANSFORMER),
    Row("audioldm", pipeline("audioldm"), UNET),
    Row("audioldm2", pipeline("audioldm2"), UNET),
    Row("musicldm", pipeline("musicldm"), UNET),
    Row("longcat-audio", pipeline("longcat-audio"), on_calls),
    Row("ace-step", pipeline("ace-step"), gains=APG, refusal="AceStepPipeline is not linear"),
    Row("ace-step turbo", pipeline("ace-step", turbo=True), gains={"both": 1.0, "cond": 1.0}, can_guide=False),
    Row("ace-step-v1", ace_step_v1(), state=3),
    Row("ace-step-v1 apg", ace_step_v1(cfg_type="apg"), state=3, gains=APG, refusal="cfg_type='apg' is not linear"),
]


@dataclass(frozen=True)
class Case:
    """A sampler and its row."""

    row: Row
    sampler: Any
    generate: Generate

    def events(self, *edits: Edit, guided: bool = True) -> list[Event]:
        with steer(self.sampler, edits), capture(self.sampler, kept := Kept()):
            self.generate(guided=guided and self.row.can_guide)
        return kept.events

    def at_state(self, events: list[Event]) -> dict[str, float]:
        """Window of an edit that acts at the row's state alone."""
        t = events[self.row.state].t
        return {"start": t - 1e-6, "stop": t + 1e-6}


@pytest.fixture(scope="module")
def opened() -> dict[str, Case]:
    """The samplers that have been built, by the name of their row."""
    return {}


@pytest.fixture
def case(row: Row, opened: dict[str, Case], tmp_path: Path) -> Case:
    if row.name not in opened:
        opened[row.name] = Case(row, *row.build(tmp_path))
    return opened[row.name]


def over(wanted: Callable[[Row], bool] = lambda row: True) -> pytest.MarkDecorator:
    """Run a test over the rows that are wanted."""
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if wanted(row)])


def over_branches(wanted: Callable[[Row, str], bool]) -> pytest.MarkDecorator:
    """Run a test over the rows and branches that are wanted."""
    pairs = [(row, branch) for row in ROWS for branch in ("both", "cond", "null") if wanted(row, branch)]
    return pytest.mark.parametrize(
        ("row", "branch"), [pytest.param(row, branch, id=f"{row.name}-{branch}") for row, branch in pairs]
    )


class Recorder:
    """A displacement that depends on what it is given, and remembers it."""

    def __init__(self, size: float) -> None:
        self.size = size
        self.given: list[Tensor] = []

    def __call__(self, latents: Tensor) -> Tensor:
        self.given.append(latents.clone())
        return self.size * (1 + torch.tanh(latents))


def assert_close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-4)


@over_branches(lambda row, branch: row.can_guide and branch in row.gains)
def test_every_edit_sees_the_guided_estimate(case: Case, branch: Any) -> None:
    row, plain = case.row, case.events()
    gain, estimate, window = row.gains[branch], plain[row.state].endpoint, case.at_state(plain)
    first, second, third = Recorder(0.3), Recorder(-0.2), Recorder(0.0)
    steered = case.events(
        Edit(first, branch=branch, **window), Edit(second, branch="both", **window), Edit(third, **window)
    )
    assert [len(recorder.given) for recorder in (first, second, third)] == [1, 1, 1]
    assert_close(first.given[0], estimate)
    after_first = estimate + gain * 0.3 * (1 + torch.tanh(estimate))
    assert_close(second.given[0], after_first)
    after_second = after_first - 0.2 * (1 + torch.tanh(after_first))
    assert_close(third.given[0], after_second)
    assert_close(steered[row.state].endpoint, after_second)
    # The generation goes on from there, and the states up to there are the same.
    assert torch.equal(steered[row.state].state, plain[row.state].state)
    assert not torch.allclose(steered[row.state + 1].state, plain[row.state + 1].state, atol=1e-3)


@over(lambda row: row.can_guide)
def test_the_guided_estimate_is_not_the_conditional_branch_s_own(case: Case) -> None:
    """Otherwise the test above could not tell them apart."""
    first = case.row.state - 1
    guided, own = case.events()[first], case.events(guided=False)[first]
    assert torch.equal(guided.state, own.state)
    assert not torch.allclose(guided.endpoint, own.endpoint, atol=1e-2)


@over_branches(lambda row, branch: row.push_branch is not None and branch != "both")
def test_the_gains_are_what_the_sampler_makes_of_its_branches(case: Case, branch: str) -> None:
    """The sampler's own guidance decides: an ordinary hook pushes one branch of the network's output by 1."""
    plain = case.events()
    with case.row.push_branch(case.sampler, branch):
        pushed = case.events()
    moved = pushed[0].velocity - plain[0].velocity
    assert_close(moved, torch.full_like(moved, case.row.gains[branch]))


@over()
def test_without_guidance_the_null_branch_is_refused_and_the_other_one_is_the_output(case: Case) -> None:
    plain = case.events(guided=False)
    window = case.at_state(plain)
    with pytest.raises(EditRefused) as raised:
        case.events(Edit(torch.ones_like, branch="null", **window), guided=False)
    assert str(raised.value) == NULL_NEEDS_GUIDANCE
    given = Recorder(0.3)
    steered = case.events(Edit(given, branch="cond", **window), guided=False)
    state, estimate = case.row.state, plain[case.row.state].endpoint
    assert_close(given.given[0], estimate)
    assert_close(steered[state].endpoint, estimate + 0.3 * (1 + torch.tanh(estimate)))


@over_branches(lambda row, branch: row.can_guide and branch not in row.gains)
def test_one_branch_is_refused_where_guidance_is_not_linear(case: Case, branch: Any) -> None:
    window = case.at_state(case.events())
    with pytest.raises(EditRefused, match=f"{case.row.refusal}.*edit branch both"):
        case.events(Edit(torch.ones_like, branch=branch, **window))


@over_branches(lambda row, branch: branch in row.gains)
def test_a_displacement_of_zero_and_an_edit_outside_its_window_change_no_bit(case: Case, branch: Any) -> None:
    plain = case.events()
    edits = [
        Edit(torch.zeros_like, branch=branch),
        Edit(torch.ones_like, branch=branch, start=1 - 2e-7, stop=1 - 1e-7),
    ]
    for one, other in zip(case.events(*edits), plain):
        assert torch.equal(one.state, other.state)
        assert torch.equal(one.endpoint, other.endpoint)


@over()
@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_an_edit_of_one_clip_does_not_touch_the_others(case: Case, site: Any) -> None:
    def first_clip(latents: Tensor) -> Tensor:
        push = torch.zeros_like(latents)
        push[0] = 1
        return push

    plain = case.events()
    steered = case.events(Edit(first_clip, site=site, **case.at_state(plain)))
    for one, other in zip(steered, plain):
        torch.testing.assert_close(one.state[1:], other.state[1:], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(steered[-1].state[0], plain[-1].state[0], atol=1e-3)


class Holding:
    """An endpoint edit that keeps the clean estimate of a state from there on; the network rests meanwhile."""

    def __init__(self, state: int) -> None:
        self.state, self.held = state, None

    def __call__(self, endpoint: Tensor, moment: Moment) -> Tensor:
        if moment.index == self.state:
            self.held = endpoint.clone()
        return endpoint if self.held is None else self.held


@over()
def test_a_sampling_whose_network_rests_goes_straight_to_the_held_estimate(case: Case) -> None:
    state, plain, calls = case.row.state, case.events(), []
    network, method = network_call(case.sampler)

    def counted(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        calls.append(len(kept.events))
        return original(*args, **kwargs)

    holding = Holding(state)
    with (
        replaced(network, method, counted),
        resting(case.sampler, lambda: holding.held is not None),
        attach(case.sampler, edit_endpoint=holding),
        capture(case.sampler, kept := Kept()),
    ):
        case.generate(guided=case.row.can_guide)
    # As many states as ever, and no call of the network after the one that was held.
    assert [event.index for event in kept.events] == [event.index for event in plain]
    assert set(calls) == set(range(state + 1))
    for event in kept.events[state:-1]:
        assert_close(event.endpoint, plain[state].endpoint)
    # Where a schedule ends with a little noise left (DDIM's), the last state lies beside the estimate.
    usual = (plain[-1].state - plain[-2].endpoint).abs().max()
    assert (kept.events[-1].state - plain[state].endpoint).abs().max() <= 2e-3 + 2 * usual


@over(lambda row: row.name in ("tapped", "cfm"))
def test_the_difference_of_the_branches_is_what_guidance_multiplies(case: Case) -> None:
    first, unguided = case.events()[0], case.events(guided=False)[0]
    assert unguided.difference is None
    assert_close(first.velocity, unguided.velocity + 3.0 * first.difference)


@pytest.fixture
def audioldm(tmp_path: Path) -> Any:
    sampler, _ = pipeline("audioldm")(tmp_path)
    sampler.set_progress_bar_config(disable=True)
    return sampler


def test_one_branch_in_a_loop_whose_guidance_is_not_known_is_refused(audioldm: Any) -> None:
    """This pipeline keeps its guidance scale in the arguments of its call, and here the call goes round the object."""
    loop = type(audioldm).__call__
    prompt = {"prompt": "slow piano", "num_inference_steps": 3, "audio_length_in_s": 0.4, "guidance_scale": 3.0}
    for branch in ("cond", "null"):
        edit = Edit(torch.ones_like, branch=branch)
        with pytest.raises(EditRefused, match="call the pipeline itself"), steer(audioldm, [edit]):
            loop(audioldm, **prompt)
    with steer(audioldm, [Edit(torch.ones_like)]):
        loop(audioldm, **prompt)


def test_a_subclass_that_passes_its_arguments_on_is_guided_as_it_says(audioldm: Any) -> None:
    class Wrapper(type(audioldm)):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

    audioldm.__class__ = Wrapper
    prompt = {"num_inference_steps": 3, "audio_length_in_s": 0.4, "guidance_scale": 3.0}
    ends = []
    for edits in ([], [Edit(torch.ones_like, branch="cond", stop=0.5)]):
        source = torch.Generator().manual_seed(0)
        with steer(audioldm, edits), capture(audioldm, kept := Kept()):
            audioldm("slow piano", generator=source, **prompt)
        ends.append(kept.events[0].endpoint)
    assert_close(ends[1], ends[0] + 3)
    assert type(audioldm) is Wrapper


def test_outside_the_guided_interval_of_a_pipeline_the_only_branch_is_the_conditional_one(tmp_path: Path) -> None:
    sampler, _ = pipeline("ace-step")(tmp_path)

    def events(*edits: Edit) -> list[Event]:
        source = torch.Generator().manual_seed(0)
        with steer(sampler, edits), capture(sampler, kept := Kept()):
            sampler(
                "slow piano", lyrics="", audio_duration=0.4, num_inference_steps=4, guidance_scale=4.0,
                cfg_interval_start=0.2, generator=source, output_type="latent",
            )  # fmt: skip
        return kept.events

    plain = events()
    assert [event.t > 0.2 for event in plain] == [False, False, True, True, True]
    early, late = {"stop": 0.2}, {"start": 0.2}
    assert_close(events(Edit(torch.ones_like, branch="cond", **early))[0].endpoint, plain[0].endpoint + 1)
    assert torch.equal(events(Edit(torch.ones_like, branch="null", **early))[-1].state, plain[-1].state)
    for branch in ("cond", "null"):
        with pytest.raises(EditRefused, match="not linear"):
            events(Edit(torch.ones_like, branch=branch, **late))
