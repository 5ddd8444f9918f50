"""Files of tensors: safetensors and PyTorch's, read without executing anything; and what identifies tensors."""

import hashlib
import pickle
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probes.errors import InputError


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, on the CPU.

    Raises:
        InputError: not such a file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    refuse_placeholder(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {first_line(error)}") from error


def read_torch(path: Path, mmap: bool = False) -> Any:
    """Content of a PyTorch file, nothing executed.

    Args:
        path: File that `torch.save` wrote, in its present or its older format.
        mmap: Map large files instead of reading them, where their format can be mapped.

    Raises:
        InputError: not such a file, or one that holds more than tensors and plain containers.
    """
    refuse_placeholder(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is not a readable file of tensors alone: nothing in it was run") from error
    except Exception as error:  # torch raises whatever the damaged bytes led it into
        raise InputError(f"{path} is not a readable file of PyTorch tensors: {first_line(error)}") from error


@contextmanager
def require_described(path: Path, what: str = "weights") -> Iterator[None]:
    """Turn whatever fails while tensors of `path` are read and put into place into one line: an InputError."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        message = " ".join(str(error).split())
        raise InputError(f"{path} does not hold the {what} its config.json describes: {message}") from error


def refuse_placeholder(path: Path) -> None:
    """Raise InputError for what lies in the place of weights after a failed download."""
    try:
        with open(path, "rb") as file:
            start = file.read(200)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not start:
        raise InputError(f"{path} is empty: download it again")
    if start.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is a Git LFS pointer, not the file: run `git lfs pull`, or download it again")
    if start.lstrip()[:1] == b"<":
        raise InputError(f"{path} is a web page and not a file of tensors: download the file itself")


def first_line(error: Exception) -> str:
    """First line of an error's message, at most 200 characters; or its type."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def fingerprint(modules: Iterable[nn.Module], extra: object = None) -> str:
    """Sixteen hex digits that differ when any number of any tensor of some modules, or `extra`, differs."""
    digest = hashlib.blake2b(repr(extra).encode(), digest_size=8)
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(raw_bytes(tensor))
    return digest.hexdigest()


def raw_bytes(tensor: Tensor) -> Any:
    """The bytes of a tensor's numbers."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy() if flat.numel() else b""


def require_finite_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise InputError when a weights file holds NaN, infinity, or numbers whose squares float32 does not hold.

    Or a standard deviation (`std`), by which latents are divided, that is not above 0.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value.float().square()).all()):
            raise InputError(
                f"{path} holds weights that are not finite, or too large ({name}): train or download it again"
            )
        if name.rpartition(".")[2] == "std" and not bool((value > 0).all()):
            raise InputError(
                f"{path} holds a standard deviation that is not above 0 ({name}): train or download it again"
            )


def require_covariance(path: Path, matrix: Tensor) -> None:
    """Raise InputError unless a matrix can be a covariance: square, finite, symmetric, no negative eigenvalue."""
    fine = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and bool(torch.isfinite(matrix).all())
    if fine:
        size = float(matrix.abs().max())
        fine = bool((matrix - matrix.t()).abs().max() <= 1e-4 * size)
        fine = fine and float(torch.linalg.eigvalsh(matrix.double()).min()) >= -1e-4 * size
    if not fine:
        raise InputError(f"{path} does not hold a covariance (symmetric, finite, no negative eigenvalue)")


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits over every byte of some tensors and their names."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(raw_bytes(value))
    return digest.hexdigest()
