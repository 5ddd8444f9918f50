"""The command itself, beside files of the user that come first on Python's path and bear the names of our packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.strangers import COMMAND

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("theirs", ["hooks.py", "probes.py", "hooks/__init__.py", "probes/__init__.py"])
def test_the_command_takes_our_packages_and_names_theirs(theirs: str, tmp_path: Path) -> None:
    hiding = tmp_path / theirs
    hiding.parent.mkdir(exist_ok=True)
    hiding.write_text("raise RuntimeError('not ours')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, str(COMMAND), "--version"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("generation-tracer ")
    assert f"not {hiding}: rename that file" in result.stderr
