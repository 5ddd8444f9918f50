"""Measures are functions on arrays: they know no files, no figures and nothing of a run folder."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "tracer" / "measures"
ALLOWED = {
    "__future__",
    "warnings",
    "collections",
    "dataclasses",
    "typing",
    "math",
    "itertools",
    "numpy",
    "scipy",
    "pandas",
}
OURS = ("probes", "tracer.curves", "tracer.measures")


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_a_measure_imports_neither_files_nor_figures(file):
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    assert not [name for name in names if name.split(".")[0] not in ALLOWED and not name.startswith(OURS)]
