"""The generators that can be traced, by name. Each is imported when it is asked for."""

import inspect
from importlib import import_module
from typing import Any

from probes.errors import InputError
from probes.support.devices import in_float32
from tracer.generators.base import Generator, prompt_seed

__all__ = ["GENERATORS", "Generator", "load_generator", "prompt_seed"]

GENERATORS = {
    "mini": "tracer.generators.mini:load",
    "diffrhythm": "tracer.generators.diffrhythm.generator:load",
    "stable-audio": "tracer.generators.pipelines.stable_audio:load",
    "stable-audio-3": "tracer.generators.pipelines.stable_audio3:load",
    "audioldm": "tracer.generators.pipelines.audioldm:load",
    "audioldm2": "tracer.generators.pipelines.audioldm2:load",
    "musicldm": "tracer.generators.pipelines.audioldm:load_musicldm",
    "ace-step": "tracer.generators.pipelines.ace_step:load",
    "longcat-audio": "tracer.generators.pipelines.longcat_audio:load",
}
"""Name -> "module:function"; the function takes (weights, device, dtype, **options) and returns a `Generator`."""


@in_float32
def load_generator(
    name: str, weights: str | None = None, device: str = "cpu", dtype: str = "auto", **options: Any
) -> Generator:
    """Load a generator.

    Args:
        name: a key of `GENERATORS`.
        weights: path or hub id; None is the generator's own default.
        device: torch device.
        dtype: "float32", "bfloat16", "float16", or "auto": the generator's usual type on that device.
        options: what this generator takes beyond that (`style_cache`, `lyrics`, ...).

    Raises:
        InputError: unknown name, or weights that are missing or do not fit.
    """
    if name not in GENERATORS:
        raise InputError(
            f"unknown model '{name}'; choose one of {', '.join(GENERATORS)} (`trace models` describes them)"
        )
    module, function = GENERATORS[name].split(":")
    load = getattr(import_module(module), function)
    known = [key for key in inspect.signature(load).parameters if key not in ("weights", "device", "dtype")]
    for key in options:
        if key not in known:
            raise InputError(f"{name} has no option '{key}'; it knows {', '.join(known) or 'none'}")
    generator: Generator = load(weights, device, dtype, **options)
    return generator
