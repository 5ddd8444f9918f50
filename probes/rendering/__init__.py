"""Rendered music: composed by rules from a seed, played by a General MIDI soundfont, captioned from its own facts."""

from typing import Any

__all__ = ["Example", "render_example"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from probes.rendering import example

        return getattr(example, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
