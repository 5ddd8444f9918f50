"""`trace steer`: dose-response and lock-in on a generator whose answer is known."""

import csv
import json
import math
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from support.apple import OnAppleGPU
from support.readout import tiny_readout
from support.steering_toys import CHANNELS, SineFlow, SineGenerator, linear_readout
from torch import Tensor

from hooks import attach, capture, steer
from probes.errors import InputError
from tracer import trace
from tracer.clips import Tracks, distortion
from tracer.measures.linear_flow import LinearFlow
from tracer.options import SessionOptions
from tracer.session import Session
from tracer.steering import parse_edit, run_dose, run_lockin
from tracer.steering.edits import displacement, make_edit
from tracer.steering.lockin import transported, window_edit, window_shares
from tracer.steering.lockin_tables import shares, verdict
from tracer.steering.weighing import generate_weighed


def louder_readout():
    """A readout in which "+" of loudness is channel 0 alone, which is the level of `SineGenerator`."""
    readout = linear_readout()
    rows = readout.probes.rows("loudness")
    readout.probes.weight.data[rows] = 0
    readout.probes.weight.data[rows, 0] = torch.linspace(-1, 1, 20)
    readout.probes.weight.data[rows, CHANNELS] = -torch.linspace(-1, 1, 20)
    return readout


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def dose_run(out):
    return run_dose(
        SineGenerator(), ["a", "b", "c"], 3, edits=[f"loudness={sign},from=0,to=1,vector=centred" for sign in "+-"],
        alphas=[0.1, 0.4], readout=louder_readout(), pitch_tracker="tiny", batch_size=2, progress_bar=False, out=out,
    ).path  # fmt: skip


@pytest.fixture(scope="module")
def dose_folder(tmp_path_factory):
    return dose_run(tmp_path_factory.mktemp("dose"))


def test_dose_response_is_the_shift_of_the_known_flow(dose_folder):
    """Channel 0 is the level in nepers; a push d of the endpoint over all Euler steps of v = 0.5 - 0.7 x moves it by a
    recursion that can be written down."""
    grid = np.linspace(0, 1, 9)
    unit = 0.0
    for t, after in pairwise(grid):
        unit += (after - t) * (1 / (1 - t) - 0.7 * unit)
    weights = np.linspace(-1, 1, 20)
    direction = 2 * math.sqrt(np.mean(weights**2))  # of the positive and the negative part, decoded
    for row in rows_of(dose_folder / "dose.csv"):
        sign = 1 if row["edit"].startswith("loudness=+") else -1
        wanted = sign * float(row["alpha"]) * direction * unit * 20 / math.log(10)
        assert float(row["shift_loudness"]) == pytest.approx(wanted, rel=0.02, abs=0.05)
        assert abs(float(row["shift_pitch"])) < 0.1


def test_dose_folder_holds_everything(dose_folder):
    clips = rows_of(dose_folder / "clips.csv")
    assert len(clips) == 3 * (1 + 2 * 2 * 2)
    assert {row["kind"] for row in clips} == {"plain", "steered", "random"}
    assert len(list((dose_folder / "audio").glob("*.wav"))) == len(clips)
    assert {row["target"] for row in rows_of(dose_folder / "leakage.csv")} == {"loudness"}
    for row in rows_of(dose_folder / "steps.csv"):
        assert 0 < float(row["ratio"]) < 10
        assert 0 <= float(row["t"]) < 1
    assert json.loads((dose_folder / "steer.json").read_text())["alphas"] == [[0.1, 0.4]] * 2
    for figure in ("dose.png", "leakage.png"):
        assert (dose_folder / figure).stat().st_size > 2000


