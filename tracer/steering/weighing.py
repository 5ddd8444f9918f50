"""How large a push is: ||dx|| / ||x||, noted while it acts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from hooks import Displacement, Event
from tracer.prompts import Prompt
from tracer.session import Session
from tracer.steering.edits import make_edit
from tracer.steering.spec import EditSpec


@dataclass
class Weighed:
    """A displacement that keeps how large it was: ||dx|| / ||x||, mean over the batch, per state of the sampler."""

    displace: Displacement
    ratios: list[tuple[float, float]] = field(default_factory=list)
    """(flow time, ratio)"""
    _last: float | None = None

    def __call__(self, latent: Tensor) -> Tensor:
        change = self.displace(latent)
        self._last = float((change.norm(dim=(1, 2)) / latent.norm(dim=(1, 2)).clamp_min(1e-12)).mean())
        return change

    def see(self, event: Event) -> None:
        """A sink: gives the ratio that was noted last its flow time."""
        if self._last is not None:
            self.ratios.append((event.t, self._last))
            self._last = None


def generate_weighed(
    session: Session, prompts: Sequence[Prompt], spec: EditSpec, displace: Displacement
) -> tuple[Tensor, list[tuple[float, float]]]:
    """Final latents [B, F, C] under one edit, and (flow time, ||dx|| / ||x||) at each state where it acted."""
    weighed = Weighed(displace)
    latents = session.generate(prompts, [make_edit(spec, weighed)], weighed.see)
    return latents, weighed.ratios
