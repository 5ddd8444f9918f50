"""The same prompts and the same noise, with and without an edit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hooks import Edit, Event, capture, steer
from tracer.generators import Generator, prompt_seed
from tracer.steering.tracks import Tracks, measure

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.prompts import Prompt


@dataclass(frozen=True)
class Setting:
    """How clips are generated and measured."""

    generator: Generator
    readout: "Readout"
    seed: int
    steps: int
    seconds: float
    guidance: float
    crepe: str = "full"
    batch_size: int = 8

    def generate(self, prompts: Sequence["Prompt"], edits: Sequence[Edit] = ()) -> Tensor:
        """Final latents [B, F, C] of the prompts, each from its own noise."""
        with steer(self.generator.sampler, edits):
            return self.generator.generate(
                [prompt.caption for prompt in prompts],
                [prompt_seed(self.seed, prompt.index) for prompt in prompts],
                steps=self.steps,
                seconds=self.seconds,
                guidance=self.guidance,
            )

    def batches(self, prompts: Sequence["Prompt"]) -> Iterator[Sequence["Prompt"]]:
        """The prompts, as many at a time as are generated together."""
        for start in range(0, len(prompts), self.batch_size):
            yield prompts[start : start + self.batch_size]

    def about(self, prompts: Sequence["Prompt"]) -> dict[str, Any]:
        """What the run's tables depend on, for its JSON file; how many prompts go together is not of it."""
        return {
            "model": self.generator.name, "generator": self.generator.fingerprint(),
            "readout": self.readout.fingerprint(), "prompts": [prompt.caption for prompt in prompts],
            "indices": [prompt.index for prompt in prompts], "seed": self.seed, "steps": self.steps,
            "seconds": self.seconds, "cfg": self.guidance, "crepe": self.crepe,
        }  # fmt: skip

    def listen(self, latents: Tensor) -> tuple[np.ndarray, list[Tracks]]:
        """Audio [B, channels, n] of latents, and what is measured on each clip."""
        model = self.generator
        audio = model.decode(latents)
        hop = round(model.sample_rate / model.frame_rate)
        return audio, [measure(clip, model.sample_rate, latents.shape[1], hop, self.crepe) for clip in audio]


@dataclass
class Weighed:
    """A displacement that keeps how large it was: ||dx|| / ||x|| over the batch, per state of the sampler."""

    displace: object
    ratios: list[tuple[float, float]] = field(default_factory=list)
    """(flow time, ratio)"""
    _last: float | None = None

    def __call__(self, latent: Tensor) -> Tensor:
        change: Tensor = self.displace(latent)  # type: ignore[operator]
        self._last = float((change.norm(dim=(1, 2)) / latent.norm(dim=(1, 2)).clamp_min(1e-12)).mean())
        return change

    def see(self, event: Event) -> None:
        """A sink for `capture`: gives the ratio that was noted last its flow time."""
        if self._last is not None:
            self.ratios.append((event.t, self._last))
            self._last = None


def generate_weighed(setting: Setting, prompts: Sequence["Prompt"], edit: Edit, weighed: Weighed) -> Tensor:
    """As `Setting.generate` with one edit whose displacement is `weighed`."""
    with capture(setting.generator.sampler, weighed.see):
        return setting.generate(prompts, [edit])
