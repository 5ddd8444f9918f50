"""`trace push` and `trace pull`: a run as a dataset on the hub."""

from pathlib import Path
from typing import Annotated

import typer


def push_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    repo: Annotated[str, typer.Argument(help="Hub id of the dataset, owner/name; made where it does not exist.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new dataset public, not private.")] = False,
) -> None:
    """Upload a run as a dataset with a card; again, to bring it up to date.

    run.json goes with it, and with it the paths that were given. Log in first: [b]hf auth login[/b]
    """
    from tracer.sharing import push_run

    typer.echo(push_run(run, repo, public))


def pull_command(
    repo: Annotated[str, typer.Argument(help="Hub id of a run (id@revision to pin it).")],
    out: Annotated[Path, typer.Option(help="Folder for the run; it must not exist yet.")],
) -> None:
    """Download a run that was pushed. [b]trace plot[/b] and `Run(FOLDER)` then read it as one's own."""
    from tracer.sharing import pull_run

    print(pull_run(repo, out))
