"""A readout whose displacements can be computed by hand, a generator of sines, and a space of raw samples."""

from collections.abc import Sequence

import numpy as np
import torch
from support.readout import tiny_bins
from torch import Tensor, nn

from probes.readout import Readout
from probes.readout.linear import LinearProbes
from probes.sae import make_config, make_sae
from probes.spaces.base import Space
from tracer.generators import Generator
from tracer.generators.diffrhythm import DiffRhythm, DiTConfig
from tracer.generators.diffrhythm.network import Prompt

CHANNELS = 8


def linear_readout(channels: int = CHANNELS, seed: int = 0, covariance: Tensor | None = None) -> Readout:
    """Features are the positive and the negative part of each channel, so that x is rebuilt exactly and without a norm;
    every reading is a linear function of x."""
    config = make_config("topk", channels=channels, hidden=2 * channels, k=2 * channels, standardise=False)
    sae = make_sae(config)
    with torch.no_grad():
        both = torch.cat([torch.eye(channels), -torch.eye(channels)])
        sae.encoder_weight.copy_(both)
        sae.dictionary.copy_(both)
    bins = tiny_bins()
    generator = torch.Generator().manual_seed(seed)
    probes = [LinearProbes({name: len(edges) for name, edges in bins.items()}, 2 * channels) for _ in range(2)]
    for probe in probes:
        half = torch.randn(probe.weight.shape[0], channels, generator=generator)
        probe.weight.data = torch.cat([half, -half], 1)
    return Readout(sae, *probes, bins, ("toy",), covariance=covariance)


class LinearNetwork(nn.Module):
    """v = 0.5 g - 0.7 x, where g is the first entry of the branch's style vector."""

    def __init__(self) -> None:
        super().__init__()
        self.proj_out = nn.Linear(1, 1)

    def prepare(self, cond: Tensor, text: Tensor, style: Tensor, *_: object) -> Prompt:
        return Prompt(projected=style[:, :1, None], residuals=(), clock=style, rotary=(style, style))

    def forward(self, x: Tensor, t: Tensor, prompt: Prompt) -> Tensor:
        return 0.5 * prompt.projected - 0.7 * x


class SineFlow(DiffRhythm):
    """This project's sampler over a linear field."""

    def __init__(self) -> None:
        super().__init__(
            DiTConfig(dim=64, depth=1, text_dim=16, conv_layers=0, mel_dim=CHANNELS, max_frames=64, attention_heads=2)
        )
        self.transformer = LinearNetwork()


class SineGenerator(Generator):
    """Channel 0 is the level in nepers, channel 1 the pitch of a sine in octaves."""

    name, space, channels = "toy", "toy", CHANNELS
    frame_rate, sample_rate = 20.0, 16000
    default_seconds, default_guidance, default_steps = 0.5, 1.0, 9

    def __init__(self) -> None:
        self.sampler = SineFlow()

    def fingerprint(self) -> str:
        return "toy"

    def frames(self, seconds: float) -> int:
        return round(seconds * self.frame_rate)

    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], *, steps: int, seconds: float, guidance: float
    ) -> Tensor:
        shape = (self.frames(seconds), self.channels)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        style, none = torch.ones(1, 512), torch.zeros(1, 512)
        states = self.sampler.sample(noise=noise, style=style, negative_style=none, steps=steps, cfg_strength=guidance)
        return states[-1]

    def decode(self, latents: Tensor) -> np.ndarray:
        level, octave = latents[..., :2].double().mean(1).T.numpy()
        n = round(latents.shape[1] * self.sample_rate / self.frame_rate)
        time = np.arange(n) / self.sample_rate
        audio = 0.05 * np.exp(np.clip(level, -3, 2))[:, None] * np.sin(2 * np.pi * 330 * 2 ** octave[:, None] * time)
        return audio[:, None].astype(np.float32)


class RawSpace(Space):
    """A frame is 320 samples: encoding and decoding change nothing."""

    name = "raw"
    channels, sample_rate, audio_channels, hop = 320, 16000, 1, 320
    mean, std = torch.zeros(320), torch.ones(320)
    weights = "none"

    def _encode(self, audio: Tensor) -> Tensor:
        return audio.reshape(audio.shape[0], -1, self.hop)

    def _decode(self, latents: Tensor) -> Tensor:
        return latents.reshape(latents.shape[0], 1, -1)
