"""Acoustic attributes: what is measured on audio or known from notes, and the classes it is read as.

    pitch = get_attribute("pitch")
    values, valid = pitch.measure(audio, sample_rate, frames, hop)
    bins = pitch.fit_bins(values[valid])
    classes = bins.classes(values, valid)

To add one, write a subclass of `Attribute` in a file of its own and name it in `ATTRIBUTES`.
"""

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from probes.errors import InputError
from probes.support.lazy import late_names

if TYPE_CHECKING:
    from probes.attributes.base import Attribute
    from probes.attributes.bins import Bins

# name -> module and class
ATTRIBUTES = {
    "pitch": "probes.attributes.pitch:Pitch",
    "loudness": "probes.attributes.loudness:Loudness",
    "timbre": "probes.attributes.timbre:Timbre",
    "chroma": "probes.attributes.chroma:Chroma",
    "onset": "probes.attributes.onset:Onset",
    "chord": "probes.attributes.chord:Chord",
    "key": "probes.attributes.key:Key",
    "tempo": "probes.attributes.tempo:Tempo",
    "family": "probes.attributes.family:Family",
    "drums": "probes.attributes.drums:Drums",
    "voice": "probes.attributes.voice:Voice",
    "beat": "probes.attributes.beat:Beat",
}


def get_attribute(name: str, **options: Any) -> "Attribute":
    """An attribute by name, with options of its own (such as `model` of pitch).

    Raises:
        InputError: an unknown name or option.
    """
    if name not in ATTRIBUTES:
        raise InputError(f"unknown attribute {name!r}: choose from {', '.join(ATTRIBUTES)}")
    module, attribute = ATTRIBUTES[name].split(":")
    cls: type[Attribute] = getattr(importlib.import_module(module), attribute)
    unknown = [key for key in options if key not in inspect.signature(cls).parameters]
    if unknown:
        raise InputError(f"the attribute {name} has no option {unknown[0]!r}")
    return cls(**options)


__all__ = ["ATTRIBUTES", "Attribute", "Bins", "get_attribute"]

_late, _ = late_names(__name__, {"Attribute": "probes.attributes.base", "Bins": "probes.attributes.bins"})


def __getattr__(name: str) -> Any:
    return _late(name)


def __dir__() -> list[str]:
    return sorted(__all__)
