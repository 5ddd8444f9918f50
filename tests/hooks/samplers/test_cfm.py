"""The adapter for an upstream DiffRhythm CFM that a user already holds, on a look-alike."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.linear_samplers import LinearCFM, run_cfm
from support.lookalike_cfm import CFM, Transformer
from support.sinks import Kept

from hooks import Edit, Event, capture, steer
from tracer.generators.diffrhythm import DiffRhythm

BuildTiny = Callable[..., DiffRhythm]
FRAMES, BATCH = 20, 2
SEGMENTS = [(0, 8), (12, FRAMES)]


def arguments(**changes: Any) -> dict[str, Any]:
    """Upstream's call, complete."""
    draw = torch.Generator().manual_seed(2)
    return {
        "cond": torch.randn(1, FRAMES + 5, 64, generator=draw),
        "text": torch.randint(0, 20, (1, FRAMES), generator=draw),
        "duration": FRAMES,
        "style_prompt": torch.nn.functional.normalize(torch.randn(1, 512, generator=draw)),
        "negative_style_prompt": torch.nn.functional.normalize(torch.randn(1, 512, generator=draw)),
        "start_time": torch.zeros(1),
        "song_duration": torch.tensor([0.4]),
        "latent_pred_segments": SEGMENTS,
        "steps": 7,
        "cfg_strength": 3.0,
        "batch_infer_num": BATCH,
        **changes,
    }


def own_arguments(noise: torch.Tensor, given: dict[str, Any]) -> dict[str, Any]:
    """The same generation in this project's spelling."""
    return {
        "noise": noise,
        "cond": given["cond"],
        "text": given["text"],
        "style": given["style_prompt"],
        "negative_style": given["negative_style_prompt"],
        "start_time": given["start_time"],
        "song_duration": given["song_duration"],
        "pred_segments": given["latent_pred_segments"],
        "steps": given["steps"],
        "cfg_strength": given["cfg_strength"],
        "sway": given.get("sway_sampling_coef"),
    }


def sampled(cfm: CFM, given: dict[str, Any]) -> torch.Tensor:
    """The trajectory [steps, B, L, C] of one seeded call."""
    torch.manual_seed(11)
    _, trajectory = cfm.sample(**given)
    return trajectory


def assert_same(one: list[Event], other: list[Event], within: float = 1e-4) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other):
        assert (a.index, a.t, a.logsnr) == pytest.approx((b.index, b.t, b.logsnr), abs=1e-6)
        for x, y in ((a.state, b.state), (a.velocity, b.velocity), (a.endpoint, b.endpoint)):
            assert (x is None) == (y is None)
            if x is not None:
                assert float((x - y).abs().max()) < within
        assert (a.mask is None and b.mask is None) or torch.equal(a.mask, b.mask)


@pytest.mark.parametrize("changes", [
    {},
    {"sway_sampling_coef": -1.0},
    {"cfg_strength": 0.0},
    {"steps": 2},
    {"latent_pred_segments": [(0, 2048)], "batch_infer_num": 1},
])  # fmt: skip
@pytest.mark.parametrize("frames", [2048, 6144])
def test_the_events_are_those_of_our_sampler(tiny_diffrhythm: BuildTiny, frames: int, changes: dict[str, Any]) -> None:
    model, given = tiny_diffrhythm(max_frames=frames), arguments(**changes)
    cfm = CFM(Transformer(model))
    theirs = Kept()
    ours = Kept()
    with capture(cfm, theirs):
        trajectory = sampled(cfm, given)
    with capture(model, ours):
        model.sample(**own_arguments(trajectory[0], given))
    assert [event.index for event in theirs.events] == list(range(given["steps"]))
    assert torch.equal(torch.stack([event.state for event in theirs.events]), trajectory)
    assert_same(theirs.events, ours.events)


def test_a_captured_run_is_bit_identical(tiny_diffrhythm: BuildTiny) -> None:
    cfm, given = CFM(Transformer(tiny_diffrhythm())), arguments()
    plain = sampled(cfm, given)
    with capture(cfm, lambda event: None):
        assert torch.equal(sampled(cfm, given), plain)
    assert cfm.transformer.calls == 2 * 2 * 6


