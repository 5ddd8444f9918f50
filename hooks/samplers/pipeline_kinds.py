"""What differs from diffusers pipeline to diffusers pipeline: latent layout, guidance order, padding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """How a pipeline lays a latent out in memory."""

    to_frames: Callable[[Tensor], Tensor]
    """The pipeline's latent -> [B, F, C]."""
    from_frames: Callable[[Tensor, Tensor], Tensor]
    """([B, F, C], a latent of the pipeline's shape) -> the pipeline's latent."""


def mel_to_frames(latent: Tensor) -> Tensor:
    """[B, 8, T, 16] (channels, time, mel) -> [B, T, 128]."""
    return latent.permute(0, 2, 1, 3).flatten(2)


def mel_from_frames(frames: Tensor, like: Tensor) -> Tensor:
    """[B, T, 128] -> [B, 8, T, 16]."""
    batch, channels, time, mel = like.shape
    return frames.reshape(batch, time, channels, mel).permute(0, 2, 1, 3)


FRAMES_FIRST = Layout(lambda latent: latent, lambda frames, like: frames)
CHANNELS_FIRST = Layout(lambda latent: latent.transpose(1, 2), lambda frames, like: frames.transpose(1, 2))
MEL = Layout(mel_to_frames, mel_from_frames)


@dataclass(frozen=True)
class Kind:
    """What differs from pipeline to pipeline."""

    network: str
    """Attribute of the network that the loop calls."""
    layout: Layout
    branches: Literal["null, cond", "cond, null", "separate"]
    """Order of the guidance branches within a batch; "separate" is one call each, the conditional one first."""
    prompts: str | None = None
    """Method that is told the number of waveforms per prompt, where more than one are re-ranked afterwards."""
    durations: str | None = None
    """Module that is told where the audio ends, where the rest of the latent is padding."""


KINDS = {
    "StableAudioPipeline": Kind("transformer", CHANNELS_FIRST, "null, cond", durations="projection_model"),
    "StableAudio3Pipeline": Kind("transformer", CHANNELS_FIRST, "null, cond"),
    "AudioLDMPipeline": Kind("unet", MEL, "null, cond"),
    "AudioLDM2Pipeline": Kind("unet", MEL, "null, cond", prompts="encode_prompt"),
    "MusicLDMPipeline": Kind("unet", MEL, "null, cond", prompts="_encode_prompt"),
    "AceStepPipeline": Kind("transformer", FRAMES_FIRST, "cond, null"),
    "LongCatAudioDiTPipeline": Kind("transformer", FRAMES_FIRST, "separate"),
}


def kind_of(model: Any) -> Kind | None:
    """The kind of a pipeline or of a subclass of one."""
    return next((KINDS[cls.__name__] for cls in type(model).__mro__ if cls.__name__ in KINDS), None)
