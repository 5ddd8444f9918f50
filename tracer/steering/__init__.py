"""Control vectors in the middle of sampling and on audio: what an edit is, what it does, what it costs.

`from tracer.steering import parse_edit, make_edits, run_dose, run_lockin, edit_audio`
"""

from importlib import import_module
from typing import Any

_HOME = {
    "EditSpec": "spec",
    "parse_edit": "spec",
    "edits_from_specs": "build",
    "make_edits": "build",
    "run_dose": "dose",
    "run_lockin": "lockin",
    "edit_audio": "audio_edit",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
