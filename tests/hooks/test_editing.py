"""Steering: known answers on linear flows, guidance, windows, both routes, and what is left behind."""

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.linear_samplers import DECAY, TINY, LinearCFM, LinearFlow, run_cfm
from support.lookalike_cfm import CFM, Transformer
from support.sinks import Kept
from torch import Tensor

import hooks
from hooks import Edit, EditRefused, Event, capture, steer
from hooks.editing import SLACK
from tracer.generators.diffrhythm import DiffRhythm

PUSH = torch.tensor([1.0, -2.0, 0.5, 0.0])
NOISE = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))


def constant(latent: Tensor) -> Tensor:
    return PUSH.expand_as(latent)


def zero(latent: Tensor) -> Tensor:
    return torch.zeros_like(latent)


def own(guidance: float = 0.0) -> tuple[LinearFlow, Callable[..., Tensor]]:
    model = LinearFlow()
    return model, lambda steps=33: model.run(NOISE, steps, guidance)


def upstream(guidance: float = 0.0) -> tuple[LinearCFM, Callable[..., Tensor]]:
    model = LinearCFM()
    return model, lambda steps=33: model.run(NOISE, steps, guidance)


BOTH_ROUTES = pytest.mark.parametrize("sampler", [own, upstream])


def euler_shift(edit: Edit, steps: int, gain: float = 1.0) -> float:
    """How far PUSH moves the final latent, in multiples of PUSH: the recursion that Euler steps give by hand."""
    grid = torch.linspace(0, 1, steps, dtype=torch.float64)
    shift = 0.0
    for t, after in zip(grid[:-1].tolist(), grid[1:].tolist()):
        dt = after - t
        push = gain * edit.strength(t) / (1 - t) if edit.site == "endpoint" else 0.0
        shift += dt * (push - DECAY * shift)
        if edit.site == "state":
            shift += edit.strength(after)
    return shift


@BOTH_ROUTES
@pytest.mark.parametrize("schedule", ["constant", "ramp", "bell"])
@pytest.mark.parametrize("site", ["state", "endpoint"])
@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_shift_is_the_one_computed_by_hand(sampler, site, schedule, guidance):
    model, run = sampler(guidance)
    edit = Edit(constant, site=site, start=0.25, stop=0.75, schedule=schedule)
    plain = run()
    with steer(model, [edit]):
        steered = run()
    expected = euler_shift(edit, 33) * PUSH
    torch.testing.assert_close(steered[-1] - plain[-1], expected.expand_as(NOISE), atol=2e-5, rtol=1e-4)


@BOTH_ROUTES
@pytest.mark.parametrize(("branch", "gain"), [("both", 1.0), ("cond", 4.0), ("null", -3.0)])
def test_guidance_amplifies_an_edit_of_one_branch(sampler, branch, gain):
    model, run = sampler(3.0)
    edit = Edit(constant, branch=branch, start=0.2, stop=0.6)
    plain = run()
    with steer(model, [edit]):
        steered = run()
    expected = euler_shift(edit, 33, gain) * PUSH
    torch.testing.assert_close(steered[-1] - plain[-1], expected.expand_as(NOISE), atol=5e-5, rtol=1e-4)


@BOTH_ROUTES
def test_null_branch_without_guidance_is_refused(sampler):
    model, run = sampler(0.0)
    with pytest.raises(ValueError, match="needs guidance"), steer(model, [Edit(constant, branch="null")]):
        run()


@BOTH_ROUTES
@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_zero_displacement_is_bit_identical(sampler, site):
    model, run = sampler(3.0)
    plain = run()
    with steer(model, [Edit(zero, site=site)]):
        assert torch.equal(run(), plain)
    with steer(model, []):
        assert torch.equal(run(), plain)


def test_without_edits_the_sampler_is_checked_all_the_same():
    for thing, says in ((object(), "give a sampler"), (SimpleNamespace(sampler=LinearFlow()), "attach to its")):
        with pytest.raises(ValueError, match=says), steer(thing, []):
            pass


