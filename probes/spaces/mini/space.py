"""The latent space of the bundled demonstration model: 22.05 kHz mono, 64 channels at 21.53 frames per second."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from probes.errors import InputError
from probes.spaces.base import Space
from probes.spaces.mini.codec import Codec, CodecConfig, invert
from probes.spaces.weights import load_strict
from probes.support.files import Missing, read_json
from probes.support.tensors import read_safetensors, require_finite_weights

BUNDLED = Path(__file__).resolve().parents[2] / "weights" / "mini-codec"
ITERATIONS = 12  # of Griffin-Lim
MOST = 2**16
"""Largest number in the description of a codec."""
FRAMES_AT_ONCE = 4200  # latent frames of a batch that are given a phase together; bounds memory


class MiniSpace(Space):
    """A small variational autoencoder on log-magnitude spectra, trained on rendered music.

    Encoding is the posterior mean, standardised. Decoding predicts magnitudes and finds the phase by Griffin-Lim
    from a fixed start, so it is deterministic; a chunked phase would break at the seams, so long inputs are
    decoded whole.

    Args:
        weights: folder with `config.json` and `model.safetensors`; None is what the package brings.
        device: where it runs.

    Raises:
        InputError: the folder lacks these files, or they do not fit together.
    """

    name = "mini"
    channels = 64
    sample_rate = 22050
    audio_channels = 1
    hop = 1024

    def __init__(self, weights: str | None = None, device: str | torch.device = "cpu") -> None:
        super().__init__(weights, device)
        self.weights = weights or "bundled"  # the word that a corpus records, and gives back
        folder = BUNDLED if self.weights == "bundled" else Path(self.weights)
        self.codec = read_codec(folder).to(self.device)
        config = self.codec.config
        if (config.channels, config.sample_rate, config.hop) != (self.channels, self.sample_rate, self.hop):
            raise InputError(f"{folder} is a codec of another rate or width than 64 channels every 1,024 samples")
        self.mean, self.std = torch.zeros(self.channels), torch.ones(self.channels)

    def _encode(self, audio: Tensor) -> Tensor:
        return self.codec.encode(self.codec.spectra(audio[:, 0]))

    def _decode(self, latents: Tensor) -> Tensor:
        config = self.codec.config
        items = max(1, FRAMES_AT_ONCE // latents.shape[1])
        parts = []
        for some in latents.split(items):
            magnitudes = self.codec.magnitudes(self.codec.decode(some))
            parts.append(invert(magnitudes, config.step, config.n_fft, ITERATIONS))
        return torch.cat(parts)[:, None]

    _decode_long = _decode


def read_codec(folder: Path) -> Codec:
    """The codec in a folder, in float32, frozen."""
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}: give the folder of a mini codec, or leave the weights out")
    config = folder / "config.json"
    kinds = {field.name: float if field.name == "noise" else int for field in dataclasses.fields(CodecConfig)}
    settings = read_json(config, {name: (kind, Missing) for name, kind in kinds.items()})
    wrong = [name for name, value in settings.items() if name not in kinds or not 0 < value <= MOST]
    if wrong:
        raise InputError(f"{config} does not describe a mini codec: {wrong[0][:40]!r} is unknown or not in 1 to {MOST}")
    codec = Codec(CodecConfig(**settings))
    tensors = {name: tensor.float() for name, tensor in read_safetensors(folder / "model.safetensors").items()}
    require_finite_weights(folder / "model.safetensors", tensors)
    load_strict(codec, tensors, str(folder))
    return codec.eval().requires_grad_(False)
