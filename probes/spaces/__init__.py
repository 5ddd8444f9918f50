"""Latent spaces (codecs) by name."""

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from probes.errors import InputError
from probes.support.devices import in_float32

if TYPE_CHECKING:
    import torch

    from probes.spaces.base import Space

# name -> module and class. Each class is called with (weights, device, **options).
SPACES = {
    "mini": "probes.spaces.mini.space:MiniSpace",
    "diffrhythm": "probes.spaces.oobleck.diffrhythm:DiffRhythmSpace",
    "stable-audio": "probes.spaces.oobleck.stable_audio:StableAudioSpace",
    "encodec": "probes.spaces.seanet.encodec:EncodecSpace",
    "wavtokenizer": "probes.spaces.seanet.wavtokenizer:WavTokenizerSpace",
    "ace-step": "probes.spaces.oobleck.stable_audio:AceStepSpace",
    "audioldm": "probes.spaces.audioldm:AudioLDMSpace",
    "audioldm2": "probes.spaces.audioldm:AudioLDM2Space",
    "musicldm": "probes.spaces.audioldm:MusicLDMSpace",
    "stable-audio-3": "probes.spaces.oobleck.waveform_vae:StableAudio3Space",
    "longcat-audio": "probes.spaces.oobleck.waveform_vae:LongCatAudioSpace",
    "rave": "probes.spaces.rave:RaveSpace",
}


def space_class(name: str) -> "type[Space]":
    """The class of a space, without loading any weights."""
    if name not in SPACES:
        raise InputError(f"unknown latent space {name!r}: choose one of {', '.join(SPACES)}")
    module, attribute = SPACES[name].split(":")
    cls: type[Space] = getattr(importlib.import_module(module), attribute)
    return cls


@in_float32
def load_space(name: str, weights: str | None = None, device: "str | torch.device" = "cpu", **options: Any) -> "Space":
    """Load a latent space.

    Args:
        name: One of `SPACES`.
        weights: A path or a hub id; None for the released weights.
        device: Device that its networks run on.
        options: Options of that space alone: `revision` of a hub repository, `bandwidth` of EnCodec, ...

    Raises:
        InputError: an unknown name or option, or weights that are missing or do not fit.
    """
    cls = space_class(name)
    known = [key for key in inspect.signature(cls).parameters if key not in ("weights", "device")]
    unknown = [key for key in options if key not in known]
    if unknown:
        raise InputError(f"{name} has no option {unknown[0]!r}" + (f": it has {', '.join(known)}" if known else ""))
    return cls(weights, device, **options)
