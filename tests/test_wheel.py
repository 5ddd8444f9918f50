"""The built wheel, installed away from the sources: the command and every data file come along."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("hooks", "probes", "tracer")
BUNDLED = ROOT / "tracer/generators/mini"


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """What a command prints; `path` is where Python finds the installed wheel, before anything else."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    result = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def copy_sources(sources: Path) -> None:
    """Copy what is packed, so that nothing is written beside the sources and nothing stale gets in."""
    for name in (*ROOMS, "cli.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, sources / name)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing is written beside the sources and nothing stale gets in."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    copy_sources(sources)
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
    assert "--prompts" in run(installed / "bin" / "trace", "--help", cwd=tmp_path, path=installed)
    assert re.fullmatch(
        r"generation-tracer \d+\.\d+\.\d+(\.dev\d+)?\n",
        run(installed / "bin" / "trace", "--version", cwd=tmp_path, path=installed),
    )


@pytest.mark.skipif(not list(BUNDLED.rglob("*.safetensors")), reason="no bundled weights in this checkout")
def test_the_main_job_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    run(
        installed / "bin" / "trace", "--n", "1", "--steps", "3", "--seconds", "2", "--device", "cpu", "--json",
        "--out", "first", cwd=tmp_path, path=installed,
    )  # fmt: skip
    made = {str(file.relative_to(tmp_path / "first")) for file in (tmp_path / "first").rglob("*") if file.is_file()}
    assert {"run.json", "prompts.csv", "progress.csv", "emergence.png"} <= made


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with an editable install, and the sources that it leads to."""
    sources, target = tmp_path_factory.mktemp("editable"), tmp_path_factory.mktemp("site")
    copy_sources(sources)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--target", target)
    run(*pip, "install", *options, "--editable", sources, cwd=target)
    return target, sources


def test_an_editable_install_is_a_plain_path(editable: tuple[Path, Path]) -> None:
    target, sources = editable
    (path_file,) = target.glob("*.pth")
    assert path_file.read_text().split() == [str(sources)]
    assert not list(target.glob("*finder*"))


def test_the_command_is_ours_beside_folders_of_the_same_name(editable: tuple[Path, Path], tmp_path: Path) -> None:
    target, _ = editable
    for name in ("hooks", "probes", "tracer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    (tmp_path / "cli.py").write_text("raise RuntimeError('not ours')")
    # As in site-packages: the folder of the path file is a site folder.
    start = f"import site; site.addsitedir({str(target)!r}); import runpy, sys; sys.path.remove('')"
    command = str(target / "bin" / "trace")
    code = f"{start}; sys.argv = ['trace', '--version']; runpy.run_path({command!r}, run_name='__main__')"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert "generation-tracer" in result.stdout, result.stderr
    code = f"{start}; import cli; print(cli.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert Path(found.stdout.strip()).name == "cli.py", found.stderr


def script(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run a script that lies in a folder."""
    (folder / "script.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(folder / "script.py")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("form", ["hooks.py", "hooks/__init__.py"])
def test_a_file_of_the_users_named_like_a_package_of_ours_is_told(form: str, tmp_path: Path) -> None:
    theirs = tmp_path / form
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("def my_hook(module, inputs, output): return output")
    ours = script(tmp_path, "from tracer import trace\nfrom hooks import capture\nprint('works')")
    assert ours.stdout.strip() == "works"
    assert f"not {theirs}: rename that file" in ours.stderr
    both = script(tmp_path, "import hooks\nfrom tracer import trace")
    assert both.returncode == 1
    assert both.stderr.splitlines()[-1] == (
        f"ImportError: {theirs} hides the package 'hooks' of generation-tracer: rename it, or run elsewhere"
    )


def test_nothing_is_said_where_nothing_is_hidden(tmp_path: Path) -> None:
    quiet = script(tmp_path, "import hooks\nfrom tracer import trace\nfrom probes import Readout\nprint('works')")
    assert (quiet.stdout.strip(), quiet.stderr) == ("works", "")
