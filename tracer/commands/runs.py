"""Commands on finished runs: draw them again, compare them. Runs may lie elsewhere: a copy is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probes.errors import InputError
from tracer.commands.from_options import AsJson

if TYPE_CHECKING:
    from tracer.run import Run

AXES = {"step": None, "time": "t", "logsnr": "logsnr"}


def plot_command(
    runs: Annotated[list[Path], typer.Argument(help="One run folder or its URL, or several to lay over each other.")],
    x: Annotated[
        str, typer.Option("--x", help="step, time (flow time), or logsnr (the common axis of different models).")
    ] = "step",
    out: Annotated[
        Path | None,
        typer.Option(
            help="File without ending, for .png and .svg.",
            show_default="emergence in the run; with --x emergence-X; of several runs emergence-with-OTHERS in the "
            "first",
        ),
    ] = None,
) -> None:
    """Draw the emergence curves of one run again, or of several over each other, from what is stored.

    The figure of several runs, or on another axis, has a name of its own beside the run's.
    """
    from tracer.comparing import open_runs, plot_runs

    if x not in AXES:
        raise InputError(f"--x takes {', '.join(AXES)}, got {x!r}")
    opened = open_runs(runs)
    for path in plot_runs(opened, axis=AXES[x]).write(out or opened[0].path / figure_name(opened, x)):
        typer.echo(path)


def figure_name(runs: "Sequence[Run]", x: str) -> str:
    """Default name of a figure of emergence: that of the run's own only where it is drawn as the run draws it."""
    from tracer.comparing import joint_name

    name = "emergence" if AXES[x] is None else f"emergence-{x}"
    return name if len(runs) == 1 else joint_name(name, [run.path for run in runs])


def compare_command(
    runs: Annotated[list[Path], typer.Argument(help="Two run folders or more, or their URLs.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File without ending, for .png and .svg.", show_default="comparison-with-OTHERS in the first run"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print when each attribute is settled in each run, with intervals, and draw it in one figure."""
    from tracer.commands.run_tables import print_comparison
    from tracer.comparing import compare_runs, joint_name, open_runs

    opened = open_runs(runs)
    result = compare_runs(opened)
    name = joint_name("comparison", [run.path for run in opened])
    print_comparison(result, as_json, result.plot().write(out or opened[0].path / name))
