"""Damaged files: one line that names the file, and nothing of ours left behind."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.readout import tiny_readout

from probes import Readout
from probes.errors import InputError
from probes.sae import SparseAutoencoder, load_config
from probes.support.files import read_json, require_fields, sweep_temporary
from probes.support.paths import result_folder
from probes.support.tensors import checksum, require_covariance, require_finite_weights


@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", "{", "\ufeff{}", ""])
def test_what_is_no_json_object_is_one_line(content, tmp_path):
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_json(tmp_path / "config.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "has no 'n'"),
        ({"n": "3"}, "type int, not str"),
        ({"n": True}, "type int, not bool"),
        ({"n": None}, "not None"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(content, says, tmp_path):
    with pytest.raises(InputError, match=says):
        require_fields(tmp_path / "x.json", content, {"n": int})
    require_fields(tmp_path / "x.json", {"n": 3, "m": 2, "o": None}, {"n": int, "m": float, "o": (list, type(None))})


@pytest.mark.parametrize(
    "change",
    [{"eps": "small"}, {"hidden": 2.5}, {"standardise": "yes"}, {"architecture": 3}, {"lam": None}, {"space": []}],
)
def test_a_config_of_the_wrong_kinds_is_refused(change):
    with pytest.raises(InputError):
        load_config({"channels": 4, "hidden": 8, "architecture": "relu"} | change)


@pytest.mark.parametrize("value", [float("nan"), 1e30])
@pytest.mark.parametrize("part", ["sae", "probes"])
def test_weights_that_are_not_finite_are_refused(part, value, tmp_path):
    readout = tiny_readout()
    readout.save_pretrained(tmp_path / "readout")
    readout.sae.save_pretrained(tmp_path / "sae")
    for folder in ("readout", "sae"):
        path = tmp_path / folder / "model.safetensors"
        tensors = load_file(path)
        name = next(name for name in tensors if folder == "sae" or name.startswith(part))
        tensors[name].view(-1)[0] = value
        save_file(tensors, path)
    with pytest.raises(InputError, match="not finite"):
        Readout.from_pretrained(tmp_path / "readout")
    with pytest.raises(InputError, match="not finite"):
        SparseAutoencoder.from_pretrained(tmp_path / "sae")


@pytest.mark.parametrize(
    "matrix", [torch.ones(2, 3), -torch.eye(3), torch.triu(torch.ones(3, 3)), torch.full((2, 2), float("inf"))]
)
def test_what_is_no_covariance_is_refused(matrix, tmp_path):
    with pytest.raises(InputError, match="covariance"):
        require_covariance(tmp_path / "covariance.safetensors", matrix)
    require_covariance(tmp_path / "covariance.safetensors", torch.eye(3))


BINS = {"attribute": "pitch", "unit": "MIDI", "scale": "midi", "edges": [1, 2, 3]}
READOUTS: list[dict[str, Any]] = [
    {"sae": 3},
    {"classes": None},
    {"classes": {}},
    {"classes": {"pitch": "x"}},
    {"classes": {"pitch": -1}},
    {"classes": {"pitch": 10**9}},
    {"spaces": "mini"},
    {"spaces": [None]},
    {"log_rms": 0.5},
    {"log_rms": [1.0]},
    {"log_rms": ["a", "b"]},
    {"report": [1]},
    {"attributes": {"pitch": 3, "loudness": 4}},
    {"attributes": {"pitch": BINS | {"edges": [1, None]}}},
    {"attributes": {"pitch": BINS | {"edges": [3, 2, 1]}}},
    {"attributes": {"pitch": {"unit": "MIDI"}}},
]


@pytest.mark.parametrize("change", READOUTS, ids=[str(change)[:40] for change in READOUTS])
def test_a_readout_of_the_wrong_kinds_is_refused(change, tmp_path):
    tiny_readout().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError):
        Readout.from_pretrained(tmp_path)


def test_a_checksum_sees_every_byte():
    tensors = {"a": torch.zeros(3), "b": torch.tensor(2)}
    first = checksum(tensors)
    assert checksum({"b": torch.tensor(2), "a": torch.zeros(3)}) == first
    assert checksum(tensors | {"a": torch.tensor([0.0, -0.0, 0.0])}) != first
    assert checksum(tensors | {"b": torch.tensor(3)}) != first


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [tmp_path / f".a.csv.{gone.pid}.tmp", tmp_path / "audio" / f".b.wav.{gone.pid}.tmp"]
    kept = [tmp_path / f".a.csv.{os.getpid()}.tmp", tmp_path / ".mine.tmp", tmp_path / "c.tmp"]
    (tmp_path / "audio").mkdir()
    for path in [*left, *kept]:
        path.write_text("x")
    result_folder(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    sweep_temporary(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["std", "sae.std"])
def test_a_standard_deviation_of_zero_is_refused(name, tmp_path):
    require_finite_weights(tmp_path, {name: torch.ones(3), "bias": torch.zeros(3)})
    with pytest.raises(InputError, match="standard deviation that is not above 0"):
        require_finite_weights(tmp_path, {name: torch.tensor([1.0, 0.0, 1.0])})
