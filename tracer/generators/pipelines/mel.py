"""The mel-spectrogram latents of AudioLDM, AudioLDM 2 and MusicLDM as frames, and their way back to audio."""

import math
from typing import Any

import torch
from torch import Tensor

from tracer.generators.pipelines.base import PipelineGenerator


class MelPipelineGenerator(PipelineGenerator):
    """A pipeline on mel latents [B, 8, T, 16], 25 frames per second; a frame [128] is channels times mel bands."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        vocoder = pipeline.vocoder.config
        self.mel_bands = vocoder.model_in_dim // pipeline.vae_scale_factor
        self.channels = pipeline.unet.config.in_channels * self.mel_bands
        self.sample_rate = vocoder.sampling_rate
        samples = math.prod(vocoder.upsample_rates)
        self.frame_rate = vocoder.sampling_rate / samples / pipeline.vae_scale_factor
        self.mel_seconds = samples / vocoder.sampling_rate

    def frames(self, seconds: float) -> int:
        """Latent frames as the pipeline counts them: mel frames rounded up to whole latent ones."""
        # The pipeline divides by the length of a mel frame; a product with their rate differs at 1.17 s.
        scale, mel_frames = self.sampler.vae_scale_factor, int(seconds / self.mel_seconds)
        return self._whole_frames(math.ceil(mel_frames / scale) if mel_frames >= scale else 0, seconds, math.inf)

    def _frames_first(self, latents: Tensor) -> Tensor:
        """[B, 8, T, 16] -> [B, T, 128]."""
        return latents.permute(0, 2, 1, 3).flatten(2)

    def _decode(self, latents: Tensor) -> Tensor:
        pipeline = self.sampler
        maps = latents.unflatten(2, (-1, self.mel_bands)).permute(0, 2, 1, 3) / pipeline.vae.config.scaling_factor
        audio: Tensor = pipeline.mel_spectrogram_to_waveform(pipeline.vae.decode(maps).sample)
        return audio[:, None]


def text_features(pipeline: Any, texts: list[str]) -> Tensor:
    """CLAP text vectors [B, D] of a pipeline whose text encoder is a `ClapModel`.

    transformers 5 returns an output object where version 4 returned the vectors.
    """
    tokens = pipeline.tokenizer(
        texts,
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).to(pipeline.device)
    found = pipeline.text_encoder.get_text_features(tokens.input_ids, attention_mask=tokens.attention_mask)
    features: Tensor = getattr(found, "pooler_output", found)
    return features.to(torch.float32)
