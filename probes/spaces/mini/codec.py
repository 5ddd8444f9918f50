"""The bundled codec's network: log-magnitude spectra to 64 numbers per frame and back, and phase from magnitude.

Everything is channels-last, `[batch, time, channels]`, and built of matrix products, which is what CPUs do fastest.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOOR = 5e-3  # magnitude that counts as silence: 100 dB below a full-scale sine, which peaks at 512


@dataclass(frozen=True)
class CodecConfig:
    """Shape of the codec.

    Attributes:
        sample_rate: in Hz.
        hop: samples per latent frame.
        subframes: spectra per latent frame, evenly spaced.
        n_fft: window of a spectrum, in samples.
        channels: numbers per latent frame.
        width: inner width of encoder and decoder.
        encoder_blocks, decoder_blocks: residual blocks on each side.
        head: width of the decoder's last hidden layer; wide, since combs of partials at any pitch have a high rank.
        noise: standard deviation of the posterior, the same for every channel; the mean has unit variance.
    """

    sample_rate: int = 22050
    hop: int = 1024
    subframes: int = 2
    n_fft: int = 2048
    channels: int = 64
    width: int = 384
    encoder_blocks: int = 2
    decoder_blocks: int = 4
    head: int = 1024
    noise: float = 0.2

    @property
    def bins(self) -> int:
        """Frequency bins used: all but the one at half the sample rate."""
        return self.n_fft // 2

    @property
    def step(self) -> int:
        """Samples between two spectra."""
        return self.hop // self.subframes


class Block(nn.Module):
    """Residual block over three neighbouring frames: a width-3 convolution written as one matrix product."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(3 * width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = F.pad(self.norm(x), (0, 0, 1, 1))
        h = torch.cat([h[:, :-2], h[:, 1:-1], h[:, 2:]], dim=-1)
        return x + self.narrow(F.gelu(self.widen(h)))


