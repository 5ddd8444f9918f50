"""Hooks that watch or push a sampler while it runs, and come off again."""

from hooks.attaching import attach, attached, capture
from hooks.callbacks import Attachment, LatentEdit
from hooks.editing import Displacement, Edit, steer
from hooks.events import Event, Moment, Sink
from hooks.guidance import NULL_NEEDS_GUIDANCE, EditRefused
from hooks.network import resting

__all__ = [
    "NULL_NEEDS_GUIDANCE",
    "Attachment",
    "Displacement",
    "Edit",
    "EditRefused",
    "Event",
    "LatentEdit",
    "Moment",
    "Sink",
    "attach",
    "attached",
    "capture",
    "resting",
    "steer",
]


def __dir__() -> list[str]:
    return __all__
