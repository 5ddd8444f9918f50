"""Generator, readout and prompts of a steering run, checked before anything is generated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from probes.errors import InputError
from probes.support.devices import pick_device
from tracer.prompts import Prompt
from tracer.steering.paired import Setting
from tracer.tracing import check, choose_prompts, load_readout

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator


class SettingOptions(TypedDict, total=False):
    """What `run_dose` and `run_lockin` both take, as in `tracer.run.trace`."""

    weights: str | None
    readout: "str | Path | Readout | None"
    steps: int | None
    seconds: float | None
    guidance: float | None
    seed: int
    batch_size: int
    device: str
    dtype: str
    balanced: bool
    crepe: str
    """CREPE's size for measuring pitch, full (the default) or tiny."""
    options: Mapping[str, str] | None


def open_setting(
    generator: "str | Generator",
    prompts: str | Sequence[str],
    n: int,
    branches: Sequence[str] = (),
    **given: Unpack[SettingOptions],
) -> tuple[Setting, list[Prompt]]:
    """How clips are to be generated, and the prompts.

    Raises:
        InputError: as in `tracer.run.trace`; or CREPE has no such size, or an edit of the null branch (in `branches`)
            without guidance.
    """
    from tracer.generators import Generator, load_generator

    steps, seconds, guidance = given.get("steps"), given.get("seconds"), given.get("guidance")
    seed, batch_size, dtype = given.get("seed", 0), given.get("batch_size", 8), given.get("dtype", "auto")
    crepe = given.get("crepe", "full")
    check(n, steps, seconds, guidance, seed, batch_size, dtype, ("endpoint",))
    if crepe not in ("full", "tiny"):
        raise InputError(f"--crepe is full or tiny, not {crepe!r}")
    chosen = choose_prompts(prompts, n, seed, given.get("balanced", False))
    place = pick_device(given.get("device", "auto"))
    model = (
        generator
        if isinstance(generator, Generator)
        else load_generator(generator, given.get("weights"), place, dtype, **dict(given.get("options") or {}))
    )
    reader = load_readout(given.get("readout"), model, place)
    scale = model.default_guidance if guidance is None else guidance
    if "null" in branches and scale < 1e-5:
        raise InputError("branch=null needs guidance: give --cfg above 0, or branch=both")
    length = model.default_seconds if seconds is None else seconds
    model.frames(length)  # refuses impossible lengths
    states = model.default_steps if steps is None else steps
    return Setting(model, reader, seed, states, length, scale, crepe, batch_size), chosen
