"""The built wheel, installed away from the sources: the command and every data file come along."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from support.sources import ROOMS, ROOT, copy_sources

BUNDLED = ROOT / "tracer/generators/mini"


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """What a command prints; `path` is where Python finds the installed wheel, before anything else."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    result = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources."""
    sources, out = copy_sources(tmp_path_factory.mktemp("sources")), tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, sources, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel alone."""
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--no-deps", "--no-index", "--target", target, wheel, cwd=target)
    return target


def test_every_file_of_the_rooms_is_in_the_wheel(wheel: Path) -> None:
    wanted = {
        str(file.relative_to(ROOT))
        for room in ROOMS
        for file in (ROOT / room).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert "tracer/data/demo_prompts.csv" in wanted
    assert not wanted - packed
    assert {name.split("/")[0] for name in packed if ".dist-info/" not in name} == {*ROOMS, "cli.py"}


def test_the_command_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    code = "import cli, hooks, probes, tracer; print(*(room.__file__ for room in (cli, hooks, probes, tracer)))"
    where = run(sys.executable, "-c", code, cwd=tmp_path, path=installed)
    assert all(Path(file).is_relative_to(installed) for file in where.split())
    command = installed / "bin" / "trace"
    assert "--prompts" in run(command, "--help", cwd=tmp_path, path=installed)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert run(command, "--version", cwd=tmp_path, path=installed) == f"generation-tracer {version}\n"


@pytest.mark.skipif(not list(BUNDLED.rglob("*.safetensors")), reason="no bundled weights in this checkout")
def test_the_main_job_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    run(
        installed / "bin" / "trace", "--n", "1", "--steps", "3", "--seconds", "2", "--device", "cpu", "--json",
        "--out", "first", cwd=tmp_path, path=installed,
    )  # fmt: skip
    made = {str(file.relative_to(tmp_path / "first")) for file in (tmp_path / "first").rglob("*") if file.is_file()}
    assert {"run.json", "prompts.csv", "progress.csv", "emergence.png"} <= made
