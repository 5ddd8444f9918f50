"""What `capture` hands over, what `attached` lists, and that nothing is left behind."""

import contextlib
import copy
import gc
import math
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.sinks import Kept
from torch import nn

from hooks import Edit, Event, Moment, attach, attached, capture, resting, steer
from tracer.generators.diffrhythm import DiffRhythm
from tracer.generators.diffrhythm.model import time_grid
from tracer.generators.diffrhythm.taps import Step, Taps

BuildTiny = Callable[..., DiffRhythm]
FRAMES, BATCH = 12, 2


def arguments(**changes: Any) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(4)
    style, negative = torch.nn.functional.normalize(torch.randn(2, 1, 512, generator=draw), dim=-1)
    noise = torch.randn(BATCH, FRAMES, 64, generator=draw)
    return {"noise": noise, "style": style, "negative_style": negative, "steps": 5, **changes}


def run(model: DiffRhythm, **changes: Any) -> torch.Tensor:
    states = model.sample(**arguments(**changes))
    assert isinstance(states, torch.Tensor)
    return states


def hook_table(module: nn.Module) -> dict[str, dict[str, list[Any]]]:
    """Every hook of every kind on every module."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
    return {name: {kind: list(getattr(part, kind).values()) for kind in kinds} for name, part in module.named_modules()}


def nothing(event: Event) -> None:
    pass


def unchanged(latent: torch.Tensor, moment: Moment) -> torch.Tensor:
    return latent


def raising(error: BaseException, index: int = 2) -> Callable[[Event], None]:
    def sink(event: Event) -> None:
        if event.index == index:
            raise error

    return sink


@pytest.mark.parametrize("changes", [
    {},
    {"sway": -1.0, "cfg_strength": 2.0},
    {"cfg_strength": 0.0, "negative_style": None, "steps": 2},
])  # fmt: skip
def test_every_state_is_handed_over_with_its_velocity_and_endpoint(
    tiny_diffrhythm: BuildTiny, changes: dict[str, Any]
) -> None:
    model, kept = tiny_diffrhythm(), Kept()
    with capture(model, kept):
        states = run(model, **changes)
    steps = changes.get("steps", 5)
    grid = time_grid(steps, changes.get("sway")).tolist()
    assert [event.index for event in kept.events] == list(range(steps))
    assert [event.t for event in kept.events] == grid
    assert torch.equal(torch.stack([event.state for event in kept.events]), states)
    for event, following in zip(kept.events, kept.events[1:]):
        assert event.velocity is not None
        assert event.endpoint is not None
        # Euler's step from here is the next state, and x1^ = x + (1 - t) v.
        torch.testing.assert_close(event.state + (following.t - event.t) * event.velocity, following.state)
        torch.testing.assert_close(event.endpoint, event.state + (1 - event.t) * event.velocity)
        assert event.mask is None
    for event in kept.events[1:-1]:
        assert event.logsnr == pytest.approx(2 * math.log(event.t / (1 - event.t)))
    first, last = kept.events[0], kept.events[-1]
    assert (first.logsnr, last.logsnr) == (-math.inf, math.inf)
    assert last.velocity is None
    assert last.endpoint is not None
    assert torch.equal(last.endpoint, last.state)


def test_the_mask_marks_the_frames_that_are_generated(tiny_diffrhythm: BuildTiny) -> None:
    model, kept = tiny_diffrhythm(), Kept()
    with capture(model, kept):
        run(model, cond=torch.randn(1, FRAMES, 64), pred_segments=[(2, 5), (9, 99)])
    for event in kept.events:
        assert event.mask is not None
        assert event.mask.tolist() == [[2 <= frame < 5 or frame >= 9 for frame in range(FRAMES)]] * BATCH


def test_a_captured_run_is_bit_identical(tiny_diffrhythm: BuildTiny) -> None:
    model = tiny_diffrhythm()
    plain = run(model)
    with capture(model, nothing), capture(model, nothing):
        assert torch.equal(run(model), plain)
    assert torch.equal(run(model), plain)


def test_a_second_generation_starts_again_at_0(tiny_diffrhythm: BuildTiny) -> None:
    model, indices = tiny_diffrhythm(), []
    with capture(model, lambda event: indices.append(event.index)):
        run(model)
        run(model, steps=3)
        iterator = model.states(**arguments())  # given up in the middle
        next(iterator)
        next(iterator)
        run(model)
    assert indices == [*range(5), *range(3), *range(2), *range(5)]


def test_the_sink_s_own_exception_arrives(tiny_diffrhythm: BuildTiny) -> None:
    model = tiny_diffrhythm()
    with pytest.raises(ZeroDivisionError, match="mine"), capture(model, raising(ZeroDivisionError("mine"))):
        run(model)


class Theirs:
    """Somebody else's hook, which counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *_: Any) -> None:
        self.calls += 1


