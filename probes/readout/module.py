"""Readout: a sparse autoencoder and linear probes as one module, latents in, class distributions out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor, nn

from probes.attributes.bins import MOST_CLASSES
from probes.errors import InputError
from probes.readout.baselines import Baselines, fold_again
from probes.readout.card import model_card
from probes.readout.files import fingerprint, locate, read_parts, write_readout
from probes.readout.gathering import Gathering, Reading, pool, wide
from probes.readout.generic import GenericDirections
from probes.readout.inputs import sae_inputs
from probes.readout.kinds import RAW, SHUFFLED, TRAINED, UNTRAINED
from probes.readout.linear import LinearProbes
from probes.readout.noise import NoiseAware
from probes.readout.pooling import clip_peaks
from probes.readout.tempo import ONSET, TempoReader
from probes.sae import SparseAutoencoder
from probes.sae.streaming import LinearReader, Streamed
from probes.support.devices import in_float32, without_autocast
from probes.support.hub import fetch_files

if TYPE_CHECKING:
    from probes.attributes import Bins


class Readout(
    nn.Module,
    ModelHubMixin,
    library_name="generation-tracer",
    tags=["sparse-autoencoder", "linear-probe", "music", "audio", "interpretability"],
):
    """Reads attributes from the latents of one space (or of several that share their latents).

    `source` says where it was loaded from; None for one made here. It reads through what `fold` makes of its weights
    when it gets them, here or in `load_state_dict`; after a change in place, call it.

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
        generic: Directions without a meaning, a control of emergence; None in a readout made before there were any.
        baselines: Probes that do without the trained autoencoder; None likewise.
        noise: Probes that know the noise, for noisy latents; None likewise.
        tempo: Reads tempo from the readings of onsets, as one more attribute, which has no probe; None likewise.
        mean: [C] of the training latents, raw units; None for that of the autoencoder, made from the same data.

    Attributes:
        attributes: Names of the attributes that have a probe, in order.
        bins: Classes of every attribute that is read.
        clips: Attributes with one value for a clip, whose probes see peaks of the features (`probes.readout.pooling`).
        ordered: Attributes whose classes are a scale.
    """

    covariance: Tensor | None
    own_mean: Tensor | None
    """The mean where it is not the autoencoder's."""

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
        generic: GenericDirections | None = None,
        baselines: Baselines | None = None,
        noise: NoiseAware | None = None,
        tempo: TempoReader | None = None,
        mean: Tensor | None = None,
    ) -> None:
        super().__init__()
        hidden, channels = sae.config.hidden, sae.config.channels
        inputs = hidden + (log_rms is not None)
        counts = {name: len(own) for name, own in bins.items()}
        if probes.classes != controls.classes or list(probes.classes.items()) != list(counts.items()):
            raise InputError("probes, controls and bins must have the same attributes and classes")
        clips = tuple(name for name, own in bins.items() if own.grid == "clip")
        if probes.clips != clips or controls.clips != clips:
            raise InputError("probes and controls of attributes with one value for a clip must see its peaks")
        if probes.weight.shape[1] != inputs or controls.weight.shape[1] != inputs:
            raise InputError(f"the probes must have {inputs} inputs, as many as this autoencoder gives")
        if covariance is not None and not (covariance.shape == (channels, channels) and covariance.isfinite().all()):
            raise InputError(f"the covariance of the latents must be {channels} x {channels} finite numbers")
        if mean is not None and not (mean.shape == (channels,) and mean.isfinite().all()):
            raise InputError(f"the mean of the latents must be {channels} finite numbers")
        if tempo is not None and (ONSET not in bins or "tempo" in bins):
            raise InputError("tempo is read from onsets: the probes must read onset, and not tempo")
        if max(probes.classes.values()) > MOST_CLASSES:
            raise InputError(f"an attribute has more than {MOST_CLASSES} classes: use fewer bins")
        self.sae = sae
        self.probes = probes
        self.controls = controls
        self.bins = dict(bins) | ({} if tempo is None else {"tempo": tempo.bins})
        self.spaces = tuple(spaces)
        self.attributes = probes.attributes
        self.clips = clips
        self.ordered = tuple(name for name, own in self.bins.items() if own.ordered)
        self.log_rms = log_rms
        self.report = dict(report or {})
        self.source: str | None = None
        self.generic = generic
        self.baselines = baselines
        self.noise = noise
        self.tempo = tempo
        self.register_buffer("covariance", covariance, persistent=False)
        self.register_buffer("own_mean", mean, persistent=False)
        self.fold()
        self.register_load_state_dict_post_hook(fold_again)
        self.requires_grad_(False)
        self.eval()

    def fold(self) -> None:
        """Make what reading goes through from the weights of probes and autoencoder."""
        hidden, rows = self.sae.config.hidden, [self.probes.weight, self.controls.weight]
        stacked = torch.cat([*(weight[:, :hidden] for weight in rows), self.sae.dictionary.t()])
        self._reader = LinearReader(self.sae, stacked)
        bias = torch.cat([self.probes.bias, self.controls.bias])
        self._rebuilding = slice(len(bias), None)
        level = torch.cat([weight[:, hidden:].sum(1) for weight in rows])
        self.register_buffer("_level", level.detach().clone(), persistent=False)
        self.register_buffer("_bias", bias.detach().clone(), persistent=False)
        self._level: Tensor
        self._bias: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean [C] of the training latents, raw units."""
        return self.sae.mean if self.own_mean is None else self.own_mean

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Readout:
        """As torch does, but for a covariance in half precision, which would no longer be one."""
        covariance = self.covariance
        super()._apply(fn, recurse)
        if covariance is not None:
            self.covariance = covariance.to(self._bias.device, wide(self._bias))
        return self

    def __repr__(self) -> str:
        origin = f' "{self.source}"' if self.source else ""
        lines = [
            f"Readout{origin} of {' or '.join(self.spaces)} latents [batch, frames, {self.sae.config.channels}]",
            f"  autoencoder: {self.sae!r}",
            *(f"  {name}: {own.summary}" for name, own in self.bins.items()),
        ]
        if self.noise is not None:
            lines.append(f"  noisy latents: {self.noise!r}")
        return "\n".join(lines)

    def forward(self, latents: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Latents [B, F, C], valid frames [B, F] bool or None for all -> class distributions of items {name: [B, K]}.

        Means over the frames; of an attribute with one value for a clip the softmax of the logits of its peaks.
        """
        return self.read(latents, mask, only_trained=True).pooled[TRAINED]

    def frames(self, latents: Tensor) -> dict[str, Tensor]:
        """Latents [B, F, C] -> class distributions of every frame {name: [B, F, K]}.

        An attribute with one value for a clip or a window has that one's in every frame.
        """
        return self.read(latents, keep=tuple(self.bins), only_trained=True).distributions[TRAINED]

    @torch.no_grad()
    @without_autocast()
    def logits(self, frames: Tensor) -> Tensor:
        """Latents [N, C] -> stacked logits [N, sum of K] of the trained probes, of every frame by itself."""
        x, _ = self._inputs(frames[None], None)
        return torch.cat([self._logits(chunk, len(self.probes.bias)) for _, chunk in self._chunks(x)])

    @torch.no_grad()
    @without_autocast()
    def clip_logits(self, latents: Tensor) -> Tensor:
        """Latents [F, C] of one clip -> stacked logits [F, sum of K] of the trained probes.

        As `logits`; those of attributes with one value for a clip are those of its peaks, in all frames.
        """
        x, valid = self._inputs(latents[None], None)
        logits = self.logits(latents)
        return self._with_peaks(logits, self._on_peaks(x, valid), torch.zeros_like(logits[:, 0]).long())

    @torch.no_grad()
    @without_autocast()
    def read(
        self,
        latents: Tensor,
        mask: Tensor | None = None,
        keep: Sequence[str] = (),
        only_trained: bool = False,
        baselines: Sequence[str] = (),
        noise: tuple[float, float] | None = None,
    ) -> Reading:
        """Read everything that the tracer stores about latents, in one pass.

        Args:
            latents: [B, F, C].
            mask: [B, F] bool, the frames that count, or [F] for all clips alike; None for all.
            keep: Attributes whose distribution of every frame is returned too.
            only_trained: Leave out the controls and what the autoencoder makes of the latents.
            baselines: "raw", "untrained" or both, to read with these probes too.
            noise: Shares (alpha, sigma) of latents that are alpha data + sigma noise, sigma 0 for a finished state.
                Trained and shuffled probes are then those of this noise, and generic directions are read in the linear
                clean estimate. With None, and in a readout without probes of noise, everything is read as clean.

        Raises:
            InputError: Latents or mask of another shape, no frame, or baselines that the readout does not bring.
        """
        x, valid = self._inputs(latents, mask)
        if strange := [kind for kind in baselines if kind not in (RAW, UNTRAINED)]:
            raise InputError(f"baselines are {RAW} and {UNTRAINED}, not {strange[0]!r}")
        if baselines and self.baselines is None:
            raise InputError("this readout brings no baselines: fit it again, or read without them")
        knowing = self.noise if noise is not None else None
        shares = noise or (1.0, 0.0)
        estimate = x if knowing is None else knowing.inputs.estimate(x, *shares)
        total, sides = len(self.probes.bias), (TRAINED,) if only_trained else (TRAINED, SHUFFLED)
        gathered = Gathering(self.probes, self.clips, (*sides, *baselines), keep, x)
        on_peaks = self._on_peaks(estimate, valid)
        # Squared error, squared distance to the mean, active features.
        sums = x.new_zeros(len(x), 3, dtype=wide(x))
        for (start, chunk), (_, guess) in zip(self._chunks(x), self._chunks(estimate)):
            if knowing is None:
                logits, rebuilding = self._read_clean(chunk, only_trained)
            else:
                items = torch.arange(start, start + len(chunk), device=x.device) // x.shape[1]
                seen = self._with_peaks(self._logits(guess, total), on_peaks, items)
                logits = knowing.logits(seen, chunk, *shares)
                rebuilding = None if only_trained else self._reader(chunk, self._rebuilding, count=True)
            for side, part in zip(sides, logits.split(total, dim=1)):
                gathered.add(side, part, valid, start)
            for side in baselines:
                assert self.baselines is not None
                gathered.add(side, self.baselines.logits(side, chunk), valid, start)
            if rebuilding is not None:
                pool(sums, self._rebuilt(chunk, rebuilding), valid, start)
        if self.generic is not None and not only_trained:
            gathered.add_generic(self.generic, estimate)
        count = valid.sum(1, keepdim=True)
        items_of = {side: self.probes.split(pooled / count) for side, pooled in gathered.pooled.items()}
        by_side: dict[str, Tensor] = {}
        if self.clips:
            by_side = {side: self.baselines.clip_logits(side, x, valid) for side in baselines if self.baselines}
            if knowing is None:  # probes that know the noise have seen them
                by_side |= zip(sides, on_peaks.split(total, 1))
        for side, of_clips in gathered.give_clips_one_value(valid, by_side, self.generic).items():
            items_of[side] |= of_clips
        if self.tempo is not None:
            for side, tempos in gathered.add_tempo(self.tempo, valid).items():
                items_of[side]["tempo"] = (tempos * valid[..., None]).sum(1) / count
        autoencoder = (None, None) if only_trained else (sums[:, 0] / sums[:, 1], sums[:, 2] / count[:, 0])
        return Reading(
            items_of,
            gathered.classes,
            {probe: {name: own[name] for name in self.ordered} for probe, own in gathered.values.items()},
            gathered.distributions,
            *autoencoder,
        )

    def class_vector(self, attribute: str, k: int, centred: bool = True) -> Tensor:
        """Probe weights of a class with respect to the features f, [H]; of an attribute with one value for a clip with
        respect to what rises in all its frames alike.

        centred takes the mean over the attribute's classes away, w_k - mean_j w_j (what changes the softmax);
        otherwise the plain w_k of the paper. The weight of log rms, if there is one, is not part of it.
        """
        return self.class_weights(attribute, k, centred)[0]

    def class_weights(self, attribute: str, k: int, centred: bool = True) -> Tensor:
        """As `class_vector`, with respect to each part of what the probe sees of the features: [1, H] of frames, [2, H]
        of the peaks of clips (`probes.readout.pooling`).
        """
        if attribute not in self.attributes:
            raise InputError(f"this readout reads {', '.join(self.attributes)}, not {attribute!r}")
        parts = [self.probes.weight[self.probes.rows(attribute)], self.probes.on_rises().get(attribute)]
        weights = torch.stack([part[:, : self.sae.config.hidden] for part in parts if part is not None], 1)
        if not 0 <= k < len(weights):
            raise InputError(f"{attribute} has classes 0 to {len(weights) - 1}, not {k}")
        return weights[k] - weights.mean(0) if centred else weights[k].clone()

    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when any weight, bin edge or space differs.

        Probes that know the noise have a fingerprint of their own: they change nothing of how clean latents are read.
        """
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
    @in_float32
    def from_pretrained(  # type: ignore[override]  # the mixin's would feed config.json to __init__
        cls, pretrained_model_name_or_path: str | Path, *, revision: str | None = None, **download: Any
    ) -> Readout:
        """A saved readout: a folder, a hub id (at `revision`), or the name of a shipped one ("mini", "mini-music").

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
        if not x.shape[1]:
            raise InputError("there is nothing to read: the latents have no frame")
        if mask is None:
            valid = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        elif mask.shape not in (x.shape[:2], x.shape[1:2]):
            raise InputError(f"a mask of latents {list(x.shape)} is [batch, frames], not {list(mask.shape)}")
        else:
            valid = mask.to(x.device, torch.bool).expand(x.shape[:2])
        return x, valid

    def _read_clean(self, chunk: Tensor, only_trained: bool) -> tuple[Tensor, Streamed | None]:
        """Stacked logits of the probes, and of the controls where they are wanted too with what rebuilds latents."""
        if only_trained:
            return self._logits(chunk, len(self.probes.bias)), None
        streamed = self._reader(chunk, count=True)
        logits = self._finish(streamed.values[:, : self._rebuilding.start], streamed.rms)
        return logits, streamed._replace(values=streamed.values[:, self._rebuilding])

    def _rebuilt(self, chunk: Tensor, streamed: Streamed) -> Tensor:
        """[N, 3] of latents [N, C]: squared error of the autoencoder, squared distance to the mean, active features."""
        wanted = wide(chunk)
        rebuilt = self.sae.restore(streamed.values + self.sae.decoder_bias)
        error = (rebuilt - chunk).to(wanted).square().sum(1)
        spread = (chunk - self.mean).to(wanted).square().sum(1)
        assert streamed.active is not None
        return torch.stack([error, spread, streamed.active], 1)

    def _on_peaks(self, latents: Tensor, valid: Tensor) -> Tensor:
        """Stacked logits [B, 2 sum of K] of probes and controls on the peaks of items; [B, 0] where none sees them."""
        if not self.clips:
            return latents.new_empty(len(latents), 0)
        seen = clip_peaks(sae_inputs(self.sae, self.log_rms).features, latents, valid)
        return torch.cat([self.probes.of_peaks(seen), self.controls.of_peaks(seen)], 1)

    def _with_peaks(self, logits: Tensor, on_peaks: Tensor, items: Tensor) -> Tensor:
        """Stacked logits [N, sum of K] of frames, those of attributes of clips being of their items [N]."""
        for name in self.clips:
            rows = self.probes.rows(name)
            logits[:, rows] = on_peaks[items, rows].to(logits)
        return logits

    def _chunks(self, x: Tensor) -> list[tuple[int, Tensor]]:
        return self._reader.chunks(x.reshape(-1, x.shape[-1]))

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
