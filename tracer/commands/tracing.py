"""The bare command: trace a model."""

from typing import Annotated

import typer

from probes.errors import InputError
from tracer.commands.consent import Yes, agree
from tracer.commands.from_options import AsJson, with_flags
from tracer.options import TraceOptions


def version(wanted: bool) -> None:
    """Print the version and stop, if wanted."""
    if wanted:
        from importlib import metadata

        typer.echo(f"generation-tracer {metadata.version('generation-tracer')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", is_eager=True, callback=version, help="Print the version.")]


@with_flags
def trace_command(
    context: typer.Context, given: TraceOptions, yes: Yes = False, as_json: AsJson = False, version: Version = False
) -> None:
    """Watch a text-to-music model while it generates, and see when it decides what it will sound like.

    Without a command: generate from prompts, read every state of the sampler, and leave a run folder with the curves.

    The first run needs nothing: [b]trace[/b] takes the bundled demonstration model and its prompts.

    The main job on a GPU: [b]trace --model diffrhythm --prompts musiccaps --n 500 --readout FOLDER[/b]
    ([b]trace doctor --model diffrhythm[/b] says what it needs)

    On several GPUs: [b]accelerate launch --num_processes 4 "$(command -v trace)" --model diffrhythm ...[/b]

    An interrupted run goes on where it stopped when the same command is given again.
    """
    if context.invoked_subcommand is not None:
        refuse_options(context, context.invoked_subcommand)
        return
    from tracer.commands.run_tables import print_run
    from tracer.fetching import of_session
    from tracer.tracing import run_trace

    agree(of_session(given, given.save_audio or given.ground_truth), yes)
    run = run_trace(given, progress_bar=not as_json)
    if run is not None:
        print_run(run, as_json)


def refuse_options(context: typer.Context, command: str) -> None:
    """Raise InputError for options that stand before a command, which would not get them."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            flags = parameter.secondary_opts if context.params[name] is False else parameter.opts
            raise InputError(f"write options after the command: trace {command} {flags[0]} ...")