def test_a_clip_is_the_same_whatever_the_batch_size(dose_folder, tmp_path):
    other = run_dose(
        SineGenerator(), ["a", "b", "c"], 3, edits=["loudness=+,from=0,to=1,vector=centred"],
        alphas=[0.4], readout=louder_readout(),
        pitch_tracker="tiny", batch_size=3, progress_bar=False, save_audio=False, random="strongest", out=tmp_path,
    ).path  # fmt: skip

    def key(row):
        return row["prompt"], row["edit"], row["kind"], float(row["alpha"])

    before = {key(row): row for row in rows_of(dose_folder / "clips.csv")}
    for row in rows_of(other / "clips.csv"):
        assert float(row["loudness"]) == pytest.approx(float(before[key(row)]["loudness"]), abs=1e-3)


def test_what_came_of_an_edit_is_the_same_whatever_the_batch_size(tmp_path):
    runs = [
        run_dose(
            SineGenerator(), ["a", "b", "c"], 3, edits=["loudness=+,hold=timbre"], alphas=[1.0],
            readout=linear_readout(covariance=torch.eye(CHANNELS)), pitch_tracker="tiny", batch_size=size,
            progress_bar=False, save_audio=False, random="strongest", out=tmp_path / str(size),
        )
        for size in (1, 3)
    ]  # fmt: skip
    alone, together = (
        {(row["kind"], row["prompt"], row["t"]): row for row in rows_of(run.path / "steps.csv")} for run in runs
    )
    assert {prompt for _, prompt, _ in alone} == {"0", "1", "2"}
    assert together.keys() == alone.keys()
    for at, row in together.items():
        for name in ("ratio", *(("change_low", "change", "held_high") if at[0] == "steered" else ())):
            assert float(row[name]) == pytest.approx(float(alone[at][name]), abs=1e-4), (at, name)
    one, three = (run.doses.iloc[0] for run in runs)
    for name in ("wanted", "change", "change_low", "change_high", "held", "held_high", "held_timbre_high"):
        assert three[name] == pytest.approx(one[name], abs=1e-4), name


@pytest.mark.parametrize("schedule", ["constant", "ramp", "bell"])
def test_a_push_is_weighed_as_it_is_applied(schedule):
    session = Session.open(
        SessionOptions(generator=SineGenerator(), prompts=["a", "b"], n=2, readout=linear_readout()), "cpu"
    )
    spec = parse_edit(f"loudness=+,alpha=2,schedule={schedule}")
    plain, real = [], {}

    def watch(endpoint, moment):
        plain.append(endpoint)
        return endpoint

    def sink(event):
        if event.velocity is not None:
            moved = event.endpoint - plain[-1]
            real[event.t] = (moved.norm(dim=(1, 2)) / plain[-1].norm(dim=(1, 2))).tolist()

    with attach(session.generator.sampler, edit_endpoint=watch), capture(session.generator.sampler, sink):
        _, notes = generate_weighed(session, session.prompts, spec, displacement(spec, session.readout))
    edit = make_edit(spec, displacement(spec, session.readout))
    assert {note["prompt"] for note in notes} == {0, 1}
    assert len(notes) == 2 * sum(edit.strength(t) > 0 for t in real)
    for note in notes:
        assert note["ratio"] == pytest.approx(real[note["t"]][note["prompt"]], rel=1e-3)
        assert note["wanted"] == pytest.approx(2 * edit.strength(note["t"]))
        assert note["change"] <= 1.2 * note["wanted"]  # the readings are curved


def test_each_edit_may_have_doses_of_its_own(tmp_path):
    folder = run_dose(
        SineGenerator(), ["a"], 1, edits=["loudness=+", "loudness=-", "loudness=+,vector=plain"],
        alphas=[[0.2, 0.1], [0.3], [0.1]], readout=louder_readout(), pitch_tracker="tiny", progress_bar=False,
        save_audio=False, out=tmp_path,
    ).path  # fmt: skip
    doses = [(row["edit"], float(row["alpha"])) for row in rows_of(folder / "dose.csv")]
    assert doses == [("loudness=+", 0.1), ("loudness=+", 0.2), ("loudness=-", 0.3), ("loudness=+,vector=plain", 0.1)]


