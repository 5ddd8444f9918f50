"""One trace, end to end: prompts -> generator with hooks -> readout -> run folder."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from probes.errors import InputError
from probes.support.devices import in_float32
from probes.support.files import expanded
from tracer.curves import TRAINED, VIEWS
from tracer.options import TraceOptions

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator
    from tracer.run import Run


@in_float32
def trace(
    generator: "str | Generator" = "mini",
    prompts: str | Path | Sequence[str] = "demo",
    n: int | None = None,
    *,
    weights: str | None = None,
    readout: "str | Path | Readout | None" = None,
    steps: int | None = None,
    seconds: float | None = None,
    guidance: float | None = None,
    seed: int = 0,
    seeds: int = 1,
    batch_size: int | str = 4,
    device: str = "auto",
    dtype: str = "auto",
    balanced: bool = False,
    options: Mapping[str, str] | None = None,
    views: Sequence[str] = VIEWS,
    probes: Sequence[str] = (TRAINED,),
    steer: Sequence[str] = (),
    structure: str | Path | None = None,
    ground_truth: bool = False,
    save_audio: bool = True,
    listen: int | None = None,
    listen_state: bool = False,
    stop_when_settled: str | None = None,
    settled_states: int = 3,
    settled_within: float = 0.005,
    save_latents: bool = False,
    frames: bool = True,
    out: str | Path | None = None,
    progress_bar: bool = True,
) -> "Run | None":
    """Generate from prompts, read every state of the sampler, and leave a run folder.

    Called again with the same `out`, it continues; under `accelerate launch` the batches are dealt out to the
    processes.

    Args:
        generator: Name of a generator, or one that is loaded already.
        prompts: "demo", "musiccaps", a file, or a list of captions.
        n: Number of prompts; None is 16 of demo, otherwise all there are.
        weights: Path or hub id of the generator's weights; None is its default.
        readout: Folder, hub id or `Readout`; None is the one that ships for the generator's latent space.
        steps: Number of sampler states; None is the generator's default.
        seconds: Length of a clip; None is the generator's default.
        guidance: Guidance scale in the generator's convention; None is its default.
        seed: Seed of the run. Each prompt's noise is seeded from (seed, prompt index).
        seeds: Number of clips of each prompt, each from its own noise.
        batch_size: Number of prompts generated together; "auto" is the most that fit on the GPU.
        device: Device to compute on; "auto" takes a GPU where there is one.
        dtype: Number type of the generator; "auto" takes its usual type on that device.
        balanced: Choose from MusicCaps' balanced subset.
        options: What this generator takes beyond that, as text.
        views: "state", the sampler's state, and "endpoint", the clean latent that the model expects.
        probes: "trained", and beside it "raw" (probes on the latents themselves) or "untrained" (on the features of an
            autoencoder that was not trained), where the readout brings them.
        steer: Control vectors, such as "pitch=C5,alpha=10,from=0.3,to=0.7".
        structure: File that names sections of the song, for `during=` in edits.
        ground_truth: Also decode the endpoint at every state and measure the attributes on that audio.
        save_audio: Decode and keep each clip; pitch is then read on its voiced frames alone.
        listen: Keep what the endpoint sounds like at this many states, first and last among them; None is none.
        listen_state: Keep what the noisy state sounds like at these states too.
        stop_when_settled: Attributes with commas, or "all": end a sampling when their readings have come to rest, by
            jumping to the endpoint. None is to sample to the end.
        settled_states: For how many states readings must have rested.
        settled_within: How far a reading may move at each of them, as a share of the attribute's classes.
        save_latents: Keep each final latent.
        frames: Keep class and reading of every frame; agreement and closeness need them.
        out: Run folder; None is runs/GENERATOR-PROMPTS.
        progress_bar: Show how far it is.

    Returns:
        The finished run; None in all but the main process of several.

    Raises:
        InputError: anything in the arguments that cannot work, before anything is generated where possible.
    """
    given = {name: value for name, value in locals().items() if name != "progress_bar"}
    return run_trace(TraceOptions(**given), progress_bar)


def run_trace(options: TraceOptions, progress_bar: bool = True) -> "Run | None":
    """`trace` with its options in one object."""
    from probes.support.paths import result_folder
    from probes.support.workers import join_launch
    from tracer.record.batches import trace_batches
    from tracer.record.settling import require_resting, watched
    from tracer.record.store import RunStore
    from tracer.run import finish_run
    from tracer.session import Session
    from tracer.steering.edits import identity_of, make_edits
    from tracer.steering.spec import parse_edit

    if options.out is not None:
        result_folder(options.out)
    workers, place = join_launch(options.device)
    session = Session.open(options, place, pitch_tracker="tiny")
    if options.baselines and session.readout.baselines is None:
        raise InputError(
            f"this readout brings trained probes, but none for --probes {','.join(options.baselines)}: fit it again, "
            "or take one that has them"
        )
    if options.stop_when_settled is not None:
        watched(options.stop_when_settled, session.readout)
        require_resting(session)
    specs = [parse_edit(text) for text in options.steer]
    song = session.song(specs, options.structure)
    edits = make_edits(specs, session.readout, session.guided, song)
    folder = run_folder(options, session.generator.name)
    about = {
        "weights": None if options.weights is None else str(options.weights),
        "readout": session.readout.source if options.readout is not None else None,
        "prompts": options.source,
        "balanced": options.balanced,
        "frame_rate": session.generator.frame_rate,
        "bins": {name: bins.to_dict() for name, bins in session.readout.bins.items()},
        "structure": None if options.structure is None else str(options.structure),
        "set": {name: str(value) for name, value in sorted((options.options or {}).items())},
        "dtype": options.dtype if isinstance(options.generator, str) else number_type(session.generator),
        "batch_size": options.batch_size,
        "device": str(place),
        "processes": workers.num_processes,
        "versions": versions(),
        "autoencoder": session.readout.sae.config.source,
        "noise_levels": None if session.readout.noise is None else session.readout.noise.levels.tolist(),
    }
    identity = session.identity(options.save_audio or options.ground_truth) | options.kept() | identity_of(specs, song)
    if "state" in options.views and session.readout.noise is not None:
        identity["state_probes"] = f"noise-aware {session.readout.noise.fingerprint()}"
    with workers.main_process_first():
        # What cannot work was refused before the folder exists.
        main = workers.is_main_process
        store = RunStore.open(folder, identity, session.prompts, about, frames=options.frames, clean=main, lock=main)
    with closing(store):
        together = session.batch_size.dealt(len(session.prompts) * options.seeds, workers.num_processes)
        pending = store.pending_batches(together, workers.process_index, workers.num_processes)
        trace_batches(session, options, edits, store, pending, progress_bar and main)
        workers.wait_for_everyone()
        return finish_run(folder) if main else None


def run_folder(options: TraceOptions, model: str) -> Path:
    """Folder of the run: `out`, or one named after model and prompts."""
    out = options.out if options.out is not None else Path("runs") / f"{model}-{Path(options.source).stem}"
    return expanded(out)


def number_type(generator: "Generator") -> str:
    """The number type of a generator that is loaded already; "auto" where its sampler does not say."""
    return str(getattr(generator.sampler, "dtype", "auto")).removeprefix("torch.")


def versions() -> dict[str, str]:
    """Versions of this program and of the libraries that decide about numbers."""
    return {name: metadata.version(name) for name in ("generation-tracer", "torch", "diffusers", "numpy", "torchcrepe")}
