"""Folders as `trace steer` and `trace edit` leave them, with tones for clips."""

import json
from pathlib import Path

import soundfile
from support import page_run
from support.figure_data import dose, leakage, lockin

from tracer.steering.tables import write_csv

CAPTION = "<b>hostile</b> & caption"
EDITS = ("pitch=C#5", "loudness=+")


def write_dose(folder: Path) -> Path:
    """Two prompts, two edits at two doses, with random pushes."""
    rows, clips = [row for row in dose() if row["edit"] in ("pitch=+", "loudness=+")], []
    for row in rows:
        row["edit"] = "pitch=C#5" if row["attribute"] == "pitch" else row["edit"]
    (folder / "audio").mkdir(parents=True)
    for prompt in (0, 4):
        versions = [("", 0.0, "plain")]
        versions += [(edit, a, kind) for edit in EDITS for a in (0.01, 0.05) for kind in ("steered", "random")]
        for place, (edit, alpha, kind) in enumerate(versions):
            clips.append({"prompt": prompt, "edit": edit, "alpha": alpha, "kind": kind, "pitch": 60.0, "voiced": 0.5})
            if edit:
                clips[-1] |= {"shift_pitch": 1.5, "shift_loudness": -2.0, "shift_timbre": 0.1}
            name = "plain" if not edit else f"{edit}-{kind}-{alpha:g}"
            tone = page_run.tone(300 + 50 * place)[0]
            soundfile.write(folder / "audio" / f"{prompt:05d}-{name}.wav", tone, page_run.RATE)
    (folder / "steer.json").write_text(json.dumps({"prompts": ["a caption", CAPTION], "indices": [0, 4]}))
    for name, table in (("dose", rows), ("clips", clips), ("leakage", leakage())):
        write_csv(folder / f"{name}.csv", table)
    return folder


def write_lockin(folder: Path) -> Path:
    """A folder of `trace steer --when`."""
    folder.mkdir()
    (folder / "lockin.json").write_text("{}")
    rows, emergence = lockin()
    write_csv(folder / "lockin.csv", rows)
    write_csv(folder / "emergence.csv", emergence)
    return folder


def write_edit(folder: Path) -> Path:
    """A folder of `trace edit`."""
    folder.mkdir()
    (folder / "edit.json").write_text(json.dumps({"edits": ["loudness=+"]}))
    summary, curves = [], []
    for place, name in enumerate(("original", "alpha 0", "alpha 2")):
        soundfile.write(folder / f"{name.replace(' ', '-')}.wav", page_run.tone(200 + 100 * place)[0], page_run.RATE)
        summary.append({"version": name, "pitch_midi": 60.0, "level_db": -20.0, "centroid_hz": 900.0, "voiced": 0.5})
        for frame in range(20):
            pitch = "" if frame % 5 == 0 else 60.0 + place
            row = {"version": name, "seconds": frame / 5}
            curves.append(row | {"pitch_midi": pitch, "rms": 0.1, "centroid_hz": 900.0})
    write_csv(folder / "summary.csv", summary)
    write_csv(folder / "curves.csv", curves)
    return folder
