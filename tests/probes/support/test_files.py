"""Files are written whole or not at all, and what goes wrong is told in one line."""

import errno
import os
from pathlib import Path

import pytest

from probes.errors import InputError
from probes.support.files import plain_errors, read_json, whole_file, write_json, write_whole
from probes.support.identity import require_same


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "made" / "here" / "table.csv"
    write_whole(path, b"old")
    with whole_file(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_bytes(b"half of the n")
        assert path.read_bytes() == b"old"
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert [one.name for one in path.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    write_whole(tmp_path / "file", b"old")

    def fail() -> None:
        with whole_file(tmp_path / "file") as temporary:
            temporary.write_bytes(b"new")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_system_that_does_not_open_folders_writes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, "no room left to write OUT .*free some"), (errno.EACCES, "OUT cannot be written")],
)
def test_what_the_system_says_becomes_one_line(number: int, told: str) -> None:
    with pytest.raises(InputError, match=told) as error, plain_errors("OUT"):
        raise OSError(number, "the system's words")
    assert "\n" not in str(error.value)


def test_options_that_differ_are_named_with_both_values() -> None:
    there = {"seed": 0, "steps": 12, "sae": {"lam": 0.01, "k": 3}}
    require_same("runs/a", "a run", there, dict(reversed(there.items())))
    here = {"seed": 1, "steps": 12, "sae": {"lam": 0.5, "k": 3}, "cfg": 4.0}
    with pytest.raises(InputError) as error:
        require_same("runs/a", "a run", there, here)
    assert error.value.on_command_line == (
        "runs/a holds a run with other options: cfg (not set there, 4.0 here), sae.lam (0.01 there, 0.5 here), "
        "seed (0 there, 1 here): choose another --out or repeat them"
    )


def test_half_of_a_surrogate_pair_is_no_json(tmp_path):
    (tmp_path / "a.json").write_text('{"revision": "\\ud83d"}')
    with pytest.raises(InputError, match=r"a\.json is not valid JSON") as refused:
        read_json(tmp_path / "a.json")
    assert str(refused.value).isprintable()
    (tmp_path / "a.json").write_text('{"revision": "\\ud83d\\ude00"}')
    assert read_json(tmp_path / "a.json") == {"revision": "\U0001f600"}
