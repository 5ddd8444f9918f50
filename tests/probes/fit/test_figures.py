"""metrics.json and probes.json: read as they were written, or refused in one line that names the file and the field."""

import json
from pathlib import Path
from typing import Any

import pytest

from probes.errors import InputError
from probes.fit.figures import read_figures, read_metrics, read_probe_report, write_metrics, write_probe_report

FIGURES = {
    "frames": 90, "fvu": 0.2, "l0": 3.5, "sparsity": 0.9, "silent": 0.1, "shrinkage": 0.97, "cosine": 0.9,
    "dead": {"1000": 0.0, "10000": 0}, "silent_in_training": 0.0, "fvu_in_training": None, "rms_h": 0.4,
    "audio": {"log spectral distance": 1.5, "pitch": None},
}  # fmt: skip
METRICS = {"made_with": {"config": {}, "options": {}}, "split": "test", "figures": FIGURES, "history": []}
PROBE = {
    "accuracy": 0.5, "interval": [0.4, 0.6], "within_one": 0.7, "macro_f1": 0.4, "majority": 0.2, "shuffled": 0.2,
}  # fmt: skip
REPORT = {"made_with": {}, "report": {"pitch": PROBE}}
DAMAGES: list[tuple[str, Any]] = [
    ("made_with", None),
    ("made_with.config", []),
    ("figures", "DELETE"),
    ("figures.fvu", "0.2"),
    ("figures.l0", None),
    ("figures.cosine", float("nan")),
    ("figures.dead", 3),
    ("figures.dead", {"many": 0.5}),
    ("figures.dead", {"10": None}),
    ("figures.audio", [1]),
    ("figures.audio", {"pitch": "low"}),
    ("figures.frames", 10**400),
    ("history", {}),
]
PROBE_DAMAGES: list[tuple[str, Any]] = [
    ("report", [PROBE]),
    ("report.pitch", None),
    ("report.pitch.accuracy", True),
    ("report.pitch.interval", [0.4]),
    ("report.pitch.interval", [0.4, 0.5, 0.6]),
    ("report.pitch.interval", [0.4, None]),
    ("report.pitch.macro_f1", "DELETE"),
    ("made_with", "DELETE"),
]


def damaged(content: dict[str, Any], place: str, value: Any) -> str:
    """The content as JSON, with another value (or none) at a place such as a.b."""
    whole = json.loads(json.dumps(content))
    part, *names = whole, *place.split(".")
    for name in names[:-1]:
        part = part[name]
    if value == "DELETE":
        del part[names[-1]]
    else:
        part[names[-1]] = value
    return json.dumps(whole)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read_figures(tmp_path) == {}
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "probes.json").write_text(json.dumps(REPORT))
    assert read_metrics(tmp_path) == METRICS
    assert read_figures(tmp_path) == FIGURES
    assert read_probe_report(tmp_path) == REPORT


@pytest.mark.parametrize(("place", "value"), DAMAGES, ids=[f"{place}-{str(value)[:20]}" for place, value in DAMAGES])
def test_damaged_metrics_are_one_line(place: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(damaged(METRICS, place, value))
    with pytest.raises(InputError, match=r"metrics\.json") as refused:
        read_metrics(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("place", "value"), PROBE_DAMAGES)
def test_a_damaged_report_is_one_line(place: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "probes.json").write_text(damaged(REPORT, place, value))
    with pytest.raises(InputError, match=r"probes\.json") as refused:
        read_probe_report(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_changed_figure_is_noticed(tmp_path: Path) -> None:
    write_metrics(tmp_path, METRICS)
    assert read_metrics(tmp_path) == METRICS
    path = tmp_path / "metrics.json"
    path.write_text(path.read_text().replace("0.97", "0.79"))
    with pytest.raises(InputError, match=r"metrics\.json was changed since it was written"):
        read_figures(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "\0" * 30, "[]", "null"])
def test_what_is_no_object_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json"):
        read_figures(tmp_path)


def test_a_changed_report_of_probes_is_noticed(tmp_path: Path) -> None:
    write_probe_report(tmp_path, REPORT)
    assert read_probe_report(tmp_path) == REPORT
    path = tmp_path / "probes.json"
    changed = json.loads(path.read_text())
    changed["report"]["pitch"]["accuracy"] = 0.99
    path.write_text(json.dumps(changed))
    with pytest.raises(InputError, match=r"probes\.json was changed since it was written"):
        read_probe_report(tmp_path)
