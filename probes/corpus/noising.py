"""Clean latents noised as a sampler does: alpha x + sigma n, with noise that belongs to the file alone."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

REACH = 2 * math.log(30)
"""Log-SNR of the last state but one of a straight flow of 32 states; the first but one has its negative."""


def spread_levels(count: int) -> tuple[float, ...]:
    """Log-SNRs in the middle of `count` equal parts of what a straight flow of 32 states passes through."""
    width = 2 * REACH / count
    return tuple(-REACH + (index + 0.5) * width for index in range(count))


def straight_shares(logsnr: float) -> tuple[float, float]:
    """Shares (alpha, sigma) of data and noise, with alpha + sigma = 1, at a log-SNR 2 ln(alpha / sigma)."""
    alpha = 1 / (1 + math.exp(-logsnr / 2))
    return alpha, 1 - alpha


def noised(latents: np.ndarray, name: str, logsnr: float, seed: int = 0) -> NDArray[np.float32]:
    """Latents [frames, channels] of the file `name` as a straight flow holds them at a log-SNR.

    The noise is seeded from `seed` and the name, so that it depends on no other file. It is the same at every log-SNR.
    """
    alpha, sigma = straight_shares(logsnr)
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    noise = np.random.default_rng([seed, key]).standard_normal(latents.shape, dtype=np.float32)
    return np.float32(alpha) * np.asarray(latents, np.float32) + np.float32(sigma) * noise
