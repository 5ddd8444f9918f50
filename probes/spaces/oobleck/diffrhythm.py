"""DiffRhythm's VAE, as released: one TorchScript file."""

import torch
from torch import Tensor

from probes.errors import InputError
from probes.spaces.base import Space
from probes.spaces.oobleck.statistics import MEAN, STD
from probes.spaces.weights import weights_file
from probes.support.tensors import first_line

REPO, FILENAME = "ASLP-lab/DiffRhythm-vae", "vae_model.pt"


class DiffRhythmSpace(Space):
    """44.1 kHz stereo, 64 channels at 21.53 frames per second; the latent is the mean of the posterior.

    Args:
        weights: `vae_model.pt`, the folder that holds it, a hub id, or None for the released file
            (stable-audio community licence).
        device: Where it runs.
        revision: Revision of the hub repository.

    Raises:
        InputError: no such file, or not a TorchScript module with `encode_export` and `decode_export`.
    """

    name = "diffrhythm"
    compatible = ("stable-audio",)
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
    ) -> None:
        super().__init__(weights, device)
        path, self.revision = weights_file(weights, REPO, FILENAME, revision)
        self.weights = weights or REPO
        try:
            self.vae = torch.jit.load(str(path), map_location=self.device).eval()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{path} is not a TorchScript file: {first_line(error)}") from error
        missing = [name for name in ("encode_export", "decode_export") if not hasattr(self.vae, name)]
        if missing:
            raise InputError(f"{path} is not DiffRhythm's VAE: it has no {' and no '.join(missing)}")
        self.mean, self.std = torch.tensor(MEAN), torch.tensor(STD)

    def _encode(self, audio: Tensor) -> Tensor:
        # encode_export gives mean and scale on top of each other; the mean is the deterministic latent.
        return self.vae.encode_export(audio).chunk(2, dim=1)[0].transpose(1, 2)

    def _decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode_export(latents.transpose(1, 2))
