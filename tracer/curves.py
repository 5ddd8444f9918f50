"""The names of what a run holds: views, kinds of probe, and curves."""

from typing import NamedTuple

VIEWS = ("state", "endpoint")
"""What is read at a state: the latent as it is, or the clean latent that the model expects."""
TRAINED, CONTROL, MEASURED = "trained", "control", "measured"
"""Kinds of probe: trained on the labels; trained on shuffled labels; no probe, but the audio itself."""
NO_CLASS = 255
"""Class of a frame without a value, such as an unvoiced one; only measured classes have it."""


class Curve(NamedTuple):
    """What one curve shows: a view, a kind of probe and an attribute."""

    view: str
    probe: str
    attribute: str
