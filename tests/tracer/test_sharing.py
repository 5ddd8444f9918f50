"""Runs on the hub, with a folder in its place: what is pushed comes back the same, and says what it is."""

import errno
import inspect
import shutil
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects
from support import planted

from probes.errors import InputError
from tracer.run import Run, finish_run
from tracer.sharing import pull_run, push_run

RealApi = huggingface_hub.HfApi
REPO = "somebody/first-run"


class FakeApi:
    """The calls of `HfApi` that are made, on folders below `hub`."""

    hub: Path
    private: dict[str, bool]

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> str:
        assert repo_type == "dataset"
        assert exist_ok
        self.private.setdefault(repo_id, private)
        (self.hub / repo_id).mkdir(parents=True, exist_ok=True)
        return f"https://huggingface.co/datasets/{repo_id}"

    def file_exists(self, repo_id: str, filename: str, *, repo_type: str) -> bool:
        return (self.hub / repo_id / filename).is_file()

    def hf_hub_download(self, repo_id: str, filename: str, *, repo_type: str) -> str:
        return str(self.hub / repo_id / filename)

    def upload_folder(
        self, *, repo_id: str, repo_type: str, folder_path: Path, ignore_patterns: list[str], commit_message: str
    ) -> None:
        names = [path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()]
        for name in filter_repo_objects(names, ignore_patterns=ignore_patterns):
            (self.hub / repo_id / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder_path) / name, self.hub / repo_id / name)

    def upload_file(self, *, path_or_fileobj: bytes, path_in_repo: str, repo_id: str, **_: Any) -> None:
        (self.hub / repo_id / path_in_repo).write_bytes(path_or_fileobj)

    def snapshot_download(self, repo_id: str, *, repo_type: str, revision: str | None, local_dir: Path) -> str:
        assert repo_type == "dataset"
        shutil.copytree(self.hub / repo_id, local_dir, dirs_exist_ok=True)
        (Path(local_dir) / ".cache" / "huggingface").mkdir(parents=True)
        return str(local_dir)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    FakeApi.hub, FakeApi.private = tmp_path / "hub", {}
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    return FakeApi.hub


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = planted.write(tmp_path_factory.mktemp("runs") / "run", 4)
    finish_run(folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


CALLS = [name for name, value in vars(FakeApi).items() if inspect.isfunction(value)]


@pytest.mark.parametrize("name", CALLS)
def test_the_stand_in_has_the_arguments_of_the_real_one(name: str) -> None:
    real = inspect.signature(getattr(RealApi, name)).parameters
    assert {key for key, value in inspect.signature(getattr(FakeApi, name)).parameters.items() if key != "_"} <= set(
        real
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_comes_back_as_it_was(run: Path, tmp_path: Path) -> None:
    (run / "shards" / ".x.parquet.12.tmp").write_bytes(b"left over")
    (run / "shards" / "y.parquet.damaged").write_bytes(b"put aside")
    before = contents(run)
    assert push_run(run, REPO) == f"https://huggingface.co/datasets/{REPO}"
    assert FakeApi.private == {REPO: True}
    pulled = pull_run(f"{REPO}@main", tmp_path / "pulled")
    after = contents(pulled.path)
    assert after.pop("README.md")
    assert after == {name: data for name, data in before.items() if not name.endswith((".tmp", ".damaged"))}
    assert pulled.progress().equals(Run(run).progress())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", "pulled", "run"]


def test_the_card_says_what_it_is_and_the_viewer_finds_the_tables(run: Path, hub: Path) -> None:
    push_run(run, REPO, public=True)
    assert FakeApi.private == {REPO: False}
    text = (hub / REPO / "README.md").read_text()
    front = huggingface_hub.metadata_load(hub / REPO / "README.md")
    assert front is not None
    configs = {entry["config_name"]: entry["data_files"] for entry in front["configs"]}
    assert set(configs) == {"readings", "frames", "prompts"}
    for pattern in configs.values():
        assert list((hub / REPO).glob(pattern))
    assert f"Run {REPO}: planted, 4 of 4 prompts finished" in text
    assert str(run) not in text
    assert "trace pull" in text


def test_pushing_again_adds_and_another_run_is_refused(run: Path, tmp_path: Path) -> None:
    push_run(run, REPO)
    push_run(run, REPO)
    other = planted.write(tmp_path / "other", 5)
    with pytest.raises(InputError, match=f"the dataset {REPO} holds a run with other options: .*prompts"):
        push_run(other, REPO)


def test_mistakes_are_told(run: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted.RunStore.open(tmp_path / "empty", planted.OPTIONS, planted.prompts(2))
    with pytest.raises(InputError, match="no finished prompt"):
        push_run(tmp_path / "empty", REPO)
    with pytest.raises(InputError):
        push_run(tmp_path / "absent", REPO)
    (hub / "somebody" / "thesis").mkdir(parents=True)
    (hub / "somebody" / "thesis" / "thesis.txt").write_text("not a run")
    with pytest.raises(InputError, match="is no run"):
        pull_run("somebody/thesis", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    with pytest.raises(InputError, match="choose a new folder"):
        pull_run(REPO, run)
    monkeypatch.undo()
    with pytest.raises(InputError, match="not a hub id"):
        push_run(run, "no id/of/the hub")
    with pytest.raises(InputError, match="cannot be reached"):
        pull_run(REPO, tmp_path / "pulled")


@pytest.mark.parametrize(("status", "told"), [(401, "hf auth login"), (403, "hf auth login"), (404, "check the id")])
def test_what_the_hub_refuses_is_one_line(run: Path, monkeypatch: pytest.MonkeyPatch, status: int, told: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    answer: Any = SimpleNamespace(status_code=status, headers={}, request=None)

    def refuse(*_: Any, **__: Any) -> None:
        raise HfHubHTTPError("refused\nat length", response=answer)

    monkeypatch.setattr(FakeApi, "create_repo", refuse)
    with pytest.raises(InputError, match=told) as error:
        push_run(run, REPO)
    assert "\n" not in str(error.value)


def no_route() -> Exception:
    """What the library that the hub's client sends with raises where there is no network."""
    from huggingface_hub.errors import HfHubHTTPError

    library = import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])
    error: Exception = getattr(library, "ConnectError", ConnectionError)("no route")
    return error


def test_a_hub_that_cannot_be_reached_is_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (no_route(), ConnectionResetError(errno.ECONNRESET, "reset"), TimeoutError("timed out")):

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(FakeApi, "create_repo", fail)
        monkeypatch.setattr(FakeApi, "snapshot_download", fail)
        with pytest.raises(InputError, match=f"cannot push to {REPO}: the hub cannot be reached"):
            push_run(run, REPO)
        with pytest.raises(InputError, match=f"cannot pull {REPO}: the hub cannot be reached"):
            pull_run(REPO, tmp_path / "pulled")


def test_a_full_disk_is_no_matter_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(FakeApi, "snapshot_download", fail)
    with pytest.raises(InputError, match="no room left"):
        pull_run(REPO, tmp_path / "pulled")
