"""Our packages bear short names: what happens beside files of the user that bear the same ones."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from support.sources import copy_sources
from support.strangers import write_strangers

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; `path` is a folder in which Python looks first."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with an editable install of a copy of the sources, and this environment's other packages."""
    sources, place = copy_sources(tmp_path_factory.mktemp("sources")), tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--quiet")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed")
    done = run(*pip, "install", *options, "--editable", sources, cwd=place)
    assert done.returncode == 0, done.stderr
    (link,) = packages.glob("__editable__*")
    assert link.read_text().strip() == str(sources)  # a plain path: nothing that comes before the working directory
    return place


def test_the_command_of_an_editable_install_runs_our_code(editable: Path, tmp_path: Path) -> None:
    done = run(editable / "bin" / "trace", "--version", cwd=write_strangers(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("generation-tracer ")


def test_a_folder_without_modules_hides_nothing(editable: Path, tmp_path: Path) -> None:
    for name in ("hooks", "probes", "tracer"):
        (tmp_path / name).mkdir()
    (tmp_path / "script.py").write_text("import tracer, hooks, probes\nprint(hooks.capture, probes.__file__)\n")
    done = run(editable / "bin" / "python", "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hiding", ["hooks.py", "hooks/__init__.py", "probes.py", "probes/__init__.py"])
def test_a_file_of_the_user_that_hides_ours_is_named(hiding: str, tmp_path: Path) -> None:
    theirs = tmp_path / hiding
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("")
    (tmp_path / "script.py").write_text("from tracer import trace\n")
    done = run(sys.executable, "script.py", cwd=tmp_path, path=ROOT)
    name = hiding.split("/")[0]
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"hidden by {tmp_path / name}: rename it" in last

    code = f"import sys; sys.path[:0] = ['{tmp_path}', '{ROOT}']; import cli"
    done = run(sys.executable, "-c", code, cwd=ROOT.parent)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"trace: the package `{name.removesuffix('.py')}` of generation-tracer is hidden by ")


def test_a_module_that_is_imported_already_is_named(tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text("")
    code = f"import sys; sys.path.insert(0, '{tmp_path}'); import hooks; del sys.path[0]; import tracer"
    done = run(sys.executable, "-c", code, cwd=ROOT.parent, path=ROOT)
    assert done.returncode == 1
    assert str(tmp_path / "hooks.py") in done.stderr.splitlines()[-1]


def test_a_wheel_s_metadata_keeps_it_off_the_index(editable: Path) -> None:
    (metadata,) = editable.glob("lib/python*/site-packages/*.dist-info/METADATA")
    assert "Classifier: Private :: Do Not Upload" in metadata.read_text().splitlines()
