"""`trace pick`: options in, the kept takes out."""

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from probes.errors import InputError
from tracer.commands.consent import Yes, agree
from tracer.commands.from_options import AsJson, with_flags
from tracer.commands.tables import Column, print_columns, records
from tracer.options import PickOptions

if TYPE_CHECKING:
    from tracer.picking import PickResult


@with_flags
def pick_command(
    given: PickOptions,
    caption: Annotated[
        str | None, typer.Argument(help="What to generate; --prompts FILE for several.", show_default=False)
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make many takes of a prompt, choose while they are still noise, and finish the best alone.

    Every seed is generated up to an early state; what the model is heading for is read there, and the takes nearest to
    what is wanted are generated to the end: [b]trace pick "a slow piano piece" --want timbre=dark --want
    loudness=-20dB[/b]

    Words: dark and bright, quiet and loud, low and high: the 10 % and 90 % of the readout's training songs.
    """
    from tracer.fetching import of_session
    from tracer.picking.choosing import pick

    if caption is not None:
        if given.n is not None:
            raise InputError("--n counts prompts: leave it out beside a caption, which is one")
        if given.prompts != "demo":
            raise InputError("give either a caption or --prompts, not both")
        given = replace(given, prompts=[caption])
    elif given.prompts == "demo" and given.n is None:
        raise InputError(
            'say what to generate: trace pick "a slow dark piano piece" ..., --prompts FILE, or --n 4 of demo'
        )
    agree(of_session(given, decoded=True), yes)
    found = pick(given, progress_bar=not as_json)
    if found is None:
        return  # another process of the same launch writes the results
    if as_json:
        rows = {"takes": records(found.takes), "kept": records(found.kept)}
        typer.echo(json.dumps({"out": str(found.path), "compute": found.compute} | rows))
        return
    print_kept(found)


def print_kept(found: "PickResult") -> None:
    """Print the kept takes, and what they cost."""
    columns = [Column(name) for name in ("prompt", "rank", "seed", "distance", "why", "level (dB)", "centroid (Hz)")]
    columns.append(Column("pitch (MIDI)"))
    takes = {(row["prompt"], row["seed"]): row for row in found.takes.to_dict("records")}
    for row in found.kept.to_dict("records"):
        take = takes[row["prompt"], row["seed"]]
        pitch, centroid = row.get("measured_pitch", math.nan), row.get("measured_timbre", math.nan)
        cells = [
            str(row["prompt"]), str(row["rank"]), str(row["seed"]), f"{take['distance']:.2f}", take["reason"],
            f"{row['measured_loudness']:.1f}", "-" if math.isnan(centroid) else f"{2**centroid:.0f}",
            "-" if math.isnan(pitch) else f"{pitch:.1f}",
        ]  # fmt: skip
        for column, cell in zip(columns, cells):
            column.cells.append(cell)
    first = found.takes.iloc[0]
    print_columns(
        f"kept {len(found.kept)} of {len(found.takes)} takes, decided at state {first['state']} of {first['full']} "
        f"(flow time {first['t']:.2f})",
        columns,
    )
    print("distance (in spreads over songs) and why: as read at the deciding state; the rest: of the finished sound")
    print(f"evaluations of the network: {found.compute:.0%} of what all takes in full would have cost")
    typer.echo(f"takes.csv, kept.csv and audio: {found.path}")
