"""Data sets by name, on small trees of the same shape as the real ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.collection_trees import TREES, cocochorales, damp_vsep, egmd, guitarset, maestro, strings, table, tone

from probes.corpus import Corpus
from probes.corpus.collections import COLLECTIONS, collect
from probes.corpus.job import EncodeOptions, encode_corpus
from probes.corpus.sources import audio_sources
from probes.errors import InputError


def only_guitarset(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """A mix of GuitarSet alone, of some hours."""
    one = replace(COLLECTIONS["guitarset"], hours=hours)
    monkeypatch.setattr("probes.corpus.collections.COLLECTIONS", {"guitarset": one})


def splits(name: str, root: Path, part: str | None = None) -> dict[str, str | None]:
    return {source.name: source.split for source in collect(name, root, part)[0]}


def test_guitarset_holds_out_players(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 files with other names are left out: test_mic.wav"):
        found = splits("guitarset", guitarset(tmp_path))
    assert len(found) == 24
    assert found["03_BN1-129-C#_solo"] == "train"
    assert {name[:2] for name, split in found.items() if split == "val"} == {"04"}
    assert {name[:2] for name, split in found.items() if split == "test"} == {"05"}
    (source, *_), _ = collect("guitarset", tmp_path, "mono-pickup_mix")
    assert source.path.name.endswith("_mix.wav")


def test_maestro_keeps_its_split_and_counts_what_is_missing(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 of 5 rows have no audio here"):
        found = splits("maestro", maestro(tmp_path))
    assert found == {
        "2004/piece 0.wav": "train", "2005/piece 1.wav": "train", "2004/piece 2.wav": "val", "2005/piece 3.wav": "test",
    }  # fmt: skip


def test_egmd_goes_by_audio_file_and_not_by_id(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 of 8 rows have no audio here"):
        found = splits("egmd", egmd(tmp_path))
    assert len(found) == 6
    assert sorted(found.values(), key=str) == ["test", "test", "train", "train", "val", "val"]


def test_cocochorales_goes_by_number_in_folders_or_flat(tmp_path: Path) -> None:
    found = splits("cocochorales", cocochorales(tmp_path))
    assert found == {
        "string_track000001": "train", "string_track192001": "val", "string_track216001": "test",
        "string_track240000": "test",
    }  # fmt: skip


def test_damp_vsep_takes_vocals_and_says_what_m4a_needs(tmp_path: Path) -> None:
    found = splits("damp-vsep", damp_vsep(tmp_path))
    assert found == {"1000_key": "train", "1001_key": "train", "1002_key": "val", "1003_key": None}
    with pytest.raises(InputError, match=r"mix.m4a needs ffmpeg: convert each \(ffmpeg -i mix.m4a mix.wav\)"):
        collect("damp-vsep", tmp_path, "mix")
    tone(tmp_path / "songs" / "1000_key" / "mix.wav", 500)
    with pytest.warns(UserWarning, match="3 files are m4a, which needs ffmpeg: left out"):
        assert list(splits("damp-vsep", tmp_path, "mix")) == ["1000_key"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_paper_mix_takes_hours_of_each_and_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in enumerate(("guitarset", "maestro", "egmd", "cocochorales")):
        TREES[name](tmp_path / f"unpacked {place}")
    sources, taken = collect("paper", tmp_path)
    assert [(row.name, row.there, row.taken) for row in taken] == [
        ("guitarset", 48, 48), ("maestro", 4, 4), ("egmd", 6, 6), ("cocochorales", 4, 4), ("damp-vsep", 0, 0),
    ]  # fmt: skip
    assert taken[0].versions == "mono-mic 24, mono-pickup_mix 24"
    assert {row.versions for row in taken[1:]} == {""}
    assert [row.wanted for row in taken] == [11.2, 11.7, 7.8, 0.4, 0.55]
    assert len(sources) == 62
    assert len({source.name for source in sources}) == 62
    short = {name: type(one)(**(vars(one) | {"hours": 2.0 / 3600})) for name, one in COLLECTIONS.items()}
    monkeypatch.setattr("probes.corpus.collections.COLLECTIONS", short)
    sources, taken = collect("paper", tmp_path)
    assert [row.taken for row in taken] == [4, 4, 4, 4, 0]  # half a second each
    again = collect("paper", tmp_path)[0]
    assert sources == again
    assert {source.name for source in collect("paper", tmp_path, seed=1)[0]} != {source.name for source in sources}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_paper_mix_takes_further_versions_of_guitarset_until_its_hours_are_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = guitarset(tmp_path / "guitars")
    for number, path in enumerate(sorted((root / "audio_mono-mic").glob("0*"))):
        stem = path.name.removesuffix("_mic.wav")
        strings(root / "audio_hex-pickup_debleeded" / f"{stem}_hex_cln.wav", number)
        strings(root / "audio_hex-pickup_original" / f"{stem}_hex.wav", 100 + number)
    only_guitarset(monkeypatch, hours=29 / 3600)  # 48 recordings of half a second, then ten more
    sources, (row,) = collect("paper", tmp_path)
    assert row.versions == "mono-mic 24, mono-pickup_mix 24, hex-pickup_debleeded 10"
    assert (row.there, row.taken, round(row.hours * 3600)) == (96, 58, 29)
    split_of = {source.name: source.split for source in sources}
    assert len(split_of) == 58
    for name, split in split_of.items():
        assert split == split_of[f"guitarset/{name.rsplit('/')[-1]}"], name
    only_guitarset(monkeypatch, hours=11.2)
    assert collect("paper", tmp_path)[1][0].versions.endswith("hex-pickup_debleeded 24, hex-pickup_original 24")


def test_the_six_strings_are_heard_together(tmp_path: Path) -> None:
    for player in range(3):
        strings(tmp_path / "audio_hex-pickup_original" / f"{player:02d}_BN1-129-Eb_comp_hex.wav", player)
    options = EncodeOptions(
        tmp_path / "corpus", "guitarset", root=tmp_path, part="hex-pickup_original", attributes=("loudness",),
        device="cpu",
    )  # fmt: skip
    encode_corpus(options)
    corpus = Corpus.open(tmp_path / "corpus")
    (file, *_) = corpus.files()
    loudness = float(np.median(corpus.labels(file, "loudness")[0]))
    assert loudness == pytest.approx(0.2 / 6 / np.sqrt(2), rel=0.1)  # one string sounds, the others rest


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_collection_becomes_a_corpus_with_its_splits(tmp_path: Path) -> None:
    options = EncodeOptions(
        out=tmp_path / "corpus", audio="egmd", root=egmd(tmp_path / "egmd"), attributes=("loudness",), device="cpu"
    )
    summary = encode_corpus(options)
    assert {split: row["files"] for split, row in summary["splits"].items()} == {"train": 2, "val": 2, "test": 2}
    assert len(Corpus.open(tmp_path / "corpus").files("val")) == 2


@pytest.mark.parametrize("name", TREES)
def test_a_wrong_folder_says_what_it_lacks(name: str, tmp_path: Path) -> None:
    tone(tmp_path / "music.wav")
    with pytest.raises(InputError, match=f"is not {COLLECTIONS[name].title}: it needs"):
        collect(name, tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        collect(name, tmp_path / "absent")
    with pytest.raises(InputError, match="has the parts"):
        collect(name, tmp_path, "left")


@pytest.mark.parametrize(
    ("audio", "root", "message"),
    [
        ("mestro", ".", "one of guitarset, maestro, egmd, cocochorales, damp-vsep, paper, not 'mestro'"),
        ("damp-vsep", None, "damp-vsep is known by name, but no mirror of it on the hub: give its folder with"),
        ("paper", None, "paper is known by name, but no mirror"),
        ("maestro", None, "cannot read hf://datasets/ddPn08/maestro-v3.0.0@.* .OfflineModeIsEnabled"),
        ("paper", "empty", "holds none of guitarset"),
        ("paper", "absent", "no such folder"),
    ],
)
def test_mistakes_are_one_line(audio: str, root: str | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = EncodeOptions(out=tmp_path / "corpus", audio=audio, root=None if root is None else tmp_path / root)
    with pytest.raises(InputError, match=message):
        encode_corpus(options)


def test_none_of_a_table_is_there(tmp_path: Path) -> None:
    table(tmp_path / "maestro-v3.0.0.csv", [{"split": "train", "audio_filename": "2004/absent.wav"}])
    with pytest.raises(InputError, match="none of the 1 recordings in the table of MAESTRO is there"):
        collect("maestro", tmp_path)
    table(tmp_path / "maestro-v3.0.0.csv", [{"part": "train", "audio_filename": "2004/absent.wav"}])
    with pytest.raises(InputError, match="has no column 'split'"):
        collect("maestro", tmp_path)


@pytest.mark.parametrize(
    ("word", "split"),
    [("valid", "val"), ("validation", "val"), ("dev", "val"), ("eval", "test"), ("Train", "train"), ("test", "test")],
)
def test_manifests_take_the_usual_words(word: str, split: str, tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    (tmp_path / "manifest.csv").write_text(f"path,split\na.wav,{word}\n")
    (source,) = audio_sources(str(tmp_path / "manifest.csv"))
    assert source.split == split
    (tmp_path / "manifest.csv").write_text("path,split\na.wav,odd\n")
    with pytest.raises(InputError, match=r"line 2 of the manifest .* unknown split 'odd'"):
        audio_sources(str(tmp_path / "manifest.csv"))
