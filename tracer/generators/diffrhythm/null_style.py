"""The style vector of the null branch: upstream's `infer/example/vocal.npy`, which it uses for every song."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path

from probes.errors import InputError
from probes.support.files import write_whole

NAME = "vocal.npy"
COMMIT = "28ad63c0f096fe2ee258bcabbcf081d5d9366afd"
ORIGIN = f"https://raw.githubusercontent.com/ASLP-lab/DiffRhythm/{COMMIT}/infer/example/{NAME}"
"""Apache-2.0, 2 kB."""
SHA256 = "6cb7d74eb7a8eda12acb8247b21d373928301db8a8cb0db480d341799fed3ce5"
SECONDS = 30.0


def null_style_file(folder: Path) -> Path | None:
    """`vocal.npy` in a folder, or the one that was fetched earlier; None where there is neither."""
    return next((path for path in (folder / NAME, kept()) if path.is_file()), None)


def kept() -> Path:
    """Where the fetched file lies: in the assets folder of the hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE).expanduser() / "generation-tracer" / "diffrhythm" / NAME


def fetch_null_style() -> Path:
    """The file from DiffRhythm's repository at a fixed commit, kept for the next time.

    Raises:
        InputError: There is no network, or what came is not that file.
    """
    from huggingface_hub import constants

    path = kept()
    if path.is_file():
        return path
    advice = f"fetch {ORIGIN} elsewhere and pass --set negative_style={NAME}, or --guidance 0"
    if constants.HF_HUB_OFFLINE:
        raise InputError(f"guidance needs the negative style vector, and HF_HUB_OFFLINE is set: {advice}")
    try:
        with urllib.request.urlopen(ORIGIN, timeout=SECONDS) as answer:
            data = answer.read()
    except OSError as error:
        raise InputError(f"guidance needs the negative style vector; no answer ({error}): {advice}") from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise InputError(f"what came from {ORIGIN} is not DiffRhythm's {NAME}: {advice}")
    write_whole(path, data)
    return path
