"""Samplers whose answer can be computed by hand, and an upstream-like CFM around any velocity field."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from tracer.generators.diffrhythm import DiffRhythm, DiTConfig
from tracer.generators.diffrhythm.network import Prompt

TINY = DiTConfig(dim=64, depth=2, ff_mult=2, text_dim=16, conv_layers=1, mel_dim=4, max_frames=64, attention_heads=2)
DECAY, DRIFT = 0.7, 0.3


class LinearNetwork(nn.Module):
    """v = DRIFT g - DECAY x, where g is the first entry of the branch's style vector."""

    def __init__(self) -> None:
        super().__init__()
        self.proj_out = nn.Linear(1, 1)

    def prepare(self, cond: Tensor, text: Tensor, style: Tensor, *_: object) -> Prompt:
        return Prompt(projected=style[:, :1, None], residuals=(), clock=style, rotary=(style, style))

    def forward(self, x: Tensor, t: Tensor, prompt: Prompt) -> Tensor:
        return DRIFT * prompt.projected - DECAY * x


class LinearFlow(DiffRhythm):
    """This project's sampler over the fields v_cond = DRIFT - DECAY x and v_null = -DECAY x."""

    def __init__(self) -> None:
        super().__init__(TINY)
        self.transformer = LinearNetwork()

    def run(self, noise: Tensor, steps: int = 33, guidance: float = 0.0) -> Tensor:
        style, none = torch.ones(1, 512), torch.zeros(1, 512)
        return self.sample(noise=noise, style=style, negative_style=none, steps=steps, cfg_strength=guidance)


class Network(nn.Module):
    """A velocity field with the keyword call of upstream's transformer."""

    def __init__(self, field: Callable[..., Tensor]) -> None:
        super().__init__()
        self.field = field

    def forward(self, x, cond, text, time, drop_audio_cond, drop_text, drop_prompt=False, style_prompt=None,
                start_time=None):  # fmt: skip
        return self.field(
            x, time, cond=cond, text=text, style=style_prompt, start_time=start_time, drop_audio=drop_audio_cond,
            drop_text=drop_text,
        )  # fmt: skip


class UpstreamCFM(nn.Module):
    """What upstream's CFM shows to the outside: `transformer`, and `sample` on torchdiffeq's fixed Euler grid."""

    def __init__(self, transformer: nn.Module, noise: Tensor) -> None:
        super().__init__()
        self.transformer = transformer
        self.noise = noise

    @torch.no_grad()
    def sample(self, cond, text, duration, *, style_prompt, negative_style_prompt, start_time, steps=32,
               cfg_strength=1.0, sway_sampling_coef=None):  # fmt: skip
        shared = {"cond": cond, "text": text, "start_time": start_time, "drop_prompt": False}

        def field(t: Tensor, x: Tensor) -> Tensor:
            positive = self.transformer(
                x=x, time=t, drop_audio_cond=False, drop_text=False, style_prompt=style_prompt, **shared
            )
            if cfg_strength < 1e-5:
                return positive
            null = self.transformer(
                x=x, time=t, drop_audio_cond=True, drop_text=True, style_prompt=negative_style_prompt, **shared
            )
            return positive + (positive - null) * cfg_strength

        grid = torch.linspace(0, 1, steps)
        if sway_sampling_coef is not None:
            grid = grid + sway_sampling_coef * (torch.cos(torch.pi / 2 * grid) - 1 + grid)
        states = odeint(field, self.noise, grid, method="euler")
        return states[-1], states


def linear_field(x: Tensor, time: Tensor, drop_text: bool, **_: object) -> Tensor:
    return -DECAY * x if drop_text else DRIFT - DECAY * x


def linear_cfm(noise: Tensor) -> UpstreamCFM:
    return UpstreamCFM(Network(linear_field), noise)


def run_cfm(model: UpstreamCFM, steps: int = 33, guidance: float = 0.0, sway: float | None = None) -> Tensor:
    frames = model.noise.shape[1]
    style = torch.zeros(1, 512)
    _, states = model.sample(
        torch.zeros(1, frames, model.noise.shape[2]), torch.zeros(1, frames, dtype=torch.long), frames,
        style_prompt=style, negative_style_prompt=style, start_time=torch.zeros(1), steps=steps,
        cfg_strength=guidance, sway_sampling_coef=sway,
    )  # fmt: skip
    return states
