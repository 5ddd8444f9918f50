"""The processes of one `accelerate launch`, and the device of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes.support.devices import pick_device

if TYPE_CHECKING:
    from accelerate import PartialState


def join_launch(device: str = "auto") -> tuple[PartialState, str]:
    """This process among those of the launch (alone when there was none), and the torch device it works on.

    Several processes on one CPU have to be told: without `cpu`, accelerate takes each of them for the only one.

    Raises:
        InputError: torch does not know the device, or it is not here.
    """
    from accelerate import PartialState

    place = pick_device(device)
    workers = PartialState(cpu=place == "cpu")
    return workers, str(workers.device) if device in ("auto", "cuda") else place
