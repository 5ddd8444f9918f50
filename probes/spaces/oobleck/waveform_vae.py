"""Autoencoders on waveforms, through diffusers; those of Stable Audio 3 and LongCat-AudioDiT."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from probes.errors import InputError
from probes.spaces.base import Space
from probes.spaces.weights import commit_of, few, local, place_of
from probes.support.hub import hub_message
from probes.support.tensors import first_line
from probes.support.torchaudio_stub import ensure_torchaudio

SUBFOLDER = "vae"


class WaveformVaeSpace(Space):
    """An autoencoder of diffusers on waveforms.

    Args:
        weights: A folder of its `save_pretrained`, the folder of a whole pipeline, a hub id, or None for the
            released pipeline's.
        device: Where it runs.
        revision: Revision of the hub repository.
        subfolder: Subfolder of a hub repository or pipeline folder.

    Raises:
        InputError: no such weights, or keys that are missing or unexpected.
    """

    repo: ClassVar[str]
    architecture: ClassVar[str]

    def __init__(
        self,
        weights: str | None = None,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        subfolder: str = SUBFOLDER,
    ) -> None:
        super().__init__(weights, device)
        self.subfolder = subfolder
        self.weights, revision = place_of(weights or self.repo, revision)
        self._take(load_part(self.weights, self.architecture, subfolder, revision).to(self.device))
        self.revision = commit(self.weights, subfolder, revision)

    @classmethod
    def of_pipeline(cls, pipeline: Any) -> Self:
        """The space of a loaded pipeline of diffusers: its own autoencoder, in float32, where it is."""
        space = cls.__new__(cls)
        Space.__init__(space, device=pipeline.vae.device)
        space.weights, space.subfolder = name_of(pipeline), SUBFOLDER
        space._take(full_precision(pipeline.vae))
        return space

    def _take(self, vae: Any) -> None:
        self.vae = vae
        self.channels, self.sample_rate, self.audio_channels, self.hop = self._shape()
        self.mean, self.std = self._statistics()

    def options(self) -> dict[str, Any]:
        return {} if self.subfolder == SUBFOLDER else {"subfolder": self.subfolder}

    @abstractmethod
    def _shape(self) -> tuple[int, int, int, int]:
        """Channels, sample rate in Hz, audio channels, and samples per frame of the loaded autoencoder."""

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and std per channel; 0 and 1 where nobody has published any, so that latents are left as they are."""
        return torch.zeros(self.channels), torch.ones(self.channels)

    def _decode(self, latents: Tensor) -> Tensor:
        audio: Tensor = self.vae.decode(latents.transpose(1, 2)).sample
        return audio


class StableAudio3Space(WaveformVaeSpace):
    """Stable Audio 3: 44.1 kHz stereo, 256 channels at 10.77 frames per second; a deterministic encoder."""

    name = "stable-audio-3"
    repo = "stabilityai/stable-audio-3-medium"
    architecture = "AutoencoderSAME"

    def _shape(self) -> tuple[int, int, int, int]:
        config = self.vae.config
        return config.latent_dim, config.sampling_rate, config.audio_channels, self.vae.downsampling_ratio

    def _encode(self, audio: Tensor) -> Tensor:
        latents: Tensor = self.vae.encode(audio).latents
        return latents.transpose(1, 2)


class LongCatAudioSpace(WaveformVaeSpace):
    """LongCat-AudioDiT: 24 kHz mono, 64 channels at 11.72 frames per second; the mean of the posterior, scaled as
    the sampler sees it."""

    name = "longcat-audio"
    repo = "ruixiangma/LongCat-AudioDiT-1B-Diffusers"
    architecture = "LongCatAudioDiTVae"

    def _shape(self) -> tuple[int, int, int, int]:
        config = self.vae.config
        return config.latent_dim, config.sample_rate, config.in_channels, config.downsampling_ratio

    def _encode(self, audio: Tensor) -> Tensor:
        latents: Tensor = self.vae.encode(audio, sample_posterior=False).latents
        return latents.transpose(1, 2)


def load_part(weights: str, architecture: str, subfolder: str, revision: str | None = None) -> Any:
    """A model of diffusers or transformers with all its weights, in float32 and eval mode.

    Args:
        weights: A folder of its `save_pretrained`, the folder of a pipeline, or a hub id.
        architecture: Name of the class.
        subfolder: Subfolder of the pipeline.
        revision: Revision of the hub repository.

    Raises:
        InputError: no such weights, or keys that are missing or unexpected.
    """
    ensure_torchaudio()
    import diffusers
    import transformers

    library = diffusers if hasattr(diffusers, architecture) else transformers
    folder = local(weights)
    where: dict[str, Any] = {"subfolder": subfolder, "revision": revision or "main"}
    if folder is not None:
        folder, where = (folder if (folder / "config.json").is_file() else folder / subfolder), {}
        if not (folder / "config.json").is_file():
            raise InputError(f"{weights} has no config.json, nor has its {subfolder}: give a saved {architecture}")
    try:
        model, info = getattr(library, architecture).from_pretrained(
            str(folder or weights), torch_dtype=torch.float32, output_loading_info=True, **where
        )
    except (OSError, ValueError, RuntimeError) as error:
        if folder is None:
            raise InputError(hub_message(weights, f"{subfolder}/", error)) from error
        raise InputError(f"{folder} is not a saved {architecture}: {first_line(error)}") from error
    wrong = {kind: info[kind] for kind in ("missing_keys", "unexpected_keys") if info[kind]}
    if wrong:
        what = "; ".join(f"{kind.split('_')[0]} {few(sorted(map(str, keys)))}" for kind, keys in wrong.items())
        raise InputError(f"{weights} does not fit {architecture}: {what}")
    return model.eval()


def full_precision(model: Any) -> Any:
    """A model of diffusers or transformers that is loaded already, in float32: itself, or a copy where it is not."""
    if model.dtype == torch.float32:
        return model
    copied = type(model).from_config(model.config) if hasattr(model, "from_config") else type(model)(model.config)
    copied.load_state_dict(model.state_dict())
    return copied.to(model.device, torch.float32).eval()


def name_of(pipeline: Any) -> str:
    """Where a loaded pipeline came from: a path, a hub id, or its class where it was built in memory."""
    return str(pipeline.name_or_path or type(pipeline).__name__)


def commit(weights: str, subfolder: str, revision: str | None) -> str | None:
    """The commit a hub repository's files came from, None for a path."""
    if local(weights) is not None:
        return None
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(weights, f"{subfolder}/config.json", revision=revision)
    return commit_of(Path(path)) if isinstance(path, str) else revision
