"""The pages are true: the Python example fits the code, and what they name is there."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "tracer").rglob("README.md")) + sorted((ROOT / "probes").rglob("README.md"))


def test_the_python_example_fits_the_code() -> None:
    """Every name that it imports is public, and every call takes the arguments that it gives."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = ast.parse(text.partition("```python\n")[2].partition("```")[0])
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = import_module(str(node.module))
            assert {alias.name for alias in node.names} <= set(module.__all__)
            names |= {alias.name: getattr(module, alias.name) for alias in node.names}
    names["run"] = names["Run"]  # what `trace` returns
    checked = set()
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        first, *rest = ast.unparse(node.func).split(".")
        if first not in names:
            continue
        function = names[first]
        for part in rest:
            function = getattr(function, part)
        own = [None] if first == "run" else []  # the object of a method
        given = {str(keyword.arg): None for keyword in node.keywords}
        inspect.signature(function).bind(*own, *node.args, **given)
        checked.add(".".join([first, *rest]))
    assert {"trace", "capture", "Readout.from_pretrained", "run.progress", "run.settled"} <= checked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    """Files and folders of ours in backticks, scripts and modules that a command runs, and links."""
    text = page.read_text(encoding="utf-8").replace("$R", "benchmarks.mini_training")  # the model card's abbreviation
    paths = re.findall(r"`((?:tracer|hooks|probes|tests|benchmarks|docs|\.ci)/[\w./-]*)", text)
    paths += re.findall(r"\bpython ((?:tests|benchmarks)/[\w./]+\.py)", text)
    paths += [f"{module.replace('.', '/')}.py" for module in re.findall(r"python -m (benchmarks[\w.]+)", text)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    missing += [link for link in re.findall(r"\]\(([\w./-]+)\)", text) if not (page.parent / link).exists()]
    assert not missing
