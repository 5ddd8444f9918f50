"""DiffRhythm's rectified-flow sampler: Euler steps from noise to a song's latent, open to hooks at every state."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probes.errors import InputError
from tracer.generators.diffrhythm.branches import Branches
from tracer.generators.diffrhythm.checkpoint import convert, locate, read_weights
from tracer.generators.diffrhythm.config import DiTConfig, read_config
from tracer.generators.diffrhythm.network import DiT, Prompt
from tracer.generators.diffrhythm.taps import Step, Taps

log = logging.getLogger(__name__)


def time_grid(steps: int, sway: float | None = None) -> Tensor:
    """Flow times [steps] from 0 to 1, float32: `steps` states, hence `steps` - 1 Euler steps.

    Args:
        sway: coefficient s of F5-TTS's sway sampling, t + s (cos(pi t / 2) - 1 + t); negative values spend more
            steps near the noise. None keeps the grid even.
    """
    t = torch.linspace(0, 1, steps)
    return t if sway is None else t + sway * (torch.cos(torch.pi / 2 * t) - 1 + t)


def segment_mask(segments: Sequence[tuple[int, int]] | None, frames: int, device: torch.device) -> Tensor | None:
    """[frames] True inside the half-open segments, which is what is generated; None when that is everything."""
    if segments is None:
        return None
    position = torch.arange(frames, device=device)
    mask = torch.zeros(frames, dtype=torch.bool, device=device)
    for start, stop in segments:
        mask |= (position >= start) & (position < stop)
    return mask


class DiffRhythm(nn.Module):
    """The network (`transformer`, upstream's name) with its sampler.

    Forward hooks on `taps` see and may change what passes: see `taps.py`.
    """

    def __init__(self, config: DiTConfig, exact_rotary: bool = False) -> None:
        super().__init__()
        self.config = config
        self.exact_rotary = exact_rotary
        self.transformer = DiT(config)
        self.taps = Taps()

    @classmethod
    def from_checkpoint(
        cls,
        weights: str | Path,
        config: DiTConfig | Mapping[str, Any] | str | Path | None = None,
        max_frames: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        exact_rotary: bool = False,
    ) -> "DiffRhythm":
        """Load a released checkpoint, strictly.

        Args:
            weights: a `.pt` or `.safetensors` file in upstream's key names, a folder that holds `cfm_model.pt`, or a
                hub id (`ASLP-lab/DiffRhythm-1_2`), with `@revision` to pin it.
            config: upstream's keys as a dictionary or JSON file; None is the released 1.1-billion-parameter model.
                The v1.0 checkpoints need `{"causal": true}`, which their hub ids bring along.
            max_frames: 2048 (95 s) or 6144 (285 s); None takes the config's, or 2048.
            dtype: float32, bfloat16 or float16. In float16 the rotary frequencies are rounded to float16, as in
                upstream's `model.half()`.
            exact_rotary: keep the rotary frequencies in float32 in float16 too.

        Raises:
            InputError: file missing, tensors missing or unexpected (named), wrong shape, or not finite.
        """
        path, implied = locate(weights)
        tensors = read_weights(path)
        shape = read_config(config, max_frames, implied)
        with torch.device("meta"):
            model = cls(shape, exact_rotary)
        check_names(model, tensors, str(weights))
        model.load_state_dict(convert(path, tensors, device, dtype), strict=True, assign=True)
        if dtype == torch.float16 and not exact_rotary:
            log.info(
                "float16: rotary frequencies are rounded to float16, as upstream does; exact_rotary=True keeps float32"
            )
        return model.eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return self.transformer.proj_out.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.transformer.proj_out.weight.dtype

    def _prepare(
        self,
        frames: int,
        cond: Tensor,
        text: Tensor,
        style: Tensor,
        start_time: Tensor,
        song_duration: Tensor,
    ) -> Prompt:
        if text.shape[1] != frames:
            raise InputError(f"text has {text.shape[1]} frames, the latent {frames}: give one phoneme id per frame")
        rounded = self.dtype if self.dtype == torch.float16 and not self.exact_rotary else None
        return self.transformer.prepare(
            cond, text, style, start_time.to(self.device), song_duration.to(self.device), rounded
        )

    @torch.no_grad()
    def velocity(
        self,
        x: Tensor,
        t: Tensor | float,
        *,
        cond: Tensor,
        text: Tensor,
        style: Tensor,
        start_time: Tensor,
        song_duration: Tensor,
        drop_audio: bool = False,
        drop_text: bool = False,
    ) -> Tensor:
        """One network evaluation: velocity [B, L, C] at state x [B, L, C] and flow time t (one, or [B]).

        Args:
            cond: reference latent [1 or B, L, C], used as it is.
            text: phoneme ids [1 or B, L].
            style: [1 or B, 512].
            start_time, song_duration: [1 or B].
            drop_audio, drop_text: put zeros in place of `cond`, the filler in place of `text` (the null branch).
        """
        batch = x.shape[0]
        style, start_time, song_duration = (
            value.to(self.device).expand(batch, *value.shape[1:]) for value in (style, start_time, song_duration)
        )
        cond = torch.zeros_like(cond) if drop_audio else cond
        text = torch.zeros_like(text) if drop_text else text
        prompt = self._prepare(x.shape[1], cond.to(self.device), text.to(self.device), style, start_time, song_duration)
        times = torch.as_tensor(t, dtype=torch.float32, device=self.device).expand(batch)
        return self.transformer(x.to(self.dtype), times, prompt).to(x.dtype)

    @torch.no_grad()
    def states(
        self,
        *,
        noise: Tensor,
        style: Tensor,
        negative_style: Tensor | None = None,
        cond: Tensor | None = None,
        text: Tensor | None = None,
        start_time: Tensor | None = None,
        song_duration: Tensor | None = None,
        pred_segments: Sequence[tuple[int, int]] | None = None,
        steps: int = 32,
        cfg_strength: float = 4.0,
        sway: float | None = None,
        start: int = 0,
    ) -> Iterator[Tensor]:
        """The states [B, L, C] from noise to data, one at a time, float32.

        Arguments as in `sample`. With `start` above 0 the sampling goes on from there: `noise` is the state of that
        index.
        """
        if steps < 2:
            raise InputError(f"steps must be at least 2 (noise and data), got {steps}")
        guided = cfg_strength >= 1e-5
        if guided and negative_style is None:
            raise InputError("guidance needs negative_style; pass it, or cfg_strength=0")
        device, frames = self.device, noise.shape[1]
        x = noise.to(device=device, dtype=torch.float32)
        mask = segment_mask(pred_segments, frames, device)
        prompts = self._branch_prompts(
            x, mask, cond, text, style, negative_style if guided else None, start_time, song_duration
        )
        branches = Branches(self.transformer, prompts, x.shape[0])
        del prompts
        grid = time_grid(steps, sway)
        for index in range(start, steps):
            t = float(grid[index])
            step = Step(index, steps - 1, t, cfg_strength if guided else 0.0, mask, start)
            x = self.taps.state(x, step)
            if index == steps - 1:
                self.taps.observe(x, None, step)
                yield x
                return
            positive, null = self.taps.branches(branches(x, t), x, step)
            velocity = positive if null is None else positive + (positive - null) * cfg_strength
            self.taps.observe(x, velocity, step)
            yield x
            x = x + (float(grid[index + 1]) - t) * velocity

    def sample(
        self,
        *,
        noise: Tensor,
        style: Tensor,
        negative_style: Tensor | None = None,
        cond: Tensor | None = None,
        text: Tensor | None = None,
        start_time: Tensor | None = None,
        song_duration: Tensor | None = None,
        pred_segments: Sequence[tuple[int, int]] | None = None,
        steps: int = 32,
        cfg_strength: float = 4.0,
        sway: float | None = None,
        return_out: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Integrate from noise to data with `steps` - 1 Euler steps.

        Args:
            noise: [B, L, C], the state at flow time 0.
            style: [1 or B, 512] style vectors; `negative_style` [1 or B, 512] is the null branch's.
            cond: [1 or B, n >= L, C] reference latent; the first L frames count, and only outside `pred_segments`.
                None is zeros.
            text: [1 or B, L] phoneme ids; None is the filler everywhere (instrumental).
            start_time: [1 or B] start in the song as a share of the longest one; None is 0.
            song_duration: [1 or B] song length as a share of the longest one; None is L / max_frames.
            pred_segments: half-open frame ranges to generate; None is all frames.
            steps: number of states.
            cfg_strength: guidance w in v = c + w (c - n); below 1e-5 the null branch is not evaluated.
            sway: see `time_grid`.
            return_out: also return the masked output.

        Returns:
            states [steps, B, L, C], float32; with `return_out` also out [B, L, C]: the last state inside
            `pred_segments`, `cond` elsewhere.
        """
        states = torch.stack(
            list(
                self.states(
                    noise=noise, style=style, negative_style=negative_style, cond=cond, text=text,
                    start_time=start_time, song_duration=song_duration, pred_segments=pred_segments,
                    steps=steps, cfg_strength=cfg_strength, sway=sway,
                )
            )
        )  # fmt: skip
        if not return_out:
            return states
        mask = segment_mask(pred_segments, noise.shape[1], states.device)
        if mask is None:
            return states, states[-1]
        kept = torch.zeros_like(states[-1]) if cond is None else cond[:, : noise.shape[1]].to(states)
        return states, torch.where(mask[:, None], states[-1], kept)

    def _branch_prompts(
        self,
        x: Tensor,
        mask: Tensor | None,
        cond: Tensor | None,
        text: Tensor | None,
        style: Tensor,
        negative_style: Tensor | None,
        start_time: Tensor | None,
        song_duration: Tensor | None,
    ) -> list[Prompt]:
        """The prompt of each guidance branch: conditional, then null where there is guidance."""
        device, (batch, frames, channels) = x.device, x.shape
        if cond is None:
            cond = torch.zeros(1, frames, channels)
        if cond.shape[1] < frames:
            raise InputError(f"cond has {cond.shape[1]} frames, fewer than the {frames} of the noise")
        cond = cond[:, :frames].to(device=device, dtype=torch.float32)
        cond = torch.zeros_like(cond) if mask is None else cond.masked_fill(mask[:, None], 0)
        text = torch.zeros(1, frames, dtype=torch.long) if text is None else text
        start_time = torch.zeros(1) if start_time is None else start_time
        song_duration = torch.tensor([frames / self.config.max_frames]) if song_duration is None else song_duration
        start_time, song_duration = (value.to(device).expand(batch) for value in (start_time, song_duration))
        text = text.to(device)

        def prepare(cond: Tensor, text: Tensor, style: Tensor) -> Prompt:
            return self._prepare(frames, cond, text, style.to(device).expand(batch, -1), start_time, song_duration)

        prompts = [prepare(cond, text, style)]
        if negative_style is not None:
            prompts.append(prepare(torch.zeros_like(cond[:1]), torch.zeros_like(text[:1]), negative_style))
        return prompts


def check_names(model: DiffRhythm, tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise InputError unless the tensors are the model's own, by name and shape."""
    expected = model.state_dict()
    missing, unexpected = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or unexpected:
        parts = [f"missing {listed(missing)}"] * bool(missing) + [f"unexpected {listed(unexpected)}"] * bool(unexpected)
        hint = (
            " (duration_time_embed belongs to max_frames=6144)"
            if "duration_time_embed" in str(missing + unexpected)
            else ""
        )
        raise InputError(f"{source} does not fit this config: {'; '.join(parts)}{hint}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"{source}: {name} has shape {list(tensor.shape)}, the config asks for {list(expected[name].shape)}"
            )


def listed(names: list[str], most: int = 6) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
