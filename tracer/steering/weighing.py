"""How large a push is and what it does to the readings, noted while it acts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hooks import Displacement, Edit, Moment
from tracer.prompts import Prompt
from tracer.session import Session
from tracer.steering.edits import make_edit
from tracer.steering.hold import Realised
from tracer.steering.spec import EditSpec
from tracer.steering.tables import held_column
from tracer.steering.vectors import ClosedDisplacement


@dataclass(frozen=True, repr=False)
class WeighedEdit(Edit):
    """An edit that notes, at every state where it acts, how large it is on each clip and what it does to the readings.

    It is noted as it is added: with the strength that the schedule gives it at that state, and with its window of the
    song. The gain of a guidance branch comes on top and is not part of it.

    Each note has t (flow time), ratio (||dx|| / ||x||), and for the closed form on the whole song, over the frames of
    the clip: wanted (change of the reading that was asked for), change, change_low and change_high (what came of it:
    median, 5 and 95 %), held and held_high (largest change of a held attribute's expected class: median and 95 %), and
    of each held attribute held_ATTRIBUTE_high (change of its expected class: 95 %). Of an attribute whose classes have
    no order, a frame of another class has changed by 1. Frames that are no music do not count.
    """

    notes: list[list[dict[str, float]]] = field(default_factory=list)
    """A note for each clip of the batch, state after state."""

    def __call__(self, latent: Tensor, moment: Moment, /) -> Tensor:
        """Displace the latent [B, F, C] as `Edit` does."""
        strength = self.strength(moment.t, moment.slack)
        if strength == 0:
            return latent
        change = strength * self.displace(latent)
        music = torch.ones(latent.shape[:2], dtype=torch.bool) if moment.mask is None else moment.mask.cpu()
        music = music.expand(latent.shape[:2])
        found: list[dict[str, float]] = [
            {"t": moment.t, "ratio": float(own[kept].norm() / x[kept].norm().clamp_min(1e-12))}
            for own, x, kept in zip(change, latent, music)
        ]
        if isinstance(self.displace, ClosedDisplacement):
            came = summaries(self.displace.realised(latent, change), strength, music.numpy())
            found = [note | own for note, own in zip(found, came)]
        self.notes.append(found)
        return latent + change


def summaries(found: Realised, strength: float, music: np.ndarray) -> list[dict[str, float]]:
    """What came of an edit on each clip, over its frames of music [B, F]: see `WeighedEdit`."""

    def quantiles(values: Tensor, *percents: float) -> list[list[float]]:
        clips = values.cpu().numpy().reshape(music.shape)
        return [[float(q) for q in np.percentile(own[kept], percents)] for own, kept in zip(clips, music)]

    each = {name: quantiles(own, 95) for name, own in found.held.items()}
    rows = []
    for place, ((low, median, high), (held, held_high)) in enumerate(
        zip(quantiles(found.change, 5, 50, 95), quantiles(found.held_most, 50, 95))
    ):
        row = {
            "wanted": strength * found.wanted, "change": median, "change_low": low, "change_high": high,
            "held": held, "held_high": held_high,
        }  # fmt: skip
        rows.append(row | {held_column(name): own[place][0] for name, own in each.items()})
    return rows


def generate_weighed(
    session: Session, prompts: Sequence[Prompt], spec: EditSpec, displace: Displacement
) -> tuple[Tensor, list[dict[str, float]]]:
    """Final latents [B, F, C] under one edit, and for each prompt a note of `WeighedEdit` at each state where it acted.

    A note has the prompt's index, too.
    """
    edit = WeighedEdit(**vars(make_edit(spec, displace)))
    latents = session.generate(prompts, [edit])
    notes = [{"prompt": prompt.index} | at[place] for place, prompt in enumerate(prompts) for at in edit.notes]
    return latents, notes
