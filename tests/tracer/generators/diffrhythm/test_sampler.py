"""Properties of the rectified-flow sampler, on a small network with random weights."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import InputError
from tracer.generators.diffrhythm import DiffRhythm
from tracer.generators.diffrhythm.model import segment_mask, time_grid
from tracer.generators.diffrhythm.network import DiT, rotary_table

BuildTiny = Callable[..., DiffRhythm]
FRAMES = 24


def unit(batch: int, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(batch, 512, generator=torch.Generator().manual_seed(seed))
    return vectors / vectors.norm(dim=1, keepdim=True)


def inputs(batch: int = 2, frames: int = FRAMES) -> dict[str, torch.Tensor]:
    """Conditioning of `batch` different songs with lyrics and a reference."""
    draw = torch.Generator().manual_seed(5)
    return {
        "cond": torch.randn(batch, frames, 64, generator=draw),
        "text": torch.randint(0, 21, (batch, frames), generator=draw),
        "style": unit(batch),
        "start_time": torch.rand(batch, generator=draw),
        "song_duration": torch.rand(batch, generator=draw),
    }


def noise(batch: int = 2, frames: int = FRAMES) -> torch.Tensor:
    return torch.randn(batch, frames, 64, generator=torch.Generator().manual_seed(9))


def run(model: DiffRhythm, batch: int = 2, **options: Any) -> torch.Tensor:
    arguments = {"noise": noise(batch), **inputs(batch), "negative_style": unit(1, 3), "steps": 6, **options}
    states = model.sample(**arguments)
    assert isinstance(states, torch.Tensor)
    return states


def close(one: torch.Tensor, other: torch.Tensor, within: float = 1e-4) -> bool:
    return bool((one - other).abs().max() < within)


@given(steps=st.integers(2, 64), sway=st.one_of(st.none(), st.floats(-1, 0.5)))
def test_the_time_grid_runs_from_0_to_1_without_turning_back(steps: int, sway: float | None) -> None:
    grid = time_grid(steps, sway)
    assert grid.shape == (steps,)
    assert float(grid[0]) == 0
    assert float(grid[-1]) == pytest.approx(1, abs=1e-6)
    assert (grid.diff() > 0).all()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=4))
def test_segments_are_half_open_frame_ranges(segments: list[tuple[int, int]]) -> None:
    mask = segment_mask(segments, 30, torch.device("cpu"))
    assert mask is not None
    assert mask.tolist() == [any(start <= frame < stop for start, stop in segments) for frame in range(30)]


@pytest.mark.parametrize("frames", [2048, 6144])
def test_every_step_is_euler_s_with_guidance_on_both_branches(tiny_diffrhythm: BuildTiny, frames: int) -> None:
    model, strength = tiny_diffrhythm(max_frames=frames), 2.5
    states = run(model, cfg_strength=strength, sway=-1.0, pred_segments=[(0, FRAMES // 2)])
    grid, given_inputs = time_grid(6, -1.0), inputs()
    given_inputs["cond"][:, : FRAMES // 2] = 0
    for index in range(5):
        x, t = states[index], float(grid[index])
        positive = model.velocity(x, t, **given_inputs)
        null = model.velocity(x, t, **{**given_inputs, "style": unit(1, 3)}, drop_audio=True, drop_text=True)
        velocity = positive + (positive - null) * strength
        assert close(states[index + 1], x + (float(grid[index + 1]) - t) * velocity)


def test_without_guidance_the_null_branch_is_not_evaluated(
    tiny_diffrhythm: BuildTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = tiny_diffrhythm(), []
    forward = DiT.forward

    def counted(self: DiT, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows.append(x.shape[0])
        return forward(self, x, *rest)

    monkeypatch.setattr(DiT, "forward", counted)
    alone = run(model, cfg_strength=0, negative_style=None)
    assert rows == [2] * 5
    assert torch.equal(alone, run(model, cfg_strength=1e-6))
    rows.clear()
    run(model, cfg_strength=4)
    assert rows == [4] * 5


def test_the_reference_counts_only_outside_the_segments(tiny_diffrhythm: BuildTiny) -> None:
    model, segments = tiny_diffrhythm(), [(0, 5), (10, 16)]
    inside = segment_mask(segments, FRAMES, torch.device("cpu"))
    assert inside is not None
    longer = torch.cat([inputs()["cond"], torch.full((2, 7, 64), 9.0)], dim=1)
    states, out = run_with_out(model, cond=longer, pred_segments=segments)
    elsewhere = longer.clone()
    elsewhere[:, :FRAMES][:, inside] += 3
    elsewhere[:, FRAMES:] = -1
    assert torch.equal(run(model, cond=elsewhere, pred_segments=segments), states)
    assert torch.equal(out[:, inside], states[-1][:, inside])
    assert torch.equal(out[:, ~inside], longer[:, :FRAMES][:, ~inside])
    changed = longer.clone()
    changed[:, 7] += 3
    assert not close(run(model, cond=changed, pred_segments=segments), states)


def run_with_out(model: DiffRhythm, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    arguments = {"noise": noise(), **inputs(), "negative_style": unit(1, 3), "steps": 6, **options}
    states, out = model.sample(**arguments, return_out=True)
    return states, out


def test_generating_everything_ignores_the_reference_and_returns_the_last_state(tiny_diffrhythm: BuildTiny) -> None:
    model = tiny_diffrhythm()
    states, out = run_with_out(model, pred_segments=None)
    assert torch.equal(out, states[-1])
    whole, out = run_with_out(model, pred_segments=[(0, 2048)])
    assert torch.equal(whole, states)
    assert torch.equal(out, states[-1])
    assert torch.equal(run(model, cond=None), states)


def test_defaults_are_instrumental_from_the_start_at_the_song_s_length(tiny_diffrhythm: BuildTiny) -> None:
    model = tiny_diffrhythm(max_frames=6144)
    spelled = run(
        model,
        text=torch.zeros(1, FRAMES, dtype=torch.long),
        start_time=torch.zeros(1),
        song_duration=torch.tensor([FRAMES / 6144]),
    )
    assert torch.equal(run(model, text=None, start_time=None, song_duration=None), spelled)


@settings(max_examples=6, deadline=None)
@given(batch=st.integers(2, 4), frames=st.sampled_from([2048, 6144]), instrumental=st.booleans())
def test_each_row_of_a_batch_is_its_own_run(
    tiny_diffrhythm: BuildTiny, batch: int, frames: int, instrumental: bool
) -> None:
    model, together = tiny_diffrhythm(max_frames=frames), inputs(batch)
    if instrumental:
        together["text"] = torch.zeros(1, FRAMES, dtype=torch.long)
    segments = [(4, 20)]
    states = run(model, batch, **together, pred_segments=segments)
    for row in range(batch):
        single = {name: value[row : row + 1] if value.shape[0] > 1 else value for name, value in together.items()}
        alone = run(model, 1, **single, noise=noise(batch)[row : row + 1], pred_segments=segments)
        assert close(states[:, row : row + 1], alone)


def test_instrumental_prompts_share_their_lyrics_branch_with_the_general_path(tiny_diffrhythm: BuildTiny) -> None:
    model = tiny_diffrhythm()
    # One row of filler is shared by both guidance branches, a row per song is not: the same music either way.
    shared = run(model, text=torch.zeros(1, FRAMES, dtype=torch.long))
    assert close(shared, run(model, text=torch.zeros(2, FRAMES, dtype=torch.long)))
    assert not close(shared, run(model))


@pytest.mark.parametrize("instrumental", [True, False])
def test_branches_one_by_one_equal_branches_together(
    tiny_diffrhythm: BuildTiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, instrumental: bool
) -> None:
    model, options = tiny_diffrhythm(), {"text": None} if instrumental else {}
    together = run(model, **options)
    forward, rows = DiT.forward, []

    def small_memory(self: DiT, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows.append(x.shape[0])
        if x.shape[0] > 2:
            raise torch.cuda.OutOfMemoryError("no memory for twice the batch")
        return forward(self, x, *rest)

    monkeypatch.setattr(DiT, "forward", small_memory)
    with caplog.at_level(logging.INFO):
        states = run(model, **options)
    assert close(states, together)
    assert rows == [4] + [2] * 10  # tried once
    assert caplog.text.count("one by one") == 1
    monkeypatch.setattr(DiT, "forward", forward)
    assert torch.equal(run(model, **options), together)  # the next generation may fit again


def test_memory_that_does_not_even_hold_one_branch_is_not_hidden(
    tiny_diffrhythm: BuildTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("no memory")

    monkeypatch.setattr(DiT, "forward", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        run(tiny_diffrhythm())


@pytest.mark.parametrize(("dtype", "within"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
def test_half_precision_stays_close_to_single(tiny_diffrhythm: BuildTiny, dtype: torch.dtype, within: float) -> None:
    exact = run(tiny_diffrhythm(attention_heads=1), cfg_strength=1.0)
    model = tiny_diffrhythm(attention_heads=1, exact_rotary=True).to(dtype)
    states = run(model, cfg_strength=1.0)
    assert states.dtype == torch.float32  # the state itself is integrated in single precision
    assert float((states - exact).norm() / exact.norm()) < within


def test_float16_rounds_the_rotary_table_as_upstream_does_unless_told_otherwise(tiny_diffrhythm: BuildTiny) -> None:
    # integration.md 2.5 measured on upstream: up to 0.33 rad at 2048 frames, 0.98 rad at 6144, head width 64.
    for frames, measured in ((2048, 0.33), (6144, 0.98)):
        exact, rounded = (
            torch.complex(*rotary_table(frames, 64, torch.device("cpu"), dtype)) for dtype in (None, torch.float16)
        )
        assert float((rounded / exact).angle().abs().max()) == pytest.approx(measured, abs=0.01)


def test_exact_rotary_is_a_choice_in_float16_and_the_rule_elsewhere(tiny_diffrhythm: BuildTiny) -> None:
    def built(exact_rotary: bool) -> DiffRhythm:
        model = tiny_diffrhythm(attention_heads=1, exact_rotary=exact_rotary)
        for block in model.transformer.transformer_blocks:  # attention sharp enough for the phase to matter
            block.self_attn.q_proj.weight.mul_(10)
            block.self_attn.k_proj.weight.mul_(10)
            block.self_attn.o_proj.weight.mul_(16)
        return model

    long = {"noise": noise(frames=600), **inputs(frames=600), "cfg_strength": 0.0, "steps": 2}
    single = run(built(exact_rotary=False), **long)
    assert torch.equal(run(built(exact_rotary=True), **long), single)
    rounded, exact = (run(built(exact_rotary=exact).half(), **long) for exact in (False, True))
    # Seen: 0.013 and 0.002 of the norm.
    assert (rounded - single).norm() > 3 * (exact - single).norm()


def test_states_come_one_at_a_time_and_are_the_same(tiny_diffrhythm: BuildTiny) -> None:
    model = tiny_diffrhythm()
    arguments = {"noise": noise(), **inputs(), "negative_style": unit(1, 3), "steps": 6}
    streamed = [state.clone() for state in model.states(**arguments)]
    assert torch.equal(torch.stack(streamed), run(model))
    assert not any(state.requires_grad for state in streamed)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": 1}, "steps must be at least 2"),
        ({"negative_style": None}, "guidance needs negative_style"),
        ({"cond": torch.zeros(1, FRAMES - 1, 64)}, "cond has 23 frames"),
        ({"text": torch.zeros(1, FRAMES + 1, dtype=torch.long)}, "text has 25 frames"),
    ],
)
def test_inputs_that_do_not_fit(tiny_diffrhythm: BuildTiny, options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        run(tiny_diffrhythm(), **options)
