"""Hooks that watch or push a sampler while it runs, and come off again."""

from .attaching import attach, attached, capture
from .callbacks import Attachment, LatentEdit
from .editing import Displacement, Edit, steer
from .events import Event, Moment, Sink
from .guidance import NULL_NEEDS_GUIDANCE, EditRefused

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
    "steer",
]


def __dir__() -> list[str]:
    return __all__
