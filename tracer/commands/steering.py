"""`trace steer` and `trace edit`: options in, calls out."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probes.errors import InputError
from probes.support.pairs import key_values
from tracer.commands.consent import Yes, agree
from tracer.commands.from_options import AsJson, help_of, with_flags
from tracer.commands.tables import Column, number, print_columns, print_rows, records
from tracer.options import SteerOptions
from tracer.steering.spec import USUAL_DOSES, parse_hold, parse_numbers
from tracer.steering.tables import held_changes

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = {form: ", ".join(f"{dose:g}" for dose in doses) for form, doses in USUAL_DOSES.items()}
DOSES = (
    "up to {direction} classes along + and -, {class} nats towards a class, {curve} of the way to a curve; control "
    "vectors {vector}"
).format(**_TEXTS)

WINDOWS = 10

EditOption = Annotated[
    list[str] | None,
    typer.Option(
        "--edit",
        help='An edit, such as "pitch=C5, from=0.3, to=0.7, hold=timbre"; repeatable, each on its own.',
        show_default="seven in the closed form: up and down for each of pitch, loudness and timbre",
    ),
]
AttributeOption = Annotated[
    list[str] | None, typer.Option(help="What to change; repeatable, with one --target each.", show_default=False)
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A note, dB or Hz, a class (a bare number is its index, of pitch too), or + or - along the classes.",
        show_default=False,
    ),
]
HoldOption = Annotated[
    str | None,
    typer.Option(help="Attributes whose reading must not change: loudness,timbre.", show_default=False),
]


@with_flags
def steer_command(
    given: SteerOptions,
    edit: EditOption = None,
    attribute: AttributeOption = None,
    target: TargetOption = None,
    alpha: Annotated[
        list[str] | None,
        typer.Option(
            help="Doses, separated by commas; once for all edits, or once for each of them, in their order.",
            show_default=f"the edits' own; without one {DOSES}",
        ),
    ] = None,
    hold: HoldOption = None,
    when: Annotated[
        bool, typer.Option("--when", help="Slide each edit over flow time instead: the lock-in curve.")
    ] = False,
    windows: Annotated[int, typer.Option(help="Number of windows of flow time for --when.")] = WINDOWS,
    random: Annotated[
        str, typer.Option(help="Doses with a random push beside them: all, or strongest, to save work.")
    ] = "all",
    save_audio: Annotated[bool, typer.Option("--save-audio/--no-save-audio", help="Keep every clip.")] = True,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for tables, figures and audio.", show_default="runs/steer or runs/lockin"),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Measure what edits do: dose-response, leakage and damage, beside a random push of equal size.

    Every prompt is generated plain, with each edit at each dose, and with a random push of equal size, from the same
    noise; pitch, level and centroid are measured on the audio. Stop it with Ctrl-C and start it again with the
    same options: it goes on where it was.
    """
    from tracer.fetching import of_session

    if windows != WINDOWS and not when:
        raise InputError("--windows goes with --when, which slides each edit over them")
    agree(of_session(given, decoded=True), yes)
    shared: dict[str, Any] = {entry.name: getattr(given, entry.name) for entry in fields(given)}
    shared |= {"hold": parse_hold(hold, "--hold") if hold else (), "progress_bar": not as_json}
    edits = all_edits(edit, attribute, target)
    if edits:
        shared["edits"] = edits
    doses = [parse_numbers(text) for text in alpha or ()]
    if when:
        from tracer.steering.lockin import run_lockin

        if random != "all" or not save_audio:
            raise InputError("--random and --no-save-audio do nothing with --when: leave them out")
        if doses and [len(own) for own in doses] != [1]:
            raise InputError("--when takes one --alpha for all edits, or each edit's own alpha=")
        lockin = run_lockin(
            windows=windows, alpha=doses[0][0] if doses else None, out=out or Path("runs/lockin"), **shared
        )
        columns = [
            "edit",
            "from",
            "to",
            "heard_share",
            "heard_null",
            "heard_over",
            "heard_over_low",
            "heard_over_high",
            "verdict",
        ]
        show(lockin.path, "lockin", lockin.windows, as_json, columns)
        if not as_json:
            print("share: effect on the decoded audio over that of editing the finished latent")
            print("null: the same in a linear flow, which only transports; over: share / null (95 % interval)")
            print("verdict: what that interval says of the edit; unknown over fewer than six prompts")
        return
    from tracer.steering.dose import run_dose

    if doses:
        shared["alphas"] = doses[0] if len(doses) == 1 else doses
    found = run_dose(random=random, save_audio=save_audio, out=out or Path("runs/steer"), **shared)
    if as_json:
        tables = {"doses": found.doses, "equal-effect": found.equal_effect}
        rows = {name: records(table) for name, table in tables.items()}
        typer.echo(json.dumps({"out": str(found.path)} | rows))
        return
    print_doses(found.doses)
    columns = ["edit", "alpha", "shift_pitch", "shift_loudness", "shift_timbre"]
    rows_of = [[number(value) for value in row] for row in found.equal_effect[columns].itertuples(index=False)]
    print()
    print_rows(
        "at equal effect (2 semitones, half of the frames on a note, 6 dB, 0.58 octaves; -: never, or without a dose)",
        ["edit", "alpha", "pitch (st)", "level (dB)", "centroid (oct)"],
        rows_of,
    )
    typer.echo(f"tables and figures: {found.path}")


