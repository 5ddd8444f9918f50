"""The lyrics branch: phoneme ids, one per frame, to a vector per frame."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracer.generators.diffrhythm.config import DiTConfig


def position_table(frames: int, dim: int, rows: int, device: torch.device) -> Tensor:
    """Fixed position vectors [frames, dim]: cosines, then sines, frequencies 10000^(-2j/dim); float32.

    Frames beyond `rows` share the last row.
    """
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2, device=device).float() / dim)
    positions = torch.arange(frames, device=device).clamp(max=rows - 1)
    angles = torch.outer(positions.float(), frequencies)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class GlobalResponseNorm(nn.Module):
    """Global response normalisation (ConvNeXt V2, arXiv 2301.00808): channels compete by their norm over time."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        energy = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        share = energy / (energy.mean(dim=-1, keepdim=True) + 1e-6)
        return self.gamma * (x * share) + self.beta + x


class ConvNeXtBlock(nn.Module):
    """ConvNeXt V2 block over frames, x [B, L, dim] -> [B, L, dim]."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, inner)
        self.grn = GlobalResponseNorm(inner)
        self.pwconv2 = nn.Linear(inner, dim)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.dwconv(x.transpose(1, 2)).transpose(1, 2))
        return x + self.pwconv2(self.grn(F.gelu(self.pwconv1(h))))


class TextEmbedding(nn.Module):
    """Phoneme ids [B, L] -> [B, L, text_dim]. The filler 0 is embedded like any other id."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.rows = config.text_positions
        self.text_embed = nn.Embedding(config.text_num_embeds + 1, config.text_dim)
        self.text_blocks: nn.Sequential | None = None
        if config.conv_layers:
            self.text_blocks = nn.Sequential(
                *(ConvNeXtBlock(config.text_dim, 2 * config.text_dim) for _ in range(config.conv_layers))
            )

    def forward(self, text: Tensor) -> Tensor:
        h = self.text_embed(text)
        if self.text_blocks is None:
            return h
        table = position_table(text.shape[1], h.shape[-1], self.rows, text.device)
        return self.text_blocks(h + table.to(h.dtype))
