"""ACE-Step 1.5: rectified flow on a 25 Hz waveform latent, adaptive projected guidance."""

import math

import torch
from torch import Tensor

from probes.errors import InputError
from tracer.generators.base import precision
from tracer.generators.pipelines.base import PipelineGenerator
from tracer.generators.pipelines.loading import load_pipeline

REPO = "ACE-Step/acestep-v15-xl-turbo-diffusers"


class AceStepGenerator(PipelineGenerator):
    """ACE-Step 1.5 as diffusers' `AceStepPipeline`; instrumental unless lyrics are given.

    The pipeline pads a batch's texts to the longest one and shows the padding to the network unmasked, so that a clip
    would depend on its companions: prompts are generated one at a time.
    """

    name = "ace-step"
    space = "ace-step"
    max_batch = 1
    default_seconds = 30.0

    def __init__(self, pipeline: object, lyrics: str = "[Instrumental]") -> None:
        super().__init__(pipeline)
        self.lyrics = lyrics
        self.channels = self.sampler.transformer.config.audio_acoustic_hidden_dim
        self.sample_rate = self.sampler.sample_rate
        self.frame_rate = self.sampler.latents_per_second
        turbo = self.sampler.is_turbo
        self.default_steps, self.default_guidance = (9, 1.0) if turbo else (51, 7.0)

    def fingerprint(self) -> str:
        """As of every pipeline, with the lyrics."""
        return f"{super().fingerprint()}-{self.lyrics}" if self.lyrics != "[Instrumental]" else super().fingerprint()

    def frames(self, seconds: float) -> int:
        """Frames that cover the clip; at most ten minutes."""
        return self._whole_frames(math.ceil(seconds * self.frame_rate), seconds, 600.0)

    def _sample(
        self, captions: list[str], noise: list[torch.Generator], inference_steps: int, seconds: float, guidance: float
    ) -> Tensor:
        if self.sampler.is_turbo and guidance > 1:
            raise InputError(
                "this turbo model was distilled with its guidance: pass --guidance 1, or take a base model"
            )
        # The pipeline turns its frames into seconds and back before it draws noise, and draws one too many at 2.2 s.
        shape, dtype = (1, self.frames(seconds), self.channels), self.sampler.transformer.dtype
        drawn = [torch.randn(shape, generator=source, dtype=dtype, device="cpu") for source in noise]
        latents: Tensor = self.sampler(
            captions,
            lyrics=[self.lyrics] * len(captions),
            audio_duration=seconds,
            num_inference_steps=inference_steps,
            guidance_scale=guidance,
            latents=torch.cat(drawn),
            output_type="latent",
        ).audios
        return latents


def load(
    weights: str | None = None,
    device: str = "cpu",
    dtype: str = "auto",
    *,
    lyrics: str = "[Instrumental]",
    revision: str | None = None,
) -> AceStepGenerator:
    """Load ACE-Step 1.5.

    Args:
        weights: folder of a saved `AceStepPipeline`, or hub id; None is the released XL turbo model.
        device: torch device.
        dtype: "auto" is bfloat16 on a GPU.
        lyrics: sung in every prompt's clip.
        revision: of the hub repository.

    Raises:
        InputError: weights that are missing or of another pipeline.
    """
    kind = precision(dtype, device, on_gpu="bfloat16")
    return AceStepGenerator(load_pipeline(weights or REPO, "AceStepPipeline", device, kind, revision), lyrics)
