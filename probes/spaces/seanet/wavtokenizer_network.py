"""WavTokenizer's networks (Ji et al. 2024, arXiv 2408.16532), with the parameter names of its checkpoints.

The encoder and the codebook are the encodec package's; the decoder is a Vocos backbone (Siuzdak 2023,
arXiv 2306.00814) with a small attention network in front, and an inverse short-time Fourier transform.
"""

from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from probes.support.torchaudio_stub import ensure_torchaudio

EPS = 1e-6


class Normalised(nn.Module):
    """Layer norm whose scale and shift are one row of a table, `[B, T, C]` -> same. Checkpoints have four rows."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Embedding(rows, width)
        self.shift = nn.Embedding(rows, width)

    def forward(self, x: Tensor) -> Tensor:
        # The released models differ only in training bandwidths that are all alike; row 0 is the one in use.
        return functional.layer_norm(x, x.shape[-1:], self.scale.weight[0], self.shift.weight[0], EPS)


class Residual(nn.Module):
    """Group norm, swish, convolution, twice, around a skip connection: `[B, C, T]` -> same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(32, width, EPS)
        self.conv1 = nn.Conv1d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(32, width, EPS)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        h = self.conv2(functional.silu(self.norm2(h)))
        return x + h


class Attention(nn.Module):
    """One head of full attention over time around a skip connection: `[B, C, T]` -> same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width, EPS)
        self.q = nn.Conv1d(width, width, 1)
        self.k = nn.Conv1d(width, width, 1)
        self.v = nn.Conv1d(width, width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).transpose(1, 2).unsqueeze(1) for layer in (self.q, self.k, self.v))
        # The fused kernel never holds the [T, T] weights, which a song of minutes would not fit.
        h = functional.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2)
        return x + self.proj_out(h)


class ConvNeXt(nn.Module):
    """Depthwise convolution, then two linear layers per frame, around a skip connection: `[B, C, T]` -> same."""

    def __init__(self, width: int, hidden: int, rows: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = Normalised(rows, width)
        self.pwconv1 = nn.Linear(width, hidden)
        self.pwconv2 = nn.Linear(hidden, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.dwconv(x).transpose(1, 2))
        h = self.gamma * self.pwconv2(functional.gelu(self.pwconv1(h)))
        return x + h.transpose(1, 2)


class Backbone(nn.Module):
    """Latents `[B, dimension, T]` -> features `[B, T, width]`."""

    def __init__(self, dimension: int, width: int, hidden: int, layers: int, rows: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(dimension, width, 7, padding=3)
        self.pos_net = nn.Sequential(
            Residual(width),
            Residual(width),
            Attention(width),
            Residual(width),
            Residual(width),
            nn.GroupNorm(32, width, EPS),
        )
        self.norm = Normalised(rows, width)
        self.convnext = nn.ModuleList(ConvNeXt(width, hidden, rows) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        h = self.pos_net(self.embed(x))
        h = self.norm(h.transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            h = block(h)
        return self.final_layer_norm(h.transpose(1, 2))


class InverseFourier(nn.Module):
    """Windowed overlap-add of inverse transforms; the output has `hop` samples per frame ("same" padding)."""

    def __init__(self, size: int, hop: int) -> None:
        super().__init__()
        self.size, self.hop = size, hop
        self.register_buffer("window", torch.hann_window(size))
        self.window: Tensor

    def forward(self, spectrum: Tensor) -> Tensor:
        """Complex `[B, size / 2 + 1, T]` -> `[B, T * hop]`."""
        frames = torch.fft.irfft(spectrum.transpose(1, 2), self.size) * self.window
        envelope = (self.window**2).expand(1, spectrum.shape[-1], -1)
        edge = (self.size - self.hop) // 2
        total, weight = self._overlap_add(frames), self._overlap_add(envelope)
        stop = edge + spectrum.shape[-1] * self.hop
        return total[:, edge:stop] / weight[:, edge:stop]

    def _overlap_add(self, frames: Tensor) -> Tensor:
        batch, count, _ = frames.shape
        parts = self.size // self.hop
        blocks = frames.reshape(batch, count, parts, self.hop)
        total = frames.new_zeros(batch, count + parts - 1, self.hop)
        for part in range(parts):
            total[:, part : part + count] += blocks[:, :, part]
        return total.flatten(1)


class Head(nn.Module):
    """Features `[B, T, width]` -> audio `[B, T * hop]`: log magnitude and phase of every frame's spectrum."""

    def __init__(self, width: int, size: int, hop: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, size + 2)
        self.istft = InverseFourier(size, hop)

    def forward(self, x: Tensor) -> Tensor:
        log_magnitude, phase = self.out(x).transpose(1, 2).chunk(2, dim=1)
        audio: Tensor = self.istft(torch.polar(log_magnitude.exp().clamp(max=100.0), phase))
        return audio


class WavTokenizerNetwork(nn.Module):
    """Encoder, codebook and decoder under the names of a released checkpoint.

    Args:
        ratios: Strides of the encoder, last first, so that their product is the hop.
        dimension: Channels of the latent.
        entries: Size of the codebook.
        filters: Channels of the encoder's first convolution.
        width, hidden, layers: Sizes of the Vocos backbone.
        rows: Rows of its norm tables.
    """

    def __init__(
        self,
        ratios: tuple[int, ...],
        dimension: int = 512,
        entries: int = 4096,
        filters: int = 32,
        width: int = 768,
        hidden: int = 2304,
        layers: int = 12,
        rows: int = 4,
    ) -> None:
        super().__init__()
        ensure_torchaudio()
        from encodec.modules import SEANetEncoder
        from encodec.quantization import ResidualVectorQuantizer

        hop = prod(ratios)
        encodec = nn.Module()
        encodec.encoder = SEANetEncoder(
            dimension=dimension, n_filters=filters, ratios=list(ratios), causal=False, true_skip=False
        )
        encodec.quantizer = ResidualVectorQuantizer(dimension=dimension, n_q=1, bins=entries)
        self.feature_extractor = nn.Module()
        self.feature_extractor.encodec = encodec
        self.backbone = Backbone(dimension, width, hidden, layers, rows)
        self.head = Head(width, 4 * hop, hop)

    @property
    def encoder(self) -> nn.Sequential:
        """SEANet's layers: audio `[B, 1, F * hop]` -> `[B, dimension, F]`."""
        return cast(Any, self.feature_extractor).encodec.encoder.model

    @property
    def codebook(self) -> Any:
        """The encodec package's quantiser with its one layer."""
        return cast(Any, self.feature_extractor).encodec.quantizer.vq
