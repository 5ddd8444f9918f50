"""What every latent space offers: audio in, latents out, and back."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from probes.errors import InputError
from probes.support.audio_files import resample, to_mono
from probes.support.tensors import fingerprint


class Space(ABC):
    """A codec's latent space, `[batch, frames, channels]` at `frame_rate` frames per second.

    A subclass sets these attributes and writes `_encode` and `_decode`, which see whole frames and need not
    care about length, sample rate or channel layout. Frame i covers the samples [i * hop, (i + 1) * hop).

    Attributes:
        name: The name that `load_space` knows.
        compatible: Names of other spaces whose latents are the same numbers.
        channels: Numbers per frame.
        sample_rate: In Hz, of the audio on both sides.
        audio_channels: 1 or 2.
        hop: Samples per frame.
        mean, std: Per channel, `[channels]`, over the music or the codebook the weights were trained on.
        weights: Where the weights came from: a path, a hub id, or "bundled".
        revision: The hub revision, None for a path.
        chunk_frames: Longer inputs go through in pieces of this many frames.
        context_frames: Frames that a piece sees on each side beside its own. At least the receptive field, so
            that pieces joined equal the whole.
    """

    name: ClassVar[str]
    compatible: ClassVar[tuple[str, ...]] = ()
    channels: int
    sample_rate: int
    audio_channels: int
    hop: int
    mean: Tensor
    std: Tensor
    weights: str
    revision: str | None = None
    chunk_frames: int = 512
    context_frames: int = 16

    def __init__(self, weights: str | None = None, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)

    def __repr__(self) -> str:
        revision = f" (revision {self.revision})" if self.revision else ""
        return (
            f"{type(self).__name__} of {' and '.join(self.spaces)} latents, weights {self.weights}{revision} on "
            f"{self.device}: audio [batch, {self.audio_channels}, samples] at {self.sample_rate} Hz, "
            f"latents [batch, frames, {self.channels}] at {self.frame_rate:.4g} frames a second"
        )

    @abstractmethod
    def _encode(self, audio: Tensor) -> Tensor:
        """`[B, audio_channels, F * hop]` -> `[B, F, channels]`, deterministic."""

    @abstractmethod
    def _decode(self, latents: Tensor) -> Tensor:
        """`[B, F, channels]` -> `[B, audio_channels, F * hop]`."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def spaces(self) -> tuple[str, ...]:
        """This space and those it shares its latents with."""
        return (self.name, *self.compatible)

    def frames(self, samples: int) -> int:
        """Frames of a clip of that many samples at `sample_rate`; the last one may be padded with silence."""
        return -(-samples // self.hop)

    def options(self) -> dict[str, Any]:
        """What beside the weights decides about the latents, such as EnCodec's bandwidth."""
        return {}

    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when weights or options differ."""
        modules = [part for part in vars(self).values() if isinstance(part, nn.Module)]
        return fingerprint(modules, (self.name, sorted(self.options().items())))

    def describe(self) -> dict[str, Any]:
        """Everything needed to load this space again and to tell it from another one, ready for JSON."""
        return {
            "name": self.name,
            "spaces": list(self.spaces),
            "channels": self.channels,
            "frame_rate": self.frame_rate,
            "sample_rate": self.sample_rate,
            "hop": self.hop,
            "weights": self.weights,
            "revision": self.revision,
            "options": self.options(),
            "fingerprint": self.fingerprint(),
        }

    @torch.no_grad()
    def encode(self, audio: Tensor, sample_rate: int | None = None) -> Tensor:
        """Latents of audio.

        Args:
            audio: `[samples]`, `[channels, samples]` or `[batch, channels, samples]`, of any length. A stereo space
                copies mono to both channels, a mono one takes their mean, or the loudest where they cancel each other.
            sample_rate: Rate of `audio` in Hz. None means the space's own; any other is resampled.

        Returns:
            `[batch, ceil(samples / hop), channels]` float32 on `device`, with a batch of one for a single clip.
            Silence fills up the last frame.

        Raises:
            InputError: no samples, more than two channels for a stereo space, or values that are not finite.
        """
        audio = self._fit(audio, sample_rate)
        frames = self.frames(audio.shape[-1])
        audio = nn.functional.pad(audio, (0, frames * self.hop - audio.shape[-1]))
        return self._encode_long(audio.to(self.device, torch.float32)).float()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Audio `[B, audio_channels, F * hop]` float32 of latents `[B, F, channels]`.

        Raises:
            InputError: another number of channels, or no frames.
        """
        if latents.ndim != 3 or latents.shape[-1] != self.channels or latents.shape[1] == 0:
            raise InputError(
                f"{self.name} decodes latents [batch, frames, {self.channels}], but got {list(latents.shape)}"
            )
        return self._decode_long(latents.to(self.device, torch.float32)).float()

    def _encode_long(self, audio: Tensor) -> Tensor:
        """Like `_encode`, in overlapping pieces. Spaces with recurrent or global layers override it."""
        hop = self.hop

        def window(first: int, last: int) -> Tensor:
            return self._encode(audio[..., first * hop : last * hop])

        return in_pieces(window, audio.shape[-1] // hop, self.chunk_frames, self.context_frames, dim=1)

    def _decode_long(self, latents: Tensor) -> Tensor:
        """Like `_decode`, in overlapping pieces."""

        def window(first: int, last: int) -> Tensor:
            return self._decode(latents[:, first:last])

        frames = latents.shape[1]
        return in_pieces(window, frames, self.chunk_frames, self.context_frames, dim=-1, stride=self.hop)

    def _fit(self, audio: Tensor, sample_rate: int | None) -> Tensor:
        """Audio as `encode` takes it, as `[B, A, n]` in the space's channel layout and sample rate."""
        if audio.ndim not in (1, 2, 3) or 0 in audio.shape:
            raise InputError(
                f"{self.name} encodes audio [samples], [channels, samples] or [batch, channels, samples], but got "
                f"{list(audio.shape)}"
            )
        audio = audio[(None,) * (3 - audio.ndim)]
        if not torch.isfinite(audio).all():
            raise InputError("the audio holds values that are not finite (NaN or infinity): repair the file")
        if self.audio_channels == 1 and audio.shape[1] > 1:
            channels = audio.detach().to("cpu", torch.float32).numpy()
            audio = torch.from_numpy(np.stack([to_mono(clip) for clip in channels])[:, None])
        elif audio.shape[1] == 1:
            audio = audio.expand(-1, self.audio_channels, -1)
        elif audio.shape[1] != self.audio_channels:
            raise InputError(f"{self.name} takes mono or stereo audio, but got {audio.shape[1]} channels")
        if sample_rate is not None and sample_rate != self.sample_rate:
            audio = torch.from_numpy(resample(audio.cpu().numpy(), sample_rate, self.sample_rate))
        return audio


def in_pieces(
    window: Callable[[int, int], Tensor], frames: int, chunk: int, context: int, dim: int, stride: int = 1
) -> Tensor:
    """Join `window(first, last)` over pieces of a long input.

    Args:
        window: The result for frames [first, last), `stride` entries per frame along `dim`.
        frames: Frames of the whole.
        chunk: Frames per piece.
        context: Frames added on each side of a piece, and cut from its result; none beyond the ends of the
            input, so that the padding of the network's own convolutions stays where it was.
        dim: The time axis of the result.
        stride: Entries of the result per frame.
    """
    pieces = []
    for start in range(0, frames, chunk):
        stop = min(start + chunk, frames)
        first, last = max(0, start - context), min(frames, stop + context)
        piece = window(first, last)
        pieces.append(piece.narrow(dim, (start - first) * stride, (stop - start) * stride))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)
