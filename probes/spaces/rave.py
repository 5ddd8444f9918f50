"""RAVE (Caillon and Esling 2021) as exported by its authors' tool: one TorchScript file per model."""

import hashlib
import io
from typing import Any

import torch
from torch import Tensor

from probes.errors import InputError
from probes.spaces.base import Space
from probes.spaces.weights import weights_file
from probes.support.tensors import first_line

SOURCES = "acids-ircam.github.io/rave_models_download, or Intelligent-Instruments-Lab/rave-models on the Hub"


class RaveSpace(Space):
    """Audio at the export's own rate, usually 2,048 samples per frame and 8 to 32 channels.

    Encoding draws from the posterior, and decoding fills the dimensions that the export left out with noise: both are
    seeded, per clip, so that a clip's result is always the same. An export made for streaming carries its caches from
    call to call; it is loaded anew for every clip, and its latents lag behind the audio by its latency.

    Args:
        weights: A `.ts` file, or a hub id with `file`.
        device: Where it runs.
        file: Name of the file in a repository or folder.
        revision: Revision of the hub repository.

    Raises:
        InputError: no such file, not a RAVE export, or one with discrete codes.
    """

    name = "rave"

    def __init__(
        self,
        weights: str | None = None,
        device: str | torch.device = "cpu",
        file: str | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__(weights, device)
        if weights is None:
            raise InputError(f"RAVE has many models and none of its own: give an exported .ts file, from {SOURCES}")
        path, self.revision = weights_file(weights, weights, file or "model.ts", revision)
        self.weights, self.file, self.script = weights, file, path.read_bytes()
        self.model = self._load()
        parameters = getattr(self.model, "encode_params", None)
        if parameters is None or not hasattr(self.model, "decode_params"):
            raise InputError(f"{path} has no encode_params: export the model again with a current RAVE")
        self.audio_channels, _, self.channels, self.hop = (int(value) for value in parameters)
        rate = next((getattr(self.model, key) for key in ("sr", "sampling_rate") if hasattr(self.model, key)), None)
        if rate is None:
            raise InputError(f"{path} does not say its sample rate: export the model again with a current RAVE")
        self.sample_rate = int(rate)
        self.mean, self.std = torch.zeros(self.channels), torch.ones(self.channels)
        self.stateful = False
        self._examine(str(path))

    def options(self) -> dict[str, Any]:
        return {} if self.file is None else {"file": self.file}

    def fingerprint(self) -> str:
        """Sixteen hex digits of the file: the tensors of a streaming export change as it runs."""
        return hashlib.blake2b(self.script, digest_size=8).hexdigest()

    def _load(self) -> Any:
        try:
            return torch.jit.load(io.BytesIO(self.script), map_location=self.device).eval()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.weights} is not a TorchScript file: {first_line(error)}") from error

    @torch.no_grad()
    def _examine(self, path: str) -> None:
        """Learn from one second of noise whether the export gives codes, and whether it remembers."""
        frames = -(-self.sample_rate // self.hop)
        source = torch.Generator().manual_seed(0)
        noise = torch.randn(1, self.audio_channels, frames * self.hop, generator=source).to(self.device) * 0.1
        first, second = (self._alone(self.model.encode, noise) for _ in range(2))
        if first.shape[1] != self.channels or first.shape[2] != frames:
            raise InputError(f"{path} encodes {list(noise.shape)} to {list(first.shape)}, not as its encode_params say")
        if torch.equal(first, first.round()) and first.abs().max() > 1:
            raise InputError(f"{path} is a discrete RAVE, whose codes are indices and no vectors: take another export")
        self.stateful = not torch.equal(first, second)
        self.model = self._load()

    def _alone(self, method: Any, clip: Tensor) -> Tensor:
        """One clip [1, C, n] with the same random numbers as ever."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            result: Tensor = method(clip)
        return result

    def _each(self, name: str, clips: Tensor) -> Tensor:
        """A method of the export over clips [B, C, n], each as if it were the first that it sees."""
        results = []
        for clip in clips.split(1):
            if self.stateful:
                self.model = self._load()
            results.append(self._alone(getattr(self.model, name), clip))
        return torch.cat(results)

    def _encode(self, audio: Tensor) -> Tensor:
        return self._each("encode", audio).transpose(1, 2)

    def _decode(self, latents: Tensor) -> Tensor:
        return self._each("decode", latents.transpose(1, 2).contiguous())

    # The network's noise and caches run through a whole clip: it is never cut.
    _encode_long = _encode
    _decode_long = _decode