@BOTH_ROUTES
@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_a_displacement_in_double_precision_leaves_the_sampler_its_own(sampler, site):
    model, run = sampler(3.0)
    plain = run()
    with steer(model, [Edit(lambda x: torch.zeros(x.shape, dtype=torch.float64), site=site)]):
        zero_moved = run()
    assert zero_moved.dtype == torch.float32
    assert torch.equal(zero_moved, plain)
    results = []
    for push in (PUSH, PUSH.double()):
        given: list[torch.dtype] = []

        def note(x: Tensor, given: list[torch.dtype] = given) -> Tensor:
            given.append(x.dtype)
            return torch.zeros_like(x)

        with steer(model, [Edit(push.expand_as, site=site), Edit(note, site=site)]), capture(model, kept := Kept()):
            results.append(run())
        parts = [part for event in kept.events for part in (event.state, event.velocity, event.endpoint)]
        assert {part.dtype for part in parts if part is not None} == set(given) == {torch.float32}
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_a_sampler_in_half_precision_takes_a_displacement_of_any_precision(site):
    model = LinearFlow()
    states, ends = [], []
    for push in (torch.zeros(4), PUSH, PUSH.bfloat16()):
        step = SimpleNamespace(index=1, last=2, t=0.5, guidance=3.0, mask=None)
        state = NOISE.bfloat16()
        with steer(model, [Edit(push.expand_as, site=site)]):
            states.append(model.taps.state(state, step))
            ends.append(model.taps.branches((state, -state), state, step))
    assert {part.dtype for part in (*states, *itertools.chain(*ends))} == {torch.bfloat16}
    assert torch.equal(states[0], NOISE.bfloat16())
    assert torch.equal(ends[0][0], NOISE.bfloat16())
    torch.testing.assert_close(states[1], states[2])
    torch.testing.assert_close(ends[1][0], ends[2][0])


def test_one_edit_needs_no_list():
    model, run = own()
    with steer(model, [Edit(constant)]):
        steered = run(5)
    with steer(model, Edit(constant)):
        assert torch.equal(run(5), steered)


@pytest.mark.parametrize("site", ["state", "endpoint"])
@pytest.mark.parametrize("guidance", [0.0, 4.0])
def test_state_and_velocity_routes_agree_on_a_real_network(site, guidance):
    """This project's sampler moves states and branches; upstream's is moved through its network's output alone."""
    torch.manual_seed(1)
    model = DiffRhythm(TINY).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    style = torch.nn.functional.normalize(torch.randn(2, 512), dim=1)

    other = CFM(Transformer(model))
    edit = Edit(lambda x: 0.2 * torch.tanh(x) + 0.1 * PUSH, site=site, start=0.2, stop=0.7, schedule="bell")
    with steer(model, [edit]):
        ours = model.sample(
            noise=NOISE, style=style[:1], negative_style=style[1:], song_duration=torch.ones(1), steps=12,
            cfg_strength=guidance,
        )  # fmt: skip
    with steer(other, [edit]):
        theirs = run_cfm(
            other, NOISE, style_prompt=style[:1], negative_style_prompt=style[1:], steps=12, cfg_strength=guidance
        )
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4)


@BOTH_ROUTES
def test_windows_are_flow_time_whatever_the_number_of_steps(sampler):
    model, run = sampler()
    edit = Edit(constant, start=0.25, stop=0.75)
    shifts = []
    for steps in (65, 129, 257):
        plain = run(steps)
        seen: list[tuple[float, float]] = []

        def see(event: Event, seen: list[tuple[float, float]] = seen) -> None:
            seen.append((event.t, float(event.state[0, 0, 0])))

        with steer(model, [edit]), capture(model, see):
            shifts.append(float((run(steps)[-1] - plain[-1])[0, 0, 0]))
        moved = [t for (t, value), before in zip(seen, plain[:, 0, 0, 0].tolist()) if abs(value - before) > 1e-6]
        assert moved[0] == pytest.approx(0.25 + 1 / (steps - 1))
    assert shifts[1] == pytest.approx(shifts[2], rel=0.01)
    assert abs(shifts[2] - shifts[1]) < abs(shifts[1] - shifts[0])


