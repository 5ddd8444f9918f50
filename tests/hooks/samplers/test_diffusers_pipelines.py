"""Diffusers pipelines whose parts are replaced, shared or copied while hooks are on them."""

import copy
import functools
import pickle
from typing import Any

import pytest
import torch
from support.pipelines import BUILDERS, diffusers
from support.sinks import Kept
from torch import Tensor

from hooks import Edit, Event, capture, steer

PUSH = Edit(lambda latents: 5 * torch.ones_like(latents))
PIPELINES = ["stable-audio", "audioldm", "audioldm2", "ace-step"]


@functools.cache
def pipeline(name: str) -> Any:
    """A tiny pipeline; its network starts with no layer of zeros, so that guidance and steps count."""
    torch.manual_seed(0)
    built = BUILDERS[name]()
    built.set_progress_bar_config(disable=True)
    for module in built.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()
    for parameter in built.components.get("transformer", built.components.get("unet")).parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return built


def generate(sampler: Any, **options: Any) -> Tensor:
    """Audio or latents of one clip in four steps, from the same noise."""
    lengths = {"StableAudioPipeline": "audio_end_in_s", "AceStepPipeline": "audio_duration"}
    length = lengths.get(type(sampler).__name__, "audio_length_in_s")
    with torch.no_grad():
        result = sampler(
            "slow piano", num_inference_steps=4, guidance_scale=3.0, generator=torch.Generator().manual_seed(1),
            **{length: 0.4, **options},
        )  # fmt: skip
    return torch.as_tensor(result.audios)


def sharing(sampler: Any) -> Any:
    """Another pipeline on the same scheduler and networks."""
    other = type(sampler)(**sampler.components)
    other.set_progress_bar_config(disable=True)
    return other


@pytest.mark.parametrize("name", PIPELINES)
def test_a_scheduler_that_is_replaced_in_the_block_is_followed(name: str) -> None:
    sampler = pipeline(name)
    first, plain = sampler.scheduler, generate(sampler)
    second = type(first).from_config(first.config)
    with steer(sampler, PUSH), capture(sampler, kept := Kept()):
        steered = generate(sampler)
        sampler.scheduler = second
        again = generate(sampler)
        sampler.scheduler = first
        assert torch.equal(generate(sampler), steered)
    assert torch.equal(again, steered)
    assert not torch.equal(steered, plain)
    assert [event.index for event in kept.events] == 3 * list(range(5))
    assert "step" not in {**vars(first), **vars(second)}
    assert torch.equal(generate(sampler), plain)


def test_a_scheduler_whose_formulas_are_not_known_is_refused_in_the_block_too() -> None:
    sampler = pipeline("audioldm")
    first, plain, kept = sampler.scheduler, generate(sampler), Kept()
    with capture(sampler, kept):
        sampler.scheduler = diffusers.PNDMScheduler.from_config(first.config)
        with pytest.raises(ValueError, match="PNDMScheduler are not known: give the pipeline its own scheduler back"):
            generate(sampler)
        sampler.scheduler = first
        assert torch.equal(generate(sampler), plain)
    assert len(kept.events) == 5


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_that_shares_all_its_parts_is_neither_watched_nor_steered(name: str) -> None:
    sampler = pipeline(name)
    other, plain, own = sharing(sampler), generate(sampler), Kept()

    def stop(event: Event) -> None:
        if event.index == 2:
            raise KeyboardInterrupt

    with steer(sampler, PUSH), capture(sampler, own):
        with pytest.warns(UserWarning, match="outside a call of this pipeline: hooks leave it alone"):
            assert torch.equal(generate(other), plain)
        steered = generate(sampler)
        assert torch.equal(generate(other), plain)
        with pytest.raises(KeyboardInterrupt), capture(sampler, stop):
            generate(sampler)
        assert torch.equal(generate(other), plain)
        with capture(other, of_other := Kept()):
            assert torch.equal(generate(other), plain)
            assert torch.equal(generate(sampler), steered)
    assert not torch.equal(steered, plain)
    assert [event.index for event in own.events] == [*range(5), *range(3), *range(5)]
    assert [event.index for event in of_other.events] == list(range(5))


