"""The `trace` command: options in, calls out, nothing computed here.

Heavy imports happen inside the commands, so that `trace --help` answers at once.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probes.errors import InputError
from probes.support.key_values import key_values
from tracer.commands.fit import app as fit_app
from tracer.commands.steering import edit_command, steer_command

if TYPE_CHECKING:
    from tracer import Run

INTERRUPTED = 130

app = typer.Typer(
    name="trace",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(fit_app, name="fit")
app.command("steer")(steer_command)
app.command("edit")(edit_command)

Prompts = Annotated[
    str,
    typer.Option(
        "--prompts", help="[b]demo[/b] (shipped), [b]musiccaps[/b] (from the hub), or a .txt, .csv or .jsonl file."
    ),
]
Count = Annotated[
    int | None, typer.Option("--n", help="Number of prompts; 16 of demo, otherwise all.", show_default=False)
]
Model = Annotated[str, typer.Option("--model", help="What is traced; `trace models` lists them.")]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", help="Checkpoint file, folder or hub id (id@revision to pin it).", show_default="the model's own"
    ),
]
ReadoutOption = Annotated[
    str | None,
    typer.Option(
        "--readout", help="Folder or hub id of a readout for the model's latent space.", show_default="the model's own"
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="KEY=VALUE for this model alone, such as style_cache=FILE; repeatable.", show_default=False
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Run seed; each prompt's noise comes from it and the prompt's index.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]


@app.callback(invoke_without_command=True)
def trace_command(
    context: typer.Context,
    prompts: Prompts = "demo",
    n: Count = None,
    model: Model = "mini",
    weights: Weights = None,
    readout: ReadoutOption = None,
    steps: Annotated[
        int | None, typer.Option(help="Number of sampler states.", show_default="32, or the model's own")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Length of a clip.", show_default="the model's own")] = None,
    cfg: Annotated[
        float | None, typer.Option(help="Guidance scale, as the model counts it.", show_default="the model's own")
    ] = None,
    seed: Seed = 0,
    batch_size: Annotated[int, typer.Option(help="Prompts generated together.")] = 4,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    views: Annotated[
        str, typer.Option(help="What is read: the noisy state, the clean endpoint estimate, or both.")
    ] = "state,endpoint",
    steer: Annotated[
        list[str] | None,
        typer.Option(
            help='Control vector, e.g. "pitch=C5,alpha=0.02,from=0.3,to=0.7"; repeatable.', show_default=False
        ),
    ] = None,
    balanced: Annotated[bool, typer.Option("--balanced", help="Choose from MusicCaps' balanced subset.")] = False,
    ground_truth: Annotated[
        bool,
        typer.Option(
            "--ground-truth", help="Also decode the endpoint at every state and measure the attributes on that audio."
        ),
    ] = False,
    save_audio: Annotated[bool, typer.Option("--save-audio/--no-save-audio", help="Decode and keep each clip.")] = True,
    save_latents: Annotated[
        bool, typer.Option("--save-latents", help="Keep each final latent (.safetensors).")
    ] = False,
    frames: Annotated[
        bool, typer.Option("--frames/--no-frames", help="Keep the class of every frame; agreement needs it.")
    ] = True,
    set_: Settings = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; the same command continues it.", show_default="runs/MODEL-PROMPTS")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch a text-to-music model while it generates, and see when it decides what it will sound like.

    Without a command: generate from prompts, read every state of the sampler, and leave a run folder with the curves.

    The first run needs nothing: [b]trace[/b] takes the bundled demonstration model and its prompts.

    The main job on a GPU: [b]trace --model diffrhythm --prompts musiccaps --n 500 --readout FOLDER[/b]

    On several GPUs: [b]accelerate launch --num_processes 4 -m cli --model diffrhythm ...[/b]

    An interrupted run goes on where it stopped when the same command is given again.
    """
    if context.invoked_subcommand is not None:
        return
    from tracer.tracing import trace

    run = trace(
        generator=model,
        prompts=prompts,
        n=n,
        weights=weights,
        readout=readout,
        steps=steps,
        seconds=seconds,
        guidance=cfg,
        seed=seed,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        views=tuple(view.strip() for view in views.split(",")),
        steer=tuple(steer or ()),
        balanced=balanced,
        ground_truth=ground_truth,
        save_audio=save_audio,
        save_latents=save_latents,
        frames=frames,
        options=key_values(set_),
        out=out,
        progress_bar=not as_json,
    )
    if run is not None:
        show(run, as_json)


