"""AuxK (Gao et al., "Scaling and evaluating sparse autoencoders", arXiv 2406.04093, section 2.4 and A.2)."""

from __future__ import annotations

import torch
from torch import Tensor


def auxiliary_error(residual: Tensor, pre: Tensor, dictionary: Tensor, dead: Tensor | None) -> Tensor:
    """Squared error left after dead features have tried to explain what the living ones missed.

    Args:
        residual: z - z^ [N, C], what is missing (this sign: the dead features are asked to add it); no gradient
            flows into it.
        pre: pre-activations [N, H].
        dictionary: [H, C].
        dead: [H] bool, or None.

    Returns:
        Mean over the frames of the squared error, relative to leaving the residual as it is; 0 without
        dead features.
    """
    count = 0 if dead is None else int(dead.sum())
    if dead is None or count == 0:
        return pre.new_zeros(())
    target = residual.detach()
    candidates = pre[:, dead]
    top = candidates.topk(min(count, max(1, dictionary.shape[1] // 2)), dim=1)
    activations = torch.zeros_like(candidates).scatter(1, top.indices, top.values.relu())
    missed = target - activations @ dictionary[dead]
    return missed.square().sum(1).mean() / target.square().sum(1).mean().clamp_min(1e-12)
