"""Session: generator, readout and prompts of a run, opened once, with the ways to make and measure its clips."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hooks import Edit, EditRefused, Sink, capture, steer
from probes.errors import InputError
from tracer.batching import BatchSize
from tracer.clips import measure_clip, write_clip
from tracer.generators import Generator, load_generator, prompt_seed
from tracer.measures.linear_flow import LinearFlow
from tracer.options import SessionOptions
from tracer.prompts import Prompt, choose_prompts

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.clips import Tracks
    from tracer.steering.song_time import Song
    from tracer.steering.spec import EditSpec


@dataclass(frozen=True)
class Session:
    """A generator and a readout, loaded and checked, with everything that decides about the clips.

    Open one with `Session.open`.
    """

    generator: Generator
    readout: "Readout"
    prompts: Sequence[Prompt]
    seed: int
    steps: int
    """Number of sampler states."""
    seconds: float
    guidance: float
    batch_size: BatchSize
    pitch_tracker: str = "full"
    """What measures pitch: full or tiny, sizes of CREPE, or swift-f0."""
    device: str = "cpu"
    """Where CREPE runs."""

    @classmethod
    def open(cls, options: SessionOptions, device: str, pitch_tracker: str = "full") -> "Session":
        """Choose the prompts and load what the options name.

        Raises:
            InputError: anything in the options that cannot work, before anything is generated.
        """
        prompts = choose_prompts(options.prompts, options.n, options.seed, options.balanced)
        if isinstance(options.generator, Generator):
            generator = options.generator
        else:
            generator = load_generator(
                options.generator, options.weights, device, options.dtype, **dict(options.options or {})
            )
        seconds = generator.default_seconds if options.seconds is None else options.seconds
        guidance = generator.default_guidance if options.guidance is None else options.guidance
        readout = open_readout(options.readout, (generator.space,), f"{generator.name} generates in", device)
        generator.frames(seconds)  # refuses impossible lengths
        generator.check([prompt.caption for prompt in prompts], guidance)
        return cls(
            generator,
            readout,
            prompts,
            options.seed,
            generator.default_steps if options.steps is None else options.steps,
            seconds,
            guidance,
            BatchSize.of(options.batch_size, device, generator.max_batch, len(prompts) * options.seeds),
            pitch_tracker,
            device,
        )

    @property
    def guided(self) -> bool:
        """Whether the generation evaluates a null branch."""
        return self.generator.is_guided(self.guidance)

    def linear_flow(self) -> LinearFlow | None:
        """The flow that the readout's mean and covariance imply; None where it knows no covariance."""
        mean, covariance = self.readout.mean, self.readout.covariance
        return (
            None if covariance is None else LinearFlow(mean.cpu().double().numpy(), covariance.cpu().double().numpy())
        )

    def song(self, specs: "Sequence[EditSpec]" = (), structure: "str | Path | None" = None) -> "Song":
        """The time axis of a clip, with the sections that a structure file names for the edits.

        Raises:
            InputError: as in `tracer.steering.song_time.song_of`.
        """
        from tracer.steering.song_time import song_of

        return song_of(specs, self.generator.frame_rate, self.seconds, structure)

    def identity(self, decoded: bool = True) -> dict[str, Any]:
        """Everything that clips and readings depend on, without the prompts; compared when a run is continued.

        Args:
            decoded: Whether latents are decoded, so that the codec counts too; it is loaded for that.
        """
        return {
            "model": self.generator.name,
            "generator": self.generator.fingerprint_for(self.guidance),
            "conditioning": self.generator.conditioning([prompt.caption for prompt in self.prompts]),
            "codec": self.generator.codec_fingerprint() if decoded else "",
            "readout": self.readout.fingerprint(),
            "seed": self.seed,
            "steps": self.steps,
            "seconds": self.seconds,
            "guidance": self.guidance,
        }

    def generate(
        self,
        prompts: Sequence[Prompt],
        edits: Sequence[Edit] = (),
        sink: Sink | None = None,
    ) -> Tensor:
        """Final latents [B, F, C] of some prompts, each from its own noise.

        Args:
            prompts: Those of one batch.
            edits: Act while they are generated.
            sink: Sees every state, after the edits.

        Raises:
            InputError: an edit acts on a guidance branch where this model's guidance leaves no place for it.
        """
        sampler = self.generator.sampler
        try:
            with steer(sampler, edits), nullcontext() if sink is None else capture(sampler, sink):
                return self.generator.generate(
                    [prompt.caption for prompt in prompts],
                    [prompt_seed(self.seed, prompt.index, prompt.seed) for prompt in prompts],
                    steps=self.steps,
                    seconds=self.seconds,
                    guidance=self.guidance,
                )
        except EditRefused as error:
            raise InputError(str(error)) from error

    def go_on(self, prompts: Sequence[Prompt], states: Tensor, start: int) -> Tensor:
        """Final latents [B, F, C] of some prompts from their states [B, F, C] at index `start`.

        Only where `generator.goes_on`; otherwise NotImplementedError.
        """
        captions = [prompt.caption for prompt in prompts]
        return self.generator.go_on(captions, states, start, steps=self.steps, guidance=self.guidance)

    def require_finite(
        self, values: Tensor | np.ndarray, prompts: Sequence[Prompt], where: str, edits: Sequence[Edit] = ()
    ) -> None:
        """Stop where something that was made of a batch holds NaN or infinity.

        Args:
            values: [B, ...], an item for each prompt.
            prompts: Those of the batch.
            where: What the values are: "the state 3 of 31".
            edits: What acted on the generation.

        Raises:
            InputError: names the first prompt and what was not finite.
        """
        if isinstance(values, Tensor):
            finite = values.isfinite().flatten(1).all(1).tolist()
        else:
            finite = np.isfinite(values).reshape(len(values), -1).all(1).tolist()
        for prompt, fine in zip(prompts, finite):
            if not fine:
                advice = "take a smaller alpha" if edits else "another --dtype may help"
                raise InputError(f"{where} of prompt {prompt.index} is not finite (NaN or infinity): {advice}")

    def music(self, frames: int) -> Tensor | None:
        """[F] bool, True on the frames of a latent that are music and no padding; None where all are."""
        count = self.generator.music_frames(self.seconds)
        return torch.arange(frames) < count if count < frames else None

    def measure(self, audio: np.ndarray, frames: int, attributes: Collection[str]) -> "Tracks":
        """Attributes of one decoded clip [channels, samples] on its latent frames; none on padding."""
        rate, music = self.generator.sample_rate, self.music(frames)
        tracks = measure_clip(
            audio, rate, frames, rate / self.generator.frame_rate, attributes, self.pitch_tracker, self.device
        )
        return tracks if music is None else tracks.without_padding(music.numpy())

    def listen(
        self, prompts: Sequence[Prompt], latents: Tensor, attributes: Collection[str]
    ) -> tuple[np.ndarray, list["Tracks"]]:
        """Audio [B, channels, samples] of latents [B, F, C] of some prompts, and what is measured on each clip.

        Where a latent ends in padding, its sound is left out.

        Raises:
            InputError: latents or audio that are not finite.
        """
        self.require_finite(latents, prompts, "the latent")
        audio = self.generator.decode(latents)
        if self.music(latents.shape[1]) is not None:
            audio = audio[..., : round(self.seconds * self.generator.sample_rate)]
        self.require_finite(audio, prompts, "the decoded audio")
        return audio, [self.measure(clip, latents.shape[1], attributes) for clip in audio]

    def write_clip(self, path: Path, audio: np.ndarray) -> None:
        """Write audio [channels, samples] at the level that the model made; never longer than was asked for."""
        rate = self.generator.sample_rate
        write_clip(path, audio[:, : round(self.seconds * rate)], rate)


def open_readout(readout: "str | Path | Readout | None", spaces: Sequence[str], reader: str, device: str) -> "Readout":
    """Load the readout for latents of a space.

    Args:
        readout: Folder, hub id or `Readout`; None is the one that ships for the space.
        spaces: Names under which the latents are known, the first their own.
        reader: Says in an error who has these latents: "mini generates in".
        device: Device to compute on.

    Raises:
        InputError: none ships for the space, or the readout reads another one.
    """
    from probes.readout import Readout
    from probes.readout.files import SHIPPED

    own = spaces[0]
    if readout is None:
        if own not in SHIPPED:
            raise InputError(
                f"no readout for the latent space '{own}' comes with the program: train one "
                f"(`trace fit readout --space {own}`) and pass its folder with --readout"
            )
        readout = SHIPPED[own]
    if not isinstance(readout, Readout):
        readout = Readout.from_pretrained(str(readout))
    if not set(spaces) & set(readout.spaces):
        raise InputError(
            f"this readout reads the latent space {' / '.join(readout.spaces)}, but {reader} '{own}': "
            "pass a readout trained there"
        )
    return readout.to(device)
