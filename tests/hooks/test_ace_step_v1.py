"""ACE-Step 1.0 as an object that a user already holds."""

from typing import Any

import pytest
import torch
from lookalike_ace_step import ACEStepPipeline, FlowMatchEulerDiscreteScheduler, generate
from torch import Tensor

from hooks import Edit, Event, capture, steer


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


@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_a_displacement_of_zero_changes_no_bit(pipeline: ACEStepPipeline, site: Any) -> None:
    assert torch.equal(traced(pipeline, Edit(torch.zeros_like, site=site))[0], generate(pipeline))


@pytest.mark.parametrize(("branch", "gain"), [("both", 1.0), ("cond", 3.0), ("null", -2.0)])
@pytest.mark.parametrize("double", [False, True])
def test_the_branches_inside_the_guided_interval(
    pipeline: ACEStepPipeline, branch: Any, gain: float, double: bool
) -> None:
    options = {"guidance_scale_text": 2.0, "guidance_scale_lyric": 2.0} if double else {}
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
    with pytest.raises(ValueError, match="null branch"):
        traced(pipeline, Edit(push.expand_as, branch="null"), guidance_scale=1.0)


def test_what_cannot_be_followed_is_refused(pipeline: ACEStepPipeline) -> None:
    with pytest.raises(ValueError, match="pass euler"):
        traced(pipeline, scheduler_type="heun")
    pipeline.cpu_offload = True
    with pytest.raises(ValueError, match="CPU offload"):
        traced(pipeline)
