"""Probes that know the noise: they read latents x = alpha data + sigma noise, with a set of weights for each log-SNR.

The autoencoder and the clean probes have never seen noise. So they are shown the linear clean estimate, which for
Gaussian data of mean m and covariance S is the mean of the data given the state,
m + alpha S (alpha^2 S + sigma^2 I)^-1 (x - alpha m) (Wiener, 1949). What they read there, and the noisy latent itself,
are the inputs of softmax probes trained at that noise. Both inputs follow alpha and sigma exactly; the weights are
those of the two neighbouring log-SNRs, mixed by their distance, so that readings do not jump from one level to the
next. Beyond the outermost levels their weights are taken, those of the highest for finished latents too.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from probes.readout.linear import LinearProbes

FLOOR = -12.0
"""Log-probabilities below it are alike: e^-12 is the share of nothing."""
SCALE = 1 / 8
"""Brings log-probabilities to the size of standardised latents, so that one learning rate suits both."""


class NoisyInputs(nn.Module):
    """What probes see of a noisy latent.

    Args:
        mean: [C] of the clean latents, raw units.
        covariance: [C, C] of them.
        classes: Number of classes of each attribute, K in all.
    """

    def __init__(self, mean: Tensor, covariance: Tensor, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.classes = dict(classes)
        variances, axes = torch.linalg.eigh(covariance.detach().cpu().double())
        for name, values in (("mean", mean), ("axes", axes), ("variances", variances.clamp_min(0))):
            self.register_buffer(name, values.detach().clone().to(mean), persistent=False)
        self.mean: Tensor
        self.axes: Tensor
        self.variances: Tensor

    @property
    def width(self) -> int:
        """Number of inputs, K + C."""
        return sum(self.classes.values()) + len(self.mean)

    def estimate(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """Noisy latents [..., C] -> the mean of the data given them, were the data Gaussian."""
        if sigma == 0:  # the data themselves, in directions without variance too
            return x / alpha
        gain = alpha * self.variances / (alpha**2 * self.variances + sigma**2)
        return self.mean + (x - alpha * self.mean) @ ((self.axes * gain) @ self.axes.t())

    def forward(self, logits: Tensor, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """Inputs [N, K + C].

        Args:
            logits: [N, K] stacked logits of the clean probes on `estimate(x, alpha, sigma)`.
            x: [N, C] noisy latents.
            alpha: Share of the data in them.
            sigma: Share of the noise.
        """
        parts = logits.split(list(self.classes.values()), dim=-1)
        read = [part.log_softmax(-1).clamp_min(FLOOR) * SCALE for part in parts]
        spread = ((self.axes.square() @ self.variances) * alpha**2 + sigma**2).sqrt()
        spread = torch.where(spread > 0, spread, 1)  # a constant channel of finished latents
        return torch.cat([*read, ((x - alpha * self.mean) / spread).to(logits)], dim=-1)


class NoiseAware(nn.Module):
    """Probes and their controls for several log-SNRs.

    Args:
        inputs: What they see.
        levels: [L] log-SNRs 2 ln(alpha / sigma), ascending.
        weight: [L, 2 K, K + C], rows of the probes and then of those trained on shuffled labels.
        bias: [L, 2 K].

    Raises:
        ValueError: The shapes do not fit, or the levels do not ascend.
    """

    def __init__(self, inputs: NoisyInputs, levels: Tensor, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        rows = 2 * sum(inputs.classes.values())
        if weight.shape != (len(levels), rows, inputs.width) or bias.shape != weight.shape[:2] or not len(levels):
            raise ValueError(f"weights {list(weight.shape)} and {list(bias.shape)} of noise-aware probes do not fit")
        if not (levels.isfinite().all() and (levels.diff() > 0).all()):
            raise ValueError("the log-SNRs of noise-aware probes must ascend")
        self.inputs = inputs
        for name, values in (("levels", levels), ("weight", weight), ("bias", bias)):
            self.register_buffer(name, values.detach().float().clone(), persistent=False)
        self.levels: Tensor
        self.weight: Tensor
        self.bias: Tensor

    @classmethod
    def of_probes(cls, inputs: NoisyInputs, fitted: Mapping[float, tuple[LinearProbes, LinearProbes]]) -> NoiseAware:
        """From probes and controls on `inputs` by log-SNR."""
        levels = sorted(fitted)
        weight = torch.stack([torch.cat([probes.weight for probes in fitted[level]]) for level in levels])
        bias = torch.stack([torch.cat([probes.bias for probes in fitted[level]]) for level in levels])
        return cls(inputs, torch.tensor(levels), weight, bias)

    def __repr__(self) -> str:
        levels = self.levels.tolist()
        return f"probes at {len(levels)} log-SNRs from {levels[0]:+.2f} to {levels[-1]:+.2f}"

    def tensors(self) -> dict[str, Tensor]:
        """What a file keeps."""
        return {name: getattr(self, name) for name in ("levels", "weight", "bias")}

    def between(self, alpha: float, sigma: float) -> tuple[int, int, float]:
        """The levels below and above latents alpha data + sigma noise, and the share of the one above."""
        levels = self.levels.tolist()
        if sigma == 0:
            return len(levels) - 1, len(levels) - 1, 0.0
        logsnr = 2 * math.log(alpha / sigma) if alpha > 0 else -math.inf
        above = bisect.bisect_left(levels, logsnr)
        if above in (0, len(levels)):
            end = min(above, len(levels) - 1)
            return end, end, 0.0
        return above - 1, above, (logsnr - levels[above - 1]) / (levels[above] - levels[above - 1])

    def logits(self, clean: Tensor, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """Stacked logits [N, 2 K] of the probes and then of the controls; arguments as for `NoisyInputs`."""
        below, above, share = self.between(alpha, sigma)
        seen = self.inputs(clean, x, alpha, sigma)
        weight, bias = (torch.lerp(part[below], part[above], share).to(seen) for part in (self.weight, self.bias))
        return nn.functional.linear(seen, weight, bias)

    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when a level or a weight differs."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors().items()):
            digest.update(name.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]
