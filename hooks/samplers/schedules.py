"""Noise levels of diffusers schedulers, and the clean estimate that a state and a guided output give.

Every scheduler here moves x = alpha data + sigma noise towards the data. The clean estimate is linear in the state and
the guided output: estimate = keep * state + gain * output. So a push of the estimate by d is a push of the output by
d / gain.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Level:
    """One noise level of a schedule."""

    alpha: float
    """Share of the data in the state."""
    sigma: float
    """Share of the noise in the state."""
    keep: float = 1.0
    """d estimate / d state."""
    gain: float = 0.0
    """d estimate / d output."""
    scale: float = 1.0
    """The scheduler's sample is scale * state; the network reads the state."""

    @property
    def t(self) -> float:
        """Flow time alpha / (alpha + sigma): 0 noise, 1 data."""
        return self.alpha / (self.alpha + self.sigma)

    @property
    def logsnr(self) -> float:
        """2 ln(alpha / sigma)."""
        if self.sigma == 0 or self.alpha == 0:
            return math.inf if self.sigma == 0 else -math.inf
        return 2 * math.log(self.alpha / self.sigma)

    def endpoint(self, state: Tensor, output: Tensor) -> Tensor:
        """Clean estimate [B, F, C], float32."""
        return self.keep * state.float() + self.gain * output.float()


FINISHED = Level(alpha=1.0, sigma=0.0)
"""Level of what the last step returns: it counts as data, even where a schedule nominally leaves noise in it."""


def position(scheduler: Any, timestep: Any) -> int:
    """Index of the state that the loop is at, as the scheduler keeps it; calls are not counted.

    Raises:
        ValueError: the timestep is not on the scheduler's schedule.
    """
    if hasattr(scheduler, "step_index"):
        return int(scheduler.begin_index or 0) if scheduler.step_index is None else int(scheduler.step_index)
    matches = (scheduler.timesteps == timestep).nonzero()
    if len(matches) == 0:
        raise ValueError(f"timestep {timestep} is not on the schedule that the pipeline has set")
    return int(matches[0])


def last(scheduler: Any) -> int:
    """Index of the finished latent, which is the number of steps."""
    return len(scheduler.timesteps)


def flow_level(scheduler: Any, index: int) -> Level:
    """Rectified flow (`FlowMatchEulerDiscreteScheduler`): x = (1 - s) data + s noise, output noise - data.

    With `invert_sigmas` the schedule holds the share of the data instead, and the output is data - noise.
    """
    stored = float(scheduler.sigmas[index])
    if getattr(scheduler.config, "invert_sigmas", False):
        return Level(alpha=stored, sigma=1 - stored, gain=1 - stored)
    return Level(alpha=1 - stored, sigma=stored, gain=-stored)


def preconditioned_level(scheduler: Any, index: int) -> Level:
    """EDM preconditioning (Karras et al. 2022, Eq. 7) with sample = data + s noise, as Stable Audio Open uses it.

    The network reads sample / sqrt(s^2 + s_data^2); that is the state here, of unit variance at every level.
    """
    noise, data = float(scheduler.sigmas[index]), float(scheduler.config.sigma_data)
    norm = math.hypot(noise, data)
    sign = {"v_prediction": -1.0, "epsilon": 1.0}[scheduler.config.prediction_type]
    return Level(alpha=1 / norm, sigma=noise / norm, keep=data**2 / norm, gain=sign * noise * data / norm, scale=norm)


def ddim_level(scheduler: Any, index: int) -> Level:
    """Variance-preserving diffusion (`DDIMScheduler`; Song et al. 2021, Eq. 12): alpha = sqrt(abar_t).

    Raises:
        ValueError: the network predicts the noise of a state that is noise alone, which says nothing of the data.
    """
    kept = float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])
    alpha, sigma = math.sqrt(kept), math.sqrt(1 - kept)
    if scheduler.config.prediction_type == "v_prediction":
        return Level(alpha, sigma, keep=alpha, gain=-sigma)
    if scheduler.config.prediction_type == "sample":
        return Level(alpha, sigma, keep=0.0, gain=1.0)
    if alpha == 0:
        raise ValueError(
            "a schedule that begins in pure noise has no clean estimate where the network predicts noise (epsilon): "
            "give the scheduler rescale_betas_zero_snr=False"
        )
    return Level(alpha, sigma, keep=1 / alpha, gain=-sigma / alpha)


LevelAt = Callable[[Any, int], Level]
"""(scheduler, index of a state) -> its noise level."""

LEVELS: dict[str, LevelAt] = {
    "FlowMatchEulerDiscreteScheduler": flow_level,
    "CosineDPMSolverMultistepScheduler": preconditioned_level,
    "EDMDPMSolverMultistepScheduler": preconditioned_level,
    "DDIMScheduler": ddim_level,
}


def level_rule(scheduler: Any) -> LevelAt:
    """Choose the formulas of a scheduler by its class.

    Raises:
        ValueError: the clean estimate of this scheduler, or of one of its settings, is not known here.
    """
    for ancestor in type(scheduler).__mro__:
        rule = LEVELS.get(ancestor.__name__)
        if rule is not None:
            break
    else:
        raise ValueError(
            f"the formulas of {type(scheduler).__name__} are not known: give the pipeline its own scheduler back "
            f"(one of {', '.join(LEVELS)})"
        )
    for setting in ("clip_sample", "thresholding"):
        if getattr(scheduler.config, setting, False):
            raise ValueError(f"a scheduler with {setting} changes the clean estimate unseen: set {setting}=False")

    def level(scheduler: Any, index: int) -> Level:
        return FINISHED if index >= last(scheduler) else rule(scheduler, index)

    return level


def forget_history(scheduler: Any, clips: Tensor, output: Tensor, sample: Tensor) -> None:
    """Make a multistep solver take its next step of some clips from their present estimate alone.

    A second-order solver extrapolates from the estimate of the step before. After an edit that estimate belongs to
    another state, and the edit would overshoot. So the present estimate takes its place in these clips; the other ones
    keep their history.

    Args:
        scheduler: any scheduler; nothing is done to one without a history.
        clips: [B] bool, True for the clips whose history is forgotten.
        output, sample: guided output and sample that the next step is given.

    Raises:
        ValueError: the solver's order is above 2, where one clip's history cannot be forgotten without the others'.
    """
    if not hasattr(scheduler, "lower_order_nums") or not clips.any():
        return
    if scheduler.config.solver_order > 2:
        raise ValueError("edits need a solver of order 1 or 2: give the pipeline's scheduler solver_order=2")
    if not scheduler.lower_order_nums:
        return
    if clips.all():
        scheduler.lower_order_nums = 0
        return
    present = scheduler.convert_model_output(output, sample=sample)
    rows = clips.to(present.device).view(-1, *[1] * (present.ndim - 1))
    scheduler.model_outputs = [
        past if past is None else torch.where(rows, present, past) for past in scheduler.model_outputs
    ]
