"""Linear read-outs of a sparse autoencoder's features that never hold the features.

For the paper's autoencoder f_j = g_j h_j / rms(h), so any linear function of f is (sum_j v_j g_j h_j) / rms(h): the
gain goes into the weights v once, the norm is one division per frame at the end. Features are taken in blocks that stay
in cache, and the products and the sum of squares are accumulated together.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from probes.sae.base import SparseAutoencoder
from probes.sae.fused import block_columns

FRAMES = 1024  # frames taken together on the CPU
FRAMES_GPU = 16384
CPU_BLOCK = 1 << 21  # elements of a block of features: products of fewer do not spread over threads
WHOLE = 1 << 22  # elements of [frames, hidden] at a time where the activation needs a whole row


class Streamed(NamedTuple):
    """What is read from N frames."""

    values: Tensor  # [N, outputs] linear functions of the features, without bias
    rms: Tensor | None  # [N] rms(h), where the architecture has a norm
    active: Tensor | None  # [N] number of active features, when asked for


class LinearReader(nn.Module):
    """outputs = V f(x) for raw latents x, with V [outputs, H] fixed when the reader is made.

    Holds copies of the autoencoder's encoder (standardisation folded in) and of V (gain folded in) as buffers that
    follow `.to()` and are not saved.
    """

    def __init__(self, sae: SparseAutoencoder, weights: Tensor) -> None:
        super().__init__()
        self._sae = (sae,)  # in a tuple, so that it is not a submodule a second time
        self.eps = sae.eps
        self.normed = sae.normed
        encoder, bias = sae.encoder_weight.detach(), sae.encoder_bias.detach()
        if sae.config.standardise:
            encoder = encoder / sae.std
            bias = bias - encoder @ sae.mean
        # The bias is one more input: adding it would be a pass of its own over every block.
        self.register_buffer("encoder", torch.cat([encoder, bias[:, None]], 1), persistent=False)
        self.register_buffer("weights", (weights.detach() * sae.feature_gain.detach()).contiguous(), persistent=False)
        self.encoder: Tensor
        self.weights: Tensor

    @property
    def sae(self) -> SparseAutoencoder:
        return self._sae[0]

    @property
    def chunk(self) -> int:
        """Frames to hand over at a time."""
        return FRAMES if self.encoder.device.type == "cpu" else FRAMES_GPU

    def chunks(self, frames: Tensor) -> list[tuple[int, Tensor]]:
        """Frames [N, C] in equal parts near `chunk`, each with the place of its first frame."""
        step = max(1, -(-len(frames) // max(1, round(len(frames) / self.chunk))))
        return [(start, frames[start : start + step]) for start in range(0, len(frames), step)]

    @torch.no_grad()
    def forward(
        self, x: Tensor, outputs: int | slice | None = None, count: bool = False, fired: Tensor | None = None
    ) -> Streamed:
        """Raw latents x [N, C] in the reader's dtype -> the first `outputs` rows of V, or those of a slice (all for
        None), on their features.

        count: also count the active features of each frame; with `fired` [H] int64 given, add to it the frames in which
        each feature is active.
        """
        weights = self.weights[outputs if isinstance(outputs, slice) else slice(outputs)]
        x = torch.nn.functional.pad(x, (0, 1), value=1.0)
        if not self.sae.elementwise:
            return self._whole_rows(x, weights, count, fired)
        frames, hidden = x.shape[0], self.encoder.shape[0]
        # Sums over thousands of features overflow half precision.
        wide = torch.promote_types(x.dtype, torch.float32)
        values = x.new_zeros(frames, weights.shape[0], dtype=wide)
        squares = x.new_zeros(frames, dtype=wide)
        active = x.new_zeros(frames, dtype=wide) if count else None
        columns = block_columns(frames, hidden, x.device, CPU_BLOCK)
        # Blocks are written over one another: fresh memory for each is a quarter of the time.
        space = x.new_empty(frames * columns)
        for start in range(0, hidden, columns):
            part = slice(start, start + columns)
            encoder = self.encoder[part]
            block = torch.mm(x, encoder.t(), out=space[: frames * len(encoder)].view(frames, len(encoder)))
            block = self.sae.activate_block(block, part)
            if wide == x.dtype:
                values.addmm_(block, weights[:, part].t())
            else:
                values += block @ weights[:, part].t()
            if self.normed:
                norm = torch.linalg.vector_norm(block, dim=1, dtype=wide)
                squares.addcmul_(norm, norm)
            if active is not None:
                active += block.sign_().sum(1, dtype=wide)
                if fired is not None:
                    fired[part] += block.sum(0).long()
        if not self.normed:
            return Streamed(values, None, active)
        rms = (squares / hidden + self.eps).sqrt()
        return Streamed(values / rms[:, None], rms, active)

    def _whole_rows(self, x: Tensor, weights: Tensor, count: bool, fired: Tensor | None) -> Streamed:
        rows = max(1, WHOLE // self.encoder.shape[0])
        values, active = [], []
        wide = torch.promote_types(x.dtype, torch.float32)
        for chunk in x.split(rows):
            h = self.sae.activate(chunk @ self.encoder.t())
            values.append((h @ weights.t()).to(wide))
            if count:
                active.append((h > 0).sum(1).to(wide))
                if fired is not None:
                    fired += (h > 0).sum(0)
        return Streamed(torch.cat(values), None, torch.cat(active) if count else None)
