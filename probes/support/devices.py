"""Devices to compute on, and how exactly they compute."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from probes.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")


def pick_device(name: str = "auto") -> str:
    """A torch device that works here; "auto" takes a GPU where there is one.

    Raises:
        InputError: torch does not know the device, or it is not here.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError as error:
        raise InputError(f"the device {name[:40]!r} cannot be used: choose auto, cpu, cuda, cuda:1 or mps") from error
    try:
        torch.zeros(1, device=name).cpu()  # the meta device holds nothing that could come back
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"the device {name[:40]!r} cannot be used: {str(error).splitlines()[0][:160]}") from error
    return name


@contextmanager
def without_autocast() -> Iterator[None]:
    """Compute with the types that tensors have, although the caller may be in `torch.autocast`."""
    import torch

    with ExitStack() as stack:
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """Make new tensors float32 in a function, and leave out autocast, whatever the caller has set.

    Weights and noise name no type, and the same options shall give the same numbers.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        import torch

        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            with without_autocast():
                return function(*args, **kwargs)
        finally:
            torch.set_default_dtype(before)

    return run


def pick_precision(name: str, device: str) -> str:
    """ "auto" is bf16 where the hardware multiplies it (CUDA GPUs, CPUs with AMX or AVX-512's bf16), else fp32."""
    if name != "auto":
        return name
    import torch

    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device == "cpu" and cpu_multiplies_bf16() else "fp32"


def cpu_multiplies_bf16() -> bool:
    """Whether this processor has instructions for products of bfloat16: AMX tiles, or AVX-512's dot products."""
    import torch

    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