def print_doses(doses: "pd.DataFrame") -> None:
    """Print what each dose did, measured on the decoded audio, beside random pushes of the same length."""
    columns = [Column(name) for name in ("edit", "alpha", "pitch (st)", "level (dB)", "centroid (oct)")]
    windowed = any(name.startswith("outside_") for name in doses.columns)
    columns += [Column("outside, own")] if windowed else []
    aimed = "on_target" in doses.columns
    columns += [Column("on the note")] if aimed else []
    columns += [Column("own / random")]
    held = Column("held (classes)", spare=1)
    holds = "held_high" in doses.columns and bool((doses["held_high"] > 0).any())
    columns += [held] if holds else []
    columns += [Column("log-mel (dB)", spare=3), Column("voiced", spare=2), Column("clipped", spare=4)]
    for row in doses.to_dict("records"):
        own = row["attribute"]
        cells = [
            row["edit"],
            f"{row['alpha']:g}",
            *(beside_random(row, name) for name in ("pitch", "loudness", "timbre")),
            *([signed(row.get(f"outside_{own}", math.nan))] if windowed else []),
            *([note_share(row)] if aimed else []),
            over_random(row),
            *([strays_most(row)] if holds else []),
            number(row["log_mel_db"]),
            signed(row["voiced_change"]),
            f"{row['clipped']:.2%}",
        ]
        for column, cell in zip(columns, cells):
            column.cells.append(cell)
    n = int(doses["prompts"].max())
    shown = print_columns(
        f"median shifts on the decoded audio, {n} prompts, +- the band of random pushes of the same length", columns
    )
    if windowed:
        print("of an edit in a window of the song: shifts inside it; outside: of its attribute where it does not act")
    if aimed:
        print("on the note: share of all frames that are on an edit's note (the same of random pushes)")
    print("own / random: shift of the edit's attribute over that band (95 % interval over six prompts or more)")
    if aimed:
        print("of: what it would be with every clip on the note")
    if held in shown:
        print("held: by how much the held reading that strays most changes (95 % of the frames by less)")


def over_random(row: Mapping[str, Any]) -> str:
    """An edit's shift over the band of random pushes, what it can be at most towards a note, and its interval."""
    if math.isnan(row["over_band"]):
        return "-"
    text, most = f"{row['over_band']:.1f}", row.get("over_band_note", math.nan)
    if not math.isnan(most):
        text += f" of {most:.1f}"
    if not math.isnan(row["over_band_low"]):
        text += f" ({row['over_band_low']:.1f}-{row['over_band_high']:.1f})"
    return text


def strays_most(row: Mapping[str, Any]) -> str:
    """The change of the held attribute that strays most, in classes, and its name where the table knows it."""
    changes = held_changes(row)
    if not changes:
        return f"{row['held_high']:.2f}" if row["held_high"] > 0 else "-"
    attribute = max(changes, key=changes.__getitem__)
    return f"{changes[attribute]:.2f} ({attribute})"


