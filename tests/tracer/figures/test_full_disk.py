"""A disk that is full while something is drawn: one line that says so, and no file that is half there."""

import errno
import sys
from pathlib import Path

import pytest
from support import planted

import cli
from probes.errors import InputError
from tracer.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = Run(planted.write(tmp_path_factory.mktemp("full") / "run", 4))
    assert len(made.results.progress)  # computed while there was room
    return made


@pytest.fixture
def full(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be written any more."""

    def write(path: Path, data: bytes) -> int:
        with open(path, "wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write)


@pytest.mark.parametrize("name", ["plot", "plot_progress", "plot_commitment", "plot_autoencoder"])
def test_every_figure_of_a_run_says_it_in_one_line(run: Run, name: str, full: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no room left to write .*x\.png .*free some") as told:
        getattr(run, name)(path=tmp_path / "x.png")
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["plot", "compare"])
def test_a_command_ends_with_it(
    run: Run,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    folders = [str(run.path)]
    if command == "compare":
        folders.append(str(planted.write(tmp_path / "other", 4)))
        assert len(Run(folders[1]).results.progress)
    request.getfixturevalue("full")
    monkeypatch.setattr(sys, "argv", ["trace", command, *folders, "--out", str(tmp_path / "x")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trace: no room left to write")
    assert "free some" in line
