"""What a sparse autoencoder is and which tensor goes into it: the content of its config.json."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from probes.errors import InputError

INPUT_LAYOUT = (
    "[..., channels] float32, one latent frame per row, raw values as the space's encode() returns them "
    "(no scaling factor); the per-channel mean and std in model.safetensors are applied inside"
)


@dataclass(frozen=True)
class SAEConfig:
    """One sparse autoencoder. Formulas: Paek et al., arXiv 2510.23802, Eq. 1 and 2.

    One class for all architectures: config.json of version 0.1.0 holds every field, and so do the fingerprints of the
    readouts that were saved with it. The fields of one architecture alone say so, and its class checks them.

    Raises:
        InputError: A field that every architecture uses has no meaning.
    """

    channels: int
    """Channels of the latent space, C."""
    hidden: int
    """Number of features, H."""
    architecture: str = "relu"
    """relu: the paper's, f = RMSNorm(ReLU(W x + b)). topk, batchtopk, jumprelu: sparsity in the activation
    function, no norm and no L1."""
    space: str = ""
    """Name of the latent space whose frames it was trained on."""
    revision: str | None = None
    """Revision of that space's weights."""
    lam: float = 0.05
    """relu: lambda of Eq. 1. jumprelu: weight of the L0 penalty, with L0 as a share of the features.
    topk and batchtopk do not use it."""
    penalty: str = "pre_norm"
    """relu only. pre_norm: L1 of h, as in Eq. 1 (the decoder is blind to the scale of h, so training also
    lowers it by shrinking the encoder). post_norm: L1 of f, in effect the ratio L1/L2 of h."""
    reduction: str = "sum"
    """sum: squared error summed over channels and L1 over features, Eq. 1 as written. mean: both averaged,
    which divides the error by C and the penalty by H and so moves the meaning of lambda."""
    decoder: str = "unit"
    """unit: dictionary atoms keep norm 1 (and the gradient's part along each atom is removed before the
    optimiser sees it). free: no constraint."""
    standardise: bool = True
    """Subtract the training data's per-channel mean and divide by its std before the encoder; the inverse
    after the decoder. The loss is taken on standardised values, every reported figure on raw ones."""
    k: int = 32
    """topk: active features of each frame. batchtopk: of each frame on average."""
    bandwidth: float = 0.1
    """jumprelu: width of the kernel that passes a gradient to the thresholds."""
    eps: float = 1e-8
    """Added to the mean square of h in RMSNorm. Small, since the pre_norm penalty drives rms(h) below 0.01."""

    def __post_init__(self) -> None:
        self.require("reduction", ("sum", "mean"))
        self.require("decoder", ("unit", "free"))
        if self.channels < 1 or self.hidden < 1:
            raise InputError(f"channels and hidden must be at least 1, not {self.channels} and {self.hidden}")
        if not (math.isfinite(self.lam) and self.lam >= 0):
            raise InputError(f"lambda must be a finite number of at least 0, not {self.lam}")

    def require(self, name: str, allowed: tuple[str, ...]) -> None:
        """Raise InputError when the field `name` is not one of the allowed words."""
        if getattr(self, name) not in allowed:
            raise InputError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"input": INPUT_LAYOUT}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SAEConfig:
        known = {field.name for field in fields(cls)}
        missing = {"channels", "hidden"} - set(values)
        if missing:
            raise InputError(f"this is not the config.json of a sparse autoencoder: {sorted(missing)} missing")
        return cls(**{name: value for name, value in values.items() if name in known})