@BOTH_ROUTES
def test_the_window_of_a_state_edit_is_half_open_and_one_includes_the_last_state(sampler):
    model, run = sampler()
    touched: list[float] = []
    observed: list[float] = []

    def note(latent: Tensor) -> Tensor:
        touched.append(0.0)
        return torch.zeros_like(latent)

    for start, stop, expected in ((0.25, 0.5, [0.25, 0.375]), (0.75, 1.0, [0.75, 0.875, 1.0]), (0.0, 0.25, [0.125])):
        touched.clear()
        observed.clear()
        with (
            steer(model, [Edit(note, site="state", start=start, stop=stop)]),
            capture(model, lambda event: observed.append(event.t)),
        ):
            run(9)
        inside = [t for t in observed if expected[0] <= t <= expected[-1]]
        assert inside == pytest.approx(expected)
        assert len(touched) == len(expected)  # the noise itself is never edited


@pytest.mark.parametrize("site", ["state", "endpoint"])
@pytest.mark.parametrize("start", [1, 4, 7])
def test_a_sampling_that_goes_on_from_an_edited_state_ends_as_if_it_had_never_stopped(site, start):
    model = LinearFlow()
    given = {"style": torch.ones(1, 512), "negative_style": torch.zeros(1, 512), "steps": 9, "cfg_strength": 3.0}
    with steer(model, [Edit(constant, site=site)]):
        whole = list(model.states(noise=NOISE, **given))
        rest = list(model.states(noise=whole[start], start=start, **given))
    assert not torch.equal(whole[-1], list(model.states(noise=NOISE, **given))[-1])
    assert torch.equal(torch.stack(rest), torch.stack(whole[start:]))


@BOTH_ROUTES
@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_nesting_with_capture_in_either_order_shows_the_steered_states(sampler, site):
    model, run = sampler(2.0)
    edit = Edit(constant, site=site, start=0.3, stop=0.6)
    plain = run()
    traces = []
    for order in ("steer outside", "capture outside"):
        states: list[Tensor] = []
        watch = capture(model, lambda event, states=states: states.append(event.state.clone()))
        push = steer(model, [edit])
        first, second = (push, watch) if order == "steer outside" else (watch, push)
        with first, second:
            result = run()
        traces.append(torch.stack(states))
        assert torch.equal(traces[-1], result)
        assert not torch.equal(result[-1], plain[-1])
    assert torch.equal(*traces)
    assert torch.equal(run(), plain)


@BOTH_ROUTES
def test_captured_endpoint_carries_the_edit(sampler):
    model, run = sampler()
    ends = []
    for edits in ([], [Edit(constant, start=0.0, stop=1.0)]):
        with steer(model, edits), capture(model, lambda event: ends.append((event.index, event.endpoint.clone()))):
            run()
    moved = ends[33][1] - ends[0][1]
    assert ends[33][0] == ends[0][0] == 0
    torch.testing.assert_close(moved, PUSH.expand_as(NOISE), atol=1e-5, rtol=1e-4)


@BOTH_ROUTES
def test_edits_act_one_after_the_other(sampler):
    model, run = sampler()
    plain = run(5)
    edits = [Edit(lambda x: torch.ones_like(x), site="state", start=0.9, stop=1), Edit(lambda x: x, "state", start=0.9)]
    with steer(model, edits):
        steered = run(5)
    torch.testing.assert_close(steered[-1], 2 * (plain[-1] + 1), atol=1e-4, rtol=1e-5)


@BOTH_ROUTES
@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_nothing_is_left_after_an_error(sampler, site):
    model, run = sampler()
    plain = run()

    def broken(latent: Tensor) -> Tensor:
        raise RuntimeError("broken edit")

    with pytest.raises(RuntimeError, match="broken edit"), steer(model, [Edit(constant), Edit(broken, site=site)]):
        run()
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert "sample" not in vars(model)
    assert torch.equal(run(), plain)


def test_a_foreign_hook_survives():
    model, run = own()
    calls: list[int] = []
    model.taps.state.register_forward_hook(lambda *_: calls.append(1))
    with steer(model, [Edit(constant)]):
        run(5)
    run(5)
    assert len(calls) == 10


