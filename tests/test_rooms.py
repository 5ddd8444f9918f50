"""The doors between the rooms: cli -> tracer -> {hooks, probes}, and nothing heavy at the front door."""

import ast
import importlib
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {"cli": {"tracer", "hooks", "probes"}, "tracer": {"hooks", "probes"}, "hooks": set(), "probes": set()}
HEAVY = {
    "accelerate", "datasets", "diffusers", "encodec", "librosa", "matplotlib", "numpy", "pandas", "pyarrow", "scipy",
    "safetensors", "soundfile", "torch", "torchaudio", "torchcrepe", "transformers",
}  # fmt: skip


def sources(room: str) -> list[Path]:
    single = ROOT / f"{room}.py"
    return [single] if single.exists() else sorted((ROOT / room).rglob("*.py"))


def imported(node: ast.AST, file: Path) -> list[str]:
    """Absolute names of the modules that one import statement names; [] for any other node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = list(file.relative_to(ROOT).parts[:-1])
    parts = package[: len(package) - node.level + 1] if node.level else []
    return [".".join(parts + ([node.module] if node.module else []))]


def from_room(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room: str) -> None:
    files = sources(room)
    assert files
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno} imports {name}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in imported(node, file)
        if from_room(name) in MAY_IMPORT.keys() - MAY_IMPORT[room] - {room}
    ]
    assert not wrong


def test_no_text_names_another_room_s_module_for_a_late_import() -> None:
    """`import_module("tracer.x")` in hooks or probes would go round the test above."""
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {node.value!r}"
        for room in ("hooks", "probes")
        for file in sources(room)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and any(node.value.startswith(f"{other}.") for other in ("cli", "tracer", "hooks", "probes") if other != room)
        and " " not in node.value
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["hooks", "probes", "tracer"])
def test_packages_can_be_imported_on_their_own(package: str) -> None:
    rooms = {package, *MAY_IMPORT[package]}
    others = sorted(MAY_IMPORT.keys() - rooms)
    code = f"import sys, {package}; print([name for name in {others} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    files = [file for room in MAY_IMPORT for file in sources(room)]
    names = {file: ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): file for file, name in names.items()}


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module that run, in functions too; what stands under TYPE_CHECKING does not."""
    for child in ast.iter_child_nodes(tree):
        if not is_for_types(child):
            yield child
            yield from running_nodes(child)


def imported_modules(file: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ours that a file imports when it runs."""
    found: set[str] = set()
    for node in running_nodes(ast.parse(file.read_text(encoding="utf-8"))):
        for name in imported(node, file):
            own = [f"{name}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            found.update(candidate for candidate in (name, *own) if candidate in known)
    return found


def test_no_circle_of_imports() -> None:
    known = modules()
    graph = {name: imported_modules(file, known) - {name} for name, file in known.items()}
    # A package's __init__ that only hands names on is no room of its own.
    faces = {name for name, file in known.items() if file.name == "__init__.py"}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise AssertionError(" -> ".join((*path[path.index(name) :], name)))
        if name in done:
            return
        for other in sorted(graph[name] - faces):
            visit(other, (*path, name))
        done.add(name)

    for name in sorted(graph.keys() - faces):
        visit(name, ())


def test_only_the_commands_print() -> None:
    wrong = []
    for name, file in modules().items():
        if name == "cli" or name.startswith("tracer.commands"):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = [found for node in ast.walk(tree) for found in imported(node, file)]
        wrong += [f"{name} imports {found}" for found in names if found == "typer" or found == "rich.table"]
        prints = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        ]
        if name != "tracer.long_work":  # says on standard error how far long work is
            wrong += [f"{name}:{line} prints" for line in prints]
    assert not wrong


def test_no_module_is_named_like_what_it_holds() -> None:
    wrong = [
        name
        for name, file in modules().items()
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name.split(".")[-1]
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["hooks", "probes", "tracer"])
def test_packages_list_their_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    assert all(getattr(module, name) is not None for name in module.__all__)


needs_cli = pytest.mark.skipif(not (ROOT / "cli.py").exists(), reason="no cli.py in this checkout")


@needs_cli
def test_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & HEAVY


@needs_cli
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


def test_names_in_docstrings_exist() -> None:
    wrong = []
    for name, file in modules().items():
        for said in re.findall(r"`((?:tracer|hooks|probes)(?:\.\w+)+)`", file.read_text(encoding="utf-8")):
            parts = said.split(".")
            module = next(".".join(parts[:k]) for k in range(len(parts), 0, -1) if ".".join(parts[:k]) in modules())
            rest = parts[module.count(".") + 1 :]
            if rest and rest != ["py"] and not hasattr(importlib.import_module(module), rest[0]):
                wrong.append(f"{name} names {said}")
    assert not wrong


@pytest.mark.parametrize("suffix", [".py", ".js"])
def test_every_constant_is_used(suffix: str) -> None:
    rooms = [ROOT / "cli.py", *(file for room in ("tracer", "hooks", "probes", "benchmarks") for file in sources(room))]
    files = rooms if suffix == ".py" else sorted((ROOT / "tracer").rglob("*.js"))
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    tests = [file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob(f"*{suffix}")]
    words = Counter(word for text in (*texts.values(), *tests) for word in re.findall(r"\w+", text))
    constants = re.compile(r"^(?:const )?([A-Z][A-Z0-9_]+)(?:: [^=]+)? = ", re.MULTILINE)
    found = [(file.name, name) for file, text in texts.items() for name in constants.findall(text)]
    assert found
    assert not [(file, name) for file, name in found if words[name] == 1]
