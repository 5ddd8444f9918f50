"""Weights are named with size and licence before they are fetched, and fetched when the user agrees."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from probes.errors import InputError

if TYPE_CHECKING:
    from tracer.generators.catalogue import Entry

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Fetch what is missing without a question.")]


def agree(entries: "Sequence[Entry]", yes: bool) -> None:
    """Name what is about to be fetched, weights or data, and ask on a terminal.

    Nothing is asked offline: there is nothing to fetch, and what is missing tells of itself when it is loaded.

    Args:
        entries: What is not on this machine.
        yes: The user has agreed already.

    Raises:
        InputError: The user said no; or there is no terminal to ask on, and `--yes` was not given.
    """
    if not entries:
        return
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return
    told = [described(entry) for entry in entries]
    data = any(entry.kind == "data" for entry in entries)
    instead = "give --root FOLDER for a data set that is here" if data else "see `trace doctor`"
    if not yes and not asks():
        raise InputError(f"this fetches {'; '.join(told)}: add --yes, or {instead}")
    if os.environ.get("RANK", "0") == "0":  # of several processes, one says it
        print("to fetch:\n" + "".join(f"  {line}\n" for line in told), end="", file=sys.stderr, flush=True)
    if not yes and not typer.confirm("fetch?", err=True):
        raise InputError(
            f"nothing was fetched: {'' if data else 'pass --weights FILE for weights of your own, or '}{instead}"
        )


def asks() -> bool:
    """Whether there is somebody to ask: a terminal, and no launcher that started several of us."""
    return sys.stdin.isatty() and sys.stderr.isatty() and "LOCAL_RANK" not in os.environ


def described(entry: "Entry") -> str:
    """Source, size and licence of some weights, or of the audio of a data set."""
    about = f"about {gigabytes(entry.download)}, {entry.what}" if entry.kind == "data" else gigabytes(entry.download)
    return f"{entry.source or entry.name} ({about}, {entry.licence})"


def gigabytes(size: float | None) -> str:
    """A size in GB as people say it."""
    if size is None:
        return "size not known"
    if size >= 0.1:
        return f"{size:.2g} GB"
    return f"{size * 1e3:.0f} MB" if size >= 1e-3 else f"{size * 1e6:.0f} kB"