@app.command("plot")
def plot_command(
    runs: Annotated[list[Path], typer.Argument(help="One run folder, or several to lay over each other.")],
    x: Annotated[
        str, typer.Option("--x", help="step, time (flow time), or logsnr (the common axis of different models).")
    ] = "step",
    out: Annotated[
        Path | None,
        typer.Option(help="File without ending, for .png and .svg.", show_default="emergence in the first run"),
    ] = None,
) -> None:
    """Draw the emergence curves of one run again, or of several over each other, from what is stored."""
    from tracer.figures.emergence import plot_runs
    from tracer.run import Run

    axes = {"step": None, "time": "t", "logsnr": "logsnr"}
    if x not in axes:
        raise InputError(f"--x takes {', '.join(axes)}, got {x!r}")
    for path in plot_runs([Run(path) for path in runs], out or runs[0] / "emergence", axis=axes[x]):
        typer.echo(path)


@app.command("compare")
def compare_command(
    runs: Annotated[list[Path], typer.Argument(help="Two run folders or more.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File without ending, for .png and .svg.", show_default="comparison in the first run"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print when each attribute is settled in each run, with intervals, and draw it in one figure."""
    from tracer.comparing import compare_runs

    compare_runs(runs, out=out, as_json=as_json)


@app.command("models")
def models_command(as_json: AsJson = False) -> None:
    """List every generator and latent space: licence, size, extra to install, and whether its weights are here."""
    from tracer.generators.catalogue import print_catalogue

    print_catalogue(as_json)


@app.command("styles")
def styles_command(
    cache: Annotated[Path, typer.Argument(help="Style cache to fill (.safetensors).")],
    prompts: Prompts = "demo",
    n: Count = None,
    seed: Seed = 0,
    balanced: Annotated[bool, typer.Option("--balanced", help="Choose from MusicCaps' balanced subset.")] = False,
    device: Device = "auto",
) -> None:
    """Turn captions into DiffRhythm style vectors with MuQ-MuLan and keep them in a file.

    Needs the extra [b]diffrhythm[/b] (muq, transformers < 5), usually in an environment of its own. The file can
    then be read anywhere: [b]trace --model diffrhythm --set style_cache=FILE[/b].
    """
    from tracer.generators.diffrhythm.style import StyleCache
    from tracer.prompts import load_prompts

    captions = [prompt.caption for prompt in load_prompts(prompts, n, seed, balanced)]
    StyleCache.open(cache).fill(captions, device=device)


def show(run: "Run", as_json: bool) -> None:
    """Print what a run came to."""
    from tracer.commands.run_tables import summary_json, summary_table, truth_table

    if as_json:
        typer.echo(json.dumps(summary_json(run)))
        return
    from rich.console import Console

    for table in (summary_table(run), truth_table(run)):
        if table is not None:
            Console().print(table)
    typer.echo(f"curves, clips and readings: {run.path}")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 a mistake in what was given, 130 interrupted, 1 anything else."""
    # Our own warnings are for the user, those of libraries for developers.
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module=r"(tracer|probes|hooks)(\.|$)")
    warnings.formatwarning = lambda message, *_: f"trace: {message}\n"  # type: ignore[assignment]
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        leave(f"trace: {' '.join(str(error).split())}", 2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        shown: Any = getattr(error, "format_message", None)
        if shown is None:
            raise
        # What typer has to say about options and arguments.
        leave(f"trace: {' '.join(shown().split())}", getattr(error, "exit_code", 2))
    if code == INTERRUPTED:
        leave("trace: interrupted; what was finished is kept, the same command goes on from there", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def leave(message: str, code: int) -> None:
    """Say one line on standard error and end the process."""
    print(message, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
