"""The mel-spectrogram VAEs of AudioLDM, AudioLDM 2 and MusicLDM, with the mel front end they were trained on."""

import math
from functools import cache
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from probes.spaces.base import Space, in_pieces
from probes.spaces.oobleck.waveform_vae import commit, full_precision, load_part, name_of
from probes.spaces.weights import place_of

FFT, MEL_HOP, HIGHEST = 1024, 160, 8000
VOCODER_CONTEXT = 64
"""Mel frames; the vocoder's receptive field is under 40 on each side."""


class AudioLDMSpace(Space):
    """16 kHz mono, 128 numbers (8 channels x 16 mel bands) at 25 frames per second: the mode of the posterior times
    the scaling factor, which is what the sampler moves.

    Group norms and attention in the VAE see everything they are given, so pieces of a long input cannot equal the
    whole. Long inputs go through in clips of `chunk_frames`, 10.24 s as in training, cut at fixed places; only the
    spectrogram is taken from the whole. Peaks are left as they are, where training scaled them to 0.5.

    Args:
        weights: The folder of a saved pipeline or a hub id (its `vae` and `vocoder` are used), or None for the
            released one.
        device: Where it runs.
        revision: Revision of the hub repository.

    Raises:
        InputError: no such weights, or keys that are missing or unexpected.
    """

    name = "audioldm"
    repo: ClassVar[str] = "cvssp/audioldm-m-full"
    audio_channels = 1
    chunk_frames = 256

    def __init__(
        self, weights: str | None = None, device: str | torch.device = "cpu", revision: str | None = None
    ) -> None:
        super().__init__(weights, device)
        self.weights, revision = place_of(weights or self.repo, revision)
        self._take(
            load_part(self.weights, "AutoencoderKL", "vae", revision).to(self.device),
            load_part(self.weights, "SpeechT5HifiGan", "vocoder", revision).to(self.device),
        )
        self.revision = commit(self.weights, "vae", revision)

    @classmethod
    def of_pipeline(cls, pipeline: Any) -> Self:
        """The space of a loaded pipeline of diffusers: its own VAE and vocoder, in float32, where they are."""
        space = cls.__new__(cls)
        Space.__init__(space, device=pipeline.vae.device)
        space.weights = name_of(pipeline)
        space._take(full_precision(pipeline.vae), full_precision(pipeline.vocoder))
        return space

    def _take(self, vae: Any, vocoder: Any) -> None:
        self.vae, self.vocoder = vae, vocoder
        self.sample_rate, self.bands = self.vocoder.config.sampling_rate, self.vocoder.config.model_in_dim
        self.down = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.hop = MEL_HOP * self.down
        self.channels = self.vae.config.latent_channels * self.bands // self.down
        self.mean, self.std = torch.zeros(self.channels), torch.ones(self.channels)

    def _encode(self, audio: Tensor) -> Tensor:
        return self._latents(self._mel(audio))

    def _encode_long(self, audio: Tensor) -> Tensor:
        return torch.cat([self._latents(clip) for clip in self._mel(audio).split(self.chunk_frames * self.down, 2)], 1)

    def _decode(self, latents: Tensor) -> Tensor:
        return self._decode_long(latents)

    def _decode_long(self, latents: Tensor) -> Tensor:
        maps = latents.unflatten(2, (-1, self.bands // self.down)).permute(0, 2, 1, 3)
        clips = (maps / self.vae.config.scaling_factor).split(self.chunk_frames, 2)
        mel = torch.cat([self.vae.decode(clip).sample for clip in clips], 2).squeeze(1)

        def window(first: int, last: int) -> Tensor:
            audio: Tensor = self.vocoder(mel[:, first:last])
            return audio

        stride = math.prod(self.vocoder.config.upsample_rates)
        return in_pieces(window, mel.shape[1], 2048, VOCODER_CONTEXT, dim=-1, stride=stride)[:, None]

    def _mel(self, audio: Tensor) -> Tensor:
        """Logarithmic mel magnitudes [B, 1, 4F, bands] of audio [B, 1, 640F]; frame i is centred on sample 160 i."""
        audio, window = audio.squeeze(1), torch.hann_window(FFT, device=audio.device)
        # Reflection needs more samples than it mirrors; a clip shorter than that is followed by silence.
        short = max(0, FFT // 2 + 1 - audio.shape[-1])
        padded = torch.nn.functional.pad(audio, (0, short))
        spectrum = torch.stft(padded, FFT, MEL_HOP, window=window, pad_mode="reflect", return_complex=True)
        frames = audio.shape[-1] // MEL_HOP
        bank = mel_bank(self.sample_rate, self.bands).to(audio.device)
        mel = torch.log((bank @ spectrum.abs()[..., :frames]).clamp(min=1e-5))
        return mel.transpose(1, 2)[:, None]

    def _latents(self, mel: Tensor) -> Tensor:
        """[B, 1, 4F, bands] -> [B, F, channels]."""
        maps: Tensor = self.vae.encode(mel).latent_dist.mode() * self.vae.config.scaling_factor
        return maps.permute(0, 2, 1, 3).flatten(2)


class AudioLDM2Space(AudioLDMSpace):
    """AudioLDM 2's: as AudioLDM's, with other weights and another scaling factor."""

    name = "audioldm2"
    repo = "cvssp/audioldm2-music"


class MusicLDMSpace(AudioLDMSpace):
    """MusicLDM's: as AudioLDM's, with other weights and another scaling factor."""

    name = "musicldm"
    repo = "ucsd-reach/musicldm"


@cache
def mel_bank(sample_rate: int, bands: int) -> Tensor:
    """Slaney's mel filters [bands, 513] up to 8 kHz."""
    from librosa.filters import mel

    return torch.from_numpy(mel(sr=sample_rate, n_fft=FFT, n_mels=bands, fmin=0, fmax=HIGHEST))
