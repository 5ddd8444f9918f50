"""Control vectors, and the displacement of a latent that each of them makes.

Every displacement is a callable latents [B, F, C] -> what is added to them, of the same shape: an error-preserving edit
x' = x + (D(f') - D(f)), so that whatever the autoencoder cannot rebuild stays in x. Frames are independent and taken in
chunks; a batch gives what its items give alone.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from hooks import Displacement
from probes.readout import Readout
from tracer.steering.hold import Realised, pull, realised
from tracer.steering.readings import Raise

CHUNK = 1024  # frames at a time: [CHUNK, hidden] stays small


def control_vector(readout: Readout, attribute: str, target: int | str, centred: bool = True) -> Tensor:
    """Direction [H] in feature space towards a class, or along the ordered classes.

    Args:
        target: class index k, giving w_k - mean_j w_j (w_k itself with centred=False); or "+" / "-", giving the
            classes' vectors weighted by their position from -1 to 1, as long as a class vector is (root mean square).
    """
    if not isinstance(target, str):
        return readout.class_vector(attribute, target, centred)
    classes = len(readout.bins[attribute])
    vectors = torch.stack([readout.class_vector(attribute, k) for k in range(classes)])
    direction = torch.linspace(-1, 1, classes).to(vectors) @ vectors
    length = vectors.square().sum(1).mean().sqrt()
    return direction * length / direction.norm() * (1 if target == "+" else -1)


@dataclass
class VectorDisplacement:
    """D(f') - D(f) with f' = (f + alpha w) ||f|| / ||f + alpha w|| (arXiv 2510.23802, section 2.2).

    The norm is restored where the architecture has one (RMSNorm); for the others f' = f + alpha w.
    """

    readout: Readout
    vector: Tensor
    """[H]"""
    alpha: float
    unit: str = "raw"
    """"std" multiplies each entry of w (scaled so that the largest is 1) with its feature's std over the clip."""
    hold: tuple[str, ...] = ()
    """Attributes whose reading is brought back to where it was, with the smallest further change."""

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        if self.alpha == 0:
            return torch.zeros_like(latents)
        sae = self.readout.sae
        x = latents.to(sae.dictionary)
        vector = self.vector.to(x)
        if self.unit == "std":
            moved = torch.stack([self._shift(item, vector * self._spread(item)) for item in x])
        else:
            moved = self._shift(x.flatten(0, 1), vector).view_as(x)
        if self.hold:
            moved = pull(self.readout, x, moved, hold=self.hold)
        return moved.to(latents)

    def _shift(self, frames: Tensor, vector: Tensor) -> Tensor:
        """D(f') - D(f) of frames [N, C]; D is affine, so with c = ||f|| / ||f + alpha w|| it is
        c alpha D w + (c - 1) D f, D without its bias."""
        sae = self.readout.sae
        pushed = self.alpha * vector
        step = pushed @ sae.dictionary
        parts = []
        for chunk in frames.split(CHUNK):
            f = sae.encode(chunk)
            if sae.normed:  # then f' must be brought back to the norm of f
                c = f.norm(dim=-1, keepdim=True) / (f + pushed).norm(dim=-1, keepdim=True).clamp_min(1e-12)
                part = c * step + (c - 1) * (f @ sae.dictionary)
            else:
                part = step.expand_as(chunk)
            parts.append(part * sae.std if sae.config.standardise else part)
        return torch.cat(parts)

    def _spread(self, frames: Tensor) -> Tensor:
        """std over the frames of a clip, [H], over the largest |w|; in parts, since some GPUs have no float64."""
        count, mean, variance = 0, torch.zeros_like(self.vector).to(frames), torch.zeros_like(self.vector).to(frames)
        for chunk in frames.split(CHUNK):
            of_chunk, middle = torch.var_mean(self.readout.sae.encode(chunk), dim=0, correction=0)
            count += len(chunk)
            share, apart = len(chunk) / count, middle - mean
            mean = mean + share * apart
            variance = variance + share * (of_chunk - variance + (1 - share) * apart.square())
        return variance.sqrt() / self.vector.abs().max().to(frames)


@dataclass
class ClosedDisplacement:
    """The smallest change of x that moves a reading by up to alpha and keeps the held ones (see `hold.pull`).

    The reading is the log odds of a class (nats) or, along a direction, the expected class (classes).
    """

    readout: Readout
    attribute: str
    target: int | str
    alpha: float
    hold: tuple[str, ...] = ()

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        if self.alpha == 0:
            return torch.zeros_like(latents)
        x = latents.to(self.readout.sae.dictionary)
        moved = pull(self.readout, x, torch.zeros_like(x), self._raised, self.hold)
        return moved.to(latents)

    @torch.no_grad()
    def towards(self, latents: Tensor, goal: Tensor) -> Tensor:
        """The change of latents [B, F, C] that moves each frame's expected class by the share `alpha` of the way to
        its goal [B, F]."""
        if self.alpha == 0:
            return torch.zeros_like(latents)
        x = latents.to(self.readout.sae.dictionary)
        return pull(self.readout, x, torch.zeros_like(x), self._raised, self.hold, goal.to(x)).to(latents)

    def realised(self, latents: Tensor, moved: Tensor) -> Realised:
        """What a displacement `moved` that this made of latents [B, F, C] does to the readings."""
        like = self.readout.sae.dictionary
        return realised(self.readout, latents.to(like), moved.to(like), self._raised, self.hold)

    @property
    def _raised(self) -> Raise:
        return Raise(self.attribute, self.target, self.alpha)


@dataclass
class RandomDisplacement:
    """The control: on every frame as long (in standardised units) as another displacement, in a random direction.

    The direction is one per clip, the same on all its frames and at all steps: that of a random feature vector decoded,
    or, like="data", one drawn with the covariance of the training latents.
    """

    readout: Readout
    original: Displacement
    seeds: list[int]
    """One per item of the batch."""
    like: Literal["features", "data"] = "features"

    @cached_property
    def directions(self) -> Tensor:
        """[B, C], of length 1 in standardised units."""
        sae, covariance = self.readout.sae, self.readout.covariance
        if self.like == "features":
            basis: Tensor = sae.dictionary
        elif covariance is not None:
            basis = square_root(covariance) / sae.std
        else:
            raise ValueError("the readout does not know the covariance of its latents")
        draws = [torch.randn(len(basis), generator=torch.Generator().manual_seed(seed)) for seed in self.seeds]
        directions = torch.stack(draws).to(basis) @ basis
        return directions / directions.norm(dim=-1, keepdim=True)

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        std = self.readout.sae.std.to(latents)
        length = (self.original(latents) / std).norm(dim=-1, keepdim=True)
        return length * self.directions.to(latents)[:, None] * std


def square_root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(covariance.cpu().double())
    return ((vectors * values.clamp_min(0).sqrt()) @ vectors.t()).to(covariance)
