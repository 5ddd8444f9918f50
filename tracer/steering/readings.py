"""Numbers read from the logits of a latent frame, and their slopes with respect to the frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from probes.readout import Readout


class Raise(NamedTuple):
    """A reading that is to rise."""

    attribute: str
    target: int | str
    """class index, or "+" / "-" along the classes"""
    amount: float
    """nats of a class's odds, or classes along the scale"""

    @property
    def signed(self) -> float:
        """How far the reading is to move."""
        return -self.amount if self.target == "-" else self.amount


@dataclass
class Reading:
    """A number read from one attribute's logits [N, K], and its slope with respect to them."""

    attribute: str
    value: Callable[[Tensor], Tensor]
    """-> [N]"""
    slope: Callable[[Tensor], Tensor]
    """-> [N, K]"""


def no_scale(readout: Readout, attributes: Sequence[str]) -> list[str]:
    """Those of some attributes whose classes are no scale: pitch, and all whose classes have no order."""
    return [name for name in attributes if name == "pitch" or name not in readout.ordered]


def wanted_readings(raised: Raise | None, hold: Sequence[str], found: Mapping[str, Tensor]) -> list[Reading]:
    """Readings to raise, then readings to hold.

    Args:
        raised: The reading to raise; None raises nothing.
        hold: Attributes whose expected class is held; of those in `found` also the log probability of that class.
        found: Most probable class of every frame [N] before the edit, of the attributes that are no scale.
    """
    readings = []
    if raised is not None:
        towards = raised.target
        readings.append(
            expected_class(raised.attribute) if isinstance(towards, str) else log_odds(raised.attribute, towards)
        )
    for name in hold:
        readings.append(expected_class(name))
        if name in found:
            readings.append(log_probability(name, found[name]))
    return readings


def expected_class(attribute: str) -> Reading:
    """Mean class index under the softmax."""

    def value(logits: Tensor) -> Tensor:
        return logits.softmax(-1) @ torch.arange(logits.shape[-1]).to(logits)

    def slope(logits: Tensor) -> Tensor:
        return logits.softmax(-1) * (torch.arange(logits.shape[-1]).to(logits) - value(logits)[:, None])

    return Reading(attribute, value, slope)


def log_odds(attribute: str, k: int) -> Reading:
    """Log odds of class k against all others, in nats: without an end, where a probability saturates."""

    def others(logits: Tensor) -> Tensor:
        return logits.index_fill(-1, torch.tensor([k], device=logits.device), float("-inf"))

    def slope(logits: Tensor) -> Tensor:
        row = -others(logits).softmax(-1)
        row[:, k] = 1
        return row

    return Reading(attribute, lambda logits: logits[:, k] - others(logits).logsumexp(-1), slope)


def log_probability(attribute: str, classes: Tensor) -> Reading:
    """Log probability of a class of each frame, classes [N]."""
    index = classes[:, None]

    def slope(logits: Tensor) -> Tensor:
        return -logits.softmax(-1).scatter_add(-1, index, -torch.ones_like(index, dtype=logits.dtype))

    return Reading(attribute, lambda logits: logits.log_softmax(-1).gather(-1, index)[:, 0], slope)


def values(readings: Sequence[Reading], features: "Features") -> Tensor:
    """[N, m]"""
    return torch.stack([reading.value(features.logits(reading.attribute)) for reading in readings], 1)


class Features:
    """Activations of frames [N, C], the logits they give, and the slopes of readings with respect to the frames."""

    def __init__(self, readout: Readout, frames: Tensor) -> None:
        self.readout = readout
        sae = readout.sae
        self.h = sae.hidden(frames)
        self.f = sae.normalise(self.h)
        # mean h^2 + eps = rms(h)^2, where the architecture divides by it.
        self.square = self.h.square().mean(-1, keepdim=True) + sae.eps if sae.normed else None
        self._logits: dict[str, Tensor] = {}

    def of(self, rows: Tensor) -> "Features":
        """The same of some frames, bool [N]."""
        if bool(rows.all()):
            return self
        return self._with(lambda name: getattr(self, name)[rows], {a: own[rows] for a, own in self._logits.items()})

    def where(self, rows: Tensor, other: "Features") -> "Features":
        """These in some frames, bool [N], and others elsewhere; both know the same logits."""
        if bool(rows.all()):
            return self
        logits = {a: torch.where(rows[:, None], own, other.logits(a)) for a, own in self._logits.items()}
        return self._with(lambda name: torch.where(rows[:, None], getattr(self, name), getattr(other, name)), logits)

    def _with(self, part: Callable[[str], Tensor], logits: dict[str, Tensor]) -> "Features":
        new = object.__new__(Features)
        new.readout, new._logits = self.readout, logits
        new.h, new.f = part("h"), part("f")
        new.square = None if self.square is None else part("square")
        return new

    def logits(self, attribute: str) -> Tensor:
        """[N, K]"""
        if attribute not in self._logits:
            readout = self.readout
            rows = readout.probes.rows(attribute)
            weight, bias = readout.probes.weight[rows], readout.probes.bias[rows]
            hidden = self.f.shape[-1]
            logits = torch.addmm(bias, self.f, weight[:, :hidden].t())
            if readout.log_rms is not None:
                mean, std = readout.log_rms
                assert self.square is not None
                logits = logits + (0.5 * self.square.log() - mean) / std * weight[:, hidden]
            self._logits[attribute] = logits
        return self._logits[attribute]

    def slopes(self, readings: Sequence[Reading]) -> Tensor:
        """Gradients [N, m, C] with respect to the raw latent.

        With f = g h / r, r^2 = mean h^2 + eps and u = dv/df: dv/dh = g u / r - h (f . u) / (H r^2), where h > 0, and a
        term h s / (H r^2) where log r is an input of the probe with slope s. Thresholds are taken as fixed.
        """
        readout, hidden = self.readout, self.f.shape[-1]
        sae = readout.sae
        gate = (self.h > 0).to(self.h)
        if self.square is not None:
            gate = gate * sae.feature_gain / self.square.sqrt()
        along_h = self.h @ sae.encoder_weight
        rows = []
        for reading in readings:
            weight = readout.probes.weight[readout.probes.rows(reading.attribute)]
            by_logit = reading.slope(self.logits(reading.attribute))
            u = by_logit @ weight[:, :hidden]
            row = (u * gate) @ sae.encoder_weight
            if self.square is not None:
                inward = (self.f * u).sum(-1, keepdim=True)
                if readout.log_rms is not None:
                    inward = inward - by_logit @ weight[:, hidden:] / readout.log_rms[1]
                row = row - inward / (hidden * self.square) * along_h
            rows.append(row / sae.std if sae.config.standardise else row)
        return torch.stack(rows, 1)
