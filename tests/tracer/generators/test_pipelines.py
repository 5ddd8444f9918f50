"""What is particular to single pipelines: their own clean estimates, padding, seeds, traps and refusals."""

import inspect
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from support.pipelines import BUILDERS, save
from torch import Tensor

import tracer.generators.pipelines.stable_audio as stable_audio_module
from hooks import Edit, Event, capture, steer
from probes.errors import InputError
from probes.spaces import load_space
from tracer.generators import load_generator
from tracer.generators.pipelines.audioldm import AudioLDMGenerator
from tracer.generators.pipelines.base import PipelineGenerator


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Loads a tiny pipeline of one name, saved once."""
    loaded: dict[str, Any] = {}

    def get(name: str, **options: Any) -> Any:
        key = f"{name} {options}"
        if key not in loaded:
            loaded[key] = load_generator(name, save(name, tmp_path_factory.mktemp(name), **options))
        return loaded[key]

    return get


def run(model: PipelineGenerator, *edits: Edit, steps: int = 5, guidance: float = 3.0) -> tuple[Tensor, list[Event]]:
    events: list[Event] = []
    with steer(model.sampler, edits), capture(model.sampler, events.append):
        final = model.generate(["slow piano"], [7], steps=steps, seconds=0.4, guidance=guidance)
    return final, events


@pytest.fixture
def estimates(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Collects a scheduler's own clean estimate at every step."""

    def collect(scheduler: Any, estimate: Any) -> list[Tensor]:
        found: list[Tensor] = []
        original = type(scheduler).step

        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            found.append(estimate(self, result).clone())
            return result

        step.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        monkeypatch.setattr(type(scheduler), "step", step)
        return found

    return collect


@pytest.mark.parametrize("name", ["audioldm", "audioldm2", "musicldm"])
def test_ddim_endpoints_are_the_librarys_own(load: Any, estimates: Any, name: str) -> None:
    model = load(name)
    found = estimates(model.sampler.scheduler, lambda scheduler, result: result.pred_original_sample)
    _, events = run(model)
    for event, estimate in zip(events, found, strict=False):
        frames = estimate.permute(0, 2, 1, 3).flatten(2)
        torch.testing.assert_close(event.endpoint, frames, rtol=1e-5, atol=1e-5)


