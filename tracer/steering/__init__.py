"""Control vectors in the middle of sampling and on audio: what an edit is, what it does, what it costs."""

from typing import TYPE_CHECKING

from probes.support.packages import late_names

if TYPE_CHECKING:
    from tracer.steering.audio_edit import edit_audio
    from tracer.steering.dose import run_dose
    from tracer.steering.edits import edits_from_specs, make_edits
    from tracer.steering.lockin import run_lockin
    from tracer.steering.spec import EditSpec, parse_edit

_HOMES = {
    "EditSpec": "spec",
    "parse_edit": "spec",
    "edits_from_specs": "edits",
    "make_edits": "edits",
    "run_dose": "dose",
    "run_lockin": "lockin",
    "edit_audio": "audio_edit",
}

__all__ = ["EditSpec", "edit_audio", "edits_from_specs", "make_edits", "parse_edit", "run_dose", "run_lockin"]

__getattr__, __dir__ = late_names(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
