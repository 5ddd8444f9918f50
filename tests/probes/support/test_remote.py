"""Runs and corpora that lie elsewhere: a copy is read, kept in step, and nothing is written there."""

import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from support import page_run, planted
from support.corpus import tiny_corpus
from typer.testing import CliRunner

from probes.corpus import Corpus
from probes.errors import InputError
from probes.support import remote
from probes.support.paths import result_folder
from probes.support.remote import local_folder, url_of
from tracer.commands.fit import app as fit
from tracer.commands.runs import compare_command
from tracer.comparing import compare_runs, plot_runs
from tracer.page.viewing import write_view
from tracer.run import Run, finish_run
from tracer.sharing import pull_run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "generation-tracer"


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    for path in system.find("/"):
        system.rm(path)


def put(system: fsspec.AbstractFileSystem, folder: Path, place: str) -> str:
    """Copy a folder into a file system's memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"/{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"memory://{place}"


def contents(system: fsspec.AbstractFileSystem, place: str) -> dict[str, bytes]:
    return {path: system.cat_file(path) for path in system.find(f"/{place}")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    found = planted.write(folder / "first", 4), planted.write(folder / "second", 4)
    for path in found:
        finish_run(path)
    return found


@pytest.mark.parametrize(
    ("place", "url"),
    [
        ("s3://bucket/run", "s3://bucket/run"),
        (Path("s3://bucket/run"), "s3://bucket/run"),
        ("hf://datasets/a/b@main/", "hf://datasets/a/b@main"),
        (Path("file:///data/run"), "file:///data/run"),
        ("odd://x", "odd://x"),
        ("runs/first", None),
        ("odd:/x", None),
        ("/data/s3:/x", None),
        ("C:/data", None),
    ],
)
def test_what_is_a_url(place: str | Path, url: str | None) -> None:
    assert url_of(place) == url


def test_a_path_of_this_machine_is_itself(tmp_path: Path) -> None:
    assert local_folder(tmp_path) == tmp_path
    assert not (tmp_path / "cache").exists()


def test_a_run_is_read_from_elsewhere_and_nothing_is_written_there(
    runs: tuple[Path, Path], memory: fsspec.AbstractFileSystem, cache: Path, tmp_path: Path
) -> None:
    urls = [put(memory, path, f"bucket/{path.name}") for path in runs]
    before = contents(memory, "bucket")
    run = Run(urls[0])
    assert run.progress().equals(Run(runs[0]).progress())
    assert run.path.is_relative_to(cache)
    assert run.path.name == "first"
    assert set(compare_runs(urls).settled["run"]) == set(compare_runs(runs).settled["run"])
    assert plot_runs(urls, tmp_path / "drawn.png")
    assert contents(memory, "bucket") == before


def test_a_page_of_a_run_that_lies_elsewhere(memory: fsspec.AbstractFileSystem, cache: Path, tmp_path: Path) -> None:
    url = put(memory, page_run.write_run(tmp_path / "run", 2).path, "bucket/heard")
    before = contents(memory, "bucket")
    assert write_view([url]).is_relative_to(cache)
    index = write_view([Path(url)], tmp_path / "page")
    assert index == tmp_path / "page" / "index.html"
    assert index.is_file()
    assert contents(memory, "bucket") == before


def test_a_url_on_the_command_line(runs: tuple[Path, Path], tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(compare_command)
    words = [f"file://{path}" for path in runs]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "figure")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "figure.png").is_file()


def test_a_changed_file_is_read_anew_and_one_that_is_gone_goes(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"a/one": "1", "two": "22", ".hidden/x": "no"}.items():
        memory.pipe_file(f"/place/{name}", text.encode())
    read: list[str] = []
    real = remote.download

    def watched(system: object, url: str, folder: Path, files: dict[str, object], known: dict[str, list[str]]) -> None:
        read.extend(files)
        real(system, url, folder, files, known)  # type: ignore[arg-type]

    monkeypatch.setattr(remote, "download", watched)
    folder = local_folder("memory://place")
    assert sorted(read) == ["a/one", "two"]
    assert (folder / "a" / "one").read_text() == "1"
    (folder / "ours").write_text("made here")
    read.clear()
    assert local_folder("memory://place/") == folder
    assert read == []
    memory.pipe_file("/place/two", b"33")  # as long as before
    memory.rm("/place/a/one")
    local_folder("memory://place")
    assert read == ["two"]
    assert (folder / "two").read_text() == "33"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["ours", "two"]


def test_a_changed_file_of_another_size_or_time_on_a_disk(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "two").write_text("22")
    folder = local_folder(f"file://{there}")
    (there / "two").write_text("33")
    os.utime(there / "two", (1, 1))
    local_folder(f"file://{there}")
    assert (folder / "two").read_text() == "33"


def test_an_interrupted_copy_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for name in ("a", "b"):
        (there / name).write_text(name)
    from fsspec.implementations.local import LocalFileSystem

    real = LocalFileSystem.get_file

    def breaks(self: LocalFileSystem, source: str, target: str, **options: object) -> None:
        if source.endswith("b"):
            Path(target).write_text("half")
            raise TimeoutError("the line is dead\nat length")
        real(self, source, target, **options)

    monkeypatch.setattr(LocalFileSystem, "get_file", breaks)
    with pytest.raises(InputError, match=r"cannot read file://.*/b \(TimeoutError: the line is dead\)") as told:
        local_folder(f"file://{there}")
    assert "\n" not in str(told.value)
    os.utime(there / "b", (1, 1))
    read: list[str] = []

    def watched(self: LocalFileSystem, source: str, target: str, **options: object) -> None:
        read.append(Path(source).name)
        real(self, source, target, **options)

    monkeypatch.setattr(LocalFileSystem, "get_file", watched)
    folder = local_folder(f"file://{there}")
    assert read == ["b"]
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    assert (folder / "b").read_text() == "b"


def test_a_corpus_is_read_from_elsewhere(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    here = tiny_corpus(tmp_path / "corpus")
    url = put(memory, here.path, "corpora/tiny")
    before = contents(memory, "corpora")
    there = Corpus.open(url)
    assert there.fingerprint == here.fingerprint
    assert (there.latents(there.files()[0]) == here.latents(here.files()[0])).all()
    words = ["sae", "--corpus", url, "--out", str(tmp_path / "sae"), "--hidden", "16", "--steps", "4", "--json"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(fit, [*words, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "sae" / "config.json").is_file()
    assert contents(memory, "corpora") == before


def test_mistakes_are_one_line(tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    with pytest.raises(InputError, match=r"s3://bucket/run needs s3fs, which is not installed: pip install s3fs"):
        Run("s3://bucket/run")
    with pytest.raises(InputError, match="gs://bucket/run needs gcsfs"):
        Corpus.open("gs://bucket/run")
    with pytest.raises(InputError, match=r"cannot read odd://x \(ValueError: Protocol not known"):
        Run("odd://x")
    with pytest.raises(InputError, match="nothing lies at memory://nowhere: check the address"):
        Run("memory://nowhere")
    memory.pipe_file("/other/thing", b"1")
    with pytest.raises(InputError, match="run"):
        Run("memory://other")
    with pytest.raises(InputError, match="nothing lies at file:///nowhere/at/all"):
        Run("file:///nowhere/at/all")


def test_a_cache_that_cannot_be_used_is_one_line(
    tmp_path: Path, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/place/thing", b"1")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "get_file", full)
        with pytest.raises(InputError, match=r"no room left in .* for memory://place/thing: free some"):
            local_folder("memory://place")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot be made \(Not a directory\): set XDG_CACHE_HOME"):
        local_folder("memory://place")


@pytest.mark.parametrize("place", ["s3://bucket/out", Path("s3://bucket/out"), "memory://out"])
def test_a_remote_out_is_refused(place: str | Path, runs: tuple[Path, Path], memory: fsspec.AbstractFileSystem) -> None:
    told = r"out .*://.*out is not on this machine: give a folder here"
    with pytest.raises(InputError, match=told):
        result_folder(place)
    with pytest.raises(InputError, match=told):
        Run(runs[0]).plot(place)
    with pytest.raises(InputError, match=told):
        write_view(runs[:1], place)
    with pytest.raises(InputError, match=told):
        pull_run("somebody/run", place)
    assert not memory.find("/out")
    assert not Path("s3:").exists()