def test_an_edit_that_reaches_no_state_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^loudness=\+,from=0.4,to=0.42: no state lies in the window 0.4 to 0.42"):
        run_dose(
            SineGenerator(), ["a"], 1, edits=["loudness=+,from=0.4,to=0.42"], readout=louder_readout(),
            pitch_tracker="tiny", progress_bar=False, out=tmp_path,
        )  # fmt: skip
    assert not (tmp_path / "dose.csv").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("clips.csv", "garbage\n1\n", r"clips\.csv is damaged"),
        ("clips.csv", "prompt,edit,attribute,alpha,kind\n0,a,b,1,plain,more\n", r"clips\.csv is damaged"),
        ("steps.csv", "garbage\n1\n", r"steps\.csv is damaged"),
        ("steps.csv", None, r"has lost its steps\.csv"),
    ],
)
def test_a_damaged_table_of_a_run_is_told(name, content, says, dose_folder, tmp_path):
    shutil.copytree(dose_folder, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    if content is not None:
        (tmp_path / "run" / name).write_text(content)
    with pytest.raises(InputError, match=rf"^[^\n]*{says}[^\n]*$"):
        dose_run(tmp_path / "run")


def test_an_edit_that_names_a_dose_has_that_one(tmp_path):
    folder = run_dose(
        SineGenerator(), ["a"], 1, edits=["loudness=+,alpha=0.2", "loudness=-,alpha=1"], hold="timbre",
        random="strongest", readout=louder_readout(), pitch_tracker="tiny", progress_bar=False, save_audio=False,
        out=tmp_path,
    ).path  # fmt: skip
    doses = [(row["edit"], float(row["alpha"])) for row in rows_of(folder / "dose.csv")]
    assert doses == [("loudness=+", 0.2), ("loudness=-", 1.0)]


@pytest.mark.parametrize(("alphas", "doses"), [(0.2, [0.2]), (np.float32(0.5), [0.5]), ("0.1,0.2", [0.1, 0.2])])
def test_one_edit_and_one_dose_need_no_list(tmp_path, alphas, doses):
    folder = run_dose(
        SineGenerator(), ["a"], 1, edits="loudness=+,vector=plain", alphas=alphas, hold="timbre", random="strongest",
        readout=louder_readout(), pitch_tracker="tiny", progress_bar=False, save_audio=False, out=tmp_path,
    ).path  # fmt: skip
    about = json.loads((folder / "steer.json").read_text())
    assert about["edits"] == ["loudness=+,vector=plain,hold=timbre"]
    assert about["alphas"] == [doses]


def test_the_strongest_dose_has_a_push_like_the_data_beside_it(tmp_path):
    folder = run_dose(
        SineGenerator(), ["a"], 1, edits=["loudness=+,vector=centred", "pitch=60Hz"], random="strongest",
        readout=linear_readout(covariance=torch.eye(CHANNELS)), pitch_tracker="tiny", progress_bar=False,
        save_audio=False, out=tmp_path,
    ).path  # fmt: skip
    kinds = [(row["edit"], row["kind"], row["alpha"]) for row in rows_of(folder / "clips.csv") if row["edit"]]
    assert kinds == [
        (edit, kind, alpha)
        for edit, doses in (
            ("loudness=+,vector=centred", ("0.002", "0.005", "0.01", "0.03")),
            ("pitch=60Hz", ("5", "10", "15", "20")),
        )
        for alpha in doses
        for kind in ("steered", "random", "random-data")[: 3 if alpha == doses[-1] else 1]
    ]
    strongest = rows_of(folder / "dose.csv")[3]
    assert float(strongest["band_data_loudness"]) > 0
    note = linear_readout().bins["pitch"]
    for row in rows_of(folder / "clips.csv"):
        way = note.centers[note.parse("60Hz")] - (float(row["pitch"]) - float(row["shift_pitch"] or 0))
        assert (
            row["to_note"] == ""
            if row["attribute"] != "pitch"
            else float(row["to_note"]) == pytest.approx(way, abs=1e-3)
        )


class Stopped(SineGenerator):
    """Is interrupted when it is asked for a prompt."""

    def generate(self, captions, *args, **kwargs):
        if "c" in captions:
            raise KeyboardInterrupt
        return super().generate(captions, *args, **kwargs)


@pytest.mark.parametrize("run", [run_dose, run_lockin])
def test_an_interrupted_run_goes_on_where_it_was(run, tmp_path):
    doses = {"alphas": [0.1, 0.4], "save_audio": False} if run is run_dose else {"alpha": 0.4, "windows": 3}
    given = {
        "edits": ["loudness=+,vector=centred", "pitch=C5,vector=centred"], "readout": louder_readout(),
        "pitch_tracker": "tiny", "batch_size": 1, "progress_bar": False,
    } | doses  # fmt: skip
    whole = run(SineGenerator(), ["a", "b", "c"], 3, out=tmp_path / "whole", **given).path
    with pytest.raises(KeyboardInterrupt):
        run(Stopped(), ["a", "b", "c"], 3, out=tmp_path / "again", **given)
    kept = (tmp_path / "again" / "clips.csv").read_text().splitlines()
    assert len(kept) > 1
    again = run(SineGenerator(), ["a", "b", "c"], 3, out=tmp_path / "again", **given).path
    for wanted in whole.glob("*.csv"):
        assert (again / wanted.name).read_bytes() == wanted.read_bytes(), wanted.name
    assert (again / "clips.csv").read_text().splitlines()[: len(kept)] == kept
    with pytest.raises(InputError, match=r"other options: seed \(0 there, 1 here\): choose another out"):
        run(SineGenerator(), ["a", "b", "c"], 3, out=tmp_path / "again", seed=1, **given)


@pytest.mark.parametrize("window", range(4))
def test_a_window_moves_the_state_by_one_displacement_altogether(window):
    """Under v = 0.5 - 0.7 x the model forgets a push at rate 0.7: what is left of it at the end is known."""
    model, push = SineFlow(), torch.ones(CHANNELS)
    times = torch.linspace(0, 1, 41).tolist()
    noise, style = torch.randn(1, 4, CHANNELS), torch.ones(1, 512)

    def run() -> Tensor:
        return model.sample(noise=noise, style=style, steps=41, cfg_strength=0.0)[-1]

    plain = run()
    edit = window_edit(parse_edit("pitch=+"), lambda x: push.expand_as(x), window, 4, times)
    with steer(model, [edit]):
        shift = (run() - plain).mean()
    inside = [(t, (after - t) / (1 - t)) for t, after in pairwise(times) if edit.strength(t) > 0]
    total = sum(weight for _, weight in inside)
    left = sum(weight * (1 - 0.7 / 40) ** round(40 * (1 - t - 1 / 40)) for t, weight in inside)
    assert float(shift) == pytest.approx(left / total, rel=1e-3)


def test_windows_share_out_the_states_of_a_grid_of_float32():
    times = torch.linspace(0, 1, 11).tolist()
    arrivals = [[t for t, _ in window_shares(window, 10, times)] for window in range(10)]
    assert arrivals == [[t] for t in times[1:]]


def test_lockin_tells_how_much_of_an_edit_survives(tmp_path):
    folder = run_lockin(
        SineGenerator(), ["a", "b"], 2, edits=["loudness=+,alpha=0.4,vector=centred"], windows=3,
        readout=louder_readout(), steps=25,
        pitch_tracker="tiny", progress_bar=False, out=tmp_path,
    ).path  # fmt: skip
    rows = rows_of(folder / "lockin.csv")
    heard = [float(row["heard_share"]) for row in rows]
    assert heard == sorted(heard)
    for row, share in zip(rows, heard):
        middle = (float(row["from"]) + float(row["to"])) / 2
        assert share == pytest.approx(math.exp(-0.7 * (1 - middle)), abs=0.12)
    emergence = rows_of(folder / "emergence.csv")
    assert float(emergence[-1]["agreement"]) == 1
    assert (folder / "lockin.png").stat().st_size > 2000


class Fading(SineGenerator):
    """Plays nothing in the second half of a clip."""

    def decode(self, latents):
        audio = super().decode(latents)
        audio[..., audio.shape[-1] // 2 :] = 0
        return audio


@pytest.fixture
def fading_lockin(tmp_path):
    given = {"readout": linear_readout(), "progress_bar": False}

    def make():
        return run_lockin(
            Fading(), ["a", "b", "c"], 3, edits=["loudness=+,alpha=0.4,vector=centred"], windows=2,
            pitch_tracker="tiny", out=tmp_path / "lockin", **given,
        )  # fmt: skip

    return make, given


def test_the_emergence_beside_a_lockin_curve_is_that_of_a_run(fading_lockin, tmp_path):
    make, given = fading_lockin
    found = make().emergence
    run = trace(generator=Fading(), prompts=["a", "b", "c"], n=3, out=tmp_path / "run", **given)
    wanted = run.progress(view="endpoint", measure="agreement", probe="trained")
    for name in ("pitch", "loudness"):
        own = found[found["attribute"] == name]["agreement"].to_numpy()
        assert own == pytest.approx(wanted[wanted["attribute"] == name]["mean"].to_numpy(), abs=1e-5), name


def test_a_lockin_folder_that_does_not_know_its_voiced_frames_is_to_be_made_again(fading_lockin):
    make, _ = fading_lockin
    folder = make().path
    for file in (folder / "states").iterdir():
        with np.load(file) as states:
            kept = {name: states[name] for name in states.files if name not in ("music", "voiced")}
        np.savez(file, **kept)
    with pytest.raises(InputError, match=r"^[^\n]*run it again with a new folder for out$"):
        make()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"edits": []}, "at least one edit"),
        ({"alphas": []}, "finite alpha"),
        ({"alphas": [0.0]}, "above 0"),
        ({"alphas": [[1.0], [2.0]], "edits": ["pitch=+"]}, "once for each: 2 for 1"),
        ({"alphas": [[1.0], []], "edits": ["pitch=+", "pitch=-"]}, "finite alpha"),
        ({"edits": ["pitch=+,alpha=1", "pitch=+,alpha=2"]}, "differ in nothing but dose"),
        ({"alphas": [0.5], "edits": ["pitch=+,alpha=1"]}, "names a dose"),
        ({"alphas": [float("nan")]}, "finite alpha"),
        ({"edits": ["loudness=ramp(quiet,loud)"], "alphas": [0.5, 2.0]}, "no share of the way"),
        ({"alphas": [1.0, 1e6]}, "no dose of the closed form"),
        ({"edits": ["tempo=3"]}, "no attribute"),
        ({"hold": ["tempo"]}, "cannot hold"),
        ({"edits": ["pitch=+,branch=null"], "guidance": 0.0}, "needs guidance"),
        ({"pitch_tracker": "huge"}, "full or tiny"),
        ({"random": "some"}, "random must"),
        ({"n": 0}, "n must"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_generated(options, says, tmp_path):
    given = {"readout": linear_readout(), "n": 1, "out": tmp_path / "never", "progress_bar": False} | options
    with pytest.raises(InputError, match=says):
        run_dose(SineGenerator(), ["a"], **given)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"edits": ["pitch=+,alpha=0"]}, "alpha other than 0"),
        ({"edits": ["pitch=+,site=state"]}, "site=endpoint"),
        ({"windows": 1}, "windows must"),
        ({"windows": 9}, "windows must"),
    ],
)
def test_what_cannot_slide_is_refused(options, says, tmp_path):
    given = {"readout": linear_readout(), "n": 1, "out": tmp_path / "never", "progress_bar": False} | options
    with pytest.raises(InputError, match=says):
        run_lockin(SineGenerator(), ["a"], **given)


