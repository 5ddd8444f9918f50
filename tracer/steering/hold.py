"""The smallest change of a latent that moves one reading and keeps others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from probes.readout import Readout

CHUNK = 512  # frames at a time: a few [CHUNK, hidden] arrays are held
CORRECTIONS = 2
"""Steps with the same slopes after the first one."""
DAMPING = 1e-3
"""Added to J S J^T, as a share of its mean diagonal: frames without a gradient stay where they are."""
REACH = 0.5
"""Longest step, as a share of sqrt(C), the length of a latent in units of its spread: where a reading saturates its
slope vanishes, and the solution would be far outside everything the model knows."""
UNORDERED = ("pitch", "chroma")


class Raise(NamedTuple):
    """A reading that is to rise."""

    attribute: str
    target: int | str
    """class index, or "+" / "-" along the classes"""
    amount: float
    """nats of a class's odds, or classes along the scale"""


@torch.no_grad()
def pull(readout: Readout, x: Tensor, start: Tensor, raised: Raise | None = None, hold: Sequence[str] = ()) -> Tensor:
    """`start` with the smallest addition after which the readings are as wanted.

    Gauss-Newton with the slopes at x + start: the first step is the closed form S J^T (J S J^T)^-1 (wanted - read), the
    corrections follow the curvature. "Smallest" is by the spread of the training latents: with their covariance S the
    length is dx^T S^-1 dx (Mahalanobis), so that the change keeps to directions in which music differs; many directions
    of a latent space hardly occur, and there a reading rises without any change that is heard. A readout that does not
    know S has its channels' variances alone.

    Args:
        x: latents [B, F, C].
        start: displacement [B, F, C] to begin with.
        raised: this reading is to move from where it is at x.
        hold: the readings of these attributes are to be those of x. Of pitch and chroma, whose classes are no scale,
            also the log probability of the class that is most probable at x.

    Returns:
        displacement [B, F, C].
    """
    covariance = readout.covariance if readout.covariance is not None else readout.sae.std.square().diag()

    def solve(frames: Tensor, moved: Tensor) -> Tensor:
        at_x = Features(readout, frames)
        readings = wanted_readings(readout, at_x, raised, hold)
        wanted = values(readings, at_x)
        if raised is not None:
            wanted[:, 0] += -raised.amount if raised.target == "-" else raised.amount
        here = Features(readout, frames + moved)
        slope = here.slopes(readings)
        ways = slope @ covariance
        gram = ways @ slope.transpose(1, 2)
        mean = gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        damped = gram + (DAMPING * mean + 1e-12) * torch.eye(gram.shape[1]).to(gram)
        longest = REACH * frames.shape[-1] ** 0.5
        for k in range(1 + CORRECTIONS):
            missing = wanted - values(readings, here)
            shares = torch.linalg.solve(damped, missing[..., None])  # of the ways, [N, m, 1]
            length = (shares.transpose(1, 2) @ gram @ shares).clamp_min(0).sqrt()[..., 0]
            moved = moved + (ways.transpose(1, 2) @ shares)[..., 0] * (longest / length.clamp_min(longest))
            if k < CORRECTIONS:
                here = Features(readout, frames + moved)
        return moved

    pairs = zip(x.flatten(0, 1).split(CHUNK), start.flatten(0, 1).split(CHUNK))
    return torch.cat([solve(*pair) for pair in pairs]).view_as(x)


@dataclass
class Reading:
    """A number read from one attribute's logits [N, K], and its slope with respect to them."""

    attribute: str
    value: Callable[[Tensor], Tensor]
    """-> [N]"""
    slope: Callable[[Tensor], Tensor]
    """-> [N, K]"""


def wanted_readings(readout: Readout, at_x: "Features", raised: Raise | None, hold: Sequence[str]) -> list[Reading]:
    """Readings to raise, then readings to hold."""
    readings = []
    if raised is not None:
        towards = raised.target
        readings.append(
            expected_class(raised.attribute) if isinstance(towards, str) else log_odds(raised.attribute, towards)
        )
    for name in hold:
        readings.append(expected_class(name))
        if name in UNORDERED:
            readings.append(log_probability(name, at_x.logits(name).argmax(-1)))
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
        self.square = self.h.square().mean(-1, keepdim=True) + sae.config.eps if sae.normed else None
        self._logits: dict[str, Tensor] = {}

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