@pytest.fixture
def hooked(tiny_diffrhythm: BuildTiny) -> tuple[DiffRhythm, list[Theirs]]:
    """A model that already carries hooks on its network and its taps."""
    model, theirs = tiny_diffrhythm(), [Theirs() for _ in range(4)]
    model.transformer.register_forward_hook(theirs[0])
    model.transformer.proj_out.register_forward_pre_hook(theirs[1])
    model.taps.state.register_forward_hook(theirs[2])
    model.taps.observe.register_forward_hook(theirs[3], prepend=True)
    return model, theirs


@pytest.mark.parametrize("error", [None, RuntimeError("in the sink"), KeyboardInterrupt()])
def test_after_the_block_the_model_has_its_hooks_of_before(
    hooked: tuple[DiffRhythm, list[Theirs]], error: BaseException | None
) -> None:
    model, theirs = hooked
    before = hook_table(model)
    sink = nothing if error is None else raising(error)
    expected = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with expected, capture(model, sink):
        assert hook_table(model) != before
        run(model)
    assert hook_table(model) == before
    calls = [hook.calls for hook in theirs]
    run(model)
    assert [hook.calls - count for hook, count in zip(theirs, calls)] == [4, 4, 5, 5]


@pytest.mark.parametrize("error", [RuntimeError("in the network"), KeyboardInterrupt()])
def test_an_exception_inside_the_network_leaves_nothing(
    hooked: tuple[DiffRhythm, list[Theirs]], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    model, _ = hooked
    before = hook_table(model)

    def fail(*_: Any) -> torch.Tensor:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(model.transformer), "forward", fail)
        with pytest.raises(type(error)), capture(model, nothing), steer(model, [Edit(lambda latent: latent)]):
            run(model)
    assert hook_table(model) == before
    indices: list[int] = []
    with capture(model, lambda event: indices.append(event.index)):
        run(model)
    assert indices == list(range(5))


def test_nested_blocks_each_see_every_state_and_take_off_only_their_own(
    hooked: tuple[DiffRhythm, list[Theirs]],
) -> None:
    model, _ = hooked
    before = hook_table(model)
    outer: list[int] = []
    inner: list[int] = []
    with capture(model, lambda event: outer.append(event.index)):
        run(model, steps=2)
        with capture(model, lambda event: inner.append(event.index)):
            run(model, steps=3)
        with pytest.raises(RuntimeError, match="inner"), capture(model, raising(RuntimeError("inner"), index=1)):
            run(model, steps=5)
        run(model, steps=4)
    assert hook_table(model) == before
    assert outer == [*range(2), *range(3), *range(2), *range(4)]
    assert inner == list(range(3))


def test_the_same_sink_twice_is_two_sinks_and_order_is_kept(tiny_diffrhythm: BuildTiny) -> None:
    model, seen = tiny_diffrhythm(), []

    def first(event: Event) -> None:
        seen.append("first")

    def second(event: Event) -> None:
        seen.append("second")

    with capture(model, first), capture(model, second):
        with capture(model, first):
            run(model, steps=2)
        inside = seen.copy()
        seen.clear()
        run(model, steps=2)
    assert inside == ["first", "second", "first"] * 2
    assert seen == ["first", "second"] * 2


def test_a_hook_that_comes_or_goes_inside_the_block_is_respected(tiny_diffrhythm: BuildTiny) -> None:
    model, theirs = tiny_diffrhythm(), Theirs()
    with capture(model, nothing):
        handle = model.taps.state.register_forward_hook(theirs)
        run(model)
    assert list(model.taps.state._forward_hooks.values()) == [theirs]
    with capture(model, nothing):
        handle.remove()
    assert not model.taps.state._forward_hooks


def test_nothing_keeps_the_model_or_a_latent_alive(tiny_diffrhythm: BuildTiny) -> None:
    model = tiny_diffrhythm()
    alive: list[weakref.ref[Any]] = []

    def watch(event: Event) -> None:
        alive.extend(
            weakref.ref(tensor) for tensor in (event.state, event.endpoint, event.velocity) if tensor is not None
        )

    for error in (None, RuntimeError("stop"), KeyboardInterrupt()):
        try:
            with capture(model, watch), capture(model, nothing if error is None else raising(error)):
                run(model)
        except (RuntimeError, KeyboardInterrupt) as raised:
            raised.__traceback__ = None  # a traceback holds the frames it passed
    error = None
    gc.collect()
    assert len(alive) == 14 + 9 + 9
    assert not [reference for reference in alive if reference() is not None]
    whole = weakref.ref(model)
    del model
    gc.collect()
    assert whole() is None


