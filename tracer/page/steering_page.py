"""What the page of a steering folder shows: the versions of each clip, and how far each edit goes and leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from probes.attributes.songs import UNITS
from probes.errors import InputError
from probes.support.files import Fields, Missing, read_json
from tracer.clips import MEASURED
from tracer.figures.palette import looks
from tracer.page.folder import bring_as_ogg, write_data
from tracer.steering.tables import clip_file, read_csv

SHOWN = ("pitch", "loudness", "timbre")


KINDS: dict[str, tuple[str, Fields]] = {
    "steer.json": ("dose", {"indices": list, "prompts": list}),
    "lockin.json": ("lockin", {"edits": (list, Missing), "windows": (int, Missing)}),
    "edit.json": ("edit", {"edits": list}),
}
"""What made a folder that holds such a file, and what is read of it."""


def steering_kind(folder: Path) -> str | None:
    """What made a folder: "dose" (`trace steer`), "lockin" (`trace steer --when`), "edit" (`trace edit`), or None."""
    return next((kind for name, (kind, _) in KINDS.items() if (folder / name).is_file()), None)


def write_steering(source: Path, kind: str, folder: Path, report: Callable[[int, int], None]) -> None:
    """Write data/steering.js and, of clips, data/prompt-INDEX.js for each prompt with its sounds.

    Args:
        source: Folder of the steering run.
        kind: As `steering_kind` says.
        folder: Folder of the page.
        report: Called with the number of prompts that are written, and of all.

    Raises:
        InputError: Nothing in the folder is finished.
    """
    content: dict[str, Any] = {
        "kind": kind,
        "name": source.resolve().name,
        "units": {name: UNITS[unit] for name, unit in MEASURED.items()},
    }
    if kind == "dose":
        content |= dose_data(source, folder, report)
    elif kind == "lockin":
        about_of(source, kind)
        content |= {name: rows_of(source, name) for name in ("lockin", "emergence")}
    else:
        content |= edit_data(source, folder)
    names = {row["attribute"] for row in [*content.get("doses", []), *content.get("lockin", [])]}
    content["colours"] = {name: look.colour for name, look in looks(sorted(names | set(SHOWN))).items()}
    write_data(folder, "steering", content)


COLUMNS = {
    "dose": ("edit", "attribute", "alpha"), "clips": ("prompt", "edit", "kind", "alpha"), "leakage": ("target",),
    "lockin": ("edit", "attribute"), "emergence": ("attribute",), "curves": ("version", "seconds"),
    "summary": ("version",),
}  # fmt: skip
"""Columns that the page takes from each table."""


def about_of(source: Path, kind: str) -> dict[str, Any]:
    """What the folder says of its run; InputError where that is damaged."""
    name, fields = next((name, fields) for name, (own, fields) in KINDS.items() if own == kind)
    return read_json(source / name, fields)


def rows_of(source: Path, name: str) -> list[dict[str, Any]]:
    """Rows of a table of the folder; InputError where it is not there, or damaged."""
    path = source / f"{name}.csv"
    if not path.is_file():
        raise InputError(f"{source} has no {name}.csv: give the command that made it again, so that it is finished")
    return read_csv(path, *COLUMNS[name])


def dose_data(source: Path, folder: Path, report: Callable[[int, int], None]) -> dict[str, Any]:
    """Tables, prompts and versions of a folder of `trace steer`."""
    doses, clips = rows_of(source, "dose"), rows_of(source, "clips")
    about = about_of(source, "dose")
    edits = list(dict.fromkeys(row["edit"] for row in doses))
    captions = dict(zip(about["indices"], about["prompts"]))
    indices = list(dict.fromkeys(int(row["prompt"]) for row in clips))
    for done, index in enumerate(indices):
        report(done, len(indices))
        own = [version(source, folder, row, edits) for row in clips if row["prompt"] == index]
        write_data(folder, f"prompt-{index:05d}", own)
    report(len(indices), len(indices))
    return {
        "doses": doses,
        "leakage": rows_of(source, "leakage"),
        "edits": edits,
        "prompts": [{"index": index, "caption": captions.get(index, "")} for index in indices],
    }


def version(source: Path, folder: Path, row: dict[str, Any], edits: list[str]) -> dict[str, Any]:
    """One clip: which version it is, what was measured, and its sound where it was kept."""
    plain = row["kind"] == "plain"
    name = "plain" if plain else f"{row['edit']}-{row['kind']}-{row['alpha']:g}"
    path = source / "audio" / clip_file(int(row["prompt"]), name)
    own = {key: row.get(key) for key in ("edit", "alpha", "kind", "voiced")}
    own |= {key: row[key] for name in SHOWN for key in (name, f"shift_{name}") if key in row}
    if not path.is_file():
        return own
    # An edit's name, such as pitch=C#5, is no part of an address.
    short = "plain" if plain else f"{edits.index(row['edit'])}-{row['kind']}-{row['alpha']:g}"
    sound = f"audio/{int(row['prompt']):05d}-{short}.ogg"
    bring_as_ogg(path, folder / sound)
    return own | {"sound": sound}


def edit_data(source: Path, folder: Path) -> dict[str, Any]:
    """Versions of an edited recording, with their curves."""
    about = about_of(source, "edit")
    curves = rows_of(source, "curves")
    versions = []
    for row in rows_of(source, "summary"):
        name = str(row["version"])
        path = source / f"{name.replace(' ', '-')}.wav"
        own = {**row, "curves": {}}
        for key in ("seconds", "pitch_midi", "rms", "centroid_hz"):
            column = [found.get(key) for found in curves if found["version"] == name]
            own["curves"][key] = [value if isinstance(value, float | int) else None for value in column]
        if path.is_file():
            own["sound"] = f"audio/{path.stem}.ogg"
            bring_as_ogg(path, folder / own["sound"])
        versions.append(own)
    return {"edits": about["edits"], "versions": versions}
