"""Find and read DiffRhythm weight files: released pickles (tensors only) and safetensors, from disk or the hub."""

from pathlib import Path
from typing import Any

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
FILES = ("cfm_model.safetensors", "cfm_model.pt")


def load_weights(source: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors under upstream's names (`transformer.*`), and the config keys that the source implies.

    Args:
        source: a file, a folder holding one of `FILES`, or a hub id, optionally with `@revision`.
    """
    path, implied = locate(source)
    tensors: Any = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path, mmap=True)
    return unnest(tensors, path), implied


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
