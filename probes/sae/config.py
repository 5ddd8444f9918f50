"""What every sparse autoencoder is, and which tensor goes into it: the content of its config.json.

Each architecture adds fields of its own in its own file; `probes.sae.base.make_config` finds the class by name.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from probes.errors import InputError

INPUT_LAYOUT = (
    "[..., channels] float32, one latent frame per row, raw values as the space's encode() returns them "
    "(no scaling factor); the per-channel mean and std in model.safetensors are applied inside"
)


KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "str | None": (str, type(None)),
    "dict[str, str | None] | None": (dict, type(None)),
}  # fmt: skip


def check_type(name: str, value: object, kind: str) -> None:
    """Raise InputError when a field's value is not of the kind that its annotation names."""
    kinds = KINDS.get(kind)
    if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        raise InputError(f"{name} must be of type {kind}, not {type(value).__name__}")


MOST = 2**24
"""Largest number of channels or features."""


@dataclass(frozen=True)
class SAEConfig:
    """The fields that every architecture has.

    Raises:
        InputError: A field has no meaning.
    """

    architecture: ClassVar[str] = ""
    """Name of the architecture in config.json and on the command line."""

    channels: int
    """Channels of the latent space, C."""
    hidden: int
    """Number of features, H."""
    space: str = ""
    """Name of the latent space whose frames it was trained on."""
    revision: str | None = None
    """Revision of that space's weights."""
    reduction: str = "sum"
    """sum: squared error summed over channels and L1 over features, Eq. 1 as written. mean: both averaged,
    which divides the error by C and the penalty by H and so moves the meaning of lambda."""
    decoder: str = "unit"
    """unit: dictionary atoms keep norm 1 (and the gradient's part along each atom is removed before the
    optimiser sees it). free: no constraint."""
    standardise: bool = True
    """Subtract the training data's per-channel mean and divide by its std before the encoder; the inverse
    after the decoder. The loss is taken on standardised values, every reported figure on raw ones."""
    source: dict[str, str | None] | None = None
    """Whose it is, where it was trained elsewhere: library, origin (a folder or a hub id) and revision."""

    def __post_init__(self) -> None:
        for own in fields(self):
            check_type(own.name, getattr(self, own.name), str(own.type))
        self.require("reduction", ("sum", "mean"))
        self.require("decoder", ("unit", "free"))
        if not (1 <= self.channels <= MOST and 1 <= self.hidden <= MOST):
            told = ", ".join(str(size)[:20] for size in (self.channels, self.hidden))
            raise InputError(f"channels and hidden must be 1 to {MOST}, not {told}")
        if self.source is not None and not self.source.keys() >= {"library", "origin", "revision"}:
            raise InputError(f"source must have library, origin and revision, not {sorted(self.source)}")
        for name, value in (self.source or {}).items():
            check_type(f"{name} of source", value, "str | None")

    @property
    def owner(self) -> str:
        """Whose it is, in a few words; empty for one trained here."""
        if self.source is None:
            return ""
        at = f" at {self.source['revision']}" if self.source["revision"] else ""
        return f"imported from {self.source['library']}, {self.source['origin']}{at}"

    @property
    def penalty_weight(self) -> float:
        """Weight of the sparsity penalty, which training warms up; 0 for an architecture without one."""
        return 0.0

    def require(self, name: str, allowed: tuple[str, ...]) -> None:
        """Raise InputError when the field `name` is not one of the allowed words."""
        if getattr(self, name) not in allowed:
            raise InputError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")

    def require_weight(self, name: str, value: float) -> None:
        """Raise InputError unless a weight is a finite number of at least 0."""
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be a finite number of at least 0, not {value}")

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        values = {name: value for name, value in asdict(self).items() if name != "source" or value is not None}
        return {"architecture": self.architecture} | values | {"input": INPUT_LAYOUT}
