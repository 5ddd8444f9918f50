"""The figures of an autoencoder and of probes on it as files: written beside them, and checked when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probes.errors import InputError
from probes.support.files import Fields, Missing, read_json, require_each, require_fields, write_json

METRICS = "metrics.json"
PROBES = "probes.json"
Null = type(None)
_METRICS: Fields = {"made_with": dict, "split": str, "figures": dict, "history": list, "checksum": (str, Missing)}
_MADE_WITH: Fields = {"config": dict, "options": dict}
_FIGURES: Fields = {
    "frames": int,
    "fvu": (float, Null),
    "l0": float,
    "sparsity": float,
    "silent": float,
    "shrinkage": (float, Null),
    "cosine": float,
    "dead": dict,
    "silent_in_training": float,
    "fvu_in_training": (float, Null),
    "rms_h": (float, Missing),
    "audio": (dict, Missing),
}
_PROBE: Fields = {
    "accuracy": float,
    "interval": (list, Null),
    "within_one": (float, Missing),
    "macro_f1": float,
    "majority": float,
    "shuffled": float,
}


def write_metrics(folder: Path, content: Mapping[str, Any]) -> None:
    """Write metrics.json into a folder, with a checksum of what it says."""
    write_json(folder / METRICS, {**content, "checksum": _checksum(content)})


def write_probe_report(folder: Path, content: Mapping[str, Any]) -> None:
    """Write probes.json beside an autoencoder, with a checksum of what it says."""
    write_json(folder / PROBES, {**content, "checksum": _checksum(content)})


def read_metrics(folder: Path) -> dict[str, Any]:
    """The metrics.json that `probes.fit.pipeline.fit_sae` wrote into a folder.

    Raises:
        InputError: It is damaged, or of something else; one line that names the file and what is wrong.
    """
    path = folder / METRICS
    content = read_json(path, _METRICS)
    _require_unchanged(path, content)
    require_fields(f"{path}, made_with", content["made_with"], _MADE_WITH)
    figures = content["figures"]
    require_fields(f"{path}, figures", figures, _FIGURES)
    require_each(f"{path}, dead", figures["dead"], float)
    if not all(frames.isdecimal() for frames in figures["dead"]):
        raise InputError(f"{path}, dead: a horizon is no number of frames")
    require_each(f"{path}, audio", figures.get("audio", {}), (float, Null))
    return content


def _require_unchanged(path: Path, content: dict[str, Any]) -> None:
    if content.pop("checksum", _checksum(content)) != _checksum(content):
        raise InputError(f"{path} was changed since it was written: restore it, or train into another --out")


def _checksum(content: Mapping[str, Any]) -> str:
    whole = json.dumps({key: value for key, value in content.items() if key != "checksum"}, sort_keys=True)
    return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()


def read_figures(folder: Path) -> dict[str, Any]:
    """The figures that `fit_sae` left beside an autoencoder; empty where there are none."""
    return dict(read_metrics(folder)["figures"]) if (folder / METRICS).exists() else {}


def read_probe_report(folder: Path) -> dict[str, Any]:
    """The probes.json that a sweep wrote beside an autoencoder: what it was made with, and the report by attribute.

    Raises:
        InputError: It is damaged, or of something else; one line.
    """
    path = folder / PROBES
    content = read_json(path, {"made_with": dict, "report": dict, "checksum": (str, Missing)})
    _require_unchanged(path, content)
    report = content["report"]
    for name, found in report.items():
        require_fields(f"{path}, {name}", found, _PROBE)
        interval = found["interval"]
        require_each(f"{path}, {name}, interval", interval or [], float)
        if interval is not None and len(interval) != 2:
            raise InputError(f"{path}, {name}, interval: it must be two numbers")
    return content
