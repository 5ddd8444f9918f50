"""Differences between diffusers pipelines: latent layout, guidance, padding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Conversion between a pipeline's latent and [B, F, C]."""

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
    """Traits of one pipeline that hooks must know."""

    network: str
    """Attribute of the network that the loop calls."""
    layout: Layout
    batched: bool = True
    """Whether one call of the network evaluates both guidance branches, as one batch; otherwise each has a call."""
    linear: bool = True
    """Whether guidance is n + g (c - n). ACE-Step's adaptive projection (APG) is not."""
    prompts: str | None = None
    """Method that receives the number of waveforms per prompt, where more than one are re-ranked afterwards."""
    durations: str | None = None
    """Module that receives where the audio ends, where the rest of the latent is padding."""


KINDS = {
    "StableAudioPipeline": Kind("transformer", CHANNELS_FIRST, durations="projection_model"),
    "StableAudio3Pipeline": Kind("transformer", CHANNELS_FIRST),
    "AudioLDMPipeline": Kind("unet", MEL),
    "AudioLDM2Pipeline": Kind("unet", MEL, prompts="encode_prompt"),
    "MusicLDMPipeline": Kind("unet", MEL, prompts="_encode_prompt"),
    "AceStepPipeline": Kind("transformer", FRAMES_FIRST, linear=False),
    "LongCatAudioDiTPipeline": Kind("transformer", FRAMES_FIRST, batched=False),
}


def kind_of(model: Any) -> Kind | None:
    """Kind of a pipeline, or of a subclass of one; None for any other object."""
    return next((KINDS[cls.__name__] for cls in type(model).__mro__ if cls.__name__ in KINDS), None)
