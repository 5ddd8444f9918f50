"""What the README and the package say of themselves is what is done."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = {"cli", "tracer", "hooks", "probes", "tests", "support", "benchmarks", "sampler"}
NAMES = {
    "PIL": "pillow", "huggingface_hub": "huggingface-hub", "muq": "muq", "sklearn": "scikit-learn", "yaml": "pyyaml",
    "sae_lens": "sae-lens", "pretty_midi": "pretty-midi", "sparsify": "eai-sparsify",
    "swift_f0": "swift-f0",
}  # fmt: skip
"""Import name -> name of the distribution, where they differ."""
OPTIONAL = {
    "muq": "diffrhythm", "midirenderer": "rendering", "mido": "rendering", "pretty_midi": "rendering",
    "torchsde": "stable-audio", "gradio": "explore", "swift_f0": "trackers", "onnxruntime": "trackers",
}  # fmt: skip
"""Import name -> the extra that brings it: imported late, with a line that names the extra where it is missing."""


def block(section: str) -> list[str]:
    """Lines of the first code block below a heading of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {section}\n.*?^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found, section
    return found[1].splitlines()


def test_ci_makes_the_environment_of_the_readme_and_no_other() -> None:
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    commands = [line for line in commands if not line.startswith(("set ", "cd "))]
    assert block("Set up") == commands[:2]
    assert block("Test") == commands[-1:]
    installing = [line for line in commands if "pip" in line.split()[0] or "install" in line]
    assert [line for line in installing if not line.startswith("command -v chromium")] == [block("Set up")[1]]


def project() -> dict[str, list[str]]:
    """Normalised names of the declared distributions, by extra; those of the package itself under ""."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": content["dependencies"], **content["optional-dependencies"]}
    return {
        name: [re.split(r"[<>=!~\[; ]", entry)[0].lower().replace("_", "-") for entry in entries]
        for name, entries in groups.items()
    }


def imports(*places: str) -> dict[str, str]:
    """Third-party top-level modules that the Python files in some places import, with one file for each."""
    found: dict[str, str] = {}
    for place in places:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    names = [node.module]
                for name in (name.split(".")[0] for name in names):
                    if name not in sys.stdlib_module_names and name not in OWN:
                        found.setdefault(name, str(file.relative_to(ROOT)))
    return found


def distribution(module: str) -> str:
    return NAMES.get(module, module).lower().replace("_", "-")


def test_every_import_is_declared() -> None:
    declared = project()
    wrong = {
        module: file
        for module, file in imports("cli.py", "tracer", "hooks", "probes").items()
        if distribution(module) not in declared[OPTIONAL.get(module, "")]
    }
    assert not wrong


def test_every_declared_dependency_is_imported() -> None:
    imported = {distribution(module) for module in imports("cli.py", "tracer", "hooks", "probes")}
    assert not set(project()[""]) - imported


@pytest.mark.parametrize(("place", "extras"), [("tests", ("", "dev")), ("benchmarks", ("", "dev", "bench"))])
def test_imports_of_tests_and_benchmarks_are_declared(place: str, extras: tuple[str, ...]) -> None:
    declared = {name for extra in extras for name in project()[extra]}
    wrong = {module: file for module, file in imports(place).items() if distribution(module) not in declared}
    assert not wrong


def test_every_declared_dependency_is_pinned() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    declared = project()
    assert not {*declared[""], *declared["dev"], *declared["rendering"]} - pinned - {"setuptools"}
