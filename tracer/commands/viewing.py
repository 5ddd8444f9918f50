"""The command that writes and opens a page with sound."""

from pathlib import Path
from typing import Annotated

import typer

from probes.errors import InputError

NoOpen = Annotated[bool, typer.Option("--no-open", help="Write the page without opening it in a browser.")]


def view_command(
    folders: Annotated[
        list[Path],
        typer.Argument(help="A run, several runs, or one folder of trace steer or edit; a folder or its URL each."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the page.", show_default="page in the folder; of several page-FIRST-with-OTHERS beside it"
        ),
    ] = None,
    prompts: Annotated[
        str | None, typer.Option(help="Prompts to show, by their numbers: 0,3,7.", show_default="all")
    ] = None,
    no_open: NoOpen = False,
) -> None:
    """Write a page on which runs can be heard and seen, and open it.

    The page is a folder of plain files: it opens from the disk, asks nothing of the network, and can be zipped and
    sent.
    With the sounds of [b]trace --listen[/b] it plays every state; without, the finished clips.

    Several runs are compared, on a page beside the first, which keeps its own; a folder of [b]trace steer[/b] or
    [b]trace edit[/b] plays each dose beside the plain version.
    """
    from tracer.long_work import reporting
    from tracer.page.viewing import write_view

    with reporting() as report:
        page = write_view(folders, out, None if prompts is None else numbers(prompts), report)
    show_page(page, no_open)


def show_page(index: Path, no_open: bool) -> None:
    """Print where a page is, and open it unless that is not wanted."""
    typer.echo(index)
    if not no_open:
        typer.launch(index.resolve().as_uri())


def numbers(text: str) -> list[int]:
    """The whole numbers of a list such as 0,3,7."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"--prompts takes numbers such as 0,3,7, got {text!r}")
    return [int(part) for part in parts]
