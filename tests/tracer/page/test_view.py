"""What `trace view` writes: whole pages, from what a run holds alone, of the prompts that were asked for."""

import base64
import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import page_run, planted
from support.command_line import parsed
from support.readout import tiny_readout

from probes.errors import InputError
from probes.readout.baselines import Baselines
from probes.readout.linear import LinearProbes
from tracer.generators import load_generator
from tracer.options import TraceOptions
from tracer.page.run_page import command
from tracer.page.viewing import write_view
from tracer.run import Run
from tracer.tracing import run_trace


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return page_run.write_run(tmp_path_factory.mktemp("runs") / "run")


def data(page: Path, name: str) -> Any:
    """Content of a data file of a page."""
    text = (page / "data" / f"{name}.js").read_text(encoding="ascii")
    found = re.fullmatch(r'Page\.receive\("([^"]+)",(.*)\);\n', text, re.DOTALL)
    assert found
    assert found[1] == name
    return json.loads(found[2])


def test_curves_and_verdicts_are_those_of_the_run(run: Run, tmp_path: Path) -> None:
    page = write_view([run.path], tmp_path / "page").parent
    shown = data(page, "run")
    for attribute in ("pitch", "loudness", "timbre"):
        for view in ("state", "endpoint"):
            (curve,) = (
                c
                for c in shown["curves"]
                if (c["attribute"], c["view"], c["measure"], c["probe"]) == (attribute, view, "closeness", "trained")
            )
            table = run.progress(view, "closeness")
            expected = table[table["attribute"] == attribute]["mean"].to_numpy()
            np.testing.assert_allclose(np.array(curve["mean"], float), expected, atol=1e-4)
    assert {row["null"] for row in shown["verdicts"]} == {"generic", "linear_flow", "shuffled"}
    assert shown["t"][0] == 0
    assert shown["t"][-1] == 1
    assert shown["logsnr"][0] is None  # minus infinity, for which JSON has no number


def test_readings_of_a_clip_are_those_of_the_run(run: Run, tmp_path: Path) -> None:
    page = write_view([run.path], tmp_path / "page").parent
    clip = data(page, "clip-00002")
    trace = run.reader.trace(2)
    for curve, values in trace.values.items():
        if curve.probe == "trained":
            packed = clip["read"][curve.view][curve.attribute]
            read = np.frombuffer(base64.b64decode(packed["readings"]), "<u2").reshape(values.shape) / 64
            np.testing.assert_allclose(read, values, atol=1 / 128)
    measured = base64.b64decode(clip["read"]["endpoint"]["pitch"]["measured"])
    assert set(measured[: planted.FRAMES]) == {255}  # nothing was measured at the first state
    assert clip["frame_rate"] * page_run.SECONDS == clip["frames"]


def test_sounds_of_states_come_along(run: Run, tmp_path: Path) -> None:
    page = write_view([run.path], tmp_path / "page", prompts=[2, 0]).parent
    assert [song["stem"] for song in data(page, "songs")] == ["00000", "00002"]
    sounds = data(page, "clip-00002")["sounds"]
    assert list(sounds) == ["endpoint", "state"]
    assert list(sounds["endpoint"]) == ["0", "3", "6", "8", "11"]
    for name in sounds["endpoint"].values():
        assert (page / name).read_bytes() == (run.path / name).read_bytes()
    assert not (page / "data" / "clip-00001.js").exists()


def test_a_changed_sound_is_not_played(tmp_path: Path) -> None:
    run = page_run.write_run(tmp_path / "run", 2)
    other = run.path / "audio" / "00000" / "state-000.ogg"
    (run.path / "audio" / "00001" / "endpoint-003.ogg").write_bytes(other.read_bytes())
    with pytest.raises(InputError, match=r"endpoint-003\.ogg is not what the run wrote"):
        write_view([run.path])
    assert not (run.path / "page").exists()


def test_without_sounds_of_states_the_finished_clip_is_played(tmp_path: Path) -> None:
    import soundfile

    run = page_run.write_run(tmp_path / "run", 2, sounds=False)
    (run.path / "audio").mkdir()
    soundfile.write(run.path / "audio" / "00000.wav", page_run.tone(440)[0], page_run.RATE)
    page = write_view([run.path]).parent
    assert page == run.path / "page"
    assert data(page, "clip-00000")["sounds"] == {"endpoint": {"last": "audio/00000.ogg"}}
    assert data(page, "clip-00001")["sounds"] == {}
    played, rate = soundfile.read(page / "audio" / "00000.ogg")
    assert rate == page_run.RATE
    assert abs(np.abs(np.fft.rfft(played)).argmax() / page_run.SECONDS - 440) < 1


def test_the_command_makes_the_same_options(run: Run, tmp_path: Path) -> None:
    words = shlex.split(data(write_view([run.path], tmp_path / "page").parent, "run")["command"])
    assert words[0] == "trace"
    given = parsed(words[1:])
    assert given.kept() == {name: run.options[name] for name in given.kept()}
    assert (given.n, given.steps, given.seconds, given.guidance) == (3, planted.STATES, 4.0, 2.0)


FREE = {"device", "batch_size", "out"}
"""Options that change neither what is generated nor what is kept of it."""


