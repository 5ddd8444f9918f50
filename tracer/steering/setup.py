"""Generator, readout and prompts of a steering run, checked before anything is generated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probes.devices import pick_device
from probes.errors import InputError
from tracer.prompts import Prompt
from tracer.run import check, choose_prompts, load_readout

from .paired import Setting

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator


def open_setting(
    generator: "str | Generator",
    prompts: str | Sequence[str],
    n: int,
    *,
    weights: str | None,
    readout: "str | Path | Readout | None",
    steps: int | None,
    seconds: float | None,
    guidance: float | None,
    seed: int,
    batch_size: int,
    device: str,
    dtype: str,
    balanced: bool,
    crepe: str,
    options: Mapping[str, str] | None,
    branches: Sequence[str] = (),
) -> tuple[Setting, list[Prompt]]:
    """How clips are to be generated, and the prompts; arguments as in `tracer.run.trace`.

    Raises:
        InputError: as there; or CREPE has no such size, or an edit of the null branch (in `branches`) without guidance.
    """
    from tracer.generators import Generator, load_generator

    check(n, steps, seconds, guidance, seed, batch_size, dtype, ("endpoint",))
    if crepe not in ("full", "tiny"):
        raise InputError(f"--crepe is full or tiny, not {crepe!r}")
    chosen = choose_prompts(prompts, n, seed, balanced)
    place = pick_device(device)
    model = (
        generator
        if isinstance(generator, Generator)
        else load_generator(generator, weights, place, dtype, **dict(options or {}))
    )
    reader = load_readout(readout, model, place)
    scale = model.default_guidance if guidance is None else guidance
    if "null" in branches and scale < 1e-5:
        raise InputError("branch=null needs guidance: give --cfg above 0, or branch=both")
    length = model.default_seconds if seconds is None else seconds
    model.frames(length)  # refuses impossible lengths
    return Setting(model, reader, seed, model.default_steps if steps is None else steps, length, scale, crepe), chosen
