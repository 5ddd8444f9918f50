"""EnCodec at 24 kHz (Defossez et al. 2022), through the encodec package."""

import contextlib
import sys
from typing import Any

import torch
from torch import Tensor

from probes.errors import InputError
from probes.spaces.base import Space
from probes.spaces.seanet import long_inputs
from probes.spaces.weights import load_strict, number_among, weights_file
from probes.support.tensors import read_torch
from probes.support.torchaudio_stub import ensure_torchaudio

FILENAME = "encodec_24khz-d7cc33bc.th"
URL = f"https://dl.fbaipublicfiles.com/encodec/v0/{FILENAME}"
BANDWIDTHS = (1.5, 3.0, 6.0, 12.0, 24.0)


class EncodecSpace(Space):
    """24 kHz mono, 128 channels at 75 frames per second: the sum of the chosen codebook entries.

    Args:
        weights: `encodec_24khz-d7cc33bc.th`, the folder that holds it, or None to download the released file.
        device: Where it runs.
        bandwidth: In kbit/s: 1.5, 3, 6, 12 or 24, for 2, 4, 8, 16 or 32 codebooks.

    Raises:
        InputError: another bandwidth, no such file, or keys that are missing or unexpected.
    """

    name = "encodec"
    channels = 128
    sample_rate = 24000
    audio_channels = 1
    hop = 320
    chunk_frames = 1500

    def __init__(self, weights: str | None = None, device: str | torch.device = "cpu", bandwidth: float = 6.0) -> None:
        super().__init__(weights, device)
        chosen = number_among(bandwidth, BANDWIDTHS)
        if chosen is None:
            raise InputError(f"EnCodec has no bandwidth {bandwidth}: choose 1.5, 3, 6, 12 or 24 kbit/s")
        self.bandwidth = chosen
        self.weights = weights or URL  # what a corpus records, and gives back
        ensure_torchaudio()
        from encodec import EncodecModel

        model: Any = EncodecModel.encodec_model_24khz(pretrained=False)
        load_strict(model, released_state(self.weights), self.weights)
        self.model = model.to(self.device).eval()
        self.books = self.model.quantizer.get_num_quantizers_for_bandwidth(self.model.frame_rate, self.bandwidth)
        self.mean, self.std = long_inputs.codebook_statistics(self.model.quantizer.vq.layers[: self.books])

    def options(self) -> dict[str, Any]:
        return {"bandwidth": self.bandwidth}

    def _encode(self, audio: Tensor) -> Tensor:
        embedding = long_inputs.encode(self.model.encoder.model, audio, self.hop, self.chunk_frames)
        codes = self.model.quantizer.vq.encode(embedding, self.books)
        return self.model.quantizer.decode(codes).transpose(1, 2)

    def _decode(self, latents: Tensor) -> Tensor:
        return long_inputs.decode(self.model.decoder.model, latents.transpose(1, 2), self.hop, self.chunk_frames)

    # long_inputs.encode and decode cut long inputs themselves, where it leaves the result as it is.
    _encode_long = _encode
    _decode_long = _decode


def released_state(weights: str) -> dict[str, Tensor]:
    """Tensors of the file at a path, or of the released one, downloaded when its URL is given."""
    if weights == URL:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # torch tells of the download where results are printed
                return dict(torch.hub.load_state_dict_from_url(URL, map_location="cpu", weights_only=True))
        except OSError as error:
            raise InputError(
                f"cannot download {URL}: go online once, or download it elsewhere and pass its path"
            ) from error
    path, _ = weights_file(weights, weights, FILENAME, None)
    state: Any = read_torch(path)
    if not isinstance(state, dict):
        raise InputError(f"{path} holds no dictionary of tensors: give {FILENAME}")
    return dict(state)
