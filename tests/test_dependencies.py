"""What is imported is declared, and what is declared is imported."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = {"benchmarks", "cli", "hooks", "probes", "sampler", "support", "tests", "tracer"}
DISTRIBUTIONS = {"PIL": "pillow", "sae_lens": "sae-lens", "sklearn": "scikit-learn"}
"""Module -> the distribution that brings it, where the names differ."""
OPTIONAL = {
    "midirenderer": "rendering",
    "mido": "rendering",
    "muq": "diffrhythm",
    "pretty_midi": "rendering",
    "torchsde": "stable-audio",
}
"""Module -> the extra that brings it. It is imported where it is needed, and its absence is told in one line."""


def declared(requirements: list[str]) -> set[str]:
    """Names of distributions, without their versions."""
    return {re.split(r"[<>=~!;\[ ]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def imported(*places: str) -> dict[str, str]:
    """Distribution of every foreign module that is imported somewhere -> one file that does so."""
    found: dict[str, str] = {}
    for file in (file for place in places for file in python_files(ROOT / place)):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            for name in {name.split(".")[0] for name in names} - OURS - sys.stdlib_module_names:
                found.setdefault(DISTRIBUTIONS.get(name, name), str(file.relative_to(ROOT)))
    return found


def python_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


CORE = declared(PROJECT["dependencies"])


def test_the_packages_import_what_the_project_declares() -> None:
    wanted = imported("cli.py", "hooks", "probes", "tracer")
    assert "torch" in wanted
    assert not {name: file for name, file in wanted.items() if name not in CORE | OPTIONAL.keys()}


def test_every_declared_dependency_is_imported() -> None:
    assert not CORE - imported("cli.py", "hooks", "probes", "tracer").keys()


@pytest.mark.parametrize("module", OPTIONAL)
def test_an_optional_module_is_in_the_extra_that_brings_it(module: str) -> None:
    assert module in declared(EXTRAS[OPTIONAL[module]])


@pytest.mark.parametrize(("place", "extras"), [("tests", ["dev"]), ("benchmarks", ["dev", "bench"])])
def test_tests_and_benchmarks_import_what_their_extras_declare(place: str, extras: list[str]) -> None:
    allowed = CORE.union(*(declared(EXTRAS[extra]) for extra in extras))
    assert not {name: file for name, file in imported(place).items() if name not in allowed}


def test_the_tested_set_pins_everything_that_is_declared() -> None:
    """The diffrhythm and bench extras want other versions of shared packages, and live in environments of their own."""
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    pinned = {name.lower() for name in pins}
    wanted = CORE.union(*(declared(EXTRAS[extra]) for extra in ("rendering", "stable-audio", "dev")))
    assert not wanted - pinned - {"setuptools"}
