"""DiffRhythm as a generator: captions and seeds in, song latents out."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from probes.errors import InputError
from probes.support.tensors import fingerprint
from tracer.generators.base import Generator, precision
from tracer.generators.diffrhythm.lyrics import lyric_ids, read_lyrics
from tracer.generators.diffrhythm.model import DiffRhythm
from tracer.generators.diffrhythm.null_style import fetch_null_style, null_style_file
from tracer.generators.diffrhythm.style import StyleCache, muq_trouble, read_style

if TYPE_CHECKING:
    from probes.spaces.base import Space

DEFAULT_WEIGHTS = {2048: "ASLP-lab/DiffRhythm-1_2", 6144: "ASLP-lab/DiffRhythm-1_2-full"}
FULL_SECONDS = {2048: 95, 6144: 285}


class DiffRhythmGenerator(Generator):
    """Text-to-music with DiffRhythm; instrumental unless lyrics are given."""

    name = "diffrhythm"
    space = "diffrhythm"
    channels = 64
    sample_rate = 44100
    frame_rate = 44100 / 2048
    default_seconds = 95.0
    default_guidance = 4.0
    goes_on = True

    def __init__(
        self,
        model: DiffRhythm,
        styles: StyleCache,
        negative_style: Tensor | None = None,
        lyrics: str | None = None,
        vae: str | None = None,
    ) -> None:
        self.sampler = model
        self.styles = styles
        self.negative_style = negative_style
        self.lyrics = None if lyrics is None else read_lyrics(lyrics)
        self.vae = vae
        self.default_seconds = float(FULL_SECONDS.get(model.config.max_frames, 95))

    def fingerprint(self) -> str:
        """Sixteen hex digits from every weight, the precision, the negative style and the lyrics."""
        return self.fingerprint_for(self.default_guidance)

    def fingerprint_for(self, guidance: float) -> str:
        """As `fingerprint`; without guidance the negative style does not count."""
        style = self.negative_style if self.is_guided(guidance) else None
        null = None if style is None else style.tolist()
        model = self.sampler
        return fingerprint([model], (model.config, model.dtype, model.exact_rotary, null, self.lyrics))

    def conditioning(self, captions: Sequence[str]) -> str:
        """Sixteen hex digits from the style vectors of the captions."""
        return hashlib.blake2b(self.styles.get(captions).numpy().tobytes(), digest_size=8).hexdigest()

    def codec_fingerprint(self) -> str:
        """That of the VAE, which is loaded for it."""
        return self.codec.fingerprint()

    def frames(self, seconds: float) -> int:
        """2048 for the 95-second model's full length, otherwise the whole frames within `seconds`."""
        most = self.sampler.config.max_frames
        full = FULL_SECONDS.get(most, most / self.frame_rate)
        if not 0 < seconds <= full:
            raise InputError(
                f"this DiffRhythm makes at most {full:g} s, {seconds:g} s were asked for; "
                f"longer songs need {DEFAULT_WEIGHTS[6144]}"
            )
        frames = most if seconds == full else int(seconds * self.frame_rate)
        if frames < 1:
            raise InputError(f"{seconds:g} s is less than one latent frame; give at least 0.05")
        return frames

    def check(self, captions: Sequence[str], guidance: float) -> None:
        """Every caption needs a style vector, computed here where MuQ-MuLan runs; guidance needs the negative one."""
        if self.styles.missing(captions) and not muq_trouble():
            self.styles.fill(captions, self.sampler.device)
        self.styles.get(captions)
        if guidance and self.negative_style is None:
            self.negative_style = read_style(fetch_null_style())

    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], *, steps: int, seconds: float, guidance: float
    ) -> Tensor:
        """Final latents [B, F, 64]; see `Generator.generate`. `steps` is the number of states, as upstream counts."""
        frames = self.frames(seconds)
        noise = torch.stack(
            [torch.randn(frames, self.channels, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
        return self.go_on(captions, noise, 0, steps=steps, guidance=guidance)

    def go_on(self, captions: Sequence[str], states: Tensor, start: int, *, steps: int, guidance: float) -> Tensor:
        """Final latents [B, F, 64] from the states [B, F, 64] at index `start`."""
        text, frames = None, states.shape[1]
        if self.lyrics is not None:
            text = lyric_ids(self.lyrics, frames, drop_last=self.sampler.config.max_frames == 2048)[None]
        following = self.sampler.states(
            noise=states,
            style=self.styles.get(captions),
            negative_style=self.negative_style,
            text=text,
            song_duration=torch.tensor([frames / self.sampler.config.max_frames]),
            steps=steps,
            cfg_strength=guidance,
            start=start,
        )
        latents = states
        for latents in following:  # noqa: B007  (a state lives until the next one; the last is the song)
            pass
        return latents

    @cached_property
    def codec(self) -> "Space":
        """The released VAE, loaded when audio is first asked for."""
        from probes.spaces import load_space

        return load_space("diffrhythm", self.vae, device=self.sampler.device)

    def decode(self, latents: Tensor) -> np.ndarray:
        """Stereo audio [B, 2, samples] at 44.1 kHz."""
        return self.codec.decode(latents).cpu().numpy()


def load(
    weights: str | None = None,
    device: str = "cpu",
    dtype: str = "auto",
    *,
    style_cache: str | None = None,
    negative_style: str | None = None,
    lyrics: str | None = None,
    vae: str | None = None,
    config: str | None = None,
    max_frames: str | None = None,
    exact_rotary: str | None = None,
) -> DiffRhythmGenerator:
    """Load DiffRhythm.

    Args:
        weights: checkpoint file, folder, or hub id; None is `ASLP-lab/DiffRhythm-1_2`, or `-full` at 6144 frames.
        device: torch device.
        dtype: "auto" is float16 on a GPU, as upstream runs it, and float32 elsewhere.
        style_cache: `.safetensors` file of style vectors by caption; None is `styles.safetensors` in the working
            folder. Vectors that are missing are computed where MuQ-MuLan runs, and added to the file.
        negative_style: the null branch's style vector, `.npy` or `.safetensors`; None is upstream's, `vocal.npy`:
            from beside the weights, from the working folder, or fetched from DiffRhythm's repository.
        lyrics: LRC file of phoneme ids for every prompt; None is instrumental.
        vae: TorchScript VAE file or hub id for decoding; None is the released one.
        config: JSON file of upstream's model keys; None is the released model's.
        max_frames: 2048 or 6144; None is what the weights imply.
        exact_rotary: "true" keeps exact rotary frequencies in float16.
    """
    if max_frames is not None and max_frames not in ("2048", "6144"):
        raise InputError(f"max_frames must be 2048 or 6144, got {max_frames}")
    frames = None if max_frames is None else int(max_frames)
    model = DiffRhythm.from_checkpoint(
        weights or DEFAULT_WEIGHTS[frames or 2048],
        config=config,
        max_frames=frames,
        device=device,
        dtype=precision(dtype, device, on_gpu="float16"),
        exact_rotary=flag("exact_rotary", exact_rotary),
    )
    if negative_style is None:
        beside = Path(weights or ".").expanduser()
        found = null_style_file(beside if beside.is_dir() else beside.parent) or null_style_file(Path())
        negative_style = None if found is None else str(found)
    return DiffRhythmGenerator(
        model,
        StyleCache.open(style_cache or "styles.safetensors"),
        None if negative_style is None else read_style(negative_style),
        lyrics,
        vae,
    )


def flag(name: str, value: str | None) -> bool:
    """A switch given as text."""
    if value is None or value.lower() in ("false", "0", "no"):
        return False
    if value.lower() in ("true", "1", "yes"):
        return True
    raise InputError(f"{name} must be true or false, got {value!r}")
