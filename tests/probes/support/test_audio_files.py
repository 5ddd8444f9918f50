"""Audio is read whole, or it is said what is missing."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from probes.corpus.sources import audio_sources, files_below
from probes.errors import InputError
from probes.support.audio_files import SUFFIXES, read_audio, to_mono

RATE = 22050


def tone(seconds: float = 1.0, frequency: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def test_a_wav_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    whole = (tmp_path / "a.wav").read_bytes()
    assert read_audio(whole)[0].shape == (1, RATE)
    with pytest.raises(InputError, match=r"cut short: its header promises 1\.00 s, 0\.3"):
        read_audio(whole[: len(whole) // 3])


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("AIFF", None), ("AU", None), ("W64", None), ("RF64", None), ("WAV", "IMA_ADPCM"), ("WAV", "FLOAT"), ("OGG", None),
     ("OGG", "OPUS")],
)  # fmt: skip
def test_every_usual_file_is_read_whole_or_refused(container: str, subtype: str | None, tmp_path: Path) -> None:
    rate = 48000 if subtype == "OPUS" else RATE
    for name, samples in (("one", tone(4)), ("two", np.stack([tone(4), tone(4, 300)], 1))):
        soundfile.write(tmp_path / name, samples, rate, format=container, subtype=subtype)
        whole = (tmp_path / name).read_bytes()
        assert read_audio(whole)[0].shape[1] == pytest.approx(len(samples), abs=2000)
        for part in (0.3, 0.5, 0.9):
            with pytest.raises(InputError, match=r"cut short|it is damaged|holds no samples"):
                read_audio(whole[: int(part * len(whole))])


def test_a_wav_that_was_streamed_promises_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    whole = (tmp_path / "a.wav").read_bytes()
    at = whole.index(b"data") + 4
    for size in (0x7FFFFFFF, 0xFFFFFFFF):
        streamed = whole[:at] + size.to_bytes(4, "little") + whole[at + 4 :]
        assert read_audio(streamed)[0].shape[1] == RATE


def test_an_mp3_that_is_cut_short_or_holds_two_streams_is_refused(tmp_path: Path) -> None:
    for name, seconds in (("a", 2.0), ("b", 1.0)):
        soundfile.write(tmp_path / f"{name}.mp3", tone(seconds), RATE, format="MP3")
    first, second = ((tmp_path / f"{name}.mp3").read_bytes() for name in "ab")
    assert read_audio(first)[0].shape[1] == pytest.approx(2 * RATE, abs=3000)
    with pytest.raises(InputError, match="second stream"):
        read_audio(first + second)
    with pytest.raises(InputError, match="cut short"):
        read_audio(first[: len(first) // 2])
    assert read_audio(first + b"TAG" + bytes(125))[0].shape == read_audio(first)[0].shape


def test_chained_ogg_streams_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", tone(), RATE)
    once = (tmp_path / "a.ogg").read_bytes()
    assert read_audio(once)[0].shape == (1, RATE)
    with pytest.raises(InputError, match="more than one stream"):
        read_audio(once + once)


@pytest.mark.parametrize("peak", [32767.0, 1e30])
def test_values_far_beyond_full_scale_are_refused(peak: float, tmp_path: Path) -> None:
    samples = tone()
    samples[7] = peak
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(InputError, match="far beyond full scale"):
        read_audio(tmp_path / "a.wav")


def test_a_little_over_full_scale_is_audio(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 4 * tone(), RATE, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav")[0]).max() > 1


def test_cancelling_channels_are_not_silence() -> None:
    left = tone()
    assert np.array_equal(to_mono(np.stack([left, -left])), left)
    assert np.array_equal(to_mono(left[None]), left)
    np.testing.assert_allclose(to_mono(np.stack([left, 0 * left])), left / 2)


def test_links_are_followed_once_and_every_format_is_read(tmp_path: Path) -> None:
    real, folder = tmp_path / "real", tmp_path / "folder"
    real.mkdir(), folder.mkdir()
    soundfile.write(real / "x.wav", tone(0.1), RATE)
    (folder / "link").symlink_to(real)
    (real / "back").symlink_to(folder)  # a loop
    for suffix, form in (("au", "AU"), ("caf", "CAF"), ("w64", "W64"), ("AIFF", "AIFF")):
        soundfile.write(folder / f"y.{suffix}", tone(0.1), RATE, format=form)
        assert f".{suffix.lower()}" in SUFFIXES
    names = [source.name for source in audio_sources(str(folder))]
    assert names == ["link/x.wav", "y.AIFF", "y.au", "y.caf", "y.w64"]
    assert len(list(files_below(folder))) == 5


def test_links_in_a_circle_are_skipped_and_counted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    (tmp_path / "b.wav").symlink_to("b.wav")
    (tmp_path / "c.wav").symlink_to("d.wav")
    (tmp_path / "d.wav").symlink_to("c.wav")
    (tmp_path / "e").symlink_to("e")
    (tmp_path / "all").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match="left out: 4 links in .* lead nowhere or in a circle"):
        assert [source.name for source in audio_sources(str(tmp_path))] == ["a.wav"]
    (tmp_path / "a.wav").unlink()
    with pytest.warns(UserWarning, match="4 links"), pytest.raises(InputError, match="holds no audio"):
        audio_sources(str(tmp_path))
    with pytest.raises(InputError, match="no such file or folder"):
        audio_sources(str(tmp_path / "e"))


def test_audio_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    (tmp_path / "b.m4a").write_bytes(b"0")
    with pytest.warns(UserWarning, match=r"1 files .* \.m4a"):
        assert len(list(audio_sources(str(tmp_path)))) == 1


def test_a_table_beside_audio_is_no_dataset(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    (tmp_path / "meta.parquet").write_bytes(b"PAR1")
    assert [source.name for source in audio_sources(str(tmp_path))] == ["a.wav"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("split,path\ntrain,a.wav\ntest\n", "names no path"),
        ("path\na, b.wav\n", "more cells than its header"),
        ("file\na.wav\n", "column `path`"),
    ],
)
def test_manifests_are_read_whole_or_refused(text: str, says: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        audio_sources(str(tmp_path / "m.csv"))


def test_a_file_named_twice_keeps_its_first_split(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    (tmp_path / "m.csv").write_text("path,split\na.wav,train\na.wav,test\n")
    with pytest.warns(UserWarning, match=r"line 3 .* left out: it names a\.wav, which stands there already"):
        (source,) = audio_sources(str(tmp_path / "m.csv"))
    assert source.split == "train"


def test_a_byte_order_mark_is_no_part_of_a_manifest(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfpath,split\na.wav,val\n")
    (source,) = audio_sources(str(tmp_path / "m.csv"))
    assert (source.name, source.split) == ("a.wav", "val")
