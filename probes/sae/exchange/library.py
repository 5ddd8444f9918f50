"""What a library is to the exchange, and how its tensors are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probes.errors import InputError
from probes.sae.exchange.fold import Folded
from probes.support.files import require_fields
from probes.support.tensors import require_finite_weights

MADE_BY = "generation-tracer"


class Library(NamedTuple):
    """How one library keeps an autoencoder: a folder with a config and its weights."""

    title: str
    """Its own name."""
    config: str
    """Name of its config file."""
    weights: str
    """Name of its weights file."""
    write: Callable[[Folded], dict[str, bytes]]
    """Content of both files by name. Raises InputError for an architecture that the library has not."""
    read: Callable[[Path, Path], Folded]
    """What config and weights hold. Raises InputError for what has no counterpart here, or is damaged."""
    load: str
    """Python that loads FOLDER with the library."""


def space_written(sae: Folded) -> dict[str, str | None]:
    """What our own files say of the latent space, in a place where the library leaves it alone."""
    return {"made_by": MADE_BY, "space": sae.space, "space_revision": sae.revision}


def space_read(path: Path, about: object) -> dict[str, Any]:
    """The fields of `Folded` that `space_written` wrote; none of a file that somebody else made.

    Raises:
        InputError: They are of another type.
    """
    if not isinstance(about, Mapping) or about.get("made_by") != MADE_BY:
        return {}
    require_fields(path, about, {"space": str, "space_revision": (str, type(None))})
    return {"space": about["space"], "revision": about["space_revision"]}


def no_rmsnorm(title: str, instead: str) -> InputError:
    """Why the paper's autoencoder stays here."""
    return InputError(f"{title} has no counterpart of the RMSNorm that a relu autoencoder here has: {instead}")


def whole_number(path: Path, values: Mapping[str, Any], name: str, least: int = 1) -> int:
    """A whole number of a config of at least `least`.

    Raises:
        InputError: It is missing or something else.
    """
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        shown = "nothing" if value is None else repr(value)[:80]
        raise InputError(f"{path}: {name} must be a whole number of at least {least}, not {shown}")
    return value


def checked_tensors(
    path: Path, tensors: Any, wanted: Mapping[str, tuple[int, ...]], unused: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The tensors of a file in float64, when they are those `wanted`, by name and shape, and finite.

    Args:
        path: The file, for messages.
        tensors: What it holds.
        wanted: Shape of each tensor.
        unused: Names of tensors that may be there and decide about nothing here.

    Raises:
        InputError: A tensor is missing, too many, of another shape, not floating-point, or not finite.
    """
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path} does not hold tensors by name: give the file that the library wrote")
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise InputError(f"{path} has no {', '.join(missing)}: it is not of the architecture that its config names")
    extra = [str(name) for name in tensors if name not in wanted and name not in unused]
    if extra:
        raise InputError(f"{path} also holds {', '.join(extra[:3])}, which have no counterpart here")
    for name, shape in wanted.items():
        if tuple(tensors[name].shape) != shape:
            found = list(tensors[name].shape)
            raise InputError(f"{path}: {name} has the shape {found}, and its config says {list(shape)}")
        if not tensors[name].is_floating_point():
            raise InputError(f"{path}: {name} holds {tensors[name].dtype}, not floating-point numbers")
    found_tensors = {name: tensors[name].to(torch.float64) for name in wanted}
    require_finite_weights(path, found_tensors)
    return found_tensors


def single(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as float32, each with memory of its own."""
    return {name: value.to(torch.float32).contiguous().clone() for name, value in tensors.items()}
