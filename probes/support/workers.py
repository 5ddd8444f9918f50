"""The processes of one `accelerate launch`, and the device of this one."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from probes.errors import InputError
from probes.support.devices import pick_device

if TYPE_CHECKING:
    from accelerate import PartialState

LAUNCH = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables that a launcher sets for each process."""
LONGEST_WAIT = timedelta(days=7)
"""How long a process waits for one that has more to do. The usual ten minutes (NCCL) or half an hour (gloo) would end
it in the midst of the other's work."""


def join_launch(device: str = "auto") -> tuple[PartialState, str]:
    """This process among those of the launch (alone when there was none), and the torch device it works on.

    Several processes on one CPU have to be told: without `cpu`, accelerate takes each of them for the only one.

    Raises:
        InputError: torch does not know the device, or it is not here; or the environment holds some variables of a
            launch and not the others.
    """
    place = pick_device(device)
    check_launch()
    from accelerate import PartialState

    workers = PartialState(cpu=place == "cpu", timeout=LONGEST_WAIT)
    return workers, str(workers.device) if device in ("auto", "cuda") else place


def local_processes(workers: PartialState) -> int:
    """Number of the launch's processes on this machine, as the launcher told them; else that of all."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", workers.num_processes))


def check_launch() -> None:
    """Raise InputError where variables of an earlier launch are left over in the environment."""
    given = [name for name in LAUNCH if name in os.environ]
    missing = [name for name in LAUNCH if name not in os.environ]
    if "LOCAL_RANK" in given and missing:
        raise InputError(
            f"the environment has {', '.join(given)} but not {', '.join(missing)}: start several processes with "
            f"`accelerate launch`, or unset {', '.join(given)}"
        )
