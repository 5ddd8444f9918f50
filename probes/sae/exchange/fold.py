"""An autoencoder without the standardisation inside it: what other libraries can hold.

Ours sees z = (x - mean) / std, gives f = activation(E z + b) and x^ = (f D + b_dec) * std + mean. With both affine maps
folded into the weights the features stay the same numbers, and so do the reconstructions:

    encoder = E / std            encoder_bias = b - (E / std) mean
    dictionary = D * std         decoder_bias = b_dec * std + mean

Sums are taken in float64 and rounded once, when they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.sae.base import SparseAutoencoder, make_config, make_sae
from probes.sae.batchtopk import BatchTopKSAE
from probes.sae.jumprelu import JumpReLUSAE

LOG_ZERO = -1e4
"""Logarithm whose exponential is 0 in every number type: the threshold of a plain ReLU."""


@dataclass(frozen=True)
class Folded:
    """f = activation(encoder x + encoder_bias) and x^ = f dictionary + decoder_bias on raw latents x, in float64."""

    architecture: str
    encoder: Tensor  # [H, C]
    encoder_bias: Tensor  # [H]
    dictionary: Tensor  # [H, C]
    decoder_bias: Tensor  # [C]
    k: int | None = None
    """Active features of a frame; of batchtopk on average; None where the architecture has none."""
    threshold: Tensor | None = None
    """[H] what a pre-activation has to exceed, at least 0; the same for all features of a batchtopk. None for topk."""
    space: str = ""
    """Latent space, where the files say it."""
    revision: str | None = None
    """Revision of that space's weights."""

    @property
    def channels(self) -> int:
        return self.encoder.shape[1]

    @property
    def hidden(self) -> int:
        return self.encoder.shape[0]

    @property
    def centred_bias(self) -> Tensor:
        """[H] the encoder's bias for a library that takes the decoder's bias from its input first."""
        return self.encoder_bias + self.encoder @ self.decoder_bias


def plain_bias(encoder: Tensor, centred: Tensor, decoder_bias: Tensor) -> Tensor:
    """[H] the encoder's bias where nothing is taken from the input: the inverse of `Folded.centred_bias`."""
    return centred - encoder @ decoder_bias


@torch.no_grad()
def fold_statistics(sae: SparseAutoencoder) -> Folded:
    """An autoencoder of any architecture with its mean and std folded in; a norm's gain is not part of it."""
    config = sae.config
    encoder, bias = sae.encoder_weight.double().cpu(), sae.encoder_bias.double().cpu()
    dictionary, decoder_bias = sae.dictionary.double().cpu(), sae.decoder_bias.double().cpu()
    if config.standardise:
        mean, std = sae.mean.double().cpu(), sae.std.double().cpu()
        encoder = encoder / std
        bias = bias - encoder @ mean
        dictionary, decoder_bias = dictionary * std, decoder_bias * std + mean
    threshold = None
    if isinstance(sae, JumpReLUSAE):
        threshold = sae.log_threshold.exp().double().cpu()
    elif isinstance(sae, BatchTopKSAE):
        threshold = sae.threshold.double().cpu().expand(config.hidden)
    k = getattr(config, "k", None)
    return Folded(
        config.architecture, encoder, bias, dictionary, decoder_bias, k, threshold, config.space, config.revision
    )


@torch.no_grad()
def unfold(folded: Folded, space: str, source: Mapping[str, str | None]) -> SparseAutoencoder:
    """An autoencoder of ours on raw latents of a space, without standardisation, that gives the same features.

    Args:
        folded: What a library's files hold.
        space: Name of the latent space.
        source: Whose it is, for its config.json.
    """
    own = {"k": folded.k} if folded.k is not None else {"lam": 0.0}
    config = make_config(
        folded.architecture,
        channels=folded.channels,
        hidden=folded.hidden,
        space=space,
        revision=folded.revision if folded.space == space else None,
        decoder="free",
        standardise=False,
        source=dict(source),
        **own,
    )
    sae = make_sae(config, seed=None)
    sae.encoder_weight.copy_(folded.encoder)
    sae.encoder_bias.copy_(folded.encoder_bias)
    sae.dictionary.copy_(folded.dictionary)
    sae.decoder_bias.copy_(folded.decoder_bias)
    if folded.threshold is not None:
        if isinstance(sae, BatchTopKSAE):
            sae.threshold.copy_(folded.threshold[0])
        if isinstance(sae, JumpReLUSAE):
            positive = folded.threshold > 0
            sae.log_threshold.copy_(torch.where(positive, folded.threshold.clamp_min(1e-300).log(), LOG_ZERO))
    return sae