def test_during_a_generation_only_the_present_state_is_held(tiny_diffrhythm: BuildTiny) -> None:
    model, states = tiny_diffrhythm(), []
    most = 0

    def watch(event: Event) -> None:
        nonlocal most
        if event.index:  # the noise belongs to the caller
            states.append(weakref.ref(event.state))
        most = max(most, sum(reference() is not None for reference in states))

    with capture(model, watch):
        for _ in model.states(**arguments(steps=9)):
            pass
    assert len(states) == 8
    assert most == 2  # the one that the loop above still names, and its successor


def test_a_compiled_network_is_traced_outside_its_graphs(tiny_diffrhythm: BuildTiny) -> None:
    model, plain, compiled = tiny_diffrhythm(depth=1, conv_layers=0), Kept(), Kept()
    with capture(model, plain):
        run(model, steps=3)
    model.transformer.compile(backend="eager")
    untraced = run(model, steps=3)
    with capture(model, compiled):
        assert torch.equal(run(model, steps=3), untraced)
    assert len(compiled.events) == 3
    for one, other in zip(plain.events, compiled.events):
        torch.testing.assert_close(one.state, other.state)
        torch.testing.assert_close(one.endpoint, other.endpoint)


def test_tensors_made_under_inference_mode_are_usable_by_the_sink(tiny_diffrhythm: BuildTiny) -> None:
    model, probe = tiny_diffrhythm(), nn.Linear(64, 3)
    kept = Kept()

    def train(event: Event) -> None:
        kept(event)
        with torch.inference_mode(False), torch.enable_grad():
            probe(event.endpoint).square().mean().backward()

    with capture(model, train), torch.inference_mode():
        inside = run(model)
    assert inside.is_inference()
    assert probe.weight.grad is not None
    assert float(probe.weight.grad.abs().sum()) > 0
    assert torch.equal(torch.stack([event.state for event in kept.events]), run(model))


def test_gradients_are_off_in_the_sink_and_the_tensors_are_plain(tiny_diffrhythm: BuildTiny) -> None:
    model, kept = tiny_diffrhythm(), Kept()
    with capture(model, kept):
        run(model)
    assert all(event.state.dtype == torch.float32 and not event.state.requires_grad for event in kept.events)


