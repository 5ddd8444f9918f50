"""DiffRhythm's diffusion transformer in plain torch, split into what a prompt fixes and what a step changes.

The parameter names are upstream's (ASLP-lab/DiffRhythm, `model/dit.py`), so released checkpoints load by name.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracer.generators.diffrhythm.config import DiTConfig
from tracer.generators.diffrhythm.text import TextEmbedding

COND_DIM = 512  # width of the style vector and of the time embeddings


class Prompt(NamedTuple):
    """What does not change from step to step: computed once by `DiT.prepare`, used at every step.

    The batch axis is that of the states, or 1 where all rows share the value.
    """

    projected: Tensor
    """[B, L, dim] the part of the input projection that comes from reference latent, lyrics and style, with bias."""
    residuals: tuple[Tensor, ...]
    """One [B or 1, L, dim] per block of the first half: what the lyrics add after it."""
    clock: Tensor
    """[B, 512] embedding of start time and song duration."""
    rotary: tuple[Tensor, Tensor]
    """Cosines and sines [L, head_dim]."""


class TimestepEmbedding(nn.Module):
    """Times [B] in [0, 1] -> [B, dim]: sines and cosines of 1000 t at 128 frequencies, then a two-layer network."""

    def __init__(self, dim: int, frequencies: int = 128) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.time_mlp = nn.Sequential(nn.Linear(2 * frequencies, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, times: Tensor) -> Tensor:
        steps = torch.arange(self.frequencies, device=times.device).float()
        scale = torch.exp(steps * -(math.log(10000) / (self.frequencies - 1)))
        # Float32 whatever the weights' type: 1000 t rounded to half precision would be off by up to 0.3.
        angles = 1000 * times.float().unsqueeze(1) * scale
        return self.time_mlp(torch.cat([angles.sin(), angles.cos()], dim=-1).to(next(self.parameters()).dtype))


class ConvPosition(nn.Module):
    """Convolutional position embedding, x [B, L, dim] -> [B, L, dim]."""

    def __init__(self, dim: int, kernel: int = 31, groups: int = 16) -> None:
        super().__init__()
        self.conv1d = nn.Sequential(
            nn.Conv1d(dim, dim, kernel, groups=groups, padding=kernel // 2),
            nn.Mish(),
            nn.Conv1d(dim, dim, kernel, groups=groups, padding=kernel // 2),
            nn.Mish(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1d(x.transpose(1, 2)).transpose(1, 2)


class InputEmbedding(nn.Module):
    """One linear map of [state, reference latent, lyrics, style, time], kept in upstream's single weight."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.widths = [config.mel_dim, config.mel_dim, config.text_dim, COND_DIM, COND_DIM]
        self.proj = nn.Linear(sum(self.widths), config.dim)
        self.conv_pos_embed = ConvPosition(config.dim)

    def fixed(self, cond: Tensor, text: Tensor, style: Tensor) -> Tensor:
        """The prompt's part: cond [B, L, C], text [B, L, text_dim], style [B, 512] -> [B, L, dim]."""
        _, of_cond, of_text, of_style, _ = self.proj.weight.split(self.widths, dim=1)
        frames = F.linear(cond, of_cond) + F.linear(text, of_text)
        return frames + F.linear(style, of_style, self.proj.bias).unsqueeze(1)

    def forward(self, x: Tensor, fixed: Tensor, time: Tensor) -> Tensor:
        """State x [B, L, C], the prompt's part, time embedding [B, 512] -> [B, L, dim]."""
        of_state, _, _, _, of_time = self.proj.weight.split(self.widths, dim=1)
        h = F.linear(x, of_state) + fixed + F.linear(time, of_time).unsqueeze(1)
        return h + self.conv_pos_embed(h)


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis with a learned gain."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, eps=1e-6)