def test_each_held_attribute_has_its_column(tmp_path):
    found = run_dose(
        SineGenerator(), ["a"], 1, edits=["loudness=+,hold=pitch+timbre", "timbre=+,hold=pitch", "pitch=C5"],
        alphas=[1.0], readout=linear_readout(covariance=torch.eye(CHANNELS)), pitch_tracker="tiny",
        progress_bar=False, save_audio=False, out=tmp_path,
    )  # fmt: skip
    held = {"loudness=+": {"pitch", "timbre"}, "timbre=+": {"pitch"}, "pitch=C5": set()}
    steered = [row for row in rows_of(tmp_path / "steps.csv") if row["kind"] == "steered"]
    for row in (*steered, *rows_of(tmp_path / "dose.csv")):
        changes = {name: row[f"held_{name}_high"] for name in ("pitch", "timbre")}
        assert {name for name, value in changes.items() if value != ""} == held[row["edit"]]
        largest = max((float(value) for value in changes.values() if value != ""), default=0.0)
        assert float(row["held_high"]) >= 0.999 * largest  # of the frames' largest, which may be of either attribute
        assert (largest > 0) == bool(held[row["edit"]])
    alone = found.doses.set_index("edit").loc["timbre=+"]
    assert alone["held_pitch_high"] == alone["held_high"]


