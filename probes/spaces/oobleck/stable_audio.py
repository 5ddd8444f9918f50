"""Stable Audio Open's VAE, through diffusers."""

from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from probes.errors import InputError
from probes.spaces.base import Space
from probes.spaces.oobleck.statistics import MEAN, STD
from probes.spaces.weights import commit_of, few, local
from probes.support.hub import hub_message, pinned
from probes.support.tensors import first_line
from probes.support.torchaudio_stub import ensure_torchaudio

REPO = "stabilityai/stable-audio-open-1.0"


class StableAudioSpace(Space):
    """44.1 kHz stereo, 64 channels at 21.53 frames per second; the latent is the mode of the posterior,
    unscaled.

    Args:
        weights: A folder of `AutoencoderOobleck.save_pretrained`, the folder of a whole pipeline, a hub id,
            or None for Stable Audio Open 1.0 (gated; Stability AI community licence).
        device: Where it runs.
        revision: Of the hub repository.
        subfolder: Of a hub repository or pipeline folder.

    Raises:
        InputError: no such weights, or keys that are missing or unexpected.
    """

    name = "stable-audio"
    compatible = ("diffrhythm",)
    channels = 64
    sample_rate = 44100
    audio_channels = 2
    hop = 2048
    chunk_frames = 128

    def __init__(
        self,
        weights: str | None = None,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        subfolder: str = "vae",
    ) -> None:
        super().__init__(weights, device)
        folder = local_oobleck(weights, subfolder) if weights else None
        if folder is not None:
            self.weights = str(weights)
            vae = load_oobleck(str(folder))
        else:
            self.weights, revision = pinned(weights or REPO, revision)
            vae = load_oobleck(self.weights, subfolder, revision)
            self.revision = downloaded_commit(self.weights, f"{subfolder}/config.json", revision)
        self.vae = vae.to(self.device)
        config = self.vae.config
        self.channels, self.sample_rate = config.decoder_input_channels, config.sampling_rate
        self.audio_channels, self.hop = config.audio_channels, prod(config.downsampling_ratios)
        known = self.channels == len(MEAN)
        self.mean = torch.tensor(MEAN) if known else torch.zeros(self.channels)
        self.std = torch.tensor(STD) if known else torch.ones(self.channels)

    def _encode(self, audio: Tensor) -> Tensor:
        return self.vae.encode(audio).latent_dist.mode().transpose(1, 2)

    def _decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents.transpose(1, 2)).sample


def local_oobleck(weights: str, subfolder: str) -> Path | None:
    """The folder of a saved `AutoencoderOobleck`, alone or in a pipeline's folder; None for a hub id."""
    folder = local(weights)
    if folder is None:
        return None
    for candidate in (folder, folder / subfolder):
        if (candidate / "config.json").is_file():
            return candidate
    raise InputError(f"{weights} has no config.json, nor has its {subfolder}: give a saved AutoencoderOobleck")


def downloaded_commit(repo: str, filename: str, revision: str | None) -> str | None:
    """The commit of a file that was just downloaded."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, filename, revision=revision)
    return commit_of(Path(path)) if isinstance(path, str) else revision


def load_oobleck(source: str, subfolder: str | None = None, revision: str | None = None) -> Any:
    """An `AutoencoderOobleck` with all its weights, in float32 and eval mode."""
    ensure_torchaudio()
    from diffusers import AutoencoderOobleck

    try:
        vae, info = AutoencoderOobleck.from_pretrained(
            source, subfolder=subfolder, revision=revision, torch_dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        if not Path(source).exists():
            raise InputError(hub_message(source, f"{subfolder}/", error)) from error
        raise InputError(f"{source} is not a saved AutoencoderOobleck: {first_line(error)}") from error
    wrong = {what: keys for what in ("missing_keys", "unexpected_keys") if (keys := info[what])}
    if wrong:
        what = "; ".join(f"{kind.split('_')[0]} {few(sorted(keys))}" for kind, keys in wrong.items())
        raise InputError(f"{source} does not fit AutoencoderOobleck: {what}")
    return vae.eval()
