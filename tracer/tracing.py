"""One trace, end to end: prompts -> generator with hooks -> readout -> run folder."""

import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.errors import InputError
from tracer.prompts import Prompt, load_prompts

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators.base import Generator
    from tracer.run import Run

VIEWS = ("state", "endpoint")
DTYPES = ("auto", "float32", "bfloat16", "float16")


def trace(
    generator: "str | Generator" = "mini",
    prompts: str | Sequence[str] = "demo",
    n: int | None = None,
    *,
    weights: str | None = None,
    readout: "str | Path | Readout | None" = None,
    steps: int | None = None,
    seconds: float | None = None,
    guidance: float | None = None,
    seed: int = 0,
    batch_size: int = 4,
    device: str = "auto",
    dtype: str = "auto",
    views: Sequence[str] = VIEWS,
    steer: Sequence[str] = (),
    balanced: bool = False,
    ground_truth: bool = False,
    save_audio: bool = True,
    save_latents: bool = False,
    frames: bool = True,
    options: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    progress_bar: bool = True,
) -> "Run | None":
    """Generate from prompts, read every state of the sampler, and leave a run folder.

    Called again with the same `out`, it continues; under `accelerate launch` the batches are dealt out to the
    processes.

    Args:
        generator: name of a generator, or one that is loaded already.
        prompts: "demo", "musiccaps", a file, or captions.
        n: number of prompts; None is 16 of demo, otherwise all there are.
        weights: path or hub id of the generator's weights; None is its default.
        readout: folder, hub id or `Readout`; None is the one that belongs to the generator.
        steps: number of sampler states; None is the generator's default.
        seconds: length of a clip; None is the generator's default.
        guidance: guidance scale in the generator's convention; None is its default.
        seed: run seed. Each prompt's noise is seeded from (seed, prompt index).
        batch_size: prompts generated together.
        device, dtype: "auto" takes a GPU where there is one, and the generator's usual type there.
        views: "state", the sampler's state, and "endpoint", the clean latent that the model expects.
        steer: control vectors, such as "pitch=C5,alpha=0.02,from=0.3,to=0.7".
        balanced: choose from MusicCaps' balanced subset.
        ground_truth: also decode the endpoint at every state and measure the attributes on that audio.
        save_audio: decode and keep each clip; pitch is then read on its voiced frames alone.
        save_latents: keep each final latent.
        frames: keep the most probable class of every frame; agreement needs it.
        options: what this generator takes beyond that, as text.
        out: run folder; None is runs/GENERATOR-PROMPTS.
        progress_bar: show one.

    Returns:
        The finished run; None in all but the main process of several.

    Raises:
        InputError: anything in the arguments that cannot work, before anything is generated where possible.
    """
    check(n, steps, seconds, guidance, seed, batch_size, dtype, views)
    chosen = choose_prompts(prompts, n, seed, balanced)
    from probes.support.workers import join_launch
    from tracer.generators import Generator, load_generator
    from tracer.record.batches import Job, trace_batches
    from tracer.record.store import RunStore
    from tracer.run import Run, finish_run

    workers, place = join_launch(device)
    if isinstance(generator, Generator):
        model = generator
    else:
        model = load_generator(generator, weights, place, dtype, **dict(options or {}))
    reader = load_readout(readout, model, place)
    batch_size = min(batch_size, model.max_batch or batch_size)
    seconds = model.default_seconds if seconds is None else seconds
    guidance = model.default_guidance if guidance is None else guidance
    job = Job(
        model,
        reader,
        seed=seed,
        steps=model.default_steps if steps is None else steps,
        seconds=seconds,
        guidance=guidance,
        views=tuple(view for view in VIEWS if view in views),
        edits=edits(steer, reader, guidance),
        ground_truth=ground_truth,
        save_audio=save_audio,
        save_latents=save_latents,
    )
    # What cannot work is refused before the folder exists.
    model.frames(seconds)
    model.check([prompt.caption for prompt in chosen], guidance)
    source = prompts if isinstance(prompts, str) else "captions"
    folder = Path(out) if out is not None else Path("runs") / f"{model.name}-{Path(source).stem}"
    settings = {
        "model": model.name,
        "weights": weights,
        "generator": model.fingerprint(),
        "readout": reader.fingerprint(),
        "prompts": source,
        "n": len(chosen),
        "seed": seed,
        "steps": job.steps,
        "seconds": seconds,
        "cfg": job.guidance,
        "batch_size": batch_size,
        "dtype": dtype,
        "views": list(job.views),
        "steer": list(steer),
        "balanced": balanced,
        "ground_truth": ground_truth,
        "save_audio": save_audio,
        "save_latents": save_latents,
        "set": dict(sorted((options or {}).items())),
    }
    about = {"device": place, "processes": workers.num_processes, "versions": versions()}
    with workers.main_process_first():
        store = RunStore.open(folder, settings, chosen, about, frames=frames, clean=workers.is_main_process)
    pending = store.pending_batches(batch_size, workers.process_index, workers.num_processes)
    trace_batches(job, store, chosen, pending, progress_bar and workers.is_main_process)
    workers.wait_for_everyone()
    if not workers.is_main_process:
        return None
    finish_run(folder)
    return Run(folder)