def lockin_clips(gain, null, prompts=12):
    """Rows of clips.csv: editing the end adds about 2, a window `gain` times that, and a linear flow `null` times."""
    rng = np.random.default_rng(0)
    rows = []
    for prompt in range(prompts):
        whole = 2 + 0.2 * rng.normal()
        row = {"prompt": prompt, "edit": "loudness=+"}
        rows.append(row | {"window": "end", "heard": whole, "read": whole})
        for window in range(2):
            own, other = (whole * part * (1 + 0.03 * rng.normal()) for part in (gain, null))
            rows.append(row | {"window": window, "heard": own, "read": own, "heard_null": other, "read_null": other})
    return rows


@pytest.mark.parametrize(
    ("gain", "null", "says"),
    [(3.0, 1.5, "amplified"), (1.5, 1.5, "like the null"), (0.8, 1.6, "undone in part"), (-0.5, 1.5, "undone")],
)
def test_a_share_is_read_beside_what_a_linear_flow_would_show(gain, null, says):
    rows = shares(lockin_clips(gain, null), parse_edit("loudness=+"), 2)
    for row in rows:
        assert row["heard_share"] == pytest.approx(gain, rel=0.1)
        assert row["heard_null"] == pytest.approx(null, rel=0.1)
        assert row["heard_over"] == pytest.approx(gain / null, rel=0.1)
        assert row["verdict"] == says
        assert row["heard_lost"] == 0


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (1.01, 40.0, "amplified"),
        (0.02, 0.95, "undone in part"),
        (-0.05, 0.45, "undone"),
        (-3.0, -0.5, "undone"),
        (0.0, 0.4, "undone"),
        (-0.05, 0.95, "not told apart"),  # half of it may be left
        (0.6, 1.9, "like the null"),
        (0.05, 40.0, "not told apart"),
        (0.4, 1.2, "not told apart"),
        (0.8, 2.5, "not told apart"),
        (-2.0, 5.0, "not told apart"),
        (math.nan, math.nan, "unknown"),
    ],
)
def test_a_word_says_no_more_than_its_interval(low, high, says):
    assert verdict({"heard_over_low": low, "heard_over_high": high}) == says


