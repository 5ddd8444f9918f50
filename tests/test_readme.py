"""The README is the truth: the checks run its lines, its example runs, and what the pages name exists."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "tracer").rglob("README.md")) + sorted((ROOT / "probes").rglob("README.md"))


def block(page: Path, heading: str) -> list[str]:
    """The lines of the first code block below a heading."""
    _, _, below = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    return below.split("```")[1].split("\n", 1)[1].strip().splitlines()


def commands(script: Path) -> list[str]:
    lines = script.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_checks_run_the_readme_word_for_word() -> None:
    set_up, test = block(ROOT / "README.md", "Set up"), block(ROOT / "README.md", "Test")
    assert len(set_up) == 2
    assert len(test) == 1
    run = commands(ROOT / ".ci" / "run")
    assert run[:2] == ["set -euo pipefail", 'cd "$(dirname "$0")/.."']
    assert run[2:4] == set_up
    assert run[-1:] == test
    checks = run[4:-1]
    assert checks == [".venv/bin/ruff check .", ".venv/bin/ruff format --check .", ".venv/bin/mypy"]


def test_contributing_has_the_same_set_up() -> None:
    lines = block(ROOT / "CONTRIBUTING.md", "Set up and check")
    assert lines[:2] == block(ROOT / "README.md", "Set up")
    assert lines[2:] == [" && ".join([*commands(ROOT / ".ci" / "run")[4:]])]


def test_the_python_example_fits_the_code() -> None:
    """Every name that it imports is there, and every call takes the arguments that it gives."""
    tree = ast.parse("\n".join(block(ROOT / "README.md", "In Python")))
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found = import_module(str(node.module))
            assert {alias.name for alias in node.names} <= set(found.__all__)
            names |= {alias.name: getattr(found, alias.name) for alias in node.names}
    names["run"], names["readout"] = names["Run"], names["Readout"]
    checked = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        first, *rest = name.split(".")
        if first not in names:
            continue
        function = names[first]
        for part in rest:
            function = getattr(function, part)
        given = [None] * len(node.args), {str(keyword.arg): None for keyword in node.keywords}
        if first == "run":  # a method, called on what `trace` returns
            given = [None, *given[0]], given[1]
        if name != "readout":  # a module: its forward takes the latents
            inspect.signature(function).bind(*given[0], **given[1])
        checked.add(name)
    assert {"trace", "capture", "Readout.from_pretrained", "run.progress"} <= checked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    """Paths in backticks that begin in one of the top-level folders, and modules that are run with `python -m`."""
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:tracer|hooks|probes|tests|benchmarks|docs|\.ci)/[\w./-]*)", text)
    paths += re.findall(r"\bpython ((?:tests|benchmarks)/[\w./]+\.py)", text)
    missing = [path for path in paths if not (ROOT / path.rstrip(".")).exists()]
    text = text.replace("$R", "benchmarks.mini_training")  # as the model card says before it uses it
    for module in re.findall(r"python -m (benchmarks[\w.]+)", text):
        if not (ROOT / module.replace(".", "/")).with_suffix(".py").exists():
            missing.append(module)
    missing += [link for link in re.findall(r"\]\(([\w./-]+)\)", text) if not (page.parent / link).exists()]
    assert not missing
