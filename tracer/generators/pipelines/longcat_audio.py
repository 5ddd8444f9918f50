"""LongCat-AudioDiT: rectified flow on a 24 kHz waveform latent, counted from noise at 0 to data at 1."""

import torch
from torch import Tensor

from tracer.generators.base import precision
from tracer.generators.pipelines.base import PipelineGenerator
from tracer.generators.pipelines.loading import load_pipeline

REPO = "ruixiangma/LongCat-AudioDiT-1B-Diffusers"


class LongCatAudioGenerator(PipelineGenerator):
    """LongCat-AudioDiT as diffusers' `LongCatAudioDiTPipeline`.

    Its text convolution sees the padding of a batch, so that a clip would depend on its companions: prompts are
    generated one at a time.
    """

    name = "longcat-audio"
    space = "longcat-audio"
    max_batch = 1
    default_seconds = 10.0
    default_guidance = 4.0
    default_steps = 17

    def __init__(self, pipeline: object) -> None:
        super().__init__(pipeline)
        self.channels = self.sampler.latent_dim
        self.sample_rate = self.sampler.sample_rate
        self.frame_rate = self.sample_rate / self.sampler.vae_scale_factor

    def frames(self, seconds: float) -> int:
        """Whole frames within the clip, as the pipeline counts them."""
        frames = int(seconds * self.sample_rate // self.sampler.vae_scale_factor)
        return self._whole_frames(frames, seconds, self.sampler.max_wav_duration)

    def _sample(
        self, captions: list[str], noise: list[torch.Generator], inference_steps: int, seconds: float, guidance: float
    ) -> Tensor:
        latents: Tensor = self.sampler(
            captions,
            audio_duration_s=seconds,
            num_inference_steps=inference_steps,
            guidance_scale=guidance,
            generator=noise,
            output_type="latent",
        ).audios
        return latents


def load(
    weights: str | None = None, device: str = "cpu", dtype: str = "auto", *, revision: str | None = None
) -> LongCatAudioGenerator:
    """Load LongCat-AudioDiT.

    Args:
        weights: folder of a saved `LongCatAudioDiTPipeline`, or hub id; None is the 1B conversion.
        device: torch device.
        dtype: "auto" is bfloat16 on a GPU.
        revision: of the hub repository.

    Raises:
        InputError: weights that are missing or of another pipeline.
    """
    kind = precision(dtype, device, on_gpu="bfloat16")
    return LongCatAudioGenerator(load_pipeline(weights or REPO, "LongCatAudioDiTPipeline", device, kind, revision))
