"""Readout: a sparse autoencoder and linear probes as one module, latents in, class distributions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor, nn

from probes.errors import InputError
from probes.readout.card import model_card
from probes.readout.files import fingerprint, locate, read_parts, write_readout
from probes.readout.linear import LinearProbes
from probes.sae import SparseAutoencoder
from probes.sae.streaming import LinearReader
from probes.support.hub import fetch_files

if TYPE_CHECKING:
    from probes.attributes import Bins


class Reading(NamedTuple):
    """What a trace keeps of latents [B, F, C]. K: classes of an attribute."""

    pooled: dict[str, Tensor]
    """Mean class distribution over the valid frames, [B, K] each; NaN for an item without a valid frame."""
    classes: dict[str, Tensor]
    """Most probable class of every frame, uint8 [B, F] each (meaningless where masked)."""
    control_pooled: dict[str, Tensor]
    """The same by probes trained on shuffled labels."""
    control_classes: dict[str, Tensor]
    fvu: Tensor
    """[B] squared error of the autoencoder over squared distance to the training data's mean latent, raw units."""
    l0: Tensor
    """[B] active features of a frame, mean over the valid frames."""


class Readout(
    nn.Module,
    ModelHubMixin,
    library_name="generation-tracer",
    tags=["sparse-autoencoder", "linear-probe", "music", "audio", "interpretability"],
):
    """Reads attributes from the latents of one space (or of several that share their latents).

    `source` says where it was loaded from; None for one made here.

    Args:
        sae: The autoencoder.
        probes: Probes on its features f (H inputs, or H + 1 with log_rms).
        controls: Probes of the same form trained on shuffled labels.
        bins: Class edges and units of each attribute.
        spaces: Names of the latent spaces it reads.
        log_rms: (mean, std) of log rms(h) over the training data when the probes have that as their last input, the
            one thing RMSNorm takes away; None when they have not.
        report: What was measured about it, for the model card. JSON values.
        covariance: [C, C] of the training latents, raw units: in which directions latents really differ. Steering moves
            along these; None when it is not known.
    """

    covariance: Tensor | None

    def __init__(
        self,
        sae: SparseAutoencoder,
        probes: LinearProbes,
        controls: LinearProbes,
        bins: Mapping[str, Bins],
        spaces: Sequence[str],
        log_rms: tuple[float, float] | None = None,
        report: Mapping[str, Any] | None = None,
        covariance: Tensor | None = None,
    ) -> None:
        super().__init__()
        hidden, channels = sae.config.hidden, sae.config.channels
        inputs = hidden + (log_rms is not None)
        if probes.classes != controls.classes or list(probes.classes) != list(bins):
            raise InputError("probes, controls and bins must have the same attributes and classes")
        if probes.weight.shape[1] != inputs or controls.weight.shape[1] != inputs:
            raise InputError(f"the probes must have {inputs} inputs, as many as this autoencoder gives")
        if covariance is not None and not (covariance.shape == (channels, channels) and covariance.isfinite().all()):
            raise InputError(f"the covariance of the latents must be {channels} x {channels} finite numbers")
        if max(probes.classes.values()) > 256:
            raise InputError("an attribute has more than 256 classes: use fewer bins")
        self.sae = sae
        self.probes = probes
        self.controls = controls
        self.bins = dict(bins)
        self.spaces = tuple(spaces)
        self.attributes = probes.attributes
        self.log_rms = log_rms
        self.report = dict(report or {})
        self.source: str | None = None
        self.register_buffer("covariance", covariance, persistent=False)
        rows = [probes.weight, controls.weight]
        stacked = torch.cat([*(weight[:, :hidden] for weight in rows), sae.dictionary.t()])
        self._reader = LinearReader(sae, stacked)
        level = torch.cat([weight[:, hidden:].sum(1) for weight in rows])
        self.register_buffer("_level", level.detach().clone(), persistent=False)
        bias = torch.cat([probes.bias, controls.bias])
        self.register_buffer("_bias", bias.detach().clone(), persistent=False)
        self._level: Tensor
        self._bias: Tensor
        self.requires_grad_(False)
        self.eval()

    def __repr__(self) -> str:
        origin = f' "{self.source}"' if self.source else ""
        lines = [
            f"Readout{origin} of {' or '.join(self.spaces)} latents [batch, frames, {self.sae.config.channels}]",
            f"  autoencoder: {self.sae!r}",
            *(f"  {name}: {self.bins[name].summary}" for name in self.attributes),
        ]
        return "\n".join(lines)

    def forward(self, latents: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Latents [B, F, C], valid frames [B, F] bool or None for all -> mean class distributions {name: [B, K]}."""
        x, valid = self._inputs(latents, mask)
        frames = x.shape[1]
        total = sum(self.probes.classes.values())
        pooled = x.new_zeros(x.shape[0], total)
        for start, chunk in self._chunks(x):
            shares = self.probes.probabilities(self._logits(chunk, total))
            _pool(pooled, shares, valid, start, frames)
        return self.probes.split(pooled / valid.sum(1, keepdim=True))

    def frames(self, latents: Tensor) -> dict[str, Tensor]:
        """Latents [B, F, C] -> class distributions of every frame {name: [B, F, K]}."""
        x, _ = self._inputs(latents, None)
        total = sum(self.probes.classes.values())
        parts = [self.probes.probabilities(self._logits(chunk, total)) for _, chunk in self._chunks(x)]
        return self.probes.split(torch.cat(parts).view(*x.shape[:2], total))

    @torch.no_grad()
    def read(self, latents: Tensor, mask: Tensor | None = None) -> Reading:
        """Everything the tracer stores about latents [B, F, C], in one pass; mask [B, F] bool marks valid frames."""
        x, valid = self._inputs(latents, mask)
        items, frames = x.shape[:2]
        total = sum(self.probes.classes.values())
        pooled = [x.new_zeros(items, total) for _ in range(2)]
        classes = [
            {name: torch.empty(items * frames, dtype=torch.uint8, device=x.device) for name in self.attributes}
            for _ in range(2)
        ]
        sums = x.new_zeros(items, 3)  # squared error, squared distance to the mean, active features
        for start, chunk in self._chunks(x):
            streamed = self._reader(chunk, count=True)
            logits = self._finish(streamed.values[:, : 2 * total], streamed.rms)
            for side in range(2):
                stacked = logits[:, side * total : (side + 1) * total]
                for name, part in self.probes.split(stacked).items():
                    classes[side][name][start : start + len(chunk)] = part.argmax(-1).to(torch.uint8)
                _pool(pooled[side], self.probes.probabilities(stacked), valid, start, frames)
            rebuilt = self.sae.restore(streamed.values[:, 2 * total :] + self.sae.decoder_bias)
            error = (rebuilt - chunk).square().sum(1)
            spread = (chunk - self.sae.mean).square().sum(1)
            assert streamed.active is not None
            _pool(sums, torch.stack([error, spread, streamed.active], 1), valid, start, frames)
        count = valid.sum(1, keepdim=True)
        shape = (items, frames)
        return Reading(
            self.probes.split(pooled[0] / count),
            {name: value.view(shape) for name, value in classes[0].items()},
            self.probes.split(pooled[1] / count),
            {name: value.view(shape) for name, value in classes[1].items()},
            sums[:, 0] / sums[:, 1],
            sums[:, 2] / count[:, 0],
        )

    def class_vector(self, attribute: str, k: int, centred: bool = True) -> Tensor:
        """Probe weights of a class with respect to the features f, [H].

        centred takes the mean over the attribute's classes away, w_k - mean_j w_j (what changes the softmax);
        otherwise the plain w_k of the paper. The weight of log rms, if there is one, is not part of it.
        """
        if attribute not in self.attributes:
            raise InputError(f"this readout reads {', '.join(self.attributes)}, not {attribute!r}")
        weights = self.probes.weight[self.probes.rows(attribute), : self.sae.config.hidden]
        if not 0 <= k < weights.shape[0]:
            raise InputError(f"{attribute} has classes 0 to {weights.shape[0] - 1}, not {k}")
        return weights[k] - weights.mean(0) if centred else weights[k].clone()

    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when any weight, bin edge or space differs."""
        return fingerprint(self)

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """A model card from what the readout knows about itself."""
        return model_card(self)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write config.json, model.safetensors and README.md; options as in huggingface_hub's ModelHubMixin."""
        (Path(save_directory) / "README.md").unlink(missing_ok=True)  # the mixin keeps an old card
        return super().save_pretrained(save_directory, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        write_readout(self, save_directory)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin's would feed config.json to __init__
        cls, pretrained_model_name_or_path: str | Path, *, revision: str | None = None, **download: Any
    ) -> Readout:
        """A saved readout: a folder, a hub id (at `revision`), or the name of a shipped one ("mini").

        download: cache_dir, force_download, local_files_only, token, as for huggingface_hub.hf_hub_download.
        Raises InputError when there is none or it is damaged.
        """
        source = locate(pretrained_model_name_or_path)

        def fetch(name: str) -> Path:
            return fetch_files(source, (name,), revision=revision, **download)[name]

        readout = cls(**read_parts(fetch))
        readout.source = str(pretrained_model_name_or_path)
        return readout

    def _inputs(self, latents: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        channels = self.sae.config.channels
        if latents.ndim != 3 or latents.shape[-1] != channels:
            raise InputError(
                f"this readout of {', '.join(self.spaces)} takes latents [batch, frames, {channels}], "
                f"not {list(latents.shape)}"
            )
        x = latents.detach().to(self._bias)
        if mask is None:
            valid = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        else:
            valid = mask.to(x.device, torch.bool).expand(x.shape[:2])
        return x, valid

    def _chunks(self, x: Tensor) -> list[tuple[int, Tensor]]:
        flat = x.reshape(-1, x.shape[-1])
        step = self._reader.chunk
        return [(start, flat[start : start + step]) for start in range(0, len(flat), step)]

    def _logits(self, chunk: Tensor, rows: int) -> Tensor:
        streamed = self._reader(chunk, rows)
        return self._finish(streamed.values, streamed.rms)

    def _finish(self, values: Tensor, rms: Tensor | None) -> Tensor:
        rows = values.shape[1]
        logits = values + self._bias[:rows]
        if self.log_rms is not None:
            mean, std = self.log_rms
            assert rms is not None
            logits = logits + ((rms.log() - mean) / std)[:, None] * self._level[:rows]
        return logits


def _pool(sums: Tensor, values: Tensor, valid: Tensor, start: int, frames: int) -> None:
    """Add values [n, K], frames start.. of all items laid end to end, to their items' rows of `sums` where valid."""
    index = torch.arange(start, start + len(values), device=values.device)
    kept = torch.where(valid.reshape(-1)[index, None], values, torch.zeros_like(values))
    sums.index_add_(0, index // frames, kept)
