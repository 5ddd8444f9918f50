"""Edits as text: what is read, and what is refused in one line with exit code 2."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.readout import tiny_readout

from probes.errors import InputError
from tracer.steering import EditSpec, edits_from_specs, parse_edit
from tracer.steering.spec import CHOICES, parse_numbers

ROOT = Path(__file__).parents[3]


def test_every_option_is_read():
    text = (
        "pitch=C5,alpha=7,from=0.3,to=0.7,site=endpoint,branch=cond,schedule=bell,vector=plain,unit=std,"
        "hold=loudness+timbre"
    )
    assert parse_edit(text) == EditSpec(
        "pitch", "C5", 7.0, 0.3, 0.7, "endpoint", "cond", "bell", "plain", "std", ("loudness", "timbre")
    )


def test_a_text_holds_the_attributes_that_it_names_and_an_index_is_a_target():
    for hold in ("loudness+timbre", "loudness,timbre", ["loudness", "timbre"]):
        assert EditSpec("pitch", "C5", hold=hold) == EditSpec("pitch", "C5", hold=("loudness", "timbre"))
    assert EditSpec("pitch", "C5").holding("timbre") == EditSpec("pitch", "C5", hold=("timbre",))
    assert EditSpec("pitch", 60) == EditSpec("pitch", np.int64(60)) == EditSpec("pitch", "60")


def test_one_edit_is_one_edit():
    readout = tiny_readout()
    (edit,) = edits_from_specs(["timbre=+,from=0.3"], readout)
    for one in ("timbre=+,from=0.3", EditSpec("timbre", "+", start=0.3), [EditSpec("timbre", "+", start=0.3)]):
        assert repr(edits_from_specs(one, readout)) == repr([edit])


@pytest.mark.parametrize("edits", [None, [1], [object()]])
def test_what_is_no_edit_is_told(edits):
    with pytest.raises(InputError, match=r"^an edit is a text, as in pitch=C5.* or an EditSpec, not "):
        edits_from_specs(edits, tiny_readout())


def test_spaces_do_not_matter_and_defaults_are_filled_in():
    assert parse_edit(" timbre = + , alpha = 3 ") == EditSpec("timbre", "+", 3.0)


@pytest.mark.parametrize(("text", "alpha"), [("loudness=+", 1), ("pitch=C5", 10), ("pitch=C5,vector=centred", 0.02)])
def test_a_dose_that_is_left_out_is_that_of_its_form(text, alpha):
    assert parse_edit(text).alpha == alpha
    assert str(parse_edit(text)) == text
    assert parse_edit(text).at(3).label == text


@given(
    target=st.sampled_from(["C5", "3", "+", "-"]),
    alpha=st.floats(-1e3, 1e3).map(lambda x: float(f"{x:g}")),
    window=st.tuples(st.integers(0, 50), st.integers(51, 100)),
    schedule=st.sampled_from(CHOICES["schedule"]),
    vector=st.sampled_from(CHOICES["vector"]),
    hold=st.sets(st.sampled_from(["loudness", "timbre"])),
)
def test_an_edit_written_out_is_read_back(target, alpha, window, schedule, vector, hold):
    spec = EditSpec(
        "pitch", target, alpha, window[0] / 100, window[1] / 100, schedule=schedule, vector=vector, hold=tuple(hold)
    )
    assert parse_edit(str(spec)) == spec


WRONG = [
    ("pitch", "name=value"),
    ("pitch=", "name=value"),
    ("=C5", "name=value"),
    ("", "name=value"),
    ("alpha=10", "has none"),
    ("pitch=C5,loudness=2", "pitch and loudness"),
    ("pitch=C5,alhpa=3", "options are alpha"),
    ("pitch=C5,alpha=1,alpha=2", "twice"),
    ("pitch=C5,pitch=C4", "twice"),
    ("pitch=C5,alpha=much", "takes numbers"),
    ("pitch=C5,alpha=nan", "finite"),
    ("pitch=C5,alpha=inf", "finite"),
    ("pitch=C5,alpha=1e38", "no dose"),
    ("loudness=+,alpha=-2000", "no dose"),
    ("pitch=C5,from=-0.1", "flow time"),
    ("pitch=C5,to=1.5", "flow time"),
    ("pitch=C5,from=0.7,to=0.3", "from < to"),
    ("pitch=C5,from=nan", "finite"),
    ("pitch=C5,site=velocity", "endpoint, state"),
    ("pitch=C5,branch=uncond", "both, cond, null"),
    ("pitch=C5,site=state,branch=cond", "no guidance branches"),
    ("pitch=C5,schedule=cosine", "constant, ramp, bell"),
    ("pitch=C5,vector=best", "centred, plain, closed"),
    ("pitch=C5,vector=closed,unit=std", "unit=std"),
    ("pitch=C5,hold=pitch", "cannot hold pitch"),
    ("pitch=C5,hold=loudness+", "joined by +"),
    ("pitch=C5,hold=tempo", "cannot hold 'tempo'"),
    ("tempo=120", "no attribute 'tempo'"),
    ("pitch=H5", "no pitch"),
    ("pitch=C99", "pitch"),
    ("pitch=66", "classes 0 to 65"),
    ("loudness=2000Hz", "no loudness"),
    ("timbre=-20dB", "no timbre"),
    ("timbre=90kHz", "outside"),
]


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_a_wrong_edit_is_refused_in_one_line(text, says):
    with pytest.raises(InputError) as refused:
        edits_from_specs([text], tiny_readout())
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("target", ["+", "-"])
@pytest.mark.parametrize("form", ["closed", "centred"])
def test_classes_without_an_order_have_no_direction(target, form):
    readout = tiny_readout(named=["chord", "drums"])
    with pytest.raises(InputError) as refused:
        edits_from_specs([f"chord={target},vector={form}"], readout)
    said = str(refused.value)
    assert said == f"the classes of chord have no order for {target} to go along: name one of them, such as chord=C"
    named = [said.rpartition(" ")[2], f"drums={target},vector=centred", "loudness=+,hold=chord"]
    assert len(edits_from_specs(named, readout)) == len(named)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("drums=drums", "the closed form moves frames: give drums=drums,vector=centred"),
        ("loudness=+,hold=drums", "cannot hold drums, which has one value for a clip: hold what frames have (pitch, l"),
        ("chord=C,vector=centred,hold=drums", "cannot hold drums"),
    ],
)
def test_what_a_clip_has_once_is_not_moved_frame_by_frame(text, says):
    """Its reading is of the peaks of a clip, which move by other amounts than its frames."""
    readout = tiny_readout(named=["chord", "drums"])
    with pytest.raises(InputError) as refused:
        edits_from_specs([text], readout)
    assert says in str(refused.value)
    assert len(edits_from_specs(["drums=drums,vector=centred"], readout)) == 1


def test_null_branch_without_guidance_is_refused():
    with pytest.raises(InputError, match="needs guidance"):
        edits_from_specs(["pitch=C5,branch=null"], tiny_readout(), guided=False)
    assert len(edits_from_specs(["pitch=C5,branch=null"], tiny_readout())) == 1


def test_alpha_zero_attaches_nothing():
    edits = edits_from_specs(["pitch=C5,alpha=0", "loudness=-20dB,alpha=2"], tiny_readout())
    assert len(edits) == 1


@pytest.mark.parametrize("text", ["", "1,,2", "1,x", "nan", "1,inf"])
def test_doses_that_are_no_numbers_are_refused(text):
    with pytest.raises(InputError, match="alpha"):
        parse_numbers(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["steer", "--edit", "pitch=C5,alpha=nan"],
        ["steer", "--alpha", "1,nan"],
        ["steer", "--when", "--alpha", "1,2"],
        ["steer", "--attribute", "pitch"],
        ["edit", "nothing.wav", "--attribute", "pitch"],
        ["edit", "nothing.wav", "--attribute", "pitch", "--target", "C5"],
        ["edit", "nothing.wav"],
    ],
)
def test_the_command_line_says_it_in_one_line_and_leaves_with_2(arguments, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_an_endless_edit_is_refused_at_once():
    with pytest.raises(InputError, match=r"of 2,200,008 characters is too long") as refused:
        parse_edit("loudness" + ",hold=pitch" * 200_000)
    assert "\n" not in str(refused.value)


def test_a_class_of_pitch_given_by_its_number_is_told_by_its_note():
    readout = tiny_readout()
    label, middle = readout.bins["pitch"].label(60), readout.bins["pitch"].centers[60]
    with pytest.warns(
        UserWarning, match=re.escape(f"pitch=60 is class 60, the note {label} (MIDI {middle:g}); for MI")
    ):
        edits_from_specs(["pitch=60"], readout)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edits_from_specs(["pitch=C4", "pitch=+", "pitch=261.63Hz", "timbre=7", "loudness=0"], readout)
