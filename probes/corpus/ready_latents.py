"""A corpus from latents that exist already, without audio and so without labels."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from probes.corpus import Corpus
from probes.corpus.sources import content_hash
from probes.corpus.split import held_out
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError

SUFFIXES = (".pt", ".npy", ".safetensors")


def import_latents(
    folder: str | Path,
    out: str | Path,
    space: str,
    hold_out: Sequence[str] = (),
    dtype: str = "float32",
    on_left_out: Callable[[str], None] = lambda _: None,
) -> Corpus:
    """Copy the latents of a folder into a corpus; of files with the same content the first alone, with a warning.

    Args:
        folder: Holds `.pt`, `.npy` or `.safetensors` files, one clip each: `[1, C, T]`, `[C, T]` or `[T, C]`.
        out: The corpus, made or continued.
        space: Name of the space they belong to.
        hold_out: Names of files (with or without suffix) for the test split; all others then train. Without
            it, files go by their content.
        dtype: Number format of the corpus, "float32" or "float16".
        on_left_out: Called with one line for every file that is left out.

    Raises:
        InputError: no such files, another shape, values that are not finite, or an unknown name to hold out.
    """
    from probes.spaces import space_class

    info = description(space_class(space))
    folder = Path(folder)
    paths = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder} holds no latents: it needs files that end in {', '.join(SUFFIXES)}")
    splits = held_out([path.name for path in paths], hold_out) if hold_out else [None] * len(paths)
    with CorpusWriter(out, {"space": info, "attributes": {}, "dtype": dtype}) as writer:
        there, damaged = writer.latest(), writer.damaged()
        hashes: dict[str, str] = {}
        for path, split in zip(paths, splits):
            digest, row = content_hash(path.read_bytes()), there.pop(path.name, None)
            twin = hashes.setdefault(digest, path.name)
            if twin != path.name:
                told = f"{path.name}: the same content as {twin}"
                warnings.warn(f"left out: {told}", stacklevel=2)
                on_left_out(told)
                if row is not None:
                    writer.change(row, removed=True)
            elif row is None or row["hash"] != digest or path.name in damaged:
                latents = read_latents(path, info["channels"])
                writer.require_held(latents, path.name)
                writer.add(path.name, digest, latents, {}, split, path.stat().st_size)
            elif row["split"] != split:
                writer.change(row, split=split)
        for row in there.values():
            writer.change(row, removed=True)
    if there:
        warnings.warn(
            f"{len(there)} files are no longer in {folder} and left the corpus: {', '.join(list(there)[:5])}",
            stacklevel=2,
        )
    return Corpus.open(out)


def description(space: Any) -> dict[str, Any]:
    """`Space.describe()` of a class whose weights are not at hand.

    Raises:
        InputError: its size depends on its weights.
    """
    if not hasattr(space, "channels"):
        raise InputError(f"the size of {space.name} depends on its weights: encode audio instead of giving --latents")
    return {
        "name": space.name,
        "spaces": [space.name, *space.compatible],
        "channels": space.channels,
        "frame_rate": space.sample_rate / space.hop,
        "sample_rate": space.sample_rate,
        "hop": space.hop,
        "weights": None,
        "revision": None,
        "options": {},
        "fingerprint": None,
    }


def read_latents(path: Path, channels: int) -> np.ndarray:
    """Latents of a file as `[T, channels]` float32."""
    try:
        array = load_array(path)
    except InputError:
        raise
    except Exception as error:  # each format fails in its own way on damaged bytes
        raise InputError(f"cannot read latents from {path}: {type(error).__name__}") from error
    shape = list(array.shape)
    if array.ndim == 3 and len(array) == 1:
        array = array[0].T if array.shape[1] == channels else array[0]
    elif array.ndim == 2 and array.shape == (channels, channels):
        raise InputError(
            f"{path} has shape {shape}, which can be read as [{channels}, T] and as [T, {channels}]: save it as "
            f"[1, {channels}, T]"
        )
    elif array.ndim == 2 and array.shape[1] != channels:
        array = array.T
    if array.ndim != 2 or array.shape[1] != channels or not len(array):
        raise InputError(f"{path} has shape {shape}: expected [1, {channels}, T], [{channels}, T] or [T, {channels}]")
    with np.errstate(over="ignore"):
        latents = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(latents).all():
        raise InputError(f"{path} holds values that are not finite (NaN or infinity), or beyond float32")
    return latents


def load_array(path: Path) -> np.ndarray:
    """The one tensor of a file."""
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if path.suffix == ".pt":
        import torch

        content: Any = torch.load(path, map_location="cpu", weights_only=True)
        tensors = list(content.values()) if isinstance(content, dict) else [content]
    else:
        from safetensors.torch import load_file

        tensors = list(load_file(path).values())
    if len(tensors) != 1 or not hasattr(tensors[0], "numpy"):
        raise InputError(f"{path} holds {len(tensors)} values: expected one tensor")
    return np.asarray(tensors[0].detach().float().numpy())
