"""ACE-Step 1.0 as an object that a user already holds."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from support.lookalike_ace_step import ACEStepPipeline, FlowMatchEulerDiscreteScheduler, generate
from torch import Tensor

from hooks import Edit, EditRefused, Event, capture, steer


def frames(latent: Tensor) -> Tensor:
    """[B, 8, 16, W] -> [B, W, 128]."""
    return latent.permute(0, 3, 1, 2).flatten(2)


@pytest.fixture
def pipeline() -> ACEStepPipeline:
    return ACEStepPipeline()


def traced(pipeline: ACEStepPipeline, *edits: Edit, **options: Any) -> tuple[Tensor, list[Event]]:
    events: list[Event] = []
    with steer(pipeline, edits), capture(pipeline, events.append):
        return generate(pipeline, **options), events


@pytest.mark.parametrize("options", [{}, {"guidance_scale": 1.0}, {"omega_scale": 10.0}])
def test_states_and_estimates(pipeline: ACEStepPipeline, options: dict[str, Any]) -> None:
    plain = generate(pipeline, **options)
    final, events = traced(pipeline, **options)
    assert torch.equal(final, plain)
    assert [event.index for event in events] == list(range(9))
    assert events[0].t == 0
    assert events[-1].t == 1
    assert torch.equal(events[-1].state, frames(final))
    for event in events:
        assert event.state.shape == (2, 12, 128)
    if options.get("omega_scale", 0.0) == 0:
        torch.testing.assert_close(events[-2].endpoint, frames(final), rtol=1e-5, atol=1e-5)


def test_everything_comes_off_again(pipeline: ACEStepPipeline) -> None:
    def attachments() -> tuple[Any, ...]:
        hooks = sum(
            len(module._forward_hooks) + len(module._forward_pre_hooks)
            for module in pipeline.ace_step_transformer.modules()
        )
        return hooks, dict(vars(pipeline)), dict(vars(FlowMatchEulerDiscreteScheduler))

    before = attachments()

    def sink(event: Event) -> None:
        if event.index == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), capture(pipeline, sink):
        generate(pipeline)
    assert attachments() == before
    with capture(pipeline, lambda event: None):
        generate(pipeline)
    assert attachments() == before


def test_other_pipelines_of_the_class_are_not_watched(pipeline: ACEStepPipeline) -> None:
    other, events = ACEStepPipeline(), list[Event]()
    with capture(pipeline, events.append):
        generate(other)
        assert events == []
        generate(pipeline)
        generate(pipeline)
    assert [event.index for event in events] == 2 * list(range(9))


def test_a_copy_that_is_made_in_the_block_has_no_hooks(pipeline: ACEStepPipeline) -> None:
    plain, events = generate(pipeline), list[Event]()
    with steer(pipeline, Edit(torch.ones_like)), capture(pipeline, events.append):
        copied = copy.deepcopy(pipeline)
        assert torch.equal(generate(copied), plain)
    assert torch.equal(generate(copied), plain)
    assert events == []


def test_two_threads_with_a_pipeline_each_do_not_meet(pipeline: ACEStepPipeline) -> None:
    """One generates and leaves while the other one is in the middle of its generation, and the other way round."""
    other, before = ACEStepPipeline(), dict(vars(FlowMatchEulerDiscreteScheduler))
    begun, generated, left = (threading.Event() for _ in range(3))
    of_first, of_second = list[int](), list[int]()

    def watch_first(event: Event) -> None:
        of_first.append(event.index)
        if event.index == 0:
            begun.set()
            assert generated.wait(60)

    def first() -> None:
        with capture(pipeline, watch_first):
            generate(pipeline)
        left.set()

    def second() -> None:
        assert begun.wait(60)
        with capture(other, lambda event: of_second.append(event.index)):
            generate(other)
            generated.set()
            assert left.wait(60)
            generate(other)

    with ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(first), pool.submit(second)]:
            run.result()
    assert of_first == list(range(9))
    assert of_second == 2 * list(range(9))
    assert dict(vars(FlowMatchEulerDiscreteScheduler)) == before


class Repainting(ACEStepPipeline):
    """Moves its latents by itself, as upstream does in repaint and extend; the scheduler gives the times alone."""

    def text2music_diffusion_process(  # type: ignore[override]
        self, duration: float, condition: float, random_generators: list[torch.Generator], infer_steps: int = 60,
        scheduler_type: str = "euler", **_: Any,
    ) -> Tensor:  # fmt: skip
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        scheduler.set_timesteps(infer_steps)
        latents = torch.stack([torch.randn(8, 16, 12, generator=source) for source in random_generators])
        for now, after, t in zip(scheduler.sigmas[:-1], scheduler.sigmas[1:], scheduler.timesteps):
            latents = latents + (after - now) * self.ace_step_transformer.decode(latents, condition, t.expand(2)).sample
        return latents


def test_a_generation_that_takes_no_step_of_its_scheduler_is_told() -> None:
    pipeline = Repainting()
    generate(pipeline)
    for edits in ([], [Edit(torch.ones_like)]):
        with pytest.raises(ValueError, match=r"hooks saw nothing.*repaint and extend") as raised:
            traced(pipeline, *edits)
        assert "\n" not in str(raised.value)
    assert "text2music_diffusion_process" not in vars(pipeline)


@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_a_displacement_of_zero_changes_no_bit(pipeline: ACEStepPipeline, site: Any) -> None:
    assert torch.equal(traced(pipeline, Edit(torch.zeros_like, site=site))[0], generate(pipeline))


GUIDANCE: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({}, {"both": 1.0, "cond": 3.0, "null": -2.0}),
    ({"guidance_scale": 0.5}, {"both": 1.0, "cond": 0.5, "null": 0.5}),
    # The scale falls from 7 at the first guided state (2) to 3 at the last one (5): 7 - 4 / 3 at state 3.
    ({"guidance_scale": 7.0, "guidance_interval_decay": 1.0}, {"both": 1.0, "cond": 17 / 3, "null": -14 / 3}),
    ({"guidance_scale_text": 2.0, "guidance_scale_lyric": 4.0}, {"both": 1.0, "cond": 4.0, "null": -1.0}),
]


@pytest.mark.parametrize("branch", ["both", "cond", "null"])
@pytest.mark.parametrize(("options", "gains"), GUIDANCE)
def test_the_branches_inside_the_guided_interval(
    pipeline: ACEStepPipeline, options: dict[str, Any], gains: dict[str, float], branch: Any
) -> None:
    gain = gains[branch]
    (_, events), push = traced(pipeline, **options), torch.randn(128)
    window = {"start": events[3].t - 1e-6, "stop": events[3].t + 1e-6}
    _, after = traced(pipeline, Edit(push.expand_as, branch=branch, **window), **options)
    moved = after[3].endpoint - events[3].endpoint
    torch.testing.assert_close(moved, gain * push.expand_as(moved), rtol=1e-4, atol=1e-4)
    share = (after[4].t - after[3].t) / (1 - after[3].t)
    torch.testing.assert_close(after[4].state - events[4].state, share * moved, rtol=1e-4, atol=1e-4)


def test_outside_the_interval_the_only_branch_is_the_conditional_one(pipeline: ACEStepPipeline) -> None:
    (plain, events), push = traced(pipeline), torch.randn(128)
    last = {"start": events[-2].t - 1e-6, "stop": events[-2].t + 1e-6}
    steered, _ = traced(pipeline, Edit(push.expand_as, branch="cond", **last))
    torch.testing.assert_close(frames(steered - plain), push.expand(2, 12, 128), rtol=1e-4, atol=1e-4)
    assert torch.equal(traced(pipeline, Edit(push.expand_as, branch="null", **last))[0], plain)
    with pytest.raises(EditRefused, match="null branch"):
        traced(pipeline, Edit(push.expand_as, branch="null"), guidance_scale=1.0)


@pytest.mark.parametrize(("options", "gains"), GUIDANCE)
@pytest.mark.parametrize("branch", ["cond", "null"])
def test_the_gains_are_what_the_pipeline_makes_of_its_branches(
    pipeline: ACEStepPipeline, options: dict[str, Any], gains: dict[str, float], branch: str
) -> None:
    """A branch is pushed by an ordinary hook on the network, so that the pipeline's own guidance does the rest."""
    (_, events), calls = traced(pipeline, **options), list[int]()
    double = "guidance_scale_text" in options
    # Two states before the interval take one call each; the fourth state is the second one inside it.
    wanted = 2 + (3 if double else 2) + (0 if branch == "cond" else 2 if double else 1)

    def push(_: Any, __: Any, output: Tensor) -> Tensor | None:
        calls.append(len(calls))
        return output + 1 if calls[-1] == wanted else None

    handle = pipeline.ace_step_transformer.final_layer.register_forward_hook(push)
    try:
        _, after = traced(pipeline, **options)
    finally:
        handle.remove()
    moved = after[3].velocity - events[3].velocity
    torch.testing.assert_close(moved, torch.full_like(moved, gains[branch]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cfg_type", ["apg", "cfg_star"])
@pytest.mark.parametrize("branch", ["cond", "null"])
def test_one_branch_of_guidance_that_is_not_linear_is_refused(
    pipeline: ACEStepPipeline, cfg_type: str, branch: Any
) -> None:
    with pytest.raises(EditRefused, match=f"cfg_type='{cfg_type}' is not linear.*edit branch both"):
        traced(pipeline, Edit(torch.ones_like, branch=branch), cfg_type=cfg_type)
    plain, steered = generate(pipeline, cfg_type=cfg_type), traced(pipeline, Edit(torch.ones_like), cfg_type=cfg_type)
    assert not torch.equal(steered[0], plain)


def test_the_edit_task_is_refused() -> None:
    class Editing(ACEStepPipeline):
        def flowedit_diffusion_process(self) -> Tensor:
            return torch.zeros(1)

    editing = Editing()
    with capture(editing, lambda event: None), pytest.raises(ValueError, match="edit task"):
        editing.flowedit_diffusion_process()
    assert editing.flowedit_diffusion_process() == 0


def test_what_cannot_be_followed_is_refused(pipeline: ACEStepPipeline) -> None:
    with pytest.raises(ValueError, match="pass euler"):
        traced(pipeline, scheduler_type="heun")
    pipeline.cpu_offload = True
    with pytest.raises(ValueError, match="CPU offload"):
        traced(pipeline)
