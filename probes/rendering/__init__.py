"""Rendered music: composed by rules from a seed, played by a General MIDI soundfont, captioned from its own facts."""

from typing import TYPE_CHECKING

from probes.support.packages import late_names

if TYPE_CHECKING:
    from probes.rendering.example import Example, render_example

__all__ = ["Example", "render_example"]

__getattr__, __dir__ = late_names(__name__, dict.fromkeys(__all__, "probes.rendering.example"))