def test_steps_come_from_flow_time_not_from_counting_calls(tiny_diffrhythm: BuildTiny) -> None:
    cfm, given = CFM(Transformer(tiny_diffrhythm())), arguments()
    indices: list[int] = []
    with capture(cfm, lambda event: indices.append(event.index)):
        sampled(cfm, given)
        # A call of the network outside `sample` is nobody's step.
        cfm.transformer(
            x=torch.zeros(1, FRAMES, 64), cond=torch.zeros(1, FRAMES, 64), text=given["text"], time=torch.tensor(0.5),
            drop_audio_cond=False, drop_text=False, style_prompt=given["style_prompt"],
            start_time=torch.zeros(1), duration=torch.zeros(1),
        )  # fmt: skip
        sampled(cfm, {**given, "steps": 4, "cfg_strength": 0.0})
        with pytest.raises(RuntimeError, match="stop here"), capture(cfm, stop_at(2)):
            sampled(cfm, given)
        sampled(cfm, {**given, "steps": 3})
    assert indices == [*range(7), *range(4), *range(3), *range(3)]


def stop_at(index: int) -> Callable[[Event], None]:
    def sink(event: Event) -> None:
        if event.index == index:
            raise RuntimeError("stop here")

    return sink


def displaced(latent: torch.Tensor) -> torch.Tensor:
    return 0.3 * torch.ones_like(latent) - 0.1 * latent


@pytest.mark.parametrize("edits", [
    [Edit(displaced, site="state", start=0.2, stop=0.9)],
    [Edit(displaced, site="state", schedule="bell")],
    [Edit(displaced, site="endpoint", branch="both", start=0.3)],
    [Edit(displaced, site="endpoint", branch="cond", stop=0.5)],
    [Edit(displaced, site="endpoint", branch="null", start=0.1, stop=0.6)],
    [Edit(displaced, site="endpoint", branch="both"), Edit(displaced, site="state", start=0.5)],
])  # fmt: skip
def test_edits_through_the_velocity_agree_with_edits_of_the_state(tiny_diffrhythm: BuildTiny, edits: Any) -> None:
    model, given = tiny_diffrhythm(), arguments()
    cfm = CFM(Transformer(model))
    theirs = Kept()
    ours = Kept()
    plain = sampled(cfm, given)
    with steer(cfm, edits), capture(cfm, theirs):
        steered = sampled(cfm, given)
    with steer(model, edits), capture(model, ours):
        own = model.sample(**own_arguments(plain[0], given))
    assert torch.equal(steered[0], plain[0])
    assert float((steered[-1] - plain[-1]).abs().max()) > 0.05
    assert isinstance(own, torch.Tensor)
    assert float((steered - own).abs().max()) < 1e-4
    # The pushed velocity that moves the state is this route's means, not something to be seen at the state before.
    assert_same(theirs.events, ours.events)


def test_a_model_in_half_precision_keeps_its_own_time_grid(tiny_diffrhythm: BuildTiny) -> None:
    cfm = CFM(Transformer(tiny_diffrhythm().half()))
    given = arguments(steps=32, sway_sampling_coef=-1.0, start_time=torch.zeros(1))
    events = Kept()
    with capture(cfm, events):
        trajectory = sampled(cfm, given)
    grid = torch.linspace(0, 1, 32, dtype=torch.float16)
    grid = grid - (torch.cos(torch.pi / 2 * grid) - 1 + grid)
    assert [event.t for event in events.events] == grid.tolist()
    assert [event.index for event in events.events] == list(range(32))
    assert torch.equal(torch.stack([event.state for event in events.events]), trajectory)


