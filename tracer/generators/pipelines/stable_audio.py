"""Stable Audio Open: a waveform latent of fixed length, a stochastic second-order solver."""

import math
from importlib.util import find_spec

import torch
from torch import Tensor

from probes.errors import InputError
from tracer.generators.base import precision
from tracer.generators.pipelines.base import PipelineGenerator
from tracer.generators.pipelines.loading import load_pipeline, pipeline_config

REPO = "stabilityai/stable-audio-open-1.0"


class StableAudioGenerator(PipelineGenerator):
    """Stable Audio Open 1.0 (Evans et al. 2024, arXiv 2407.14358).

    The latent always has the network's full length, 1,024 frames or 47.6 s; the frames behind the asked length are
    masked in every event. The solver's noise comes from one Brownian tree per prompt, seeded like its first noise.
    """

    name = "stable-audio"
    space = "stable-audio"
    default_guidance = 7.0
    default_steps = 101

    def __init__(self, pipeline: object) -> None:
        super().__init__(pipeline)
        self.channels = self.sampler.transformer.config.in_channels
        self.sample_rate = self.sampler.vae.config.sampling_rate
        self.frame_rate = self.sample_rate / self.sampler.vae.hop_length
        self.longest = self.sampler.transformer.config.sample_size / self.frame_rate
        self.default_seconds = self.longest

    def frames(self, seconds: float) -> int:
        """The network's fixed length, whatever part of it is music."""
        self._whole_frames(int(seconds * self.frame_rate), seconds, self.longest)
        return int(self.sampler.transformer.config.sample_size)

    def music_frames(self, seconds: float) -> int:
        """The frames whose middle lies within the asked length."""
        return min(self.frames(seconds), math.ceil(seconds * self.frame_rate - 0.5))

    def _sample(
        self, captions: list[str], noise: list[torch.Generator], inference_steps: int, seconds: float, guidance: float
    ) -> Tensor:
        latents: Tensor = self.sampler(
            captions,
            audio_end_in_s=seconds,
            num_inference_steps=inference_steps,
            guidance_scale=guidance,
            generator=noise,
            output_type="latent",
        ).audios
        return latents.transpose(1, 2)


def load(
    weights: str | None = None, device: str = "cpu", dtype: str = "auto", *, revision: str | None = None
) -> StableAudioGenerator:
    """Load Stable Audio Open.

    Args:
        weights: folder of a saved `StableAudioPipeline`, or hub id; None is the released one (gated).
        device: torch device.
        dtype: "auto" is float16 on a GPU.
        revision: of the hub repository.

    Raises:
        InputError: weights that are missing or of another pipeline; no torchsde.
    """
    config = pipeline_config(weights or REPO, "StableAudioPipeline", revision)
    if "CosineDPMSolverMultistepScheduler" in config.get("scheduler", ()) and find_spec("torchsde") is None:
        raise InputError(
            "Stable Audio Open's sampler needs torchsde: run `pip install 'generation-tracer[stable-audio]'`"
        )
    kind = precision(dtype, device, on_gpu="float16")
    return StableAudioGenerator(load_pipeline(weights or REPO, "StableAudioPipeline", device, kind, revision))
