"""The rooms: which may import which, no circle inside one, who prints, and nothing heavy at the front door."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {"cli": {"tracer", "hooks", "probes"}, "tracer": {"hooks", "probes"}, "hooks": set(), "probes": set()}
HEAVY = {
    "accelerate", "datasets", "diffusers", "encodec", "librosa", "matplotlib", "numpy", "pandas", "pyarrow", "scipy",
    "safetensors", "soundfile", "torch", "torchaudio", "torchcrepe", "transformers",
}  # fmt: skip
PRINTS = {"typer", "click", "rich"}
"""What only the command line needs."""
TELLS_PROGRESS = ROOT / "tracer" / "reporting.py"
"""The one other module that writes to the terminal: how far long work is, on standard error."""


def sources(room: str) -> list[Path]:
    single = ROOT / f"{room}.py"
    return [single] if single.exists() else sorted((ROOT / room).rglob("*.py"))


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST, file: Path) -> list[str]:
    """Absolute names that one import statement names, each imported name with its module; [] for any other node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = list(file.relative_to(ROOT).parts[:-1])
    parts = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join(parts + ([node.module] if node.module else []))
    return [f"{module}.{alias.name}" for alias in node.names]


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, also inside functions, without what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from executed(other)
            continue
        yield child
        yield from executed(child)


def room_of(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room: str) -> None:
    files = sources(room)
    assert files
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno} imports {name}"
        for file in files
        for node in ast.walk(tree(file))
        for name in imported(node, file)
        if room_of(name) in MAY_IMPORT.keys() - MAY_IMPORT[room] - {room}
    ]
    assert not wrong


def test_no_text_names_another_room_s_module_for_a_late_import() -> None:
    """`import_module("tracer.x")` in hooks or probes would go round the test above."""
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {node.value!r}"
        for room in ("hooks", "probes")
        for file in sources(room)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and any(node.value.startswith(f"{other}.") for other in ("cli", "tracer", "hooks", "probes") if other != room)
        and " " not in node.value
    ]
    assert not wrong


def edges(room: str) -> dict[str, set[str]]:
    """The modules of a room, each with those of the same room that it imports, at once or late."""
    files = {module_name(file): file for file in sources(room)}
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        names = [name for node in executed(tree(file)) for name in imported(node, file)]
        # `from a.b import c` is the module a.b.c where there is one, otherwise the name c of a.b.
        found = {name if name in files else name.rpartition(".")[0] for name in names}
        graph[module] = found & files.keys() - {module}
    return graph


@pytest.mark.parametrize("room", ["hooks", "probes", "tracer"])
def test_no_circle_of_imports_inside_a_room(room: str) -> None:
    graph = edges(room)
    assert sum(map(len, graph.values())) >= len(graph) / 2  # imports are found at all
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        pytest.fail(f"a circle of imports: {circle}", pytrace=False)


def test_only_the_command_line_prints() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for room in ("hooks", "probes", "tracer")
        for file in sources(room)
        if not file.is_relative_to(ROOT / "tracer" / "commands") and file != TELLS_PROGRESS
        for node in ast.walk(tree(file))
        if any(name == one or name.startswith(f"{one}.") for name in imported(node, file) for one in PRINTS)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print")
    ]
    assert not wrong


def test_no_module_is_named_like_what_it_holds() -> None:
    """`from hooks import steer` must not mean a module at one time and its function at another."""
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno} defines {node.name}"
        for room in MAY_IMPORT
        for file in sources(room)
        for node in tree(file).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == module_name(file).rpartition(".")[2]
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["hooks", "probes", "tracer"])
def test_packages_can_be_imported_on_their_own(package: str) -> None:
    rooms = {package, *MAY_IMPORT[package]}
    others = sorted(MAY_IMPORT.keys() - rooms)
    code = f"import sys, {package}; print([name for name in {others} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & HEAVY


def test_help_answers_at_once() -> None:
    # The aim is 1 s; here other tests may share the machine, so processor time is what counts.
    code = (
        "import sys, time, cli; sys.argv = ['trace', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit as leave:\n    assert not leave.code\n"
        "print('SECONDS', time.process_time())"
    )
    began = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--prompts" in result.stdout
    seconds = float(result.stdout.rsplit("SECONDS", 1)[1])
    assert min(seconds, time.perf_counter() - began) < 1
