"""How the frames of a clip are pooled for an attribute with one value for a clip: its logits are a weighted mean.

All frames weigh alike, or each by how near an onset is, as the same kind of probe reads onsets. An attack tells more of
an instrument than what follows it (`benchmarks.rhythm.pooling`).
"""

from __future__ import annotations

import torch
from torch import Tensor

ONSET = "onset"
"""Attribute whose readings weigh the frames, and are the curve that tempo is read from."""
REST = 0.01
"""Weight of a frame far from every onset, so that a clip without one is pooled as a whole."""


def onset_weights(curves: Tensor, before: Tensor | None = None) -> Tensor:
    """Weights [..., F] of frames, not normalised: how sure an onset is in each, and in the one before it.

    Args:
        curves: [..., F] readings of onsets, 0 to 1.
        before: [..., 1] reading of the frame before the first; None where there is none.
    """
    earlier = torch.zeros_like(curves[..., :1]) if before is None else before
    return REST + curves + torch.cat([earlier, curves[..., :-1]], dim=-1)


def weighted_mean(values: Tensor, weights: Tensor, valid: Tensor) -> Tensor:
    """Mean [B, K] of values [B, F, K] with weights [B, F] over the valid frames, bool [B, F].

    NaN for an item without a valid frame.
    """
    counted = torch.where(valid, weights, 0).to(values)
    shares = counted / counted.sum(1, keepdim=True)
    return (torch.where(valid[..., None], values, 0) * shares[..., None]).sum(1)
