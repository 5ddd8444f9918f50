"""Loss and gradients of the paper's autoencoder in one go, in blocks of features that stay in the CPU's cache.

With 64 inputs a training step is bound by the passes over the [frames, hidden] arrays, not by arithmetic, and
autograd sends each of them through main memory. Here a block of features is multiplied, rectified and used while it
is in cache, and the norm's backward pass needs no pass of its own, because its row sums are products of [frames, C]
arrays that are at hand.

Notation, for one frame: A = sum_j gain_j h_j d_j (d_j: atoms), r = rms(h), z^ = A / r + b_dec, e = z^ - z.
    dL/dh_j = (2 a e / r) . (gain_j d_j) + w u_j - c h_j
    c       = (2 a e . A + [post_norm] b U) / (r^3 H)
with a and b the weights of error and penalty, u_j the penalty's factor of feature j (1, or |gain_j|), U = sum_j u_j h_j
and w = b (pre_norm) or b / r (post_norm). The penalty rides along as channel C + 1 of the dictionary; a row of ones,
channel C + 2, tells what fired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from probes.sae.base import StepLoss

if TYPE_CHECKING:
    from probes.sae.relu import ReluSAE

CPU_BLOCK = 1 << 18  # elements: 1 MiB in fp32, so that two such arrays fit a 2 MiB second-level cache
GPU_BLOCK = 1 << 26


def block_columns(rows: int, hidden: int, device: torch.device, cpu_block: int = CPU_BLOCK) -> int:
    """How many features a block takes so that [rows, columns] stays in cache, of `cpu_block` elements on the CPU."""
    elements = cpu_block if device.type == "cpu" else GPU_BLOCK
    return max(64, min(hidden, elements // max(rows, 1)))


@torch.no_grad()
def fused_backward(sae: ReluSAE, x: Tensor, lam: float | None = None, precision: str = "fp32") -> StepLoss:
    """Loss of raw latents x [N, C], gradients left in `.grad`; equal to autograd's on `sae.loss(x, lam=lam)`.

    precision bf16 rounds the operands of the matmuls and the blocks to bfloat16; sums stay in fp32.
    """
    config = sae.config
    frames, channels = x.shape
    hidden = config.hidden
    mean = config.reduction == "mean"
    post = config.penalty == "post_norm"
    error_weight = 1.0 / (frames * (channels if mean else 1))
    penalty_weight = (config.lam if lam is None else lam) / (frames * (hidden if mean else 1))
    work = torch.bfloat16 if precision == "bf16" else x.dtype

    z = sae.standardise(x)
    ones = z.new_ones(frames, 1)
    inputs = torch.cat([z, ones], 1).to(work)  # the bias as one more input
    encoder = torch.cat([sae.encoder_weight, sae.encoder_bias[:, None]], 1).to(work)
    gained = sae.gain[:, None] * sae.dictionary
    factor = sae.gain.abs() if post else torch.ones_like(sae.gain)
    outputs = torch.cat([gained, factor[:, None]], 1)
    decoder = outputs.to(work)

    columns = block_columns(frames, hidden, x.device)
    starts = range(0, hidden, columns)
    blocks: list[Tensor] = []
    squares = z.new_zeros(frames)
    sums = z.new_zeros(frames, channels + 1)
    for start in starts:
        block = torch.mm(inputs, encoder[start : start + columns].t()).relu_()
        norm = torch.linalg.vector_norm(block, dim=1, dtype=z.dtype)
        squares.addcmul_(norm, norm)
        sums += block @ decoder[start : start + columns]
        blocks.append(block)

    rms = (squares / hidden + config.eps).sqrt()
    decoded, penalised = sums[:, :channels], sums[:, channels]
    residual = decoded / rms[:, None] + sae.decoder_bias - z
    error = residual.square().sum() * error_weight
    penalty = (penalised / rms if post else penalised).sum() * penalty_weight

    slope = 2 * error_weight * residual
    shrink = (slope * decoded).sum(1)
    if post:
        shrink = shrink + penalty_weight * penalised
    shrink = -(shrink / (rms**3 * hidden)).to(work)[:, None]
    row_weight = penalty_weight / rms if post else ones[:, 0] * penalty_weight
    upstream = torch.cat([slope / rms[:, None], row_weight[:, None]], 1).to(work)
    counted = torch.cat([upstream, ones.to(work)], 1)

    gradient_encoder = torch.empty(hidden, channels + 1, dtype=z.dtype, device=x.device)
    moments = torch.empty(hidden, channels + 2, dtype=z.dtype, device=x.device)
    for start, block in zip(starts, blocks):
        stop = start + block.shape[1]
        moments[start:stop] = block.t() @ counted
        gradient = upstream @ decoder[start:stop].t()
        gradient.addcmul_(block, shrink)
        torch.ops.aten.threshold_backward.grad_input(gradient, block, 0, grad_input=gradient)
        gradient_encoder[start:stop] = gradient.t() @ inputs

    sae.encoder_weight.grad = gradient_encoder[:, :channels].contiguous()
    sae.encoder_bias.grad = gradient_encoder[:, channels].contiguous()
    sae.dictionary.grad = moments[:, :channels] * sae.gain[:, None]
    gain_gradient = (moments[:, :channels] * sae.dictionary).sum(1)
    if post:
        gain_gradient += moments[:, channels] * sae.gain.sign()
    sae.gain.grad = gain_gradient
    sae.decoder_bias.grad = slope.sum(0)
    return StepLoss(error + penalty, error, penalty, moments[:, channels + 1] > 0)