def check(
    n: int | None,
    steps: int | None,
    seconds: float | None,
    guidance: float | None,
    seed: int,
    batch_size: int,
    dtype: str,
    views: Sequence[str],
) -> None:
    """Raise InputError for numbers and names that no generator could take."""
    if n is not None and n < 1:
        raise InputError(f"--n must be at least 1, got {n}")
    if steps is not None and steps < 2:
        raise InputError(f"--steps must be at least 2 (noise and data), got {steps}")
    if seconds is not None and not (0 < seconds < math.inf):
        raise InputError(f"--seconds must be a positive length, got {seconds:g}")
    if guidance is not None and not (0 <= guidance < math.inf):
        raise InputError(f"--cfg must be zero or positive, got {guidance:g}")
    if seed < 0:
        raise InputError(f"--seed must be zero or positive, got {seed}")
    if batch_size < 1:
        raise InputError(f"--batch-size must be at least 1, got {batch_size}")
    if dtype not in DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    unknown = [view for view in views if view not in VIEWS]
    if unknown or not views:
        raise InputError(f"--views takes state, endpoint or both with a comma, got {','.join(views)!r}")


def choose_prompts(prompts: str | Sequence[str], n: int | None, seed: int, balanced: bool) -> list[Prompt]:
    """The prompts of a source or of a list of captions."""
    if isinstance(prompts, str):
        return load_prompts(prompts, 16 if prompts == "demo" and n is None else n, seed, balanced)
    captions = list(prompts)[:n]
    if not captions or not all(isinstance(caption, str) and caption.strip() for caption in captions):
        raise InputError("prompts must be a source name, a file, or a list of captions that are not empty")
    return [Prompt(index, f"caption-{index:03d}", caption) for index, caption in enumerate(captions)]


def load_readout(readout: "str | Path | Readout | None", model: "Generator", device: str) -> "Readout":
    """The readout for a generator's states; InputError when it reads another latent space."""
    from probes.readout import Readout

    if readout is None:
        if model.default_readout is None:
            raise InputError(
                f"no readout for the latent space '{model.space}' comes with the program: train one "
                f"(trace fit readout --space {model.space}) and pass its folder with --readout"
            )
        readout = model.default_readout
    if not isinstance(readout, Readout):
        readout = Readout.from_pretrained(str(readout))
    if model.space not in readout.spaces:
        raise InputError(
            f"this readout reads the latent space {' / '.join(readout.spaces)}, but {model.name} generates in "
            f"'{model.space}': pass a readout trained there"
        )
    return readout.to(device)


def edits(specs: Sequence[str], readout: "Readout", guidance: float) -> list[Any]:
    """The control vectors that the specs ask for."""
    if not specs:
        return []
    from tracer.steering import edits_from_specs

    return edits_from_specs(specs, readout, guidance)


def versions() -> dict[str, str]:
    """Versions of this program and of the libraries that decide about numbers."""
    return {name: metadata.version(name) for name in ("generation-tracer", "torch", "diffusers", "numpy", "torchcrepe")}


__all__ = ["trace"]
