"""How large a push is and what it does to the readings, noted while it acts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from hooks import Displacement, Event
from tracer.prompts import Prompt
from tracer.session import Session
from tracer.steering.edits import make_edit
from tracer.steering.hold import Realised
from tracer.steering.spec import EditSpec
from tracer.steering.tables import held_column
from tracer.steering.vectors import ClosedDisplacement


@dataclass
class Weighed:
    """A displacement that notes, at every state of the sampler, how large it was and what it did to the readings.

    Each note has t (flow time), ratio (||dx|| / ||x||, mean over the batch), and for the closed form over the frames of
    the batch: wanted (change of the reading that was asked for), change, change_low and change_high (what came of it:
    median, 5 and 95 %), held and held_high (largest change of a held attribute's expected class: median and 95 %), and
    of each held attribute held_ATTRIBUTE_high (change of its expected class: 95 %). Of an attribute whose classes have
    no order, a frame of another class has changed by 1.
    """

    displace: Displacement
    notes: list[dict[str, float]] = field(default_factory=list)
    _last: dict[str, float] | None = None

    def __call__(self, latent: Tensor) -> Tensor:
        change = self.displace(latent)
        ratio = float((change.norm(dim=(1, 2)) / latent.norm(dim=(1, 2)).clamp_min(1e-12)).mean())
        self._last = {"ratio": ratio}
        if isinstance(self.displace, ClosedDisplacement):
            self._last |= summary(self.displace.realised(latent, change))
        return change

    def see(self, event: Event) -> None:
        """A sink: gives what was noted last its flow time."""
        if self._last is not None:
            self.notes.append({"t": event.t} | self._last)
            self._last = None


def summary(found: Realised) -> dict[str, float]:
    """What came of an edit, over frames: see `Weighed`."""
    low, median, high = (float(q) for q in np.percentile(found.change.cpu().numpy(), [5, 50, 95]))
    held, held_high = (float(q) for q in np.percentile(found.held_most.cpu().numpy(), [50, 95]))
    return {
        "wanted": found.wanted, "change": median, "change_low": low, "change_high": high,
        "held": held, "held_high": held_high,
        **{held_column(name): float(np.percentile(own.cpu().numpy(), 95)) for name, own in found.held.items()},
    }  # fmt: skip


def generate_weighed(
    session: Session, prompts: Sequence[Prompt], spec: EditSpec, displace: Displacement
) -> tuple[Tensor, list[dict[str, float]]]:
    """Final latents [B, F, C] under one edit, and the notes of `Weighed` at each state where it acted."""
    weighed = Weighed(displace)
    latents = session.generate(prompts, [make_edit(spec, weighed)], weighed.see)
    return latents, weighed.notes
