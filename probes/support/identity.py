"""Whether what lies in a folder was made with the options that are asked for now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from probes.errors import InputError

_NOT_SET = "not set"


def require_same(place: str | Path, kind: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Compare the options that something was made with to those of this run.

    Args:
        place: Where it lies.
        kind: What it is, with its article: "a run", "an autoencoder".
        there: The options it was made with. Options may be grouped into dicts of their own.
        here: The options of this run.

    Raises:
        InputError: Some differ; one line names each with its old and its new value, and says what to do.
    """
    differing = ", ".join(_differing(there, here))
    if differing:
        raise InputError(f"{place} holds {kind} with other options: {differing}: choose another --out or repeat them")


def _differing(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name in sorted(there.keys() | here.keys()):
        old, new = there.get(name, _NOT_SET), here.get(name, _NOT_SET)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differing(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name} ({old} there, {new} here)"
