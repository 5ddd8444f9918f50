"""Stable Audio 3: rectified flow on a waveform latent, distilled (stochastic) or base (deterministic)."""

import math

import torch
from torch import Tensor

from tracer.generators.base import precision
from tracer.generators.pipelines.base import PipelineGenerator
from tracer.generators.pipelines.loading import load_pipeline

REPO = "stabilityai/stable-audio-3-medium"


class StableAudio3Generator(PipelineGenerator):
    """Stable Audio 3 as diffusers' `StableAudio3Pipeline`.

    The distilled model re-noises its clean estimate at each of 8 steps; the base model integrates in about 100 with
    guidance. Which of the two it is stands in its scheduler.
    """

    name = "stable-audio-3"
    space = "stable-audio-3"
    default_seconds = 30.0

    def __init__(self, pipeline: object) -> None:
        super().__init__(pipeline)
        vae = self.sampler.vae
        self.channels = vae.config.latent_dim
        self.sample_rate = vae.config.sampling_rate
        self.frame_rate = self.sample_rate / vae.downsampling_ratio
        distilled = self.sampler.scheduler.config.stochastic_sampling
        self.default_steps, self.default_guidance = (9, 1.0) if distilled else (101, 7.0)

    def frames(self, seconds: float) -> int:
        """Frames that cover the clip."""
        longest = self.sampler.duration_embedder.config.max_val
        return self._whole_frames(math.ceil(seconds * self.frame_rate), seconds, longest)

    def _sample(
        self, captions: list[str], noise: list[torch.Generator], inference_steps: int, seconds: float, guidance: float
    ) -> Tensor:
        latents: Tensor = self.sampler(
            captions,
            duration=seconds,
            num_inference_steps=inference_steps,
            guidance_scale=guidance,
            generator=noise,
            output_type="latent",
        ).audios
        return latents.transpose(1, 2)


def load(
    weights: str | None = None, device: str = "cpu", dtype: str = "auto", *, revision: str | None = None
) -> StableAudio3Generator:
    """Load Stable Audio 3.

    Args:
        weights: folder of a saved `StableAudio3Pipeline`, or hub id; None is the distilled medium model.
        device: torch device.
        dtype: "auto" is bfloat16 on a GPU.
        revision: of the hub repository.

    Raises:
        InputError: weights that are missing or of another pipeline.
    """
    kind = precision(dtype, device, on_gpu="bfloat16")
    return StableAudio3Generator(load_pipeline(weights or REPO, "StableAudio3Pipeline", device, kind, revision))