def in_a_thread(work: Callable[[], Any]) -> BaseException | None:
    """The error with which work ends in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).exception()


def test_a_sampler_serves_one_thread_at_a_time(tiny_diffrhythm: BuildTiny) -> None:
    model, other, indices = tiny_diffrhythm(), tiny_diffrhythm(), []

    def watch(sampler: DiffRhythm) -> None:
        with capture(sampler, lambda event: indices.append(event.index)), capture(sampler, nothing):
            run(sampler, steps=3)

    before = hook_table(model)
    with capture(model, nothing):
        with pytest.raises(RuntimeError, match="another thread is attached to this DiffRhythm"):
            raise in_a_thread(lambda: watch(model)) or AssertionError("it was let in")
        assert [thing.callback for thing in attached(model)] == [nothing]
        assert in_a_thread(lambda: watch(other)) is None
        watch(model)
    assert hook_table(model) == before
    for _ in range(2):
        assert in_a_thread(lambda: watch(model)) is None
    assert indices == [*range(3)] * 4


@pytest.mark.parametrize("inner", [{}, {"observe": nothing}, {"edit_endpoint": unchanged}])
def test_a_block_without_a_callback_is_a_block(hooked: tuple[DiffRhythm, list[Theirs]], inner: dict[str, Any]) -> None:
    model, _ = hooked
    before, indices = hook_table(model), []
    with attach(model):
        with attach(model, **inner):
            run(model, steps=2)
        with attach(model), capture(model, lambda event: indices.append(event.index)):
            run(model, steps=3)
        run(model, steps=2)
        assert attached(model) == []
    assert hook_table(model) == before
    assert indices == list(range(3))


def test_attached_lists_what_is_on_a_sampler(tiny_diffrhythm: BuildTiny) -> None:
    model, other, kept = tiny_diffrhythm(), tiny_diffrhythm(), Kept()
    edit = Edit(torch.zeros_like, site="state", start=0.5)
    push = Edit(torch.zeros_like, branch="cond", stop=0.5)

    assert attached(model) == []
    with capture(model, kept), steer(model, [push, edit]):
        outer = attached(model)
        assert [thing.callback for thing in outer] == [edit, push, kept]
        assert [str(thing) for thing in outer] == [
            "<state edit: Edit(zeros_like, site='state', start=0.5, stop=1, schedule='constant')>",
            "<endpoint edit of branch cond: Edit(zeros_like, site='endpoint', branch='cond', start=0, stop=0.5, "
            "schedule='constant')>",
            "<sink: Kept>",
        ]
        failing = raising(RuntimeError("inner"))
        with pytest.raises(RuntimeError, match="inner"), attach(model, edit_endpoint=unchanged, observe=failing):
            run(model)
        with attach(model, edit_endpoint=unchanged, observe=nothing):
            assert [thing.callback for thing in attached(model)] == [edit, push, unchanged, kept, nothing]
        assert attached(model) == outer
        assert attached(other) == []
    assert attached(model) == []


@dataclass(frozen=True)
class Tapped:
    """A sampler of one's own: x' = 0.1 x through the taps. Two of them are equal."""

    steps: int = 3
    taps: Taps = field(default_factory=Taps, compare=False)

    def sample(self, state: torch.Tensor) -> None:
        for index in range(self.steps):
            step = Step(index, self.steps - 1, index / (self.steps - 1), 0.0, None)
            state = self.taps.state(state, step)
            velocity = None if index == step.last else self.taps.branches((0.1 * state, None), state, step)[0]
            self.taps.observe(state, velocity, step)


class Unhashable(Tapped):
    """The same without a hash."""

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [Tapped, Unhashable])
def test_equal_samplers_and_those_without_a_hash_have_hooks_of_their_own(kind: type[Tapped]) -> None:
    one, other, of_one, of_other = kind(), kind(), [], []
    with capture(one, lambda event: of_one.append(event.index)):
        with capture(other, lambda event: of_other.append(event.index)):
            one.sample(torch.zeros(1, 2, 3))
        other.sample(torch.zeros(1, 2, 3))
    assert (of_one, of_other) == ([0, 1, 2], [])
    assert attached(one) == attached(other) == []


def test_taps_may_be_called_by_keyword_and_times_may_be_tensors() -> None:
    class Named(Tapped):
        def sample(self, state: torch.Tensor) -> None:
            for index in range(self.steps):
                step = Step(torch.tensor(index), self.steps - 1, torch.tensor(index / 2), 0.0, None)  # type: ignore[arg-type]
                state = self.taps.state(state, step=step)
                branches = {"branches": (0.1 * state, None), "state": state, "step": step}
                velocity = None if index == step.last else self.taps.branches(**branches)[0]
                self.taps.observe(state, step=step, velocity=velocity)

    def events(sampler: Tapped) -> list[Event]:
        edits = [Edit(torch.ones_like, start=0.5), Edit(torch.ones_like, site="state")]
        with steer(sampler, edits), capture(sampler, kept := Kept()):
            sampler.sample(torch.zeros(1, 2, 3))
        return kept.events

    for one, other in zip(events(Named()), events(Tapped()), strict=True):
        assert (type(one.index), type(one.t)) == (int, float)
        assert (one.index, one.t, one.logsnr) == (other.index, other.t, other.logsnr)
        assert torch.equal(one.state, other.state)
        assert torch.equal(one.endpoint, other.endpoint)


def test_a_copy_that_is_made_in_the_block_has_no_hooks(tiny_diffrhythm: BuildTiny) -> None:
    model, kept = tiny_diffrhythm(), Kept()
    plain = run(model)
    with steer(model, Edit(torch.ones_like)), capture(model, kept):
        copied = copy.deepcopy(model)
        assert torch.equal(run(copied), plain)
    assert torch.equal(run(copied), plain)
    with capture(model, nothing), resting(model, lambda: True):
        copied = copy.deepcopy(model)
        assert torch.equal(run(copied), plain)
    assert kept.events == []


def test_a_sink_must_be_callable(tiny_diffrhythm: BuildTiny) -> None:
    model: Any = tiny_diffrhythm()
    for sink in (None, []):
        with pytest.raises(ValueError, match="give a function, got") as raised, capture(model, sink):
            pass
        assert "\n" not in str(raised.value)


def test_a_sampler_that_names_its_network_otherwise_cannot_rest() -> None:
    said = "network of this Tapped cannot be left out.*`transformer`"
    with pytest.raises(ValueError, match=said), resting(Tapped(), lambda: True):
        pass


def test_what_holds_a_sampler_is_told_where_it_is(tiny_diffrhythm: BuildTiny) -> None:
    with pytest.raises(ValueError, match=r"attach to its `\.sampler`"):
        attached(SimpleNamespace(sampler=tiny_diffrhythm()))
    with pytest.raises(ValueError, match="give a sampler with taps"):
        attached(SimpleNamespace())


def test_attached_refuses_what_cannot_be_attached_to() -> None:
    for thing in (object(), nn.Linear(2, 2)):
        with pytest.raises(ValueError, match="cannot attach to"):
            attached(thing)


@pytest.mark.parametrize("branch", ["conditional", "uncond", "Cond", None])
def test_a_branch_that_does_not_exist_is_refused(tiny_diffrhythm: BuildTiny, branch: Any) -> None:
    model = tiny_diffrhythm()
    said = "branch must be one of both, cond, null"
    with pytest.raises(ValueError, match=said), attach(model, edit_endpoint=unchanged, branch=branch):
        pass
    assert attached(model) == []
