"""The bundled demonstration model as a generator: captions and seeds in, latents out, offline."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from probes.errors import InputError
from probes.support.files import read_json, require_fields
from probes.support.tensors import fingerprint, first_line, read_safetensors, require_finite_weights
from tracer.generators.base import Generator
from tracer.generators.diffrhythm.config import DiTConfig
from tracer.generators.diffrhythm.model import DiffRhythm, check_names
from tracer.generators.mini.text import TextEncoder

if TYPE_CHECKING:
    from probes.spaces.base import Space

BUNDLED = Path(__file__).parent / "weights"
DTYPES = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16}


class MiniGenerator(Generator):
    """A small rectified flow trained on rendered music, with DiffRhythm's network and sampler.

    It shows what the tracer does and has ground truth; what is seen on it says nothing about DiffRhythm.
    """

    name = "mini"
    space = "mini"
    channels = 64
    sample_rate = 22050
    frame_rate = 22050 / 1024
    default_seconds = 12.0
    default_guidance = 3.0
    goes_on = True

    def __init__(self, model: DiffRhythm, text: TextEncoder) -> None:
        self.sampler = model
        self.text = text

    def fingerprint(self) -> str:
        """Sixteen hex digits from every weight, the shape of the network and the vocabulary."""
        return fingerprint((self.sampler, self.text), (self.sampler.config, self.sampler.dtype, self.text.vocabulary))

    def codec_fingerprint(self) -> str:
        """That of the bundled codec."""
        return self.codec.fingerprint()

    def frames(self, seconds: float) -> int:
        """Whole latent frames within `seconds`, at most 2048 (95 s)."""
        frames = int(seconds * self.frame_rate)
        most = self.sampler.config.max_frames
        if not 1 <= frames <= most:
            raise InputError(f"mini makes clips of 0.05 to {int(most / self.frame_rate)} s, not {seconds:g} s")
        return frames

    @torch.no_grad()
    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], *, steps: int, seconds: float, guidance: float
    ) -> Tensor:
        """Final latents [B, F, 64]; see `Generator.generate`. `steps` counts states, so there are steps - 1 moves."""
        frames = self.frames(seconds)
        noise = torch.stack(
            [torch.randn(frames, self.channels, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
        return self.go_on(captions, noise, 0, steps=steps, guidance=guidance)

    @torch.no_grad()
    def go_on(self, captions: Sequence[str], states: Tensor, start: int, *, steps: int, guidance: float) -> Tensor:
        """Final latents [B, F, 64] from the states [B, F, 64] at index `start`."""
        device = self.sampler.device
        following = self.sampler.states(
            noise=states,
            style=self.text(self.text.tokens(captions).to(device)),
            negative_style=self.text.null_style(),
            # Training never told the time, so that clips of any length begin at the same place.
            song_duration=torch.zeros(1),
            steps=steps,
            cfg_strength=guidance,
            start=start,
        )
        latents = states
        for latents in following:  # noqa: B007  (a state lives until the next one; the last is the music)
            pass
        return latents

    @cached_property
    def codec(self) -> "Space":
        """The codec, loaded when audio is first asked for."""
        from probes.spaces import load_space

        return load_space("mini", device=self.sampler.device)

    def decode(self, latents: Tensor) -> np.ndarray:
        """Mono audio [B, 1, samples] at 22.05 kHz."""
        return self.codec.decode(latents).cpu().numpy()


def load(weights: str | None = None, device: str = "cpu", dtype: str = "auto") -> MiniGenerator:
    """Load the bundled model.

    Args:
        weights: folder with `config.json` and `model.safetensors`; None is what the package brings.
        device: torch device.
        dtype: "auto" is float32.

    Raises:
        InputError: a file is missing, or the two do not fit together.
    """
    folder = BUNDLED if weights is None else Path(weights)
    if dtype not in DTYPES:
        raise InputError(f"mini runs in float32 or bfloat16, not {dtype}")
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}: give the folder of a mini model, or leave --weights out")
    settings = read_json(folder / "config.json", {"network": dict, "text": dict})
    require_fields(f"{folder / 'config.json'}, text", settings["text"], {"vocabulary": list})
    try:
        network, vocabulary = DiTConfig(**settings["network"]), settings["text"]["vocabulary"]
    except TypeError as error:
        raise InputError(f"{folder / 'config.json'} does not describe a mini model: {error}") from error
    tensors = {name: tensor.float() for name, tensor in read_safetensors(folder / "model.safetensors").items()}
    require_finite_weights(folder / "model.safetensors", tensors)
    try:
        model, text = DiffRhythm(network), TextEncoder(vocabulary)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder / 'config.json'} does not describe a mini model: {error}") from error
    network_part = {name: tensor for name, tensor in tensors.items() if name.startswith("transformer.")}
    check_names(model, network_part, str(folder))
    model.load_state_dict(network_part)
    try:
        text.load_state_dict({name[5:]: tensor for name, tensor in tensors.items() if name.startswith("text.")})
    except RuntimeError as error:
        raise InputError(
            f"{folder} does not hold the weights its config.json describes: {first_line(error)}"
        ) from error
    model = model.to(device=device, dtype=DTYPES[dtype])
    return MiniGenerator(
        model.eval().requires_grad_(False),
        text.to(device).eval().requires_grad_(False),
    )
