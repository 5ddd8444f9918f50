"""Tiny inputs of every kind, made by the program itself, and what a folder holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tests.campaigns.programme import trace

SHORT = ("--steps", "3", "--seconds", "1")


def audio_folder(folder: Path, files: int = 6, seconds: float = 1.0) -> Path:
    """Tones of different pitch that swell and fade, and a manifest `files.csv` with their splits."""
    folder.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(32000 * seconds)) / 32000
    for number in range(files):
        phase = 2 * np.pi * 110 * 2 ** (number / 3) * time
        tone = 0.1 * sum(np.sin(k * phase) / k for k in range(1, 6)) * (1 + 0.5 * np.sin(6 * time + number))
        soundfile.write(folder / f"{number}.wav", tone.astype(np.float32), 32000)
    splits = ["train", "train", "val", "test"] + ["train"] * (files - 4)  # within the range of the training files
    rows = "".join(f"{number}.wav,{split}\n" for number, split in enumerate(splits))
    (folder / "files.csv").write_text("path,split\n" + rows)
    return folder


def commands(place: Path, out: Path) -> dict[str, list[str]]:
    """The six long commands with tiny settings; each writes into `out` what it makes of `place`."""
    to, corpus, sae = ("--out", str(out)), str(place / "corpus"), str(place / "sae")
    few = ("--batch", "64")
    classes = ("--classes", "pitch=12", "--classes", "loudness=5", "--classes", "timbre=5")
    return {
        "trace": ["--n", "3", "--batch-size", "2", "--save-latents", *SHORT, *to],
        "fit encode": ["fit", "encode", "--audio", str(place / "audio" / "files.csv"), "--crepe", "tiny", *to],
        "fit sae": ["fit", "sae", "--corpus", corpus, "--hidden", "32", "--steps", "1200", *few, *to],
        "fit probes": ["fit", "probes", "--corpus", corpus, "--sae", sae, "--epochs", "2", *classes, *few, *to],
        "steer": ["steer", "--n", "2", "--edit", "loudness=+", "--alpha", "0.5", "--crepe", "tiny", *SHORT, *to],
        "edit": ["edit", str(place / "audio" / "0.wav"), "--edit", "loudness=+", "--alpha", "0.5", *to],
    }


def make_inputs(place: Path, kinds: Sequence[str] = ("audio", "corpus", "sae")) -> None:
    """Make audio, a corpus, an autoencoder, a readout and a run in `place`, as far as they are named and missing."""
    makers = {"corpus": "fit encode", "sae": "fit sae", "readout": "fit probes", "run": "trace", "steer": "steer"}
    for kind in kinds:
        if (place / kind).exists():
            continue
        if kind == "audio":
            audio_folder(place / kind)
            continue
        end = trace(commands(place, place / kind)[makers[kind]], place / "making")
        if end.code != 0:
            raise RuntimeError(f"{kind} could not be made: {end.err}")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its name, the hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of files that stand in one folder alone or differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
