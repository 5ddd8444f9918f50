"""What a model needs on a machine: nothing missing for what ships, everything named for what does not."""

from pathlib import Path

import pytest
from safetensors.torch import save_file
from support.diffrhythm import unit
from support.readout import tiny_readout

from probes.errors import InputError
from tracer.doctor import HERE, MISSING, Machine, Row, examine
from tracer.generators import GENERATORS, catalogue
from tracer.generators.diffrhythm import style
from tracer.generators.diffrhythm.checkpoint import REVISIONS

BIG = Machine("H100", 80.0, 500.0)
SMALL = Machine("GTX", 4.0, 3.0)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache without anything in it."""
    for name in ("HF_HUB_CACHE", "HF_ASSETS_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(tmp_path / name))
    return tmp_path / "HF_HUB_CACHE"


def put(cache: Path, entry: catalogue.Entry) -> None:
    """Lay a file of a repository into the cache, as a download would."""
    assert entry.source is not None
    folder = cache / f"models--{entry.source.replace('/', '--')}"
    revision = entry.revision or "abc"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("another" if entry.revision else revision)
    file = folder / "snapshots" / revision / entry.file
    file.parent.mkdir(parents=True)
    file.write_text("{}")


def found(rows: list[Row], words: str) -> Row:
    """The one row that is about something."""
    (row,) = [row for row in rows if words in row.what]
    return row


def test_nothing_is_missing_for_the_model_that_ships(tmp_path: Path) -> None:
    for machine in (BIG, Machine(None, 0.0, 500.0)):
        assert {row.state for row in examine("mini", machine, tmp_path)} == {HERE}


@pytest.mark.parametrize("model", [name for name in GENERATORS if name != "mini"])
def test_weights_and_readout_are_missing_with_a_command_each(model: str, tmp_path: Path) -> None:
    rows = examine(model, BIG, tmp_path)
    entry = catalogue.entry_of("generator", model)
    weights = found(rows, f"{entry.source} ({entry.what})")
    assert (weights.state, weights.size, weights.licence) == (MISSING, entry.download, entry.licence)
    assert f"hf download {entry.source}" in weights.command
    readout = found(rows, "readout of")
    assert readout.state == MISSING
    assert f"trace fit readout --space {entry.space} " in readout.command


def test_diffrhythm_with_everything_is_whole(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = examine("diffrhythm", BIG, tmp_path)
    assert [row.state for row in before].count(HERE) == 2  # card and disk
    assert found(before, "disk:").what.startswith("disk: 500 GB free, 8.2 GB")
    for kind in ("generator", "space"):
        put(empty_cache, catalogue.entry_of(kind, "diffrhythm"))
    tiny_readout(spaces=("diffrhythm",)).save_pretrained(tmp_path / "readouts" / "diffrhythm")
    (tmp_path / "vocal.npy").write_bytes(b"")
    monkeypatch.setattr(style, "muq_trouble", lambda: "")
    with_muq = examine("diffrhythm", BIG, tmp_path)
    assert {row.what.split(" ")[0] for row in with_muq if row.state == MISSING} == {
        "OpenMuQ/MuQ-MuLan-large", "OpenMuQ/MuQ-large-msd-iter", "xlm-roberta-base",
    }  # fmt: skip
    save_file({"a": unit(1, 512)}, tmp_path / "styles.safetensors")
    assert {row.state for row in examine("diffrhythm", BIG, tmp_path)} == {HERE}


def test_a_small_card_and_a_full_disk_are_told(tmp_path: Path) -> None:
    rows = examine("diffrhythm", SMALL, tmp_path)
    assert found(rows, "GTX").state == MISSING
    assert "8 GB at least" in found(rows, "GTX").command
    assert found(rows, "disk:").state == MISSING
    assert "HF_HOME" in found(rows, "disk:").command


def test_an_environment_without_muq_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "find_spec", lambda name: None)
    told = found(examine("diffrhythm", BIG, tmp_path), "MuQ-MuLan runs")
    assert told.state == MISSING
    assert "[diffrhythm]" in told.command


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown model 'jukebox': choose one of mini"):
        examine("jukebox", BIG, tmp_path)


def test_the_commit_that_is_looked_for_is_the_one_that_is_loaded() -> None:
    pinned = {entry.source: entry.revision for entry in catalogue.ENTRIES if entry.revision}
    assert pinned == REVISIONS
