"""Devices to compute on."""

from probes.errors import InputError


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
        torch.zeros(1, device=name).cpu()  # the meta device holds nothing that could come back
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"the device {name[:40]!r} cannot be used: {str(error).splitlines()[0][:160]}") from error
    return name