def test_stable_audio_endpoints_are_the_librarys_own(load: Any, estimates: Any) -> None:
    model = load("stable-audio")
    found = estimates(model.sampler.scheduler, lambda scheduler, _: scheduler.model_outputs[-1])
    final, events = run(model)
    for event, estimate in zip(events, found, strict=False):
        torch.testing.assert_close(event.endpoint, estimate.transpose(1, 2), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(final, events[-2].endpoint, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"), [("ace-step", {}), ("stable-audio-3", {"distilled": False}), ("longcat-audio", {})]
)
def test_flow_endpoints_lie_on_the_line_through_two_states(load: Any, name: str, options: dict[str, Any]) -> None:
    final, events = run(load(name, **options))
    for now, after in pairwise(events[:-1]):
        # x = t data + (1 - t) noise on a straight line: where it is headed follows from two of its points.
        share = (1 - now.t) / (after.t - now.t)
        arrival = now.state + share * (after.state - now.state)
        torch.testing.assert_close(now.endpoint, arrival, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(final, events[-2].endpoint, rtol=1e-5, atol=1e-5)


def test_flow_time_and_log_snr_say_the_same(load: Any) -> None:
    for name in ("stable-audio", "audioldm", "ace-step"):
        for event in run(load(name))[1][1:-1]:
            assert event.logsnr == pytest.approx(2 * torch.logit(torch.tensor(event.t, dtype=torch.float64)).item())


def test_stable_audio_states_have_unit_variance_and_padding_is_masked(load: Any) -> None:
    model = load("stable-audio")
    _, events = run(model)
    assert events[0].state.std().item() == pytest.approx(1, abs=0.15)
    frames = int(0.4 * model.frame_rate)
    assert all(
        event.mask is not None and event.mask.sum() == frames and event.mask[0, :frames].all() for event in events
    )


@pytest.mark.parametrize("name", sorted(BUILDERS))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_codec_is_the_pipelines_own(name: str, dtype: str, tmp_path: Path) -> None:
    folder = save(name, tmp_path)
    model = load_generator(name, folder, "cpu", dtype)
    audio = 0.3 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    latents, saved = model.codec.encode(audio), load_space(name, folder).encode(audio)
    tolerance = 1e-5 if dtype == "float32" else 0.05 * float(saved.std())
    torch.testing.assert_close(latents, saved, rtol=0, atol=tolerance)
    codec = model.codec
    assert (codec.channels, codec.sample_rate, codec.weights) == (model.channels, model.sample_rate, folder)
    assert codec.frame_rate == pytest.approx(model.frame_rate)
    assert codec.decode(latents).shape[-1] == latents.shape[1] * codec.hop
    assert model.decode(latents).shape[-1] >= audio.shape[-1]  # the pipeline's own precision is as it was


def test_the_codec_of_a_pipeline_that_was_built_in_memory_needs_no_folder() -> None:
    pipeline = BUILDERS["audioldm"]()
    codec = AudioLDMGenerator(pipeline).codec
    audio = torch.randn(1, 6400, generator=torch.Generator().manual_seed(0))
    before = codec.encode(audio)
    pipeline.vae.register_to_config(scaling_factor=2 * pipeline.vae.config.scaling_factor)
    torch.testing.assert_close(AudioLDMGenerator(pipeline).codec.encode(audio), 2 * before)


def test_stable_audio_noise_is_seeded_under_hooks(load: Any) -> None:
    model = load("stable-audio")
    assert "generator" in inspect.signature(model.sampler.scheduler.step).parameters
    with capture(model.sampler, lambda event: None):
        assert "generator" in inspect.signature(model.sampler.scheduler.step).parameters
    plain = model.generate(["slow piano"], [7], steps=5, seconds=0.4, guidance=3.0)
    assert torch.equal(run(model)[0], plain)
    assert not torch.equal(model.generate(["slow piano"], [8], steps=5, seconds=0.4, guidance=3.0), plain)


@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_the_second_order_solver_does_not_extrapolate_an_edit(load: Any, site: Any) -> None:
    """With a network that always says the same, an edit of one step must not echo in the solver's history."""
    model = load("stable-audio")
    network = model.sampler.transformer
    handle = network.register_forward_hook(lambda *call: (torch.zeros_like(call[2][0]),))
    try:
        (_, events), push = run(model, steps=8), torch.ones(model.channels)
        edit = Edit(push.expand_as, site=site, start=events[3].t - 1e-6, stop=events[3].t + 1e-6)
        _, after = run(model, edit, steps=8)
    finally:
        handle.remove()
    moved = [(edited.state - plain.state).mean().item() for plain, edited in zip(events, after)]
    sign = 1 if site == "state" else 0
    assert moved[:3] == pytest.approx([0, 0, 0], abs=1e-5)
    assert moved[3] == pytest.approx(sign, abs=1e-5)
    assert all(0 <= value <= 1.001 for value in moved[4:])


@pytest.mark.parametrize("site", ["state", "endpoint"])
def test_the_second_order_solver_forgets_the_history_of_the_edited_clip_alone(load: Any, site: Any) -> None:
    model = load("stable-audio")

    def generate(seeds: list[int], *edits: Edit) -> Tensor:
        captions = ["slow piano", "fast drums"][: len(seeds)]
        with steer(model.sampler, edits):
            return model.generate(captions, seeds, steps=9, seconds=0.4, guidance=3.0)

    def first_clip(latents: Tensor) -> Tensor:
        push = torch.zeros_like(latents)
        push[0] = 1
        return push

    edit = Edit(first_clip, site=site, start=0.3, stop=0.6)
    together, plain = generate([11, 12], edit), generate([11, 12])
    assert torch.equal(together[1], plain[1])
    torch.testing.assert_close(together[:1], generate([11], edit), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[0], plain[0], atol=0.1)


def test_a_solver_of_third_order_is_watched_and_takes_no_edit(load: Any) -> None:
    model = load("stable-audio")
    model.sampler.scheduler.register_to_config(solver_order=3)
    plain = model.generate(["slow piano"], [7], steps=5, seconds=0.4, guidance=3.0)
    assert torch.equal(run(model)[0], plain)
    with pytest.raises(ValueError, match="solver_order=2"):
        run(model, Edit(torch.ones_like))


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("audioldm", 1.17), ("audioldm2", 1.17), ("musicldm", 1.17), ("ace-step", 1.1), ("ace-step", 8.7)],
)
def test_a_clip_has_the_frames_that_are_announced(load: Any, name: str, seconds: float) -> None:
    model = load(name)
    latents = model.generate(["slow piano"], [7], steps=2, seconds=seconds, guidance=1.0)
    assert latents.shape[1] == model.frames(seconds)


