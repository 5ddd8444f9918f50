"""`trace fit encode` from audio to a corpus, on a small codec in DiffRhythm's format."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from probes.corpus import Corpus
from probes.corpus.encoding import Encoded, Encoder, Recipe, encode_into, in_parallel
from probes.corpus.job import EncodeOptions, encode_corpus
from probes.corpus.ready_latents import import_latents
from probes.corpus.sources import FileSource, audio_sources
from probes.errors import InputError
from probes.support.audio_files import read_audio, resample
from probes.support.devices import pick_device
from tracer.commands.fit_tables import print_summary

RATE, HOP = 44100, 2048
LABELS: dict[str, dict[str, Any]] = {"loudness": {}, "timbre": {}}


class SmallVae(nn.Module):
    """One linear layer each way."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv1d(2, 128, 2048, stride=2048)
        self.up = nn.ConvTranspose1d(64, 2, 2048, stride=2048)

    @torch.jit.export
    def encode_export(self, audio: Tensor) -> Tensor:
        return self.down(audio)

    @torch.jit.export
    def decode_export(self, latents: Tensor) -> Tensor:
        return self.up(latents)

    def forward(self, audio: Tensor) -> Tensor:
        return self.encode_export(audio)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vae") / "vae_model.pt"
    torch.manual_seed(0)
    torch.jit.save(torch.jit.script(SmallVae()), str(path))
    return str(path)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight files of different formats, rates, channels and lengths, and three that are broken."""
    folder = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(0)
    for index, (suffix, rate, channels) in enumerate(
        [("wav", 44100, 2), ("flac", 44100, 1), ("ogg", 22050, 2), ("mp3", 48000, 2), ("wav", 8000, 1)]
        + [("wav", 44100, 1)] * 3
    ):
        time_axis = np.arange(rate // 2 + 1000 * index) / rate
        sound = 0.3 * np.sin(2 * np.pi * (200 + 50 * index) * time_axis)[:, None] + 0.01 * rng.normal(
            size=(len(time_axis), channels)
        )
        target = folder / ("sub" if index == 4 else "") / f"{index}.{suffix}"
        target.parent.mkdir(exist_ok=True)
        soundfile.write(target, sound, rate)
    (folder / "broken.wav").write_bytes(b"RIFF then nothing")
    (folder / "empty.flac").write_bytes(b"")
    soundfile.write(folder / "nan.wav", np.full(3000, np.nan, np.float32), RATE, subtype="FLOAT")
    return folder


def recipe(vae: str, **changes: Any) -> Recipe:
    return Recipe(**{"space": "diffrhythm", "weights": vae, "attributes": LABELS, **changes})


def content(path: Path) -> dict[str, tuple[bytes, bytes, str]]:
    """Latents, labels and split of every file."""
    corpus = Corpus.open(path)
    return {
        file.name: (corpus.latents(file).tobytes(), corpus.labels(file, "timbre")[0].tobytes(), file.split)
        for file in corpus.files()
    }


def options(music: Path, vae: str, out: Path, **changes: Any) -> EncodeOptions:
    given: dict[str, Any] = {
        "out": out,
        "audio": str(music),
        "space": "diffrhythm",
        "weights": vae,
        "attributes": ("loudness", "timbre"),
        "device": "cpu",
        **changes,
    }
    return EncodeOptions(**given)


def test_a_folder_becomes_a_corpus(music: Path, vae: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = encode_corpus(options(music, vae, tmp_path / "c"))
    corpus = Corpus.open(tmp_path / "c")
    assert [file.name for file in corpus.files()] == [
        "0.wav", "1.flac", "2.ogg", "3.mp3", "5.wav", "6.wav", "7.wav", "sub/4.wav",
    ]  # fmt: skip
    assert len(summary["skipped"]) == 3
    assert all(name in " ".join(summary["skipped"]) for name in ("broken.wav", "empty.flac", "nan.wav"))
    for file in corpus.files():
        audio, rate = read_audio(music / file.name)
        assert file.frames == -(-int(np.ceil(audio.shape[1] * RATE / rate)) // HOP)
        loudness, valid = corpus.labels(file, "loudness")
        assert valid.all()
        np.testing.assert_allclose(loudness[2:-2], 0.3 / np.sqrt(2), rtol=0.1)
    assert corpus.summary == summary
    print_summary(summary)
    assert "3 left out" in capsys.readouterr().out
    print_summary(summary, as_json=True)
    assert json.loads(capsys.readouterr().out) == summary


def test_latents_are_the_codecs(music: Path, vae: str, tmp_path: Path) -> None:
    encode_into(tmp_path / "c", [FileSource("a", path=music / "2.ogg")], recipe(vae))
    corpus = Corpus.open(tmp_path / "c")
    audio, rate = read_audio(music / "2.ogg")
    audio = resample(audio, rate, RATE)
    padded = np.pad(audio, ((0, 0), (0, -audio.shape[1] % HOP)))
    expected = torch.jit.load(vae).encode_export(torch.from_numpy(padded)[None])[0, :64].T
    np.testing.assert_allclose(corpus.latents(corpus.files()[0]), expected.detach().numpy(), atol=1e-5)


def test_several_processes_make_the_same_corpus(music: Path, vae: str, tmp_path: Path) -> None:
    encode_corpus(options(music, vae, tmp_path / "one"))
    encode_corpus(options(music, vae, tmp_path / "two", workers=2))
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_results_come_in_the_order_of_the_sources() -> None:
    """What is done first waits for what comes before it, so that the earlier of two copies stays."""

    class Pool(ThreadPoolExecutor):
        def submit(self, _: Any, source: Any) -> Any:  # type: ignore[override]
            return super().submit(self.work, source)

        def work(self, source: FileSource) -> Encoded:
            time.sleep(0.3 if source.name in ("1", "4") else 0)
            return Encoded(source)

    items = [FileSource(f"{index}") if index % 3 else Encoded(FileSource(f"{index}")) for index in range(12)]
    with Pool(2) as pool:
        results = list(in_parallel(pool, iter(items), 4))  # type: ignore[arg-type]
    assert [result.source.name for result in results] == [f"{index}" for index in range(12)]


def test_an_interrupted_run_continues(music: Path, vae: str, tmp_path: Path) -> None:
    sources = list(audio_sources(str(music)))
    encode_into(tmp_path / "whole", sources, recipe(vae))
    seen: list[Encoded | None] = []

    def interrupt(result: Encoded | None) -> None:
        seen.append(result)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_into(tmp_path / "c", sources, recipe(vae), on_file=interrupt)
    finished = set(content(tmp_path / "c"))
    assert len(finished) == 4
    again: list[Encoded | None] = []
    encode_into(tmp_path / "c", sources, recipe(vae), on_file=again.append)
    assert again.count(None) == 4
    assert content(tmp_path / "c") == content(tmp_path / "whole")


def test_a_killed_run_continues(music: Path, vae: str, tmp_path: Path) -> None:
    """SIGKILL while two workers are busy: nothing finished is lost, and no worker stays behind."""
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        "from probes.corpus.encoding import Recipe, encode_into\n"
        "from probes.corpus.sources import audio_sources\n"
        "if __name__ == '__main__':\n"
        "    music, vae, out = sys.argv[1:]\n"
        "    recipe = Recipe('diffrhythm', vae, attributes={'loudness': {}, 'timbre': {}})\n"
        "    encode_into(out, audio_sources(music), recipe, workers=2)\n"
    )
    out = tmp_path / "c"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, script, music, vae, out], env=environment, process_group=0)
    index = out / "files.jsonl"
    while process.poll() is None and not (index.exists() and index.read_text().count("\n")):
        time.sleep(0.02)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("workers outlived the process that started them")
    assert content(out)
    sources = list(audio_sources(str(music)))
    encode_into(out, sources, recipe(vae))
    encode_into(tmp_path / "whole", sources, recipe(vae))
    assert content(out) == content(tmp_path / "whole")


def test_copies_and_changed_files(music: Path, vae: str, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "a.wav").write_bytes((music / "0.wav").read_bytes())
    (folder / "b.wav").write_bytes((music / "0.wav").read_bytes())
    failed = encode_into(tmp_path / "c", audio_sources(str(folder)), recipe(vae))
    assert [result.error for result in failed] == ["b.wav: the same content as a.wav"]
    (folder / "a.wav").write_bytes((music / "5.wav").read_bytes())
    encode_into(tmp_path / "c", audio_sources(str(folder)), recipe(vae))
    (folder / "b.wav").unlink()
    encode_into(tmp_path / "fresh", audio_sources(str(folder)), recipe(vae))
    assert content(tmp_path / "c")["a.wav"][0] == content(tmp_path / "fresh")["a.wav"][0]


def test_a_manifest_gives_the_splits(music: Path, vae: str, tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    rows = [f"{music / '0.wav'},train", f"{music / '5.wav'},test", f"{music / '6.wav'},", f"{music / 'absent.wav'},"]
    manifest.write_text("\n".join(["path,split", *rows]))
    failed = encode_into(tmp_path / "c", audio_sources(str(manifest)), recipe(vae))
    assert [Path(result.source.name).name for result in failed] == ["absent.wav"]
    splits = {Path(file.name).name: file.split for file in Corpus.open(tmp_path / "c").files()}
    assert (splits["0.wav"], splits["5.wav"]) == ("train", "test")
    for text, complaint in (
        ("name\nx.wav\n", "needs a header with the column `path`"),
        ("path,split\nx.wav,odd\n", "split 'odd'"),
    ):
        manifest.write_text(text)
        with pytest.raises(InputError, match=complaint):
            audio_sources(str(manifest))


def test_held_out_files(music: Path, vae: str, tmp_path: Path) -> None:
    encode_corpus(options(music, vae, tmp_path / "c", hold_out=("5", "0.wav", "4")))
    corpus = Corpus.open(tmp_path / "c")
    assert {file.name for file in corpus.files("test")} == {"0.wav", "5.wav", "sub/4.wav"}
    assert not corpus.files("val")
    with pytest.raises(InputError, match=r"no file is called song: hold out one of 0\.wav, 1\.flac, "):
        encode_corpus(options(music, vae, tmp_path / "d", hold_out=("song",)))


def test_files_of_a_data_set_that_streams_are_held_out(music: Path, vae: str, tmp_path: Path) -> None:
    from datasets import Audio, Dataset

    (tmp_path / "dataset").mkdir()
    cells = [{"bytes": (music / name).read_bytes(), "path": name} for name in ("0.wav", "2.ogg")]
    rows = Dataset.from_dict({"sound": cells}).cast_column("sound", Audio(decode=False)).cast_column("sound", Audio())
    rows.to_parquet(tmp_path / "dataset" / "train.parquet")
    given = options(tmp_path / "dataset", vae, tmp_path / "c")
    with pytest.raises(InputError, match=r"no file is called song: hold out one of 0000000-0\.wav, 0000001-2\.ogg"):
        encode_corpus(replace(given, hold_out=("song",)))
    encode_corpus(replace(given, hold_out=("0000001-2",)))  # nothing of the first attempt is lost
    assert [file.name for file in Corpus.open(tmp_path / "c").files("test")] == ["0000001-2.ogg"]


def test_a_dataset_with_an_audio_column(music: Path, vae: str, tmp_path: Path) -> None:
    from datasets import Dataset

    folder = tmp_path / "dataset"
    folder.mkdir()
    names = ["0.wav", "2.ogg", "broken.wav"]
    cells = [{"bytes": (music / name).read_bytes(), "path": name} for name in names]
    rows = Dataset.from_dict({"title": names, "sound": cells})
    from datasets import Audio

    rows.cast_column("sound", Audio(decode=False)).cast_column("sound", Audio()).to_parquet(folder / "train.parquet")
    failed = encode_into(tmp_path / "c", audio_sources(str(folder)), recipe(vae))
    assert [result.source.name for result in failed] == ["0000002-broken.wav"]
    assert not hasattr(failed[0].source, "content")  # thousands of broken rows are not held
    encode_into(tmp_path / "files", [FileSource(name, path=music / name) for name in names[:2]], recipe(vae))
    from_rows, from_files = content(tmp_path / "c"), content(tmp_path / "files")
    assert {key[8:]: value[0] for key, value in from_rows.items()} == {k: v[0] for k, v in from_files.items()}
    Dataset.from_dict({"title": names}).to_parquet(folder / "train.parquet")
    with pytest.raises(InputError, match="no audio column; it has title"):
        audio_sources(str(folder))


def test_rendered_music(vae: str, tmp_path: Path) -> None:
    summary = encode_corpus(options(Path("rendered"), vae, tmp_path / "c", hours=24 / 3600))
    assert sum(split["files"] for split in summary["splits"].values()) == 2
    assert summary["attributes"]["loudness"]["max"] > 0.01


def test_pitch_is_measured_and_masked(vae: str, tmp_path: Path) -> None:
    sound = np.concatenate([0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE), np.zeros(RATE // 2)])
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    encode_into(
        tmp_path / "c", audio_sources(str(tmp_path / "a.wav")), recipe(vae, attributes={"pitch": {"model": "tiny"}})
    )
    corpus = Corpus.open(tmp_path / "c")
    values, valid = corpus.labels(corpus.files()[0], "pitch")
    assert valid[1:9].all()
    assert not valid[12:].any()
    np.testing.assert_allclose(values[1:9], 69, atol=0.2)


@pytest.mark.parametrize("right", ["antiphase", "silent", "another tone"])
def test_a_mono_codec_is_given_the_sound_that_is_measured(right: str, tmp_path: Path) -> None:
    """Latents and labels of a stereo file are those of its mono version; in antiphase that is one of the channels."""
    left, other = (0.3 * np.sin(2 * np.pi * hertz * np.arange(22050) / 22050) for hertz in (440, 660))
    sound = np.stack([left, {"antiphase": -left, "silent": 0 * left, "another tone": other}[right]])
    soundfile.write(tmp_path / "stereo.wav", sound.T, 22050, subtype="FLOAT")
    mono = left if right == "antiphase" else sound.astype(np.float32).mean(0)
    soundfile.write(tmp_path / "mono.wav", mono, 22050, subtype="FLOAT")
    encoder = Encoder(Recipe("mini", attributes={"loudness": {}, "timbre": {}}))
    stereo, heard = (encoder.encode(FileSource(name, path=tmp_path / name)) for name in ("stereo.wav", "mono.wav"))
    assert stereo.latents is not None
    assert np.array_equal(stereo.latents, heard.latents)
    for name, values in heard.labels.items():
        assert np.array_equal(stereo.labels[name], values)
    assert np.median(heard.labels["loudness"][:, 0]) > 0.1


def test_silence_and_one_sample_files(vae: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "in" / "one.wav", np.ones(1) * 0.5, 8000)
    attributes = {"pitch": {"model": "tiny"}, **LABELS, "chroma": {}}
    assert not encode_into(tmp_path / "c", audio_sources(str(tmp_path / "in")), recipe(vae, attributes=attributes))
    corpus = Corpus.open(tmp_path / "c")
    assert [file.frames for file in corpus.files()] == [1, 22]
    assert not corpus.labels(corpus.files()[1], "pitch")[1].any()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"audio": "/absent/folder"}, "no such file or folder"),
        ({"audio": None}, "either audio or latents"),
        ({"latents": Path("x")}, "either audio or latents"),
        ({"space": "vinyl"}, "unknown latent space"),
        ({"attributes": ("colour",)}, "unknown attribute"),
        ({"attributes": ("pitch",), "pitch_tracker": "huge"}, "full or tiny"),
        ({"options": ("bandwidth",)}, "KEY=VALUE"),
        ({"options": ("bandwidth=3",)}, "no option 'bandwidth'"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"weights": "/absent.pt"}, "no such file"),
        ({"weights": "/absent.pt", "workers": 2}, "no such file"),
        ({"audio": "rendered", "hours": -1.0}, "hours must be positive"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    changes: dict[str, Any], complaint: str, music: Path, vae: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        encode_corpus(options(music, vae, tmp_path / "c", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_folders_without_music(vae: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no audio"):
        encode_corpus(options(empty, vae, tmp_path / "c"))
    (empty / "broken.wav").write_bytes(b"no")
    with pytest.raises(InputError, match=r"none of the 1 files could be encoded; the first: .*broken"):
        encode_corpus(options(empty, vae, tmp_path / "c"))


def test_devices() -> None:
    assert pick_device("cpu") == "cpu"
    assert pick_device() in ("cpu", "cuda", "mps")


def test_resampling_keeps_length_and_pitch() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32)
    up = resample(tone, 8000, 44100)
    assert up.shape == (44100,)
    expected = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    np.testing.assert_allclose(up[2000:-2000], expected[2000:-2000], atol=1e-3)
    assert resample(np.ones((2, 1), np.float32), 8000, 44100).shape == (2, 6)


def test_a_mono_and_a_stereo_copy_share_a_split(tmp_path: Path) -> None:
    """Their latents are the same to the bit: one must not train while the other tests."""
    (tmp_path / "in").mkdir()
    for number in range(6):
        sound = 0.3 * np.sin(2 * np.pi * (200 + 90 * number) * np.arange(RATE) / RATE)
        soundfile.write(tmp_path / "in" / f"{number}-mono.wav", sound, 22050, subtype="FLOAT")
        soundfile.write(tmp_path / "in" / f"{number}-stereo.wav", np.stack([sound, sound], 1), 22050, subtype="FLOAT")
    encode_into(tmp_path / "c", audio_sources(str(tmp_path / "in")), Recipe("mini", attributes={"loudness": {}}))
    corpus = Corpus.open(tmp_path / "c")
    latents = {file.name: corpus.latents(file) for file in corpus.files()}
    splits = {file.name: file.split for file in corpus.files()}
    assert len(set(splits.values())) > 1
    for number in range(6):
        one, other = f"{number}-mono.wav", f"{number}-stereo.wav"
        assert np.array_equal(latents[one], latents[other])
        assert splits[one] == splits[other]


def test_latents_beyond_half_precision_are_told_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    random = np.random.default_rng(0)
    for name, size in (("small", 1.0), ("large", 9e4)):
        np.save(tmp_path / "in" / f"{name}.npy", size * random.standard_normal((1, 64, 50)).astype(np.float32))
    with pytest.raises(InputError, match=r"large\.npy: its latents are too large for float16: keep them as float32"):
        import_latents(tmp_path / "in", tmp_path / "half", "mini", dtype="float16")
    assert len(import_latents(tmp_path / "in", tmp_path / "whole", "mini").files()) == 2


def test_a_corpus_that_could_not_be_opened_is_not_locked(music: Path, vae: str, tmp_path: Path) -> None:
    sources = audio_sources(str(music))
    encode_into(tmp_path / "c", sources, recipe(vae))
    index = tmp_path / "c" / "files.jsonl"
    whole = index.read_text()
    index.write_text("{damaged\n" + whole)
    kept = []  # as a notebook keeps the last exception, and with it what its frames hold
    with pytest.raises(InputError, match="line 1") as raised:
        encode_into(tmp_path / "c", sources, recipe(vae))
    kept.append(raised.value)
    index.write_text(whole)
    encode_into(tmp_path / "c", sources, recipe(vae))
