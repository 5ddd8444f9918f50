"""Small trees of the same shape as data sets that have a name."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000


def tone(path: Path, number: int = 0, seconds: float = 0.5, file_format: str | None = None) -> Path:
    """A short tone that differs from all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(RATE * seconds)) / RATE
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * (200 + 7 * number) * times), RATE, format=file_format)
    return path


def strings(path: Path, number: int) -> Path:
    """Six channels, of which one holds a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.zeros((RATE // 2, 6))
    samples[:, number % 6] = 0.2 * np.sin(2 * np.pi * (300 + 7 * number) * np.arange(RATE // 2) / RATE)
    soundfile.write(path, samples, RATE)
    return path


def table(path: Path, rows: list[dict[str, str]]) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def guitarset(root: Path) -> Path:
    """Six players; keys with # and b; accompaniment and solo; a stray file."""
    for number, (player, key) in enumerate([(p, k) for p in range(6) for k in ("Eb", "C#")]):
        for kind in ("comp", "solo"):
            stem = f"{player:02d}_BN1-129-{key}_{kind}"
            tone(root / "audio_mono-mic" / f"{stem}_mic.wav", 4 * number + (kind == "solo"))
            tone(root / "audio_mono-pickup_mix" / f"{stem}_mix.wav", 4 * number + 2 + (kind == "solo"))
    tone(root / "audio_mono-mic" / "test_mic.wav", 99)
    return root


def maestro(root: Path) -> Path:
    """Three splits in year folders, and a row without audio."""
    rows = []
    for number, split in enumerate(("train", "train", "validation", "test", "train")):
        name = f"{2004 + number % 2}/piece {number}.wav"
        rows.append({"split": split, "audio_filename": name, "midi_filename": "x.midi", "duration": "0.5"})
        if number < 4:
            tone(root / name, 100 + number)
    table(root / "maestro-v3.0.0.csv", rows)
    return root


def egmd(root: Path) -> Path:
    """One id on two kits, a row without an audio name, a row whose audio is missing."""
    rows = []
    for kit in ("Acoustic", "808"):
        for number, split in enumerate(("train", "validation", "test")):
            name = f"drummer1/session{number}/1_funk_80_beat_4-4_{kit}.wav"
            rows.append({"drummer": "drummer1", "id": f"drummer1/{number}", "split": split, "audio_filename": name})
            tone(root / name, 200 + len(rows))
    rows.append({"drummer": "drummer2", "id": "drummer2/0", "split": "train", "audio_filename": ""})
    rows.append({"drummer": "drummer2", "id": "drummer2/1", "split": "train", "audio_filename": "drummer2/absent.wav"})
    table(root / "e-gmd-v1.0.0.csv", rows)
    return root


def cocochorales(root: Path) -> Path:
    """Folders by split, and flattened ones."""
    for number, place in ((1, "main_dataset/train/"), (192001, "main_dataset/valid/"), (216001, ""), (240000, "")):
        folder = root / f"{place}string_track{number:06d}"
        tone(folder / "mix.wav", number % 997)
        tone(folder / "stems_audio" / "1_violin.wav", number % 991)
    return root


def damp_vsep(root: Path) -> Path:
    """Vocals as Ogg, the rest as m4a, and lists of two splits."""
    for number in range(4):
        folder = root / "songs" / f"{1000 + number}_key"
        tone(folder / "vocal.ogg", 400 + number, file_format="OGG")
        (folder / "mix.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (root / "train.csv").write_text("perf_key,plan\n1000_key,a\n1001_key,b\n")
    (root / "valid.csv").write_text("perf_key\n1002_key\n")
    return root


TREES: dict[str, Callable[[Path], Path]] = {
    "guitarset": guitarset, "maestro": maestro, "egmd": egmd, "cocochorales": cocochorales, "damp-vsep": damp_vsep,
}  # fmt: skip
