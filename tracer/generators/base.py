"""Interface of a generator. Conditioning, noise, time grid, guidance and decoding are the generator's own."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from probes.spaces.base import Space

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Generator(ABC):
    """A text-to-music model that can be traced.

    A generator does not know that it is watched: hooks attach to `sampler`.
    """

    name: str
    """As in `trace --model`."""
    space: str
    """Name of the latent space its states live in; a readout must declare the same."""
    channels: int
    """Width of a latent frame."""
    frame_rate: float
    """Latent frames per second."""
    sample_rate: int
    """Sample rate of the decoded audio, Hz."""
    default_seconds: float
    """Length of a clip where the user names none."""
    default_guidance: float
    """Guidance scale where the user names none, in the model's own convention."""
    default_steps: int = 32
    """Number of traced states where the user names none."""
    max_batch: int | None = None
    """Prompts that one call may hold so that a clip does not depend on its companions; None is any number."""
    goes_on: bool = False
    """Whether a sampling can go on from a state: see `go_on`."""
    sampler: Any
    """The object that `hooks.capture` and `hooks.steer` attach to."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies weights and settings that change the result, for run.json."""

    def fingerprint_for(self, guidance: float) -> str:
        """As `fingerprint`, without the settings that a run with this guidance scale leaves unused."""
        return self.fingerprint()

    def conditioning(self, captions: Sequence[str]) -> str:
        """Identifies what stands for the captions beside their text, such as cached style vectors; "" is nothing."""
        return ""

    def codec_fingerprint(self) -> str:
        """Identifies what decodes, where `fingerprint` does not; loads it. "" is nothing beyond `fingerprint`."""
        return ""

    @abstractmethod
    def frames(self, seconds: float) -> int:
        """Latent frames of a clip; InputError when the model cannot make that length."""

    def music_frames(self, seconds: float) -> int:
        """How many of these frames are music; what follows them is padding, in a latent that is always as long."""
        return self.frames(seconds)

    def is_guided(self, guidance: float) -> bool:
        """Whether a generation with this guidance scale evaluates a null branch."""
        return guidance > 0

    def check(self, captions: Sequence[str], guidance: float) -> None:  # noqa: B027  (most have nothing to refuse)
        """Raise InputError for prompts or guidance that cannot work here, before anything is generated."""

    @abstractmethod
    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], *, steps: int, seconds: float, guidance: float
    ) -> Tensor:
        """Final latents [B, F, C], float32.

        Each clip's noise comes from its own seed alone, so a clip is the same in every batch.
        """

    def go_on(self, captions: Sequence[str], states: Tensor, start: int, *, steps: int, guidance: float) -> Tensor:
        """Final latents [B, F, C] of a sampling that goes on from the states [B, F, C] at index `start`.

        Raises:
            NotImplementedError: The sampler cannot begin at a state: see `goes_on`.
        """
        raise NotImplementedError(f"{self.name} cannot go on from a state")

    @cached_property
    def codec(self) -> "Space":
        """The codec of its latent space, loaded when it is first asked for: the released one, or its own."""
        from probes.spaces import load_space

        return load_space(self.space)

    @abstractmethod
    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents [B, F, C] to audio [B, audio channels, samples], float32 in about [-1, 1]."""


def prompt_seed(run_seed: int, prompt_index: int, number: int = 0) -> int:
    """The seed of one clip's noise: a hash of run seed, prompt index and the number of the noise, below 2^63.

    Batch size, order and number of processes have no say in it.
    """
    name = f"{run_seed}:{prompt_index}" + (f":{number}" if number else "")
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def precision(dtype: str, device: str, on_gpu: str) -> torch.dtype:
    """The type a name stands for; "auto" is `on_gpu` on a GPU and float32 elsewhere."""
    if dtype == "auto":
        dtype = on_gpu if str(device).startswith("cuda") else "float32"
    return DTYPES[dtype]