@pytest.mark.parametrize(
    "options",
    [
        {"start": -0.1},
        {"stop": 1.1},
        {"start": 0.6, "stop": 0.4},
        {"start": 0.5, "stop": 0.5},
        {"start": math.nan},
        {"site": "velocity"},
        {"branch": "uncond"},
        {"schedule": "linear"},
    ],
)
def test_an_edit_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match="must"):
        Edit(constant, **options)


@given(
    start=st.floats(0, 0.98),
    width=st.floats(0.01, 1),
    t=st.floats(0, 1),
    schedule=st.sampled_from(["constant", "ramp", "bell"]),
)
@settings(max_examples=200, deadline=None)
def test_strength_lies_between_zero_and_one_and_vanishes_outside(start, width, t, schedule):
    stop = min(1.0, start + width)
    strength = Edit(constant, start=start, stop=stop, schedule=schedule).strength(t)
    assert 0 <= strength <= 1
    if t < start - SLACK or (t >= stop and stop < 1):
        assert strength == 0


@pytest.mark.parametrize("states", [6, 11, 21, 51, 101])
def test_a_window_has_its_own_edges_on_grids_of_float32(states):
    grid = torch.linspace(0, 1, states).tolist()
    for first, last in itertools.combinations(range(0, states, max(1, states // 20)), 2):
        start, stop = first / (states - 1), last / (states - 1)
        for schedule in ("constant", "ramp", "bell"):
            edit = Edit(constant, start=start, stop=stop, schedule=schedule)
            assert all(0 <= edit.strength(t) <= 1 for t in grid)
        acts = [index for index, t in enumerate(grid) if Edit(constant, start=start, stop=stop).strength(t)]
        assert acts == list(range(first, last + (stop == 1)))


def test_an_edit_says_what_it_pushes_where_and_when():
    assert repr(Edit(constant, branch="cond", start=0.2, stop=0.8, schedule="bell")) == (
        "Edit(constant, site='endpoint', branch='cond', start=0.2, stop=0.8, schedule='bell')"
    )
    large = Edit(torch.zeros(1, 2000, 64).add, site="state")
    assert repr(large) == "Edit(Tensor.add, site='state', start=0, stop=1, schedule='constant')"


def test_the_public_names_are_listed():
    assert dir(hooks) == sorted(hooks.__all__)
    assert all(hasattr(hooks, name) for name in hooks.__all__)
    assert {"attach", "attached", "capture", "steer", "Edit", "Event", "Moment", "Sink"} <= set(dir(hooks))


@pytest.mark.parametrize("schedule", ["ramp", "bell"])
def test_a_state_at_the_edge_of_a_window_has_the_strength_of_that_edge(schedule):
    """0.2 as a sum of float32 steps is not quite 0.2: it must not count as a state that the edit reaches."""
    edit = Edit(constant, start=0.2, stop=0.5, schedule=schedule)
    assert edit.strength(0.2 + SLACK / 2) == edit.strength(0.2 - SLACK / 2) == 0.0
    assert edit.strength(0.3) > 0.1


def test_a_state_without_a_null_branch_is_unguided_whatever_the_step_says():
    """A sampler with a guidance interval gives no null branch outside it: a push of the other one counts once."""
    model = LinearFlow()
    taps, seen = model.taps, []
    state, velocity = torch.zeros(1, 3, 4), torch.ones(1, 3, 4)
    step = SimpleNamespace(index=0, last=8, t=0.125, guidance=3.0, mask=None)
    for branch in ("both", "cond"):
        with steer(model, Edit(constant, branch=branch, start=0.0, stop=1.0)):
            positive, null = taps.branches((velocity, None), state, step)
        assert null is None
        seen.append(positive)
    torch.testing.assert_close(seen[0], velocity + PUSH / (1 - 0.125))
    torch.testing.assert_close(seen[1], seen[0])
    with steer(model, Edit(constant, branch="null")), pytest.raises(EditRefused):
        taps.branches((velocity, None), state, SimpleNamespace(**(vars(step) | {"t": 0.5})))
