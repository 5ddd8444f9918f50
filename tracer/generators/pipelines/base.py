"""What the generators around diffusers pipelines have in common. The pipelines themselves stay as they are."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from probes.errors import InputError
from probes.support.tensors import fingerprint
from tracer.generators.base import Generator

if TYPE_CHECKING:
    from probes.spaces.base import Space


class PipelineGenerator(Generator):
    """A diffusers pipeline as a generator.

    `steps` counts states, noise and finished latent included, as for DiffRhythm: a pipeline takes `steps - 1`
    inference steps. Noise is drawn on the CPU, one `torch.Generator` per prompt, so that a prompt's noise is the same
    in every batch and on every device.
    """

    def __init__(self, pipeline: Any) -> None:
        self.sampler = pipeline
        pipeline.set_progress_bar_config(disable=True)

    def fingerprint(self) -> str:
        """Sixteen hex digits from every tensor, the precision and the scheduler's settings."""
        modules = [part for part in self.sampler.components.values() if isinstance(part, nn.Module)]
        scheduler = self.sampler.scheduler
        settings = (type(self.sampler).__name__, type(scheduler).__name__, sorted(map(str, scheduler.config.items())))
        return fingerprint(modules, (*settings, str(self.sampler.dtype)))

    @cached_property
    def codec(self) -> "Space":
        """The pipeline's own autoencoder as a codec, in float32."""
        from probes.spaces import space_class

        space: Any = space_class(self.space)
        codec: Space = space.of_pipeline(self.sampler)
        return codec

    def is_guided(self, guidance: float) -> bool:
        """Whether the pipeline evaluates a null branch: a scale of 1 is no guidance in diffusers' convention."""
        return guidance > 1

    @torch.no_grad()
    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], *, steps: int, seconds: float, guidance: float
    ) -> Tensor:
        """Final latents [B, F, C]; see `Generator.generate`. `steps` is the number of states."""
        if steps < 2:
            raise InputError(f"{self.name} needs at least 2 states (noise and data), got {steps}")
        self.frames(seconds)
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        size = self.max_batch or len(captions)
        latents = [
            self._sample(list(captions[i : i + size]), noise[i : i + size], steps - 1, seconds, guidance)
            for i in range(0, len(captions), size)
        ]
        return torch.cat(latents).float()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Audio [B, audio channels, samples], float32, as the pipeline's own decoder gives it."""
        vae = self.sampler.vae
        audio: np.ndarray = self._decode(latents.to(vae.device, vae.dtype)).float().cpu().numpy()
        return audio

    @abstractmethod
    def _sample(
        self, captions: list[str], noise: list[torch.Generator], inference_steps: int, seconds: float, guidance: float
    ) -> Tensor:
        """Final latents [B, F, C] of one call of the pipeline."""

    def _decode(self, latents: Tensor) -> Tensor:
        """[B, F, C] -> [B, audio channels, samples]; for waveform autoencoders."""
        audio: Tensor = self.sampler.vae.decode(latents.transpose(1, 2)).sample
        return audio

    def _whole_frames(self, frames: int, seconds: float, longest: float) -> int:
        """`frames`, if a clip of that length can be made."""
        if seconds > longest:
            raise InputError(f"{self.name} makes at most {longest:.4g} s, {seconds:g} s were asked for")
        if frames < 1:
            raise InputError(f"{seconds:g} s is less than one latent frame; give at least {1 / self.frame_rate:.2g}")
        return frames
