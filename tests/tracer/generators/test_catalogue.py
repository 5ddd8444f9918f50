"""`trace models`: every generator and space is listed, and nothing that does not exist."""

import importlib
import json
from pathlib import Path

import pytest

from probes.spaces import SPACES
from tracer.commands.models import models_command
from tracer.generators import GENERATORS, catalogue


def test_every_generator_and_space_is_listed_once() -> None:
    for kind, known in (("generator", GENERATORS), ("space", SPACES)):
        names = [entry.name for entry in catalogue.ENTRIES if entry.kind == kind]
        assert sorted(names) == sorted(known)
    for entry in catalogue.ENTRIES:
        assert entry.licence
        assert entry.space is None or entry.space in SPACES


@pytest.mark.parametrize("name", [name for name in GENERATORS if name not in ("mini", "diffrhythm")])
def test_the_source_named_is_the_one_that_is_loaded(name: str) -> None:
    module = importlib.import_module(GENERATORS[name].split(":")[0])
    entry = next(entry for entry in catalogue.ENTRIES if (entry.kind, entry.name) == ("generator", name))
    assert entry.source in {getattr(module, constant, None) for constant in ("REPO", "AUDIOLDM", "MUSICLDM")}


def test_weights_in_the_hubs_cache_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = next(entry for entry in catalogue.ENTRIES if entry.source == "cvssp/audioldm2-music")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert catalogue.here(entry) == "no"
    repo = tmp_path / "models--cvssp--audioldm2-music"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "snapshots" / "abc" / entry.file).write_text("{}")
    assert catalogue.here(entry) == "yes"


def test_an_extra_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None)
    models_command()
    text = capsys.readouterr().out
    assert "not installed: pip install 'generation-tracer[stable-audio]'" in text
    assert "Latent spaces" in text


def test_json_is_one_list(capsys: pytest.CaptureFixture[str]) -> None:
    models_command(as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(catalogue.ENTRIES)
    assert {"kind", "name", "licence", "source", "here", "installed", "extra"} <= set(rows[0])
