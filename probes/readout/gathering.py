"""What is read of latents, gathered from chunks of frames and pooled over clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from probes.readout.generic import GenericDirections
from probes.readout.kinds import GENERIC
from probes.readout.linear import LinearProbes
from probes.readout.pooling import clip_peaks
from probes.readout.tempo import ONSET, TempoReader


class Reading(NamedTuple):
    """What a trace keeps of latents [B, F, C], by probe and attribute. K: classes of an attribute.

    Probes are "trained", "shuffled", and "generic-1", "generic-2", ... for each direction of the readout.
    """

    pooled: dict[str, dict[str, Tensor]]
    """Class distribution of an item, [B, K] each: the mean over the valid frames, or for an attribute with one value
    for a clip the softmax of the logits of its peaks; NaN for an item without a valid frame.
    Of the trained and the shuffled probes."""
    classes: dict[str, dict[str, Tensor]]
    """Most probable class of every frame, uint8 [B, F] each (meaningless where masked). Of an attribute with one value
    for a clip it is that of the pooled distribution, in all frames."""
    values: dict[str, dict[str, Tensor]]
    """Reading of every frame, float32 [B, F] each: the expected class sum_k k p_k, and of a generic direction the
    projection in standard deviations; of tempo the place of the strongest one along the classes. An attribute whose
    classes have no order, such as chords, has none."""
    distributions: dict[str, dict[str, Tensor]]
    """Class distribution of every frame, [B, F, K], of the attributes that were asked for."""
    fvu: Tensor | None
    """[B] squared error of the autoencoder over squared distance to the training data's mean latent, raw units."""
    l0: Tensor | None
    """[B] active features of a frame, mean over the valid frames."""


class Gathering:
    """What the probes read of latents [B, F, C], gathered chunk by chunk.

    Args:
        probes: The trained ones, whose attributes and classes all kinds of probe have.
        clips: Attributes with one value for a clip.
        sides: Kinds of probe that read.
        keep: Attributes whose distribution of every frame is kept.
        like: The latents.
    """

    def __init__(
        self,
        probes: LinearProbes,
        clips: Sequence[str],
        sides: Sequence[str],
        keep: Sequence[str],
        like: Tensor,
    ) -> None:
        items, frames = self.shape = like.shape[:2]
        self.probes, self.clips, self.sides = probes, clips, sides
        kinds = probes.classes

        def empty(dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
            return {side: {name: like.new_empty(items, frames, dtype=dtype) for name in kinds} for side in sides}

        # Sums over the frames: of class shares, and of logits where an attribute has one value for a clip.
        self.pooled = {side: like.new_zeros(items, sum(kinds.values()), dtype=wide(like)) for side in sides}
        self.classes, self.values = empty(torch.uint8), empty(torch.float32)
        self.distributions = {
            side: {
                name: like.new_empty(items, frames, kinds[name], dtype=torch.float32) for name in keep if name in kinds
            }
            for side in sides
        }
        self.keep = keep
        self.scales = {name: torch.arange(count, device=like.device).float() for name, count in kinds.items()}

    def add(self, side: str, logits: Tensor, valid: Tensor, start: int) -> None:
        """Add one kind of probe's logits [n, K] of the frames from `start` on, all items laid end to end."""
        part = slice(start, start + len(logits))
        by_name = self.probes.split(logits.to(wide(logits)))
        shares = {name: own.softmax(-1) for name, own in by_name.items() if name not in self.clips}
        pool(self.pooled[side], torch.cat(list((by_name | shares).values()), 1), valid, start)
        for name, own in shares.items():
            self.values[side][name].view(-1)[part] = own @ self.scales[name].to(own)
            if name in self.distributions[side]:
                self.distributions[side][name].flatten(0, 1)[part] = own
            self.classes[side][name].view(-1)[part] = by_name[name].argmax(-1).to(torch.uint8)

    def add_generic(self, generic: GenericDirections, x: Tensor) -> None:
        """Add what the generic directions read in latents [B, F, C]."""
        classes, values = generic(x.flatten(0, 1))
        for n in range(len(generic)):
            probe = f"{GENERIC}-{n + 1}"
            self.classes[probe] = {a: classes[row, n].view(self.shape) for row, a in enumerate(generic.attributes)}
            self.values[probe] = {a: values[row, n].view(self.shape) for row, a in enumerate(generic.attributes)}

    def add_tempo(self, tempo: TempoReader, valid: Tensor) -> dict[str, Tensor]:
        """Add the tempo of every probe's readings of onsets; returns the shares [B, F, K] of those that have some."""
        curves = torch.cat([own[ONSET] for own in self.values.values()])
        found = tempo(curves, valid.repeat(len(self.values), 1))
        shares = {}
        parts = (own.unflatten(0, (len(self.values), len(valid))) for own in found)
        for probe, part, classes, values in zip(self.values, *parts):
            self.classes[probe]["tempo"], self.values[probe]["tempo"] = classes, values
            if probe in self.distributions:
                shares[probe] = part
                if "tempo" in self.keep:
                    self.distributions[probe]["tempo"] = part
        return shares

    def give_clips_one_value(
        self, valid: Tensor, on_peaks: Mapping[str, Tensor], generic: GenericDirections | None
    ) -> dict[str, dict[str, Tensor]]:
        """Give every frame what its clip is read as, for attributes with one value for a clip.

        Args:
            valid: [B, F] bool, the frames that count.
            on_peaks: By kind of probe its stacked logits [B, sum of K] on peaks. Without them, as for probes that know
                the noise, the mean of a kind's logits over the frames counts.
            generic: Directions whose readings were added.

        Returns:
            Of every kind of probe the class distributions of the items, {name: [B, K]}.
        """
        found: dict[str, dict[str, Tensor]] = {side: {} for side in self.sides}
        count = valid.sum(1, keepdim=True)
        for name in self.clips:
            for side in self.sides:
                logits = on_peaks[side] if side in on_peaks else self.pooled[side] / count
                shares = logits[:, self.probes.rows(name)].softmax(-1)
                found[side][name] = shares
                self.classes[side][name][:] = shares.argmax(-1, keepdim=True).to(torch.uint8)
                self.values[side][name][:] = (shares @ self.scales[name].to(shares))[:, None]
                if name in self.distributions[side]:
                    self.distributions[side][name][:] = shares[:, None]
            for probe, own in self.values.items():
                if probe in self.sides or generic is None:
                    continue
                n = int(probe.removeprefix(f"{GENERIC}-")) - 1
                readings = own[name][..., None]
                whole = clip_peaks(torch.clone, readings, valid)[:, 0]
                self.values[probe][name] = whole.expand(self.shape)
                self.classes[probe][name] = generic.cut(name, n, whole).expand(self.shape)
        return found


def wide(values: Tensor) -> torch.dtype:
    """Number type in which sums over frames are taken: half precision overflows."""
    return torch.promote_types(values.dtype, torch.float32)


def pool(sums: Tensor, values: Tensor, valid: Tensor, start: int) -> None:
    """Add values [n, K], frames start.. of all items laid end to end, to their items' rows of `sums` where valid."""
    index = torch.arange(start, start + len(values), device=values.device)
    kept = torch.where(valid.reshape(-1)[index, None], values, torch.zeros_like(values)).to(sums)
    sums.index_add_(0, index // valid.shape[1], kept)
