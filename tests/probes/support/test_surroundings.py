"""What surrounds a run: folders, devices, launchers, damaged files of tensors."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from probes.errors import InputError
from probes.support.devices import pick_device
from probes.support.paths import result_folder
from probes.support.tensors import fingerprint, read_safetensors, read_torch
from probes.support.workers import check_launch, join_launch


def test_folders_for_results_are_checked_without_making_them(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert result_folder(tmp_path / "new" / "deep") == tmp_path / "new" / "deep"
    assert not (tmp_path / "new").exists()
    for wrong, says in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "below", "below the file|cannot be used"),
        (tmp_path / ("x" * 300), "255|cannot be used"),
        (os.fsdecode(b"caf\xe9"), "not UTF-8"),
    ):
        with pytest.raises(InputError, match=says):
            result_folder(wrong)


@pytest.mark.parametrize("name", ["meta", "gpu", "cuda:99", "x" * 500])
def test_only_devices_that_hold_numbers_are_taken(name: str) -> None:
    with pytest.raises(InputError, match="cannot be used") as error:
        pick_device(name)
    assert len(str(error.value)) < 300


def test_left_over_variables_of_a_launch_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    check_launch()
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(InputError, match=r"has LOCAL_RANK but not RANK, .* unset LOCAL_RANK"):
        check_launch()
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    check_launch()


def test_processes_of_a_launch_wait_for_the_one_that_has_most_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import PartialState

    class Joined(Exception):
        pass

    def join(**options: Any) -> None:
        assert options["timeout"] > timedelta(days=1)
        raise Joined

    monkeypatch.setattr(PartialState, "_shared_state", {})  # as in a process that has not joined any
    monkeypatch.setattr(torch.distributed, "init_process_group", join)
    for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    with pytest.raises(Joined):
        join_launch("cpu")


def test_a_process_without_a_launch_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import PartialState

    monkeypatch.setattr(PartialState, "_shared_state", {})
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    workers, place = join_launch("cpu")
    assert (workers.num_processes, workers.is_main_process, place) == (1, True, "cpu")


def test_what_lies_in_the_place_of_weights_is_told(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    for content, says in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x00\x01garbage", "not a readable"),
    ):
        file.write_bytes(content)
        for read in (read_safetensors, read_torch):
            with pytest.raises(InputError, match=says):
                read(file)


def test_torch_files_of_both_formats_are_read(tmp_path: Path) -> None:
    for new in (True, False):
        torch.save({"a": torch.ones(2)}, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
        assert torch.equal(read_torch(tmp_path / "x.pt", mmap=True)["a"], torch.ones(2))


def test_a_fingerprint_sees_every_number() -> None:
    module = torch.nn.Linear(100, 100)
    first = fingerprint([module])
    assert fingerprint([module]) == first
    with torch.no_grad():
        module.weight[-1, -1] += 1e-3
    assert fingerprint([module]) != first
    assert fingerprint([module], "other") != fingerprint([module])
    assert fingerprint([torch.nn.Linear(3, 3).half()])