def note_share(row: Mapping[str, Any]) -> str:
    """Share of frames on the note an edit aims at, and that of random pushes; nothing for an edit without a note."""
    if math.isnan(row["on_target"]):
        return ""
    beside = row["on_target_random"]
    return f"{row['on_target']:.2f}" + ("" if math.isnan(beside) else f" ({beside:.2f})")


def beside_random(row: Mapping[str, Any], attribute: str) -> str:
    """A shift, and how far random pushes move the same attribute where there are any."""
    band = row[f"band_{attribute}"]
    return signed(row[f"shift_{attribute}"]) + ("" if math.isnan(band) else f" +-{band:.2f}")


def signed(value: float) -> str:
    """A shift with its sign and two decimals."""
    return "-" if math.isnan(value) else f"{value:+.2f}"


def edit_command(
    audio: Annotated[Path, typer.Argument(help="A recording: wav, flac, ogg, mp3, ...")],
    attribute: AttributeOption = None,
    target: TargetOption = None,
    edit: Annotated[
        list[str] | None,
        typer.Option(help='The same in one: "loudness=+,hold=pitch,during=2s-4s"; repeatable.', show_default=False),
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option(
            help="Doses, separated by commas: a version of the recording each.",
            show_default=f"the edits' own, in one version; without one {DOSES}, those of the first edit",
        ),
    ] = None,
    hold: HoldOption = None,
    from_: Annotated[
        float | None,
        typer.Option(
            "--from",
            help="Second at which the edits begin; the changes inside and outside are then measured apart.",
            show_default="the beginning",
        ),
    ] = None,
    to: Annotated[float | None, typer.Option(help="Second at which they end.", show_default="the end")] = None,
    space: Annotated[str, typer.Option(help="Latent space; `trace models` lists them.")] = "mini",
    weights: Annotated[
        str | None, typer.Option(help="Path or hub id of the codec's weights.", show_default="the default ones")
    ] = None,
    readout: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub id of a readout for the latent space.", show_default="the one that comes with it"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help=help_of("device"))] = "auto",
    pitch_tracker: Annotated[str, typer.Option("--pitch-tracker", "--crepe", help=help_of("pitch_tracker"))] = "full",
    options: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE for this latent space alone.", show_default=False)
    ] = None,
    structure: Annotated[Path | None, typer.Option(help=help_of("structure"), show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for audio, tables and the figure.", show_default="runs/edit-NAME")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Edit a recording in its latent space, and draw what that did to pitch, level and centroid.

    All edits are applied together. Sample rate, channels and length of the recording come back.
    """
    from tracer.fetching import of_space
    from tracer.steering.audio_edit import edit_audio

    edits = all_edits(edit, attribute, target)
    if not edits:
        raise InputError("say what to change: --attribute loudness --target 2, or --edit loudness=2")
    agree(of_space(space, weights), yes)
    edited = edit_audio(
        audio,
        edits,
        alphas=None if alpha is None else parse_numbers(alpha),
        space=space,
        weights=weights,
        readout=readout,
        start=from_,
        stop=to,
        hold=parse_hold(hold, "--hold") if hold else (),
        device=device,
        pitch_tracker=pitch_tracker,
        options=key_values(options),
        structure=structure,
        out=out,
    )
    show(edited.path, "summary", edited.summary, as_json)


def all_edits(edits: list[str] | None, attributes: list[str] | None, targets: list[str] | None) -> list[str]:
    """The edits of --edit, and those of --attribute with --target; InputError when these do not come in pairs."""
    names, values = attributes or [], targets or []
    if len(names) != len(values):
        raise InputError(f"--attribute and --target come in pairs: {len(names)} of one, {len(values)} of the other")
    return [*(edits or []), *(f"{name}={value}" for name, value in zip(names, values))]


def show(folder: Path, name: str, table: "pd.DataFrame", as_json: bool, columns: list[str] | None = None) -> None:
    """Print a table, for people these columns of it alone, and where the rest is."""
    if as_json:
        typer.echo(json.dumps({"out": str(folder), name: records(table)}))
        return
    shown = columns or list(table.columns)
    rows = [[number(value) for value in row] for row in table[shown].itertuples(index=False)]
    print_rows("", [column.replace("_", " ") for column in shown], rows)
    typer.echo(f"tables and figures: {folder}")
