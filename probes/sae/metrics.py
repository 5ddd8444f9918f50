"""How good a sparse autoencoder is, over a data set, in raw latent units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probes.errors import InputError
from probes.sae.base import SparseAutoencoder
from probes.sae.streaming import LinearReader

HISTOGRAM_EDGES = np.arange(-6.0, 0.5, 0.5)  # of log10 density


@torch.no_grad()
def evaluate(sae: SparseAutoencoder, arrays: Sequence[np.ndarray]) -> dict[str, Any]:
    """Figures over all frames of `arrays` (latents [frames, C] each, raw units).

    Returns:
        frames: how many there were.
        fvu: sum of squared errors over sum of squared distances to the data set's own mean (one ratio of sums, not a
            mean of ratios); None, as shrinkage, where all frames are equal.
        l0: active features of a frame, mean. sparsity: share of zero activations, 1 - l0 / H.
        silent: share of features active in none of the frames.
        shrinkage: sum of <x^ - m, x - m> over sum of ||x - m||^2, m the data's mean: below 1 the
            reconstruction is too short. cosine: mean cosine of x^ - m and x - m.
        rms_h: mean rms(h) of a frame, where the architecture has a norm.
        density: histogram of log10 of the features' firing rates, "edges" and "counts", and "never".
    """
    frames = sum(len(array) for array in arrays)
    if not frames:
        raise InputError("there are no latent frames to evaluate on")
    device = sae.decoder_bias.device
    reader = LinearReader(sae, sae.dictionary.t())
    total = np.sum([np.asarray(array, np.float64).sum(0) for array in arrays], axis=0)
    centre = torch.from_numpy(total / frames).to(device, torch.float32)
    fired = torch.zeros(sae.config.hidden, dtype=torch.int64, device=device)
    sums = torch.zeros(6, dtype=torch.float64)
    for array in arrays:
        for start in range(0, len(array), reader.chunk):
            x = torch.from_numpy(np.array(array[start : start + reader.chunk], np.float32)).to(device)
            read = reader(x, count=True, fired=fired)
            rebuilt = sae.restore(read.values + sae.decoder_bias)
            missed, ours, theirs = rebuilt - x, rebuilt - centre, x - centre
            assert read.active is not None
            sums += torch.stack(
                [
                    missed.square().sum(),
                    theirs.square().sum(),
                    (ours * theirs).sum(),
                    torch.nn.functional.cosine_similarity(ours, theirs, dim=1).sum(),
                    read.active.sum(),
                    x.new_zeros(()) if read.rms is None else read.rms.sum(),
                ]
            ).cpu()
    squared, spread, product, cosine, active, rms = sums.tolist()
    rate = fired.cpu().numpy() / frames
    counts, _ = np.histogram(np.log10(rate[rate > 0]), HISTOGRAM_EDGES)
    result = {
        "frames": frames,
        "fvu": squared / spread if spread else None,
        "l0": active / frames,
        "sparsity": 1 - active / frames / sae.config.hidden,
        "silent": float((rate == 0).mean()),
        "shrinkage": product / spread if spread else None,
        "cosine": cosine / frames,
        "density": {
            "edges": HISTOGRAM_EDGES.tolist(),
            "counts": counts.tolist(),
            "never": int((rate == 0).sum()),
        },
    }
    if reader.normed:
        result["rms_h"] = rms / frames
    return result


def dead_shares(dead: Sequence[Tensor], horizons: Sequence[int]) -> dict[str, float]:
    """Share of dead features at each horizon, keyed by the horizon in frames."""
    return {str(horizon): float(mask.float().mean()) for mask, horizon in zip(dead, horizons)}
