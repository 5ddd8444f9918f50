"""What the bare command makes of its arguments, without running anything."""

from collections.abc import Sequence

import typer
from typer.testing import CliRunner

from tracer.commands.from_options import with_flags
from tracer.options import TraceOptions


def parsed(words: Sequence[str]) -> TraceOptions:
    """The options that arguments of `trace` stand for."""
    app, seen = typer.Typer(), []

    @app.command()
    @with_flags
    def command(given: TraceOptions) -> None:
        seen.append(given)

    assert CliRunner().invoke(app, list(words)).exit_code == 0
    (given,) = seen
    return given
