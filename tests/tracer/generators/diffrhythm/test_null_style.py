"""Where the negative style comes from when none is named."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.diffrhythm import released_folder, settings, unit

from probes.errors import InputError
from tracer.generators import load_generator
from tracer.generators.diffrhythm import null_style
from tracer.generators.diffrhythm.style import read_style


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "assets"))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A network that gives one file; the addresses that were asked for."""
    held = io.BytesIO()
    np.save(held, unit(1, 512).numpy())
    asked: list[str] = []

    def open_address(address: str, timeout: float) -> Any:
        asked.append(address)
        return io.BytesIO(held.getvalue())

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(null_style.urllib.request, "urlopen", open_address)
    monkeypatch.setattr(null_style, "SHA256", hashlib.sha256(held.getvalue()).hexdigest())
    return asked


def load(folder: Path) -> Any:
    return load_generator("diffrhythm", str(folder), **settings(folder))


def test_it_is_fetched_once_and_kept(tmp_path: Path, network: list[str]) -> None:
    folder = released_folder(tmp_path / "released", ["a song"])
    (folder / "vocal.npy").unlink()
    model = load(folder)
    assert model.negative_style is None
    model.check(["a song"], 0.0)
    assert network == []
    model.check(["a song"], 4.0)
    assert network == [null_style.ORIGIN]
    torch.testing.assert_close(model.negative_style, read_style(null_style.kept()))
    again = load(folder)
    again.check(["a song"], 4.0)
    assert len(network) == 1
    assert model.fingerprint() == again.fingerprint()


def test_a_file_beside_the_weights_or_in_the_working_folder_goes_first(tmp_path: Path, network: list[str]) -> None:
    folder = released_folder(tmp_path / "released", ["a song"])
    torch.testing.assert_close(load(folder).negative_style, read_style(folder / "vocal.npy"))
    (folder / "vocal.npy").rename("vocal.npy")
    torch.testing.assert_close(load(folder).negative_style, read_style("vocal.npy"))
    assert network == []


def test_it_does_not_count_where_nothing_is_guided(tmp_path: Path) -> None:
    folder = released_folder(tmp_path / "released", ["a song"])
    model = load(folder)
    (folder / "vocal.npy").unlink()
    without = load(folder)
    assert model.fingerprint_for(0.0) == without.fingerprint_for(0.0)
    assert model.fingerprint_for(4.0) != without.fingerprint_for(4.0)
    assert model.fingerprint_for(4.0) == model.fingerprint() != model.fingerprint_for(0.0)


def test_another_file_is_refused(network: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(null_style, "SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"is not DiffRhythm's vocal\.npy"):
        null_style.fetch_null_style()
    assert not null_style.kept().exists()


def test_without_a_network_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"negative_style=vocal\.npy, or guidance=0"):
        null_style.fetch_null_style()

    def fail(address: str, timeout: float) -> Any:
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(null_style.urllib.request, "urlopen", fail)
    with pytest.raises(InputError, match="no route"):
        null_style.fetch_null_style()


def test_the_checksum_is_that_of_the_released_file(shared: Path) -> None:
    content = (shared / "data" / "diffrhythm" / "negative_style.npy").read_bytes()
    assert hashlib.sha256(content).hexdigest() == null_style.SHA256
