"""`trace doctor`: what a model needs on this machine."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tracer.commands.consent import gigabytes
from tracer.commands.from_options import AsJson
from tracer.commands.tables import print_rows

if TYPE_CHECKING:
    from tracer.doctor import Row


def doctor_command(
    model: Annotated[
        str | None, typer.Option("--model", help="Model to look after.", show_default="one line for each")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a model needs here: what is there, what is missing, size, licence, and the command that gets it.

    Nothing is fetched or loaded. The exit code is 0 whatever is missing, and 2 for a model that does not exist.

    For example: [b]trace doctor --model diffrhythm[/b]
    """
    from tracer.doctor import examine, this_machine
    from tracer.generators import GENERATORS

    machine = this_machine()
    found = {name: examine(name, machine) for name in ([model] if model else GENERATORS)}
    if as_json:
        print(json.dumps({name: [asdict(row) for row in rows] for name, rows in found.items()}, indent=1))
    elif model:
        print_needs(model, found[model])
    else:
        print_overview(found)


def print_needs(model: str, rows: "list[Row]") -> None:
    """Print everything that a model needs, with what to do below what is not there."""
    print(f"{model}\n")
    for row in rows:
        facts = ", ".join(filter(None, [gigabytes(row.size) if row.size is not None else "", row.licence]))
        print(f"  {row.state:<10}{row.what}" + (f": {facts}" if facts else ""))
        if row.command:
            print(f"{'':<12}{row.command}")
    missing = sum(row.state == "missing" for row in rows)
    print(f"\n{missing} of {len(rows)} missing" if missing else "\nnothing is missing")


def print_overview(found: "dict[str, list[Row]]") -> None:
    """Print a line for each model."""
    table = []
    for name, rows in found.items():
        missing = [row for row in rows if row.state == "missing"]
        sizes = [row.size for row in missing if row.licence]
        size = gigabytes(sum(size for size in sizes if size is not None)) if any(sizes) else "-"
        table.append([name, str(len(missing)), size + (" and more" if None in sizes else "")])
    print_rows("", ["model", "missing", "to fetch"], table)
    print("what it is: trace doctor --model NAME")
