"""The VAEs of Stable Audio Open and ACE-Step 1.5: one network, `AutoencoderOobleck` of diffusers."""

from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from probes.spaces.oobleck.statistics import MEAN, STD
from probes.spaces.oobleck.waveform_vae import WaveformVaeSpace


class OobleckSpace(WaveformVaeSpace):
    """The latent is the mode of the posterior, unscaled."""

    architecture = "AutoencoderOobleck"
    channels = 64
    audio_channels = 2
    chunk_frames = 128

    def _shape(self) -> tuple[int, int, int, int]:
        config = self.vae.config
        ratio = prod(config.downsampling_ratios)
        return config.decoder_input_channels, config.sampling_rate, config.audio_channels, ratio

    def _encode(self, audio: Tensor) -> Tensor:
        latents: Tensor = self.vae.encode(audio).latent_dist.mode()
        return latents.transpose(1, 2)


class StableAudioSpace(OobleckSpace):
    """Stable Audio Open 1.0 (gated; Stability AI community licence): 44.1 kHz stereo, 64 channels at 21.53 frames per
    second."""

    name = "stable-audio"
    compatible: ClassVar[tuple[str, ...]] = ("diffrhythm",)
    repo = "stabilityai/stable-audio-open-1.0"
    sample_rate = 44100
    hop = 2048

    def _statistics(self) -> tuple[Tensor, Tensor]:
        return (torch.tensor(MEAN), torch.tensor(STD)) if self.channels == len(MEAN) else super()._statistics()


class AceStepSpace(OobleckSpace):
    """ACE-Step 1.5 (the XL turbo pipeline's): 48 kHz stereo, 64 channels at 25 frames per second.

    Other ratios and other weights than Stable Audio Open's: the latents are not the same.
    """

    name = "ace-step"
    repo = "ACE-Step/acestep-v15-xl-turbo-diffusers"
    sample_rate = 48000
    hop = 1920
