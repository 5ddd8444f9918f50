"""`trace edit`: formats in, sample rate and channels out, edits where and as they were asked for."""

import csv
import json

import numpy as np
import pytest
import soundfile
import torch
from support.readout import tiny_readout
from support.steering_toys import RawSpace

from probes.errors import InputError
from tracer.steering import edit_audio
from tracer.steering.audio_edit import edit_latents
from tracer.steering.edits import displacement
from tracer.steering.spec import parse_edit


def tone(sample_rate: int, channels: int, seconds: float = 0.6) -> np.ndarray:
    """A sine of another pitch in each channel, [n, channels]."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    return np.stack([0.2 * np.sin(2 * np.pi * 330 * (k + 1) * time) for k in range(channels)], 1)


def readout():
    return tiny_readout(channels=320, spaces=("raw",))


def edit(path, tmp_path, edits=("loudness=2",), **options):
    given = {
        "space": RawSpace(),
        "readout": readout(),
        "alphas": [2.0],
        "pitch_tracker": "tiny",
        "out": tmp_path / "out",
    }
    return edit_audio(path, edits, **(given | options)).path


@pytest.mark.parametrize(
    ("name", "sample_rate", "channels"),
    [("a.wav", 16000, 1), ("b.flac", 44100, 2), ("c.ogg", 22050, 1), ("d.mp3", 48000, 2)],
)
def test_sample_rate_channels_and_length_come_back(name, sample_rate, channels, tmp_path):
    soundfile.write(tmp_path / name, tone(sample_rate, channels), sample_rate)
    given, _ = soundfile.read(tmp_path / name, always_2d=True)
    folder = edit(tmp_path / name, tmp_path)
    for alpha in ("0", "2"):
        audio, rate = soundfile.read(folder / f"alpha-{alpha}.wav", always_2d=True)
        assert rate == sample_rate
        assert audio.shape == given.shape
    assert (folder / "edit.png").stat().st_size > 5000


def test_one_edit_and_one_dose_need_no_list(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    folder = edit(tmp_path / "a.wav", tmp_path, "loudness=2", alphas=3, hold="timbre")
    assert {path.name for path in folder.glob("alpha-*.wav")} == {"alpha-0.wav", "alpha-3.wav"}
    about = json.loads((folder / "edit.json").read_text())
    assert about["edits"] == ["loudness=2,hold=timbre"]
    assert about["alphas"] == [3.0]


def test_alpha_zero_is_the_codec_alone_and_channels_stay_apart(tmp_path):
    audio = tone(16000, 2)
    soundfile.write(tmp_path / "a.wav", audio, 16000, subtype="FLOAT")
    folder = edit(tmp_path / "a.wav", tmp_path)
    back, _ = soundfile.read(folder / "alpha-0.wav")
    np.testing.assert_allclose(back, audio, atol=1e-5)


def test_only_the_seconds_between_from_and_to_change(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000, subtype="FLOAT")
    folder = edit(tmp_path / "a.wav", tmp_path, start=0.2, stop=0.4)
    changed = np.subtract(*(soundfile.read(folder / f"alpha-{alpha}.wav")[0] for alpha in ("0", "2")))
    moved = np.flatnonzero(np.abs(changed) > 1e-4)
    assert 0.2 * 16000 <= moved.min() < 0.2 * 16000 + 32
    assert 0.4 * 16000 - 32 < moved.max() < 0.4 * 16000


def test_tables_hold_every_version_and_frame(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    folder = edit(tmp_path / "a.wav", tmp_path, alphas=[1.0, 5.0])
    with (folder / "summary.csv").open() as file:
        summary = list(csv.DictReader(file))
    assert [row["version"] for row in summary] == ["original", "alpha 0", "alpha 1", "alpha 5"]
    assert float(summary[0]["pitch_midi"]) == pytest.approx(64.0, abs=0.3)  # 330 Hz is E4
    assert float(summary[0]["level_db"]) == pytest.approx(20 * np.log10(0.2 / np.sqrt(2)), abs=0.3)
    with (folder / "curves.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4 * (9600 // 320)


def test_doses_suit_the_form_of_the_first_edit(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    folder = edit(tmp_path / "a.wav", tmp_path, edits=["loudness=2,vector=closed", "timbre=3"], alphas=None)
    assert {path.name for path in folder.glob("*.wav")} == {
        "original.wav", *(f"alpha-{dose}.wav" for dose in ("0", "5", "10", "15", "20"))
    }  # fmt: skip


def test_edits_that_name_a_dose_are_applied_at_it(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    edits = ["loudness=2,alpha=3,vector=centred", "timbre=3,vector=centred"]
    folder = edit(tmp_path / "a.wav", tmp_path, edits=edits, alphas=None)
    assert {path.name for path in folder.glob("*.wav")} == {"original.wav", "alpha-0.wav", "edited.wav"}
    with (folder / "summary.csv").open() as file:
        assert [row["version"] for row in csv.DictReader(file)] == ["original", "alpha 0", "edited"]
    again = edit(tmp_path / "a.wav", tmp_path, edits=[edits[0]], alphas=None, out=tmp_path / "one")
    alone = edit(tmp_path / "a.wav", tmp_path, edits=["loudness=2,vector=centred"], alphas=[3.0], out=tmp_path / "same")
    assert (again / "edited.wav").read_bytes() == (alone / "alpha-3.wav").read_bytes()
    assert (folder / "edited.wav").read_bytes() != (again / "edited.wav").read_bytes()


def test_several_edits_are_added_in_turn():
    latents = torch.randn(1, 6, 320)
    specs = [parse_edit("loudness=2,alpha=3,vector=centred"), parse_edit("pitch=C5,alpha=2,vector=centred")]
    reader = readout()
    first = latents + displacement(specs[0], reader)(latents)
    second = first + displacement(specs[1], reader)(first)
    torch.testing.assert_close(edit_latents(latents, specs, reader), second)


@pytest.mark.parametrize(
    ("edits", "options", "says"),
    [
        ([], {}, "at least one edit"),
        (["loudness=2"], {"alphas": [float("nan")]}, "finite alpha"),
        (["timbre=2", "loudness=2,alpha=3"], {"alphas": [1.0]}, "loudness=2,alpha=3 names a dose"),
        (["loudness=2"], {"start": 5.0}, "inside the recording"),
        (["loudness=2"], {"start": 0.4, "stop": 0.2}, "inside the recording"),
        (["loudness=99"], {}, "classes 0 to 19"),
        (["tempo=1"], {}, "no attribute"),
        (["loudness=2"], {"space": "raw"}, "unknown latent space"),
        (["loudness=2"], {"readout": None}, "no readout"),
        (["loudness=2"], {"pitch_tracker": "huge"}, "full or tiny"),
        (["loudness=+,from=0.3"], {}, "a recording has no flow time"),
        (["loudness=+,from=0.2"], {}, "give start and stop, or during=2s-4s in the edit"),
        (["timbre=+", "loudness=+ , to = 0.8"], {}, "give start and stop, or during=2s-4s in the edit"),
        (["loudness=+,from=1,to=2"], {}, "a recording has no flow time"),
        ([parse_edit("loudness=+,from=0.3")], {}, "a recording has no flow time"),
        (["loudness=+,site=endpoint"], {}, "a recording has no sampler"),
        (["loudness=+,schedule=bell"], {}, "a recording has no sampler"),
        (["loudness=+,branch=null"], {}, "a recording has no sampler"),
        (["loudness=+,during=0s-0.4s"], {"start": 0.5, "stop": 0.9}, "no edit acts between start and stop"),
    ],
)
def test_what_cannot_work_is_refused(edits, options, says, tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    with pytest.raises(InputError, match=says):
        edit(tmp_path / "a.wav", tmp_path, edits, **options)
    assert not (tmp_path / "out").exists()


def test_an_edit_of_the_whole_recording_leaves_no_frame_outside(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    inside = edit(tmp_path / "a.wav", tmp_path, ["loudness=+,during=0s-0.4s"], stop=float("inf"))
    assert "outside_loudness" in (inside / "summary.csv").read_text()
    both = edit(tmp_path / "a.wav", tmp_path, ["loudness=+,during=0s-0.4s", "timbre=+"], out=tmp_path / "both")
    assert "outside_loudness" not in (both / "summary.csv").read_text()


def test_seconds_of_all_edits_are_measured_inside_and_outside_as_those_of_one(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16000, 1), 16000)
    given = {"edits": ["loudness=19,vector=centred"], "alphas": [0.3]}
    inside = edit(path, tmp_path, **given, start=0.2, stop=0.4, out=tmp_path / "seconds")
    during = edit(path, tmp_path, ["loudness=19,vector=centred,during=0.2s-0.4s,fade=0"], alphas=[0.3])
    rows = [list(csv.DictReader((folder / "summary.csv").open())) for folder in (inside, during)]
    assert rows[0] == rows[1]
    edited = rows[0][-1]
    assert abs(float(edited["inside_loudness"])) > 3 * abs(float(edited["outside_loudness"]))
    whole = edit(path, tmp_path, **given, start=0.0, stop=9.0, out=tmp_path / "whole")
    assert "inside_loudness" not in (whole / "summary.csv").read_text()


def test_one_edit_may_lie_outside_the_part_that_another_acts_in(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    folder = edit(tmp_path / "a.wav", tmp_path, ["loudness=+,during=0s-0.4s", "timbre=+"], start=0.5, stop=0.9)
    assert (folder / "summary.csv").exists()


def test_a_readout_of_another_space_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    with pytest.raises(InputError, match="reads the latent space mini"):
        edit(tmp_path / "a.wav", tmp_path, readout=tiny_readout())


def test_what_is_no_audio_is_refused(tmp_path):
    (tmp_path / "a.wav").write_text("not audio")
    with pytest.raises(InputError, match="cannot read"):
        edit(tmp_path / "a.wav", tmp_path)


def test_the_shortest_recording_and_silence_can_be_edited(tmp_path):
    for name, samples in (("one", np.full((1, 1), 0.3)), ("silence", np.zeros((4000, 1)))):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        folder = edit(tmp_path / f"{name}.wav", tmp_path, out=tmp_path / name)
        assert soundfile.info(folder / "alpha-2.wav").frames == len(samples)


def test_the_folder_of_another_recording_or_of_other_doses_is_refused(tmp_path):
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "song.wav", tone(16000, 1 + (name == "B")), 16000)
    folder = edit(tmp_path / "A" / "song.wav", tmp_path)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    for changes, says in (({}, "audio"), ({"alphas": [3.0]}, "alphas")):
        path = tmp_path / ("B" if says == "audio" else "A") / "song.wav"
        with pytest.raises(InputError, match=f"other options: .*{says}"):
            edit(path, tmp_path, **changes)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    with pytest.raises(InputError, match=r"holds other files and no edit\.json"):
        edit(tmp_path / "A" / "song.wav", tmp_path, out=tmp_path / "A")
    assert sorted(path.name for path in (tmp_path / "A").iterdir()) == ["song.wav"]
