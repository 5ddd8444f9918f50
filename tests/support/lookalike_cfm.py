"""What upstream's `CFM` object shows to the outside, around this project's network and torchdiffeq's solver.

Argument names, defaults, call order and results follow ASLP-lab/DiffRhythm at 28ad63c (integration.md 2.3).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from tracer.generators.diffrhythm import DiffRhythm


class Transformer(nn.Module):
    """The network under upstream's keyword names."""

    def __init__(self, model: DiffRhythm) -> None:
        super().__init__()
        self.model = model
        self.calls = 0

    def forward(
        self,
        x: Tensor,
        cond: Tensor,
        text: Tensor,
        time: Tensor,
        drop_audio_cond: bool,
        drop_text: bool,
        drop_prompt: bool = False,
        style_prompt: Tensor | None = None,
        start_time: Tensor | None = None,
        duration: Tensor | None = None,
    ) -> Tensor:
        self.calls += 1
        assert style_prompt is not None
        assert start_time is not None
        assert duration is not None
        style = torch.zeros_like(style_prompt) if drop_prompt else style_prompt
        return self.model.velocity(
            x, time, cond=cond, text=text, style=style, start_time=start_time, song_duration=duration,
            drop_audio=drop_audio_cond, drop_text=drop_text,
        )  # fmt: skip


class CFM(nn.Module):
    """`transformer`, and `sample` on torchdiffeq's fixed Euler grid."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer
        self.noise: Tensor | None = None
        """Noise [B, L, C] to begin with, where a test chooses it; upstream always draws it."""

    @torch.no_grad()
    def sample(
        self,
        cond: Tensor,
        text: Tensor,
        duration: int,
        *,
        style_prompt: Tensor,
        negative_style_prompt: Tensor,
        steps: int = 32,
        cfg_strength: float = 4.0,
        sway_sampling_coef: float | None = None,
        seed: int | None = None,
        start_time: Tensor,
        latent_pred_segments: list[tuple[int, int]],
        song_duration: Tensor,
        batch_infer_num: int = 1,
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        dtype = next(self.parameters()).dtype
        cond = cond[:, :duration].to(dtype)
        frame = torch.arange(duration)
        predicted = torch.stack([(frame >= a) & (frame < b) for a, b in latent_pred_segments]).any(dim=0)[:, None]
        step_cond = torch.where(predicted, torch.zeros_like(cond), cond)
        fixed: dict[str, Any] = {"cond": step_cond, "text": text, "start_time": start_time, "duration": song_duration}

        def field(t: Tensor, x: Tensor) -> Tensor:
            positive = self.transformer(
                x=x, time=t, drop_audio_cond=False, drop_text=False, drop_prompt=False, style_prompt=style_prompt,
                **fixed,
            )  # fmt: skip
            if cfg_strength < 1e-5:
                return positive
            null = self.transformer(
                x=x, time=t, drop_audio_cond=True, drop_text=True, drop_prompt=False,
                style_prompt=negative_style_prompt, **fixed,
            )  # fmt: skip
            return positive + (positive - null) * cfg_strength

        noise = [] if self.noise is None else list(self.noise)
        while len(noise) < batch_infer_num:
            if seed is not None:
                torch.manual_seed(seed)
            noise.append(torch.randn(duration, cond.shape[2], dtype=dtype))
        t = torch.linspace(0, 1, steps, dtype=dtype)
        if sway_sampling_coef is not None:
            t = t + sway_sampling_coef * (torch.cos(torch.pi / 2 * t) - 1 + t)
        trajectory = odeint(field, torch.stack(noise), t, method="euler")
        out = torch.where(predicted, trajectory[-1], cond)
        return torch.chunk(out, batch_infer_num, dim=0), trajectory