def test_ace_step_noise_is_what_the_pipeline_draws(load: Any) -> None:
    model = load("ace-step")
    own = model.sampler(
        ["slow piano"], lyrics=[model.lyrics], audio_duration=0.4, num_inference_steps=4, guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(7)], output_type="latent",
    ).audios  # fmt: skip
    assert torch.equal(run(model)[0], own)


def test_audioldm2_loads_a_language_model_saved_under_the_old_class(tmp_path: Path) -> None:
    folder = Path(save("audioldm2", tmp_path))
    index = json.loads((folder / "model_index.json").read_text())
    index["language_model"] = ["transformers", "GPT2Model"]
    (folder / "model_index.json").write_text(json.dumps(index))
    model = load_generator("audioldm2", str(folder))
    assert type(model.sampler.language_model).__name__ == "GPT2LMHeadModel"
    assert run(model)[0].isfinite().all()


def test_audioldm2_sets_the_type_of_its_language_model_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 4.56 transformers handed `dtype` on to the model, which does not know it."""
    from transformers import GPT2LMHeadModel

    original = GPT2LMHeadModel.from_pretrained

    def older(*args: Any, **named: Any) -> Any:
        if "dtype" in named:
            raise TypeError("GPT2LMHeadModel.__init__() got an unexpected keyword argument 'dtype'")
        return original(*args, **named)

    monkeypatch.setattr(GPT2LMHeadModel, "from_pretrained", older)
    model = load_generator("audioldm2", save("audioldm2", tmp_path), dtype="bfloat16")
    assert {parameter.dtype for parameter in model.sampler.language_model.parameters()} == {torch.bfloat16}


def test_musicldm_text_features_are_the_encoders_vectors(load: Any) -> None:
    from tracer.generators.pipelines.mel import text_features

    model = load("musicldm")
    features = text_features(model.sampler, ["slow piano", "fast drums"])
    assert features.shape == (2, 16)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2))
    assert not torch.allclose(features[0], features[1], atol=1e-3)


def test_audioldm2_conditions_each_prompt_as_if_it_were_alone(load: Any) -> None:
    model = load("audioldm2")
    captions = ["slow piano", "a longer text about drums"]
    together = model._conditioning(captions, True)
    for row, caption in enumerate(captions):
        alone = model._conditioning([caption], True)
        length = alone["attention_mask"].shape[1]
        torch.testing.assert_close(together["generated_prompt_embeds"][row], alone["generated_prompt_embeds"][0])
        torch.testing.assert_close(together["prompt_embeds"][row, :length], alone["prompt_embeds"][0])
        assert not together["attention_mask"][row, length:].any()


def test_missing_torchsde_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save("stable-audio", tmp_path)
    monkeypatch.setattr(stable_audio_module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"generation-tracer\[stable-audio\]"):
        load_generator("stable-audio", folder)


def test_a_turbo_model_takes_no_guidance(load: Any) -> None:
    with pytest.raises(InputError, match="guidance=1"):
        run(load("ace-step", turbo=True), guidance=4.0)


@pytest.mark.parametrize("name", ["audioldm2", "musicldm"])
def test_reranked_waveforms_are_refused(load: Any, name: str) -> None:
    model = load(name)
    with pytest.raises(InputError, match="no option 'num_waveforms_per_prompt'"):
        load_generator(name, "somewhere", num_waveforms_per_prompt="2")
    arguments: dict[str, Any] = {"num_waveforms_per_prompt": 2, "num_inference_steps": 2, "audio_length_in_s": 0.4}
    if name == "musicldm":
        arguments |= {"prompt_embeds": torch.randn(1, 16), "negative_prompt_embeds": torch.randn(1, 16)}
    else:
        arguments |= {"prompt": "slow piano"}
    with pytest.raises(ValueError, match="one waveform per prompt"), capture(model.sampler, lambda event: None):
        model.sampler(**arguments)


def test_modules_that_move_are_refused(load: Any) -> None:
    from accelerate import cpu_offload_with_hook
    from accelerate.hooks import remove_hook_from_module

    model = load("ace-step")
    cpu_offload_with_hook(model.sampler.vae, "cpu")
    try:
        with pytest.raises(ValueError, match="CPU offload"), capture(model.sampler, lambda event: None):
            pass
    finally:
        remove_hook_from_module(model.sampler.vae)
    run(model)


def test_other_pipelines_and_schedulers_are_refused(load: Any) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler, PNDMScheduler, UNet2DModel

    unknown = DDPMPipeline(UNet2DModel(block_out_channels=(32, 32), down_block_types=["DownBlock2D"] * 2,
                                       up_block_types=["UpBlock2D"] * 2), DDPMScheduler())  # fmt: skip
    with pytest.raises(ValueError, match=r"cannot attach to .*DDPMPipeline"), capture(unknown, lambda event: None):
        pass
    model = load("audioldm")
    own = model.sampler.scheduler
    model.sampler.scheduler = PNDMScheduler()
    try:
        with pytest.raises(ValueError, match="PNDMScheduler"), capture(model.sampler, lambda event: None):
            pass
    finally:
        model.sampler.scheduler = own


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_weights_that_are_not_there_or_not_this_pipeline_are_refused(load: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        load_generator(name, str(tmp_path / "nothing"))
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(InputError, match="holds a FluxPipeline"):
        load_generator(name, str(tmp_path))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("no route"), r"\(OSError\): go online once"),
        (ImportError("\nT5Tokenizer requires SentencePiece.\nInstall it."), "T5Tokenizer requires SentencePiece."),
        (ValueError("an unknown type"), "an unknown type"),
        (RuntimeError("size mismatch\nfor a"), "size mismatch"),
        (AttributeError("no such class"), "no such class"),
    ],
)
def test_a_repository_that_cannot_be_loaded_says_why(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import DiffusionPipeline, StableAudioPipeline

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(DiffusionPipeline, "load_config", lambda *_, **__: {"_class_name": "StableAudioPipeline"})
    monkeypatch.setattr(StableAudioPipeline, "from_pretrained", fail)
    expected = said if isinstance(error, OSError) else f"owner/name cannot be loaded as StableAudioPipeline: {said}"
    with pytest.raises(InputError, match=f"{expected}.*$") as refusal:
        load_generator("stable-audio", "owner/name")
    assert "\n" not in str(refusal.value)


def test_incomplete_weights_are_told_in_one_line(tmp_path: Path) -> None:
    folder = Path(save("ace-step", tmp_path))
    for file in (folder / "transformer").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(InputError) as refusal:
        load_generator("ace-step", str(folder))
    assert "\n" not in str(refusal.value)


def test_fingerprints_tell_weights_and_schedules_apart(load: Any) -> None:
    model = load("audioldm")
    first, value = model.fingerprint(), next(model.sampler.unet.parameters()).data.view(-1)[:1]
    kept = value.clone()
    value.add_(1)
    changed = model.fingerprint()
    value.copy_(kept)
    assert first == model.fingerprint() != changed
