"""The `trace` command: its subcommands, and how it ends.

Heavy imports happen inside the commands, so that `trace --help` answers at once.
"""

import atexit
import io
import os
import signal
import sys
import warnings
from typing import Any, NoReturn

import typer

import tracer  # noqa: F401  first of ours: it finds our packages where files of the user bear their names
from probes.errors import InputError, OutOfMemory, memory_ran_out
from probes.support.interrupts import interrupted, raise_ignored_interrupts, raise_interrupts
from tracer.commands.doctor import doctor_command
from tracer.commands.exploring import explore_command
from tracer.commands.fit import app as fit_app
from tracer.commands.from_options import with_bare_values
from tracer.commands.models import models_command, styles_command
from tracer.commands.picking import pick_command
from tracer.commands.runs import compare_command, plot_command
from tracer.commands.sharing import pull_command, push_command
from tracer.commands.steering import edit_command, steer_command
from tracer.commands.tracing import trace_command
from tracer.commands.viewing import view_command

INTERRUPTED = 130

app = typer.Typer(
    name="trace",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.callback(invoke_without_command=True)(trace_command)
for name, command in {
    "plot": plot_command,
    "compare": compare_command,
    "view": view_command,
    "explore": explore_command,
    "pick": pick_command,
    "steer": steer_command,
    "edit": edit_command,
    "models": models_command,
    "styles": styles_command,
    "doctor": doctor_command,
    "push": push_command,
    "pull": pull_command,
}.items():
    app.command(name)(command)  # type: ignore[type-var]
app.add_typer(fit_app, name="fit")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 a mistake in what was given, 130 interrupted, 1 anything else."""
    try:
        prepare()
        code = app(with_bare_values(sys.argv[1:]), standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if not interrupted():
            fail(error)
        code = INTERRUPTED  # of which a library made another error
    if code == INTERRUPTED:
        leave("trace: interrupted; what was finished is kept, the same command goes on from there", INTERRUPTED)
    atexit.register(overhear_interrupts)
    sys.exit(code if isinstance(code, int) else 0)


def prepare() -> None:
    """Set how the process warns, writes and is interrupted."""
    raise_interrupts()  # a queue's SIGTERM ends it as Ctrl-C does
    raise_ignored_interrupts()
    # Our own warnings are for the user, those of libraries for developers.
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module=r"(tracer|probes|hooks)(\.|$)")
    warnings.formatwarning = lambda message, *_: f"trace: {message}\n"  # type: ignore[assignment]
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # a hub that cannot be reached is one line, not one for each try
    os.environ["MPLBACKEND"] = "agg"  # figures are written, not shown; a notebook's backend need not be installed here
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a code page without some letter is no reason to fail
            stream.reconfigure(errors="replace")


def overhear_interrupts() -> None:
    """Ignore Ctrl-C and SIGTERM: what there was to do is done, or the user has been told that it is not."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)


def fail(error: Exception) -> NoReturn:
    """Say in one line what went wrong, and end the process. Raises the error where it is no mistake of the user."""
    if isinstance(error, InputError):
        lack = isinstance(error, OutOfMemory)
        kept = "; what was finished is kept" if lack else ""
        leave(f"trace: {' '.join(error.on_command_line.split())}{kept}", 1 if lack else 2)
    if memory_ran_out(error):
        leave("trace: out of memory: free some, or take a smaller --batch-size; what was finished is kept", 1)
    shown: Any = getattr(error, "format_message", None)
    if shown is None:
        raise error
    if not shown():  # the help of a group of commands that was given alone has said it
        sys.exit(getattr(error, "exit_code", 2))
    # What typer has to say about options and arguments.
    leave(f"trace: {' '.join(shown().split())}", getattr(error, "exit_code", 2))


def leave(message: str, code: int) -> NoReturn:
    """Say one line on standard error and end the process."""
    atexit.register(overhear_interrupts)
    print(message, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