class Codec(nn.Module):
    """A variational autoencoder on log-magnitude spectra whose posterior has a fixed width.

    The latent's mean and standard deviation over the training music are kept as buffers and taken out, so latents
    have about zero mean and unit variance in every channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: CodecConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CodecConfig()
        spectra = config.subframes * config.bins
        self.enter = nn.Linear(spectra + config.subframes, config.width)
        self.encoder = nn.Sequential(*(Block(config.width) for _ in range(config.encoder_blocks)))
        self.to_latent = nn.Linear(config.width, config.channels)
        self.from_latent = nn.Linear(config.channels, config.width)
        self.decoder = nn.Sequential(*(Block(config.width) for _ in range(config.decoder_blocks)))
        self.norm = nn.LayerNorm(config.width)
        self.to_shape = nn.Sequential(nn.Linear(config.width, config.head), nn.GELU(), nn.Linear(config.head, spectra))
        self.to_level = nn.Linear(config.width, config.subframes)
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("std", torch.ones(config.channels))

    def spectra(self, audio: Tensor) -> Tensor:
        """Log-magnitudes `[B, F, subframes * bins]` of audio `[B, F * hop]`.

        Spectrum k is centred on sample (k + 1/2) * step, so those of a latent frame lie within the frame.
        """
        config = self.config
        edge = (config.n_fft - config.step) // 2
        padded = F.pad(audio, (edge, edge))
        window = torch.hann_window(config.n_fft, device=audio.device)
        spectrum = torch.stft(padded, config.n_fft, config.step, window=window, center=False, return_complex=True)
        log_magnitude = spectrum.abs()[:, : config.bins].clamp(min=FLOOR).log().transpose(1, 2)
        return log_magnitude.reshape(audio.shape[0], -1, config.subframes * config.bins)

    def magnitudes(self, spectra: Tensor) -> Tensor:
        """Magnitudes `[B, bins + 1, F * subframes]` of log-magnitudes `[B, F, subframes * bins]`; silence is 0."""
        magnitude = spectra.reshape(spectra.shape[0], -1, self.config.bins).transpose(1, 2).clamp(max=7.0).exp()
        return F.pad(torch.where(magnitude > 1.5 * FLOOR, magnitude, 0.0), (0, 0, 0, 1))

    def to_mean(self, spectra: Tensor) -> Tensor:
        """Posterior mean before standardisation, `[B, F, channels]`."""
        parts = spectra.unflatten(-1, (self.config.subframes, -1))
        level = log_rms(parts)
        x = torch.cat([(parts - level).flatten(2) / 3.0 + 0.5, level.squeeze(-1) / 2.0], dim=-1)
        return self.to_latent(self.encoder(self.enter(x)))

    def encode(self, spectra: Tensor) -> Tensor:
        """Latents `[B, F, channels]`: the posterior mean, standardised."""
        return (self.to_mean(spectra) - self.mean) / self.std

    def decode(self, latents: Tensor) -> Tensor:
        """Log-magnitudes `[B, F, subframes * bins]` of latents `[B, F, channels]`.

        Shape and level are predicted apart, and the shape is brought to unit energy before the level is added: the
        loudness then does not suffer from what the shape gets wrong.
        """
        h = self.norm(self.decoder(self.from_latent(latents)))
        shape = 3.0 * (self.to_shape(h).float() - 0.5).unflatten(-1, (self.config.subframes, -1))
        shape = shape.clamp(-14.0, 7.0)
        level = 2.0 * self.to_level(h).float().unsqueeze(-1)
        return (shape - log_rms(shape) + level).flatten(2)


def log_rms(log_magnitude: Tensor) -> Tensor:
    """Half the log of the mean power over the last axis, which is kept with length 1."""
    return 0.5 * (2.0 * log_magnitude).exp().mean(-1, keepdim=True).log()


def phase_from_peaks(magnitude: Tensor, step: int, n_fft: int) -> Tensor:
    """A first phase for a magnitude spectrogram `[B, K, T]`: every bin turns with the nearest spectral peak.

    The peak's frequency is interpolated by a parabola through three log-magnitudes; the phase is its running sum.
    Beauregard, Harish, Wyse, "Single Pass Spectrogram Inversion" (DSP 2015), without its handling of onsets.
    """
    log_magnitude = magnitude.clamp(min=FLOOR).log()
    padded = F.pad(log_magnitude, (0, 0, 1, 1), value=math.log(FLOOR))
    below, above = padded[:, :-2], padded[:, 2:]
    curvature = (below - 2 * log_magnitude + above).clamp(max=-1e-4)
    offset = (0.5 * (below - above) / curvature).clamp(-0.5, 0.5)
    bins = torch.arange(magnitude.shape[1], device=magnitude.device)[None, :, None].expand_as(magnitude)
    peak = (log_magnitude >= below) & (log_magnitude > above)
    last = torch.where(peak, bins, -(10**6)).cummax(1).values
    following = torch.where(peak, bins, 10**6).flip(1).cummin(1).values.flip(1)
    nearest = torch.where(bins - last <= following - bins, last, following).clamp(0, magnitude.shape[1] - 1)
    frequency = torch.gather(bins + offset, 1, nearest)
    turn = torch.remainder(frequency * (step / n_fft), 1.0)
    return 2 * math.pi * torch.remainder(turn.cpu().double().cumsum(2), 1.0).to(magnitude)


def invert(magnitude: Tensor, step: int, n_fft: int, iterations: int, momentum: float = 0.99) -> Tensor:
    """Audio `[B, T * step]` whose spectrogram has the magnitude `[B, K, T]`, centred as in `Codec.spectra`.

    Fast Griffin-Lim (Perraudin, Balazs, Soendergaard 2013, as in librosa) from the phase of `phase_from_peaks`.
    Deterministic. One silent spectrum on each side lets the ends overlap like the middle.
    """
    magnitude = F.pad(magnitude, (1, 1))
    window = torch.hann_window(n_fft, device=magnitude.device)
    length = step * (magnitude.shape[2] - 1)
    spectrum = torch.polar(magnitude, phase_from_peaks(magnitude, step, n_fft))
    previous = None
    for _ in range(iterations):
        audio = torch.istft(spectrum, n_fft, step, window=window, length=length)
        rebuilt = torch.stft(audio, n_fft, step, window=window, return_complex=True)
        moved = rebuilt if previous is None else rebuilt - (momentum / (1 + momentum)) * previous
        previous = rebuilt
        spectrum = moved * (magnitude / moved.abs().clamp(min=1e-8))
    audio = torch.istft(spectrum, n_fft, step, window=window, length=length)
    return audio[:, step // 2 : length - step // 2]
