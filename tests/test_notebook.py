"""The notebook runs from its first cell to its last, and finds what it says."""

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "first_trace.ipynb"


def read() -> Any:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (the dev extra)")
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs() -> None:
    assert not [cell for cell in read().cells if cell.get("outputs") or cell.get("execution_count")]


def test_it_runs_and_finds_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (the dev extra)")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (the dev extra)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = read()
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    assert [kind for data in shown for kind in data].count("image/png") == 2  # the curves and the commitment map
    assert sum("<audio" in data.get("text/html", "") for data in shown) == 3
    assert "Run runs/notebook: mini, 4 of 4 prompts finished" in str(shown[0]["text/plain"])
    assert (tmp_path / "runs" / "notebook" / "page" / "index.html").exists()
    brighter = next(data for data in shown if {"plain", "steered"} <= set(data.get("text/plain", "").split()))
    rows = [line.split() for line in brighter["text/plain"].splitlines()[1:]]
    assert len(rows) == 4
    assert all(float(row[2]) > 1.2 * float(row[1]) for row in rows)
