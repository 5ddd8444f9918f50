"""AudioLDM and MusicLDM: latent diffusion on mel spectrograms, conditioned on one CLAP vector."""

import contextlib
from typing import Any

import torch
from torch import Tensor

from tracer.generators.base import precision
from tracer.generators.pipelines.loading import load_pipeline
from tracer.generators.pipelines.mel import MelPipelineGenerator, text_features

AUDIOLDM = "cvssp/audioldm-m-full"
MUSICLDM = "ucsd-reach/musicldm"


class Finished(Exception):
    """The last latent is there; raised by a callback because AudioLDM's pipeline cannot leave out the decoding."""


class AudioLDMGenerator(MelPipelineGenerator):
    """AudioLDM (Liu et al. 2023, arXiv 2301.12503)."""

    name = "audioldm"
    space = "audioldm"
    default_seconds = 5.12
    default_guidance = 2.5
    default_steps = 11

    def _sample(
        self, captions: list[str], noise: list[torch.Generator], inference_steps: int, seconds: float, guidance: float
    ) -> Tensor:
        latest: list[Tensor] = []

        def keep(step: int, _: Any, latents: Tensor) -> None:
            latest[:] = [latents]
            if step == inference_steps - 1:
                raise Finished

        with contextlib.suppress(Finished):
            self.sampler(
                captions,
                audio_length_in_s=seconds,
                num_inference_steps=inference_steps,
                guidance_scale=guidance,
                generator=noise,
                callback=keep,
            )
        return self._frames_first(latest[0])


class MusicLDMGenerator(MelPipelineGenerator):
    """MusicLDM (Chen et al. 2023, arXiv 2308.01546)."""

    name = "musicldm"
    space = "musicldm"
    default_seconds = 10.24
    default_guidance = 2.0
    default_steps = 201

    def _sample(
        self, captions: list[str], noise: list[torch.Generator], inference_steps: int, seconds: float, guidance: float
    ) -> Tensor:
        # The pipeline's own text features fail under transformers 5; these are the same vectors.
        latents: Tensor = self.sampler(
            prompt_embeds=text_features(self.sampler, captions),
            negative_prompt_embeds=text_features(self.sampler, [""] * len(captions)) if guidance > 1 else None,
            audio_length_in_s=seconds,
            num_inference_steps=inference_steps,
            guidance_scale=guidance,
            generator=noise,
            output_type="latent",
        ).audios
        return self._frames_first(latents)


def load(
    weights: str | None = None, device: str = "cpu", dtype: str = "auto", *, revision: str | None = None
) -> AudioLDMGenerator:
    """Load AudioLDM.

    Args:
        weights: folder of a saved `AudioLDMPipeline`, or hub id; None is the medium model.
        device: torch device.
        dtype: "auto" is float16 on a GPU.
        revision: of the hub repository.

    Raises:
        InputError: weights that are missing or of another pipeline.
    """
    kind = precision(dtype, device, on_gpu="float16")
    return AudioLDMGenerator(load_pipeline(weights or AUDIOLDM, "AudioLDMPipeline", device, kind, revision))


def load_musicldm(
    weights: str | None = None, device: str = "cpu", dtype: str = "auto", *, revision: str | None = None
) -> MusicLDMGenerator:
    """Load MusicLDM; arguments and errors as of `load`."""
    kind = precision(dtype, device, on_gpu="float16")
    return MusicLDMGenerator(load_pipeline(weights or MUSICLDM, "MusicLDMPipeline", device, kind, revision))
