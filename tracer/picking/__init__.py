"""Choose takes early: many seeds up to a state, the best of them to the end."""

from typing import TYPE_CHECKING

from probes.support.lazy import late_names

if TYPE_CHECKING:
    from tracer.picking.calibration import calibrate
    from tracer.picking.choosing import PickResult, run_pick
    from tracer.picking.wants import Want, parse_want

_HOMES = {
    "PickResult": "choosing",
    "Want": "wants",
    "calibrate": "calibration",
    "parse_want": "wants",
    "run_pick": "choosing",
}

__all__ = ["PickResult", "Want", "calibrate", "parse_want", "run_pick"]

__getattr__, __dir__ = late_names(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