@pytest.mark.parametrize(("prompts", "says"), [(2, "unknown"), (5, "unknown"), (6, "amplified")])
def test_fewer_than_six_prompts_have_no_word(prompts, says):
    for row in shares(lockin_clips(3.0, 1.5, prompts), parse_edit("loudness=+"), 2):
        assert row["heard_over"] == pytest.approx(2, rel=0.1)
        assert row["verdict"] == says
        assert math.isnan(row["heard_low"]) == (says == "unknown")


def test_lost_resamples_are_counted_and_take_the_interval_away():
    clips = lockin_clips(1.0, 1.0, prompts=8)
    for row in clips:
        if row["window"] == "end" and row["prompt"] < 6:
            row["heard"] = 0.0
    row = shares(clips, parse_edit("loudness=+"), 2)[0]
    assert row["heard_lost"] > 0.1
    assert math.isnan(row["heard_low"])
    (one, *_) = shares(lockin_clips(1.0, 1.0, prompts=1), parse_edit("loudness=+"), 2, note=True)
    assert math.isnan(one["heard_over_low"])
    assert one["verdict"] == "unknown; saturates"


def test_a_linear_flow_transports_a_push_as_its_covariance_says():
    flow = LinearFlow(np.zeros(2), np.diag([4.0, 0.25]))
    times = np.linspace(0, 1, 11).tolist()
    assert sum(share for _, share in window_shares(0, 5, times)) == pytest.approx(1)
    found = transported(flow, torch.ones(1, 1, 2), 0, 5, times)[0, 0]
    gains = [
        sum(share * math.sqrt(v / ((1 - t) ** 2 + t**2 * v)) for t, share in window_shares(0, 5, times))
        for v in (4.0, 0.25)
    ]
    assert found.tolist() == pytest.approx(gains, rel=1e-5)
    assert gains[0] > 1 > gains[1]


