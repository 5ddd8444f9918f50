"""Samplers over linear velocity fields, so that every answer can be computed by hand."""

import torch
from support.lookalike_cfm import CFM
from torch import Tensor, nn

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
        """States [steps, B, F, C] from this noise."""
        style, none = torch.ones(1, 512), torch.zeros(1, 512)
        return self.sample(noise=noise, style=style, negative_style=none, steps=steps, cfg_strength=guidance)


class LinearTransformer(nn.Module):
    """The same fields under upstream's keyword names."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(1, 1)

    def forward(self, x: Tensor, time: Tensor, drop_text: bool, **_: object) -> Tensor:
        return -DECAY * x if drop_text else DRIFT - DECAY * x


class LinearCFM(CFM):
    """Upstream's sampler over the same fields."""

    def __init__(self) -> None:
        super().__init__(LinearTransformer())

    def run(self, noise: Tensor, steps: int = 33, guidance: float = 0.0) -> Tensor:
        """States [steps, B, F, C] from this noise."""
        return run_cfm(self, noise, steps=steps, cfg_strength=guidance)


def run_cfm(model: CFM, noise: Tensor, **options: object) -> Tensor:
    """States [steps, B, F, C] of a CFM from this noise, without style vectors, text or reference."""
    (batch, frames, channels), style = noise.shape, torch.zeros(1, 512)
    given = {
        "style_prompt": style,
        "negative_style_prompt": style,
        "start_time": torch.zeros(1),
        "song_duration": torch.ones(1),
        "latent_pred_segments": [(0, frames)],
        "batch_infer_num": batch,
    }
    model.noise = noise
    text = torch.zeros(1, frames, dtype=torch.long)
    return model.sample(torch.zeros(1, frames, channels), text, frames, **(given | options))[1]