class Strict(torch.nn.Module):
    """A network that takes states of its own precision alone, as upstream's does."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, time: torch.Tensor, drop_text: bool, **_: Any) -> torch.Tensor:
        return self.proj(x)


@pytest.mark.parametrize("guidance", [0.0, 3.0])
@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_a_model_in_half_precision_takes_a_displacement_of_any_precision(site: Any, guidance: float) -> None:
    cfm, noise, vector = CFM(Strict()).half(), torch.randn(2, 6, 4).half(), torch.tensor([1.0, -2.0, 0.5, 0.0])

    def steered(push: torch.Tensor) -> torch.Tensor:
        with steer(cfm, [Edit(lambda latent: push.expand_as(latent), site=site, start=0.5)]):
            return run_cfm(cfm, noise, steps=5, cfg_strength=guidance)

    states = steered(vector)
    assert states.dtype == torch.float16
    torch.testing.assert_close(states, steered(vector.half()), rtol=1e-2, atol=1e-2)
    assert not torch.allclose(states, run_cfm(cfm, noise, steps=5, cfg_strength=guidance), atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sway", [None, 0.5])
def test_windows_have_their_own_edges_on_grids_of_half_precision(dtype: torch.dtype, sway: float | None) -> None:
    cfm, noise = LinearCFM().to(dtype), torch.zeros(1, 2, 4, dtype=dtype)
    times: list[float] = []

    def acts(start: float, stop: float) -> int:
        """At how many states an edit acts in this window."""
        calls: list[int] = []

        def displace(latent: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return torch.zeros_like(latent)

        with steer(cfm, [Edit(displace, start=start, stop=stop)]), capture(cfm, kept := Kept()):
            run_cfm(cfm, noise, steps=11, cfg_strength=0.0, sway_sampling_coef=sway)
        times[:] = [event.t for event in kept.events]
        return len(calls)

    assert acts(0.0, 1.0) == 10
    exact = torch.linspace(0, 1, 11, dtype=torch.float64)
    if sway is not None:
        exact = exact + sway * (torch.cos(torch.pi / 2 * exact) - 1 + exact)
    for grid in (exact.tolist(), times.copy()):
        for state in range(1, 10):
            assert (acts(grid[state], 1.0), acts(0.0, grid[state])) == (10 - state, state)
    # A window of one state, as its event shows it.
    assert [acts(t - 1e-6, t + 1e-6) for t in times[1:-1]] == [1] * 9


def test_positional_arguments_and_defaults_are_understood(tiny_diffrhythm: BuildTiny) -> None:
    cfm, given = CFM(Transformer(tiny_diffrhythm())), arguments()
    first = [given.pop(name) for name in ("cond", "text", "duration")]
    del given["steps"]
    indices: list[int] = []
    with capture(cfm, lambda event: indices.append(event.index)):
        cfm.sample(*first, **given)
    assert indices == list(range(32))


@pytest.mark.parametrize("how", ["in place", "wrapped"])
def test_a_compiled_network_gives_the_same_events(how: str) -> None:
    cfm, noise = LinearCFM(), torch.randn(2, 6, 4)
    plain = Kept()
    with capture(cfm, plain):
        cfm.run(noise, steps=4, guidance=2.0)
    if how == "in place":
        cfm.transformer.compile(backend="eager")
    else:
        cfm.transformer = torch.compile(cfm.transformer, backend="eager")
    cfm.run(noise, steps=4, guidance=2.0)  # compiled before the hooks come
    compiled = Kept()
    with capture(cfm, compiled):
        cfm.run(noise, steps=4, guidance=2.0)
    assert_same(compiled.events, plain.events)


def test_nothing_is_left_on_the_object(tiny_diffrhythm: BuildTiny) -> None:
    cfm, given = CFM(Transformer(tiny_diffrhythm())), arguments(steps=3)
    for sink in (lambda event: None, stop_at(1)):
        try:
            with capture(cfm, sink), capture(cfm, lambda event: None):
                sampled(cfm, given)
        except RuntimeError:
            pass
        assert "sample" not in vars(cfm)
        assert not cfm.transformer._forward_hooks
    theirs = cfm.sample
    cfm.sample = theirs  # somebody else's wrapper on the object
    with capture(cfm, lambda event: None):
        assert vars(cfm)["sample"] is not theirs
    assert vars(cfm)["sample"] is theirs


def test_a_copy_that_is_made_in_the_block_runs_its_own_weights_without_hooks() -> None:
    cfm, noise, kept = CFM(Strict()), torch.randn(2, 6, 4), Kept()
    with steer(cfm, [Edit(displaced)]), capture(cfm, kept):
        copied = copy.deepcopy(cfm)
        with pytest.raises(pickle.PicklingError, match="pickle or save it after the `with` block"):
            pickle.dumps(cfm)
    for other in (copied, copy.deepcopy(copied)):
        torch.nn.init.normal_(other.transformer.proj.weight)
        fresh = CFM(Strict())
        fresh.load_state_dict(other.state_dict())
        with capture(cfm, kept):
            assert torch.equal(run_cfm(other, noise, steps=4), run_cfm(fresh, noise, steps=4))
    assert kept.events == []


def test_other_objects_are_refused_in_one_line() -> None:
    for thing in (torch.nn.Linear(2, 2), object(), DiffRhythm):
        with pytest.raises(ValueError, match="cannot attach to") as raised, capture(thing, lambda event: None):
            pass
        assert "\n" not in str(raised.value)
