"""The linear flow: what a generator would show that knew nothing but the mean and the covariance of the latents.

For x = alpha data + sigma noise with Gaussian data of mean m and covariance S = U diag(lambda) U^T, the probability
flow is linear (Song et al. 2021, Eq. 13, with a Gaussian score). Along each eigenvector it carries a state at
(alpha, sigma) to the finished latent x_T by the factor sqrt(lambda) / sqrt(sigma^2 + alpha^2 lambda). So each finished
latent tells the states and the clean estimates that this generator would have passed through on its way there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FLOOR = 1e-8
"""Smallest eigenvalue, as a share of the largest: along a flatter direction the way back is not determined."""


class Affine(NamedTuple):
    """x -> matrix x + offset."""

    matrix: np.ndarray
    """float64 [C, C], symmetric."""
    offset: np.ndarray
    """float64 [C]."""


class LinearFlow:
    """Maps of the flow that a mean and a covariance imply.

    Args:
        mean: Mean latent [C].
        covariance: Covariance of the latents [C, C].

    Raises:
        ValueError: The covariance is not a symmetric matrix of the mean's size without negative eigenvalues.
    """

    def __init__(self, mean: np.ndarray, covariance: np.ndarray) -> None:
        self.mean = np.asarray(mean, dtype=np.float64)
        covariance = np.asarray(covariance, dtype=np.float64)
        if covariance.shape != (len(self.mean),) * 2 or not np.isfinite(covariance).all():
            raise ValueError(f"the covariance must be {len(self.mean)} x {len(self.mean)} finite numbers")
        if not np.allclose(covariance, covariance.T, rtol=1e-4, atol=1e-6 * np.abs(covariance).max()):
            raise ValueError("the covariance is not symmetric")
        values, self.axes = np.linalg.eigh((covariance + covariance.T) / 2)
        if values[0] < -1e-4 * values[-1] or values[-1] <= 0:
            raise ValueError("the covariance has negative eigenvalues")
        self.variances = np.maximum(values, FLOOR * values[-1])

    def state(self, alpha: float, sigma: float) -> Affine:
        """Finished latent -> the state on its way at noise level (alpha, sigma)."""
        return self._map(np.sqrt((sigma**2 + alpha**2 * self.variances) / self.variances), alpha * self.mean)

    def endpoint(self, alpha: float, sigma: float) -> Affine:
        """Finished latent -> the clean estimate at noise level (alpha, sigma): the mean of the data given the state."""
        return self._map(alpha * np.sqrt(self.variances / (sigma**2 + alpha**2 * self.variances)), self.mean)

    def transport(self, alpha: float, sigma: float) -> np.ndarray:
        """Displacement of the state at (alpha, sigma) -> displacement of the finished latent, float64 [C, C]."""
        return self._along(np.sqrt(self.variances / (sigma**2 + alpha**2 * self.variances)))

    def _along(self, factors: np.ndarray) -> np.ndarray:
        return (self.axes * factors) @ self.axes.T

    def _map(self, factors: np.ndarray, centre: np.ndarray) -> Affine:
        matrix = self._along(factors)
        return Affine(matrix, centre - matrix @ self.mean)