def test_a_pipeline_that_runs_in_a_sink_changes_neither_guidance_nor_mask() -> None:
    sampler = pipeline("stable-audio")
    other = sharing(sampler)
    other.scheduler = type(sampler.scheduler).from_config(sampler.scheduler.config)
    edit = Edit(torch.ones_like, branch="null", start=0.01)

    def masks(sink: Any) -> tuple[Tensor, list[list[bool]]]:
        seen: list[list[bool]] = []
        watch = capture(sampler, lambda event: seen.append(event.mask.tolist()))
        with steer(sampler, edit), watch, capture(sampler, sink):
            return generate(sampler, output_type="latent"), seen

    expected, shown = masks(lambda event: None)
    found, seen = masks(lambda event: generate(other, audio_end_in_s=0.1, num_waveforms_per_prompt=3))
    assert torch.equal(found, expected)
    assert seen == shown


@pytest.mark.parametrize("name", PIPELINES)
def test_copies_of_parts_that_are_made_in_the_block_have_no_hooks(name: str) -> None:
    sampler, kept = pipeline(name), Kept()
    plain, network = generate(sampler), "transformer" if "transformer" in sampler.components else "unet"
    with steer(sampler, PUSH), capture(sampler, kept):
        copies = {part: copy.deepcopy(sampler.components[part]) for part in ("scheduler", network)}
    other = type(sampler)(**{**sampler.components, **copies})
    with steer(sampler, PUSH), capture(sampler, kept):
        assert torch.equal(generate(other), plain)
    assert kept.events == []


def test_a_scheduler_with_hooks_says_when_to_pickle() -> None:
    sampler = pipeline("audioldm")
    says = "pickle or save it after the `with` block"
    with capture(sampler, Kept()), pytest.raises(pickle.PicklingError, match=says):
        pickle.dumps(sampler.scheduler)


@pytest.mark.parametrize("name", ["audioldm", "audioldm2"])
def test_a_copy_that_is_made_in_the_block_has_no_hooks(name: str) -> None:
    sampler, kept = pipeline(name), Kept()
    plain = generate(sampler)
    with steer(sampler, PUSH), capture(sampler, kept):
        copied = copy.deepcopy(sampler)
        assert type(copied).__mro__ == type(pipeline(name)).__mro__[1:]
        assert torch.equal(generate(copied), plain)
    assert kept.events == []
    assert torch.equal(generate(copied), plain)
    with steer(copied, PUSH), capture(copied, kept):
        assert not torch.equal(generate(copied), plain)
    assert len(kept.events) == 5
    assert torch.equal(generate(sampler), plain)


def zero_snr(prediction: str) -> Any:
    """DDIM from pure noise on: alpha is 0 at its first state."""
    return diffusers.DDIMScheduler.from_config(
        pipeline("audioldm").scheduler.config, timestep_spacing="trailing", rescale_betas_zero_snr=True,
        prediction_type=prediction,
    )  # fmt: skip


@pytest.fixture
def from_pure_noise(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    sampler = pipeline("audioldm")
    monkeypatch.setitem(vars(sampler), "scheduler", zero_snr(request.param))
    return sampler


@pytest.mark.parametrize("from_pure_noise", ["v_prediction", "sample"], indirect=True)
def test_a_schedule_that_begins_in_pure_noise_is_followed(from_pure_noise: Any) -> None:
    plain, kept = generate(from_pure_noise), Kept()
    with steer(from_pure_noise, Edit(torch.zeros_like)), capture(from_pure_noise, kept):
        assert torch.equal(generate(from_pure_noise), plain)
    first = kept.events[0]
    sign = -1 if from_pure_noise.scheduler.config.prediction_type == "v_prediction" else 1
    assert (first.t, first.logsnr, first.sigma) == (0.0, -torch.inf, 1.0)
    torch.testing.assert_close(first.endpoint, sign * first.velocity)


@pytest.mark.parametrize("from_pure_noise", ["epsilon"], indirect=True)
def test_predicted_noise_of_pure_noise_is_refused(from_pure_noise: Any) -> None:
    says = r"no clean estimate.*rescale_betas_zero_snr=False"
    with pytest.raises(ValueError, match=says) as raised, capture(from_pure_noise, Kept()):
        generate(from_pure_noise)
    assert "\n" not in str(raised.value)