def test_the_linear_flow_of_a_readout_is_made_where_there_is_no_float64():
    readout = tiny_readout(4, 8, spaces=("toy",), covariance=torch.diag(torch.tensor([4.0, 1, 1, 1])))
    session = Session.open(SessionOptions(generator=SineGenerator(), prompts=["a"], n=1, readout=readout), "cpu")
    here = session.linear_flow().transport(0.5, 0.5)
    readout.covariance, readout.sae.mean = (
        tensor.as_subclass(OnAppleGPU) for tensor in (readout.covariance, readout.sae.mean)
    )
    np.testing.assert_array_equal(session.linear_flow().transport(0.5, 0.5), here)


def test_tracks_are_summed_up_in_the_units_of_a_listener():
    voiced = np.array([True, True, False, True])
    tracks = Tracks(
        {"pitch": np.array([60.0, 60.4, 90.0, 72.0]), "loudness": np.full(4, 0.1), "timbre": np.full(4, 1024.0)},
        {"pitch": voiced, "loudness": np.ones(4, bool), "timbre": np.ones(4, bool)},
    )
    assert tracks.summary() == pytest.approx({"pitch": 60.4, "loudness": -20.0, "timbre": 10.0})
    assert tracks.voiced() == 0.75
    assert tracks.on_note(60) == 0.5


def test_distortion_is_zero_for_the_same_audio_and_grows_with_noise():
    generator = np.random.default_rng(0)
    plain = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)[None].astype(np.float32)
    noise = generator.standard_normal(plain.shape).astype(np.float32)
    same, little, much = (distortion(plain + level * noise, plain, 16000) for level in (0, 0.01, 0.1))
    assert same["log_mel_db"] == same["stft_distance"] == same["clipped"] == 0
    assert 0 < little["log_mel_db"] < much["log_mel_db"]
    assert 0 < little["stft_distance"] < much["stft_distance"]
    assert distortion(4 * plain, plain, 16000)["clipped"] > 0.3
    # What clipped before is not blamed on the edit.
    assert distortion(4 * plain, 4 * plain, 16000)["clipped"] == 0