def rotary_table(
    frames: int, head_dim: int, device: torch.device, rounded_to: torch.dtype | None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [frames, head_dim] of rotary position embedding, half-split, base 10000; float32.

    Args:
        rounded_to: type in which the frequencies are held before the angles are taken. Upstream's fp16 model holds
            them in fp16, which shifts the phase by up to 0.33 rad at 2048 frames; None keeps float32.
    """
    frequencies = 1.0 / (10000.0 ** (torch.arange(0, head_dim, 2, device=device).float() / head_dim))
    if rounded_to is not None:
        frequencies = frequencies.to(rounded_to).float()
    angles = torch.outer(torch.arange(frames, device=device).float(), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Apply rotary position embedding to x [B, heads, L, head_dim]."""
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Self-attention of a Llama block, without biases and without a mask."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.heads, self.causal = config.attention_heads, config.causal
        self.q_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.k_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.v_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.o_proj = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(rotate(q, rotary), rotate(k, rotary), v, is_causal=self.causal)
        return self.o_proj(out.transpose(1, 2).flatten(2))


class GatedMLP(nn.Module):
    """Feed-forward layer of a Llama block: down(SiLU(gate x) * up x)."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        inner = config.dim * config.ff_mult
        self.gate_proj = nn.Linear(config.dim, inner, bias=False)
        self.up_proj = nn.Linear(config.dim, inner, bias=False)
        self.down_proj = nn.Linear(inner, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaBlock(nn.Module):
    """Pre-norm attention and feed-forward with residuals, x [B, L, dim] -> [B, L, dim]."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = GatedMLP(config)
        self.input_layernorm = RMSNorm(config.dim)
        self.post_attention_layernorm = RMSNorm(config.dim)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary)
        return x + self.mlp(self.post_attention_layernorm(x))


class FinalNorm(nn.Module):
    """Layer norm modulated by the time embedding [B, 512]; scale first, then shift."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(COND_DIM, 2 * dim)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.linear(F.silu(time)).unsqueeze(1).chunk(2, dim=-1)
        return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class DiT(nn.Module):
    """The velocity network. `prepare` once per prompt, `forward` once per state and guidance branch."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.time_embed = TimestepEmbedding(COND_DIM)
        self.start_time_embed = TimestepEmbedding(COND_DIM)
        self.duration_time_embed = TimestepEmbedding(COND_DIM) if config.has_duration else None
        self.text_embed = TextEmbedding(config)
        self.input_embed = InputEmbedding(config)
        self.transformer_blocks = nn.ModuleList(LlamaBlock(config) for _ in range(config.depth))
        self.text_fusion_linears = nn.ModuleList(
            nn.Sequential(nn.Linear(config.text_dim, config.dim), nn.SiLU()) for _ in range(config.depth // 2)
        )
        self.norm_out = FinalNorm(config.dim)
        self.proj_out = nn.Linear(config.dim, config.mel_dim)

    def prepare(
        self,
        cond: Tensor,
        text: Tensor,
        style: Tensor,
        start_time: Tensor,
        song_duration: Tensor,
        rotary_dtype: torch.dtype | None = None,
    ) -> Prompt:
        """Everything that the steps share.

        Args:
            cond: reference latent [B or 1, L, C]; zeros where the music is to be generated.
            text: phoneme ids [B or 1, L].
            style: style vectors [B, 512].
            start_time, song_duration: [B], as shares of the longest song. The duration has no effect without its
                embedding (2048 frames, v1.0).
            rotary_dtype: see `rotary_table`.
        """
        dtype = self.proj_out.weight.dtype
        embedded = self.text_embed(text)
        clock = self.start_time_embed(start_time)
        if self.duration_time_embed is not None:
            clock = clock + self.duration_time_embed(song_duration)
        cos, sin = rotary_table(
            text.shape[1], self.config.dim // self.config.attention_heads, text.device, rotary_dtype
        )
        return Prompt(
            projected=self.input_embed.fixed(cond.to(dtype), embedded, style.to(dtype)),
            residuals=tuple(fusion(embedded) for fusion in self.text_fusion_linears),
            clock=clock,
            rotary=(cos.to(dtype), sin.to(dtype)),
        )

    def forward(self, x: Tensor, t: Tensor, prompt: Prompt) -> Tensor:
        """Velocity [B, L, C] at state x [B, L, C] and flow time t [B]."""
        time = self.time_embed(t) + prompt.clock
        h = self.input_embed(x, prompt.projected, time)
        for index, block in enumerate(self.transformer_blocks):
            h = block(h, prompt.rotary)
            if index < len(prompt.residuals):
                h = h + prompt.residuals[index]
        return self.proj_out(self.norm_out(h, time))
