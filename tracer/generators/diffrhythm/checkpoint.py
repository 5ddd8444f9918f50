"""Find and read DiffRhythm weight files: released pickles (tensors only) and safetensors, from disk or the hub."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from probes.errors import InputError
from probes.support.hub import from_hub
from probes.support.tensors import read_safetensors, read_torch

# What a released checkpoint needs besides its tensors. v1.0 was trained and published with causal attention.
RELEASED: dict[str, dict[str, Any]] = {
    "ASLP-lab/DiffRhythm-1_2": {"max_frames": 2048},
    "ASLP-lab/DiffRhythm-1_2-full": {"max_frames": 6144},
    "ASLP-lab/DiffRhythm-base": {"max_frames": 2048, "causal": True},
    "ASLP-lab/DiffRhythm-full": {"max_frames": 6144, "causal": True},
}
# Commits known to hold the released files; other ids are taken at their newest, or as `id@revision` says.
REVISIONS = {"ASLP-lab/DiffRhythm-1_2": "185bdeb80541b9260d266c5f041859017441f307"}
PORTION = 2**28
"""Bytes of a file that are in memory beside what is made of them."""
FILES = ("cfm_model.safetensors", "cfm_model.pt")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file from `locate` under upstream's names (`transformer.*`), mapped: nothing is read yet."""
    tensors: Any = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path, mmap=True)
    return unnest(tensors, path)


def convert(
    path: Path, tensors: Mapping[str, Tensor], device: str | torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The tensors of a file on a device, in a type.

    Pages of a mapped file stay with the process until the mapping goes. So the file is mapped anew for every portion,
    and the checkpoint and its copy never stand side by side.

    Args:
        path: The file.
        tensors: What `read_weights` gave for it.
        device: Where to.
        dtype: Type of every tensor.

    Raises:
        InputError: A tensor holds NaN or infinity.
    """
    converted = {}
    for names in portions(tensors):
        mapped = read_weights(path)
        for name in names:
            if not torch.isfinite(mapped[name]).all():
                raise InputError(f"{path}: {name} holds NaN or infinity; the file is damaged, download it again")
            converted[name] = mapped[name].to(device=device, dtype=dtype)
    return converted


def portions(tensors: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Names of tensors, in order, as many at a time as make up `PORTION` bytes."""
    names: list[str] = []
    size = 0
    for name, tensor in tensors.items():
        names.append(name)
        size += tensor.nbytes
        if size >= PORTION:
            yield names
            names, size = [], 0
    if names:
        yield names


def unnest(tensors: Any, path: Path) -> dict[str, Tensor]:
    """The network's tensors out of upstream's nesting; optimiser state and averages are left behind."""
    if isinstance(tensors, dict):
        for key in ("model_state_dict", "ema_model_state_dict"):
            if isinstance(tensors.get(key), dict):
                tensors = tensors[key]
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path} holds no model_state_dict of tensors: is it a DiffRhythm checkpoint (cfm_model.pt)?")
    named = {
        name.removeprefix("ema_model."): value for name, value in tensors.items() if name not in ("initted", "step")
    }
    if named and not any(name.startswith("transformer.") for name in named):
        named = {f"transformer.{name}": value for name, value in named.items()}
    return named


def locate(source: str | Path) -> tuple[Path, dict[str, Any]]:
    """The weight file of a path or hub id, downloaded if need be, and what the id implies for the config."""
    path = Path(source).expanduser()
    if path.is_file():
        return path, {}
    if path.is_dir():
        for name in FILES:
            if (path / name).is_file():
                return path / name, {}
        raise InputError(f"folder {path} holds neither {' nor '.join(FILES)}")
    repo = str(source).partition("@")[0]
    if str(source).startswith((".", "/", "~")) or repo.count("/") != 1 or path.suffix in (".pt", ".safetensors"):
        raise InputError(
            f"no weights at {source}: give a file, a folder with cfm_model.pt, or a hub id "
            f"such as {next(iter(RELEASED))}"
        )
    return from_hub(str(source), FILES[1], REVISIONS.get(repo)), RELEASED.get(repo, {})
