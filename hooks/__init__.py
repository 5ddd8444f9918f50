"""What is attached to a sampler while it runs, and comes off again."""

from .attach import attach
from .capture import capture
from .events import Event, Moment
from .steer import Edit, steer

__all__ = ["Edit", "Event", "Moment", "attach", "capture", "steer"]
