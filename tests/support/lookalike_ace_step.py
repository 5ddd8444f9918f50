"""A small object with the anatomy of ACE-Step 1.0's pipeline: what its adapter touches, and nothing else."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class FlowMatchEulerDiscreteScheduler:
    """Euler steps whose deviation from their mean is scaled by `omega`."""

    def __init__(self, shift: float) -> None:
        self.config = SimpleNamespace(shift=shift)
        self.begin_index = None
        self.set_timesteps(1000)

    def set_timesteps(self, num_inference_steps: int) -> None:
        sigmas = torch.linspace(1, 0.001, num_inference_steps)
        sigmas = self.config.shift * sigmas / (1 + (self.config.shift - 1) * sigmas)
        self.timesteps = sigmas * 1000
        self.sigmas = torch.cat([sigmas, torch.zeros(1)])
        self.step_index: int | None = None

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, return_dict: bool = True, omega: float = 0.0
    ) -> tuple[Tensor]:
        index = self.step_index or 0
        change = (self.sigmas[index + 1] - self.sigmas[index]) * model_output
        scale = 0.9 + 0.2 / (1 + torch.exp(torch.tensor(-0.1 * omega)))
        self.step_index = index + 1
        return (sample + (change - change.mean()) * scale + change.mean(),)


class FinalLayer(nn.Module):
    """Frames back to the latent's shape."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 128)

    def forward(self, hidden: Tensor, length: int) -> Tensor:
        return self.linear(hidden)[:, :length].unflatten(2, (8, 16)).permute(0, 2, 3, 1)


class Transformer(nn.Module):
    """Called through `decode` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.proj_in = nn.Conv2d(8, 32, (16, 1))
        self.final_layer = FinalLayer()

    def decode(self, hidden_states: Tensor, condition: float, timestep: Tensor) -> SimpleNamespace:
        hidden = self.proj_in(hidden_states).squeeze(2).transpose(1, 2)
        hidden = torch.tanh(hidden + condition + timestep[:, None, None] / 1000)
        return SimpleNamespace(sample=self.final_layer(hidden, hidden_states.shape[-1]))


def project_apart(update: Tensor, along: Tensor) -> Tensor:
    """The part of an update that is orthogonal to another tensor, over the last two axes."""
    along = along / along.norm(dim=(-1, -2), keepdim=True)
    return update - (update * along).sum(dim=(-1, -2), keepdim=True) * along


def apg(cond: Tensor, null: Tensor, scale: float) -> Tensor:
    """Adaptive projected guidance (Sadat et al. 2024) without momentum: norm cap 2.5, eta 0."""
    difference = cond - null
    cap = 2.5 / difference.norm(dim=(-1, -2), keepdim=True)
    return cond + (scale - 1) * project_apart(difference * cap.clamp(max=1), cond)


class ACEStepPipeline:
    """The loop: one call of the network per branch, guidance in the middle of the schedule.

    Arguments, branches and formulas of guidance follow ace-step/ACE-Step at 0e88bd3.
    """

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.ace_step_transformer = Transformer().requires_grad_(False)
        self.cpu_offload = False

    def text2music_diffusion_process(
        self,
        duration: float,
        condition: float,
        random_generators: list[torch.Generator],
        infer_steps: int = 60,
        guidance_scale: float = 15.0,
        omega_scale: float = 10.0,
        scheduler_type: str = "euler",
        cfg_type: str = "apg",
        guidance_interval: float = 0.5,
        guidance_interval_decay: float = 1.0,
        min_guidance_scale: float = 3.0,
        guidance_scale_text: float = 0.0,
        guidance_scale_lyric: float = 0.0,
    ) -> Tensor:
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        scheduler.set_timesteps(infer_steps)
        width = int(duration * 44100 / 512 / 8)
        latents = torch.stack([torch.randn(8, 16, width, generator=source) for source in random_generators])
        first, last = int(infer_steps * ((1 - guidance_interval) / 2)), int(infer_steps * (guidance_interval / 2 + 0.5))
        double = guidance_scale_text > 1 and guidance_scale_lyric > 1
        for i, t in enumerate(scheduler.timesteps):

            def velocity(condition: float, latents: Tensor = latents, t: Tensor = t) -> Tensor:
                timestep = t.expand(len(latents))
                result: Tensor = self.ace_step_transformer.decode(latents, condition, timestep).sample
                return result

            guided = velocity(condition)
            if first <= i < last and guidance_scale not in (0.0, 1.0):
                scale = guidance_scale
                if guidance_interval_decay > 0:
                    progress = (i - first) / (last - first - 1)
                    scale -= (guidance_scale - min_guidance_scale) * progress * guidance_interval_decay
                text = velocity(condition / 2) if double else None
                null = velocity(0.0)
                if text is not None:
                    others = (1 - guidance_scale_text) * null + (guidance_scale_text - guidance_scale_lyric) * text
                    guided = others + guidance_scale_lyric * guided
                elif cfg_type == "apg":
                    guided = apg(guided, null, scale)
                else:
                    guided = null + scale * (guided - null)
            latents = scheduler.step(
                model_output=guided, timestep=t, sample=latents, return_dict=False, omega=omega_scale
            )[0]
        return latents


def generate(pipeline: ACEStepPipeline, **options: Any) -> Tensor:
    """Two clips of 12 frames, nine states, plain guidance of one scale."""
    sources = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    defaults: dict[str, Any] = {"infer_steps": 8, "guidance_scale": 3.0, "omega_scale": 0.0, "cfg_type": "cfg"}
    defaults["guidance_interval_decay"] = 0.0
    return pipeline.text2music_diffusion_process(1.2, 0.7, sources, **(defaults | options))
