"""Probes that do without the trained autoencoder: on raw latents, and on the features of an untrained one.

They answer whether the autoencoder matters for what a curve shows.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from probes.readout.linear import LinearProbes
from probes.readout.pooling import clip_peaks
from probes.sae import SparseAutoencoder, make_sae
from probes.sae.streaming import LinearReader


class Baselines(nn.Module):
    """Probes of the same attributes and classes as a readout's.

    Args:
        sae: The readout's autoencoder, whose standardisation the raw probes share.
        raw: Probes on standardised latents [.., C].
        untrained: Probes on the features of the untrained autoencoder [.., H].
        seed: Seed of the untrained autoencoder, which has the config of the trained one.
    """

    def __init__(self, sae: SparseAutoencoder, raw: LinearProbes, untrained: LinearProbes, seed: int) -> None:
        super().__init__()
        if raw.weight.shape[1] != sae.config.channels or untrained.weight.shape[1] != sae.config.hidden:
            raise ValueError("the baselines' probes do not fit the autoencoder")
        self.raw, self.untrained, self.seed = raw, untrained, seed
        random = make_sae(sae.config, seed)
        random.set_statistics(sae.mean, sae.std)
        # In a tuple, so that one is not a submodule a second time, and the other, which a seed makes, not saved.
        self._autoencoders = (sae, random)
        self.fold()
        self.register_load_state_dict_post_hook(fold_again)
        self.requires_grad_(False)

    def fold(self) -> None:
        """Make what reading goes through from the weights."""
        self._reader = LinearReader(self._autoencoders[1], self.untrained.weight)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Baselines:
        """As torch does, with the untrained autoencoder, which is no submodule."""
        self._autoencoders[1]._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def logits(self, kind: str, chunk: Tensor) -> Tensor:
        """Stacked logits of latents [N, C] by the probes "raw" or "untrained"."""
        if kind == "raw":
            logits: Tensor = self.raw(self._autoencoders[0].standardise(chunk))
            return logits
        return self._reader(chunk).values + self.untrained.bias

    def clip_logits(self, kind: str, latents: Tensor, valid: Tensor) -> Tensor:
        """Stacked logits [B, K] of these probes on the peaks of latents [B, F, C], frames that count bool [B, F]."""
        sae, random = self._autoencoders
        if kind == "raw":
            return self.raw.of_peaks(clip_peaks(sae.standardise, latents, valid))
        return self.untrained.of_peaks(clip_peaks(random.encode, latents, valid))


def fold_again(module: nn.Module, _: object) -> None:
    """A hook for `load_state_dict` of modules that read through what `fold` makes of their weights."""
    module.fold()  # type: ignore[operator]