@pytest.fixture
def used(tmp_path: Path) -> dict[str, Any]:
    """A value, other than the default, of every option on which a run depends."""
    prompts, structure = tmp_path / "music caps.csv", tmp_path / "structure.csv"
    prompts.write_text("ytid,caption,is_balanced_subset\na,one,True\nb,two,False\nc,three,True\n")
    structure.write_text("start,stop,name\n0,1.5,chorus\n")
    readout = tiny_readout()
    classes = {name: len(bins) for name, bins in readout.bins.items()}
    own = [LinearProbes(classes, width) for width in (readout.sae.config.channels, readout.sae.config.hidden)]
    readout.baselines = Baselines(readout.sae, *own, seed=1)
    readout.save_pretrained(tmp_path / "readout")
    return {
        "prompts": str(prompts), "n": 2, "balanced": True, "seed": 7, "generator": "another", "weights": "my/weights",
        "readout": str(tmp_path / "readout"), "steps": 5, "seconds": 2.123456789, "guidance": 1.0, "dtype": "float16",
        "options": {"lyrics": "a file=b.lrc"}, "structure": structure, "seeds": 2, "views": ["endpoint"],
        "probes": ["trained", "raw"], "steer": ["loudness=+,during=chorus"], "ground_truth": True, "save_audio": False,
        "listen": 3, "listen_state": True, "stop_when_settled": "loudness,timbre", "settled_states": 2,
        "settled_within": 0.0123456789, "save_latents": True, "frames": False,
    }  # fmt: skip


STOPS = ("stop_when_settled", "settled_states", "settled_within")


@pytest.mark.parametrize("left_out", [("steer", "structure"), STOPS])
def test_the_command_repeats_every_option_of_a_run(
    used: dict[str, Any], left_out: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {entry.name for entry in fields(TraceOptions)} == used.keys() | FREE
    for name in left_out:  # an edit and a stop exclude each other
        used.pop(name)
    generator = load_generator("mini")
    generator.name = used["generator"]
    monkeypatch.setattr("tracer.record.batches.trace_batches", lambda *arguments: None)
    monkeypatch.setattr("tracer.run.finish_run", Run)
    monkeypatch.setattr("tracer.session.load_generator", lambda *arguments, **options: generator)
    run = run_trace(TraceOptions(**used, out=tmp_path / "run"))
    assert run is not None
    words = shlex.split(command(run))
    given = parsed(words[1:])
    for entry in fields(TraceOptions):
        if entry.name in used:
            assert used[entry.name] != entry.default, entry.name
            found = getattr(given, entry.name)
            assert (list(found) if isinstance(found, tuple) else found) == used[entry.name], entry.name
        else:
            assert getattr(given, entry.name) == entry.default, entry.name


def test_runs_are_compared_with_a_page_for_each(run: Run, tmp_path: Path) -> None:
    other = page_run.write_run(tmp_path / "other", 3, guidance=0.0)
    page = write_view([run.path, other.path], tmp_path / "page").parent
    shown = data(page, "compare")
    assert [one["page"] for one in shown["runs"]] == ["runs/0/index.html", "runs/1/index.html"]
    assert {row["verdict"] for row in shown["pairs"]} == {"not told apart"}  # the same readings
    for one in shown["runs"]:
        html = (page / one["page"]).read_text()
        for script in re.findall(r'<script src="([^"]+)"', html):
            assert (page / one["page"]).parent.joinpath(script).is_file(), script
        assert (page / one["page"]).with_name("data").joinpath("songs.js").exists()
    assert sum(path.stat().st_size for path in page.rglob("plotly.min.js")) < 6e6  # once


@pytest.mark.filterwarnings("ignore:.*one prompt")
def test_a_page_tells_no_order_of_one_prompt(run: Run, tmp_path: Path) -> None:
    alone = page_run.write_run(tmp_path / "alone", 1, sounds=False, model="alone")
    orders = data(write_view([run.path, alone.path], tmp_path / "page").parent, "compare")["orders"]
    assert {row["order"] for row in orders if row["run"] == "alone"} == {"one prompt: nothing is told"}
    assert not any("nothing is told" in row["order"] for row in orders if row["run"] == "planted")


def test_a_page_is_replaced_whole_and_nothing_else_is(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page"
    write_view([run.path], page)
    (page / "data" / "stale.js").write_text("")
    write_view([run.path], page, prompts=[1])
    assert not (page / "data" / "stale.js").exists()
    assert not list(tmp_path.glob(".*"))
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else than a page"):
        write_view([run.path], other)
    assert (other / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("folders", "options", "message"),
    [
        ([], {}, "nothing to show"),
        (["missing"], {}, "is not a run folder"),
        (["run"], {"prompts": [7]}, "has no finished prompt 7: prompts takes numbers such as 0,1,2"),
        (["run", "run"], {}, "is given twice"),
        (["steer", "run"], {}, "one at a time"),
        (["steer"], {"prompts": [0]}, "leave it out for steering"),
        (["steer"], {}, r"steer.json is not valid JSON|has no dose.csv|has no 'indices'"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    run: Run, tmp_path: Path, folders: list[str], options: dict[str, Any], message: str
) -> None:
    (tmp_path / "steer").mkdir()
    (tmp_path / "steer" / "steer.json").write_text("{}")
    places = {"run": run.path, "missing": tmp_path / "missing", "steer": tmp_path / "steer"}
    with pytest.raises(InputError, match=message):
        write_view([places[folder] for folder in folders], tmp_path / "page", **options)
    assert not (tmp_path / "page").exists()


def test_the_command_writes_and_names_the_page(run: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "view", str(run.path), "--no-open", "--out", str(tmp_path / "page")]
    root = Path(__file__).parents[3]
    done = subprocess.run([*command, "--prompts", "0"], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == str(tmp_path / "page" / "index.html")
    wrong = subprocess.run([*command, "--prompts", "0;3"], capture_output=True, text=True, cwd=root)
    assert (wrong.returncode, wrong.stderr) == (2, "trace: --prompts takes numbers such as 0,3,7, got '0;3'\n")
