"""One list of options: Python's arguments, the command line and run.json agree."""

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.command_line import parsed

from probes.errors import InputError
from tracer import load_generator, trace
from tracer.options import PickOptions, SessionOptions, SteerOptions, TraceOptions
from tracer.prompts import choose_prompts
from tracer.steering import run_dose, run_lockin


@pytest.mark.parametrize(
    ("function", "options"), [(trace, TraceOptions), (run_dose, SteerOptions), (run_lockin, SteerOptions)]
)
def test_functions_take_every_option_with_its_default(function: Any, options: type[SessionOptions]) -> None:
    parameters = inspect.signature(function).parameters
    for entry in fields(options):
        assert parameters[entry.name].default == entry.default, entry.name
    if options is TraceOptions:
        assert set(parameters) == {entry.name for entry in fields(options)} | {"progress_bar"}


def test_flags_fill_the_options() -> None:
    assert parsed([]) == TraceOptions(options={})
    arguments = ["--model", "diffrhythm", "--views", "endpoint, state", "--set", "a=1", "--set", "b=c=d", "--no-frames"]
    given = parsed([*arguments, "--cfg", "2", "--steer", "pitch=C5", "--n", "3"])
    assert (given.generator, given.guidance, given.n, given.frames) == ("diffrhythm", 2.0, 3, False)
    assert given.options == {"a": "1", "b": "c=d"}
    assert given.ordered_views == ["state", "endpoint"]
    assert given.steer == ("pitch=C5",)
    json.dumps(given.kept())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n": 0}, "n must be at least 1"),
        ({"steps": 1}, "steps must be at least 2"),
        ({"seconds": 0.0}, "seconds must be a positive length"),
        ({"guidance": float("nan")}, "guidance must be zero or positive"),
        ({"seed": -1}, "seed must be zero or positive"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"views": ("middle",)}, "views takes state, endpoint or both"),
    ],
)
def test_what_no_generator_could_take_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        TraceOptions(**changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weights": "somewhere/else"}, "^weights is for a generator that is loaded by name"),
        ({"dtype": "bfloat16"}, "^dtype is for"),
        ({"options": {"style_cache": "x"}}, "^options is for"),
    ],
)
def test_what_a_loaded_generator_cannot_take_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        TraceOptions(generator=load_generator("mini"), **changes)


def test_the_number_type_of_a_loaded_generator_is_recorded(tmp_path: Path) -> None:
    loaded = load_generator("mini", dtype="bfloat16")
    common = {"steps": 2, "seconds": 0.5, "save_audio": False, "progress_bar": False}
    for generator, dtype in ((loaded, "bfloat16"), ("mini", "auto")):
        trace(generator, ["slow piano"], out=tmp_path / dtype, **common)
        assert json.loads((tmp_path / dtype / "run.json").read_text())["about"]["dtype"] == dtype


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steer": [object()]}, "^steer takes text, as on the command line, or a list of texts, not <object"),
        ({"steer": None}, "^steer takes text"),
        ({"views": [1]}, "^views takes text"),
        ({"prompts": None}, "^prompts must be a source name, a file, or a list of captions"),
        ({"prompts": 5}, "^prompts must be a source name"),
    ],
)
def test_what_is_no_text_is_refused_before_a_folder_exists(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        trace(out=tmp_path / "run", progress_bar=False, **changes)
    assert not (tmp_path / "run").exists()


def test_the_path_of_a_prompt_file_is_taken_as_its_text(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("slow piano\nfast drums\n")
    assert TraceOptions(prompts=tmp_path / "p.txt") == TraceOptions(prompts=str(tmp_path / "p.txt"))
    assert SteerOptions(prompts=tmp_path / "p.txt").n == 32
    assert choose_prompts(tmp_path / "p.txt") == choose_prompts(str(tmp_path / "p.txt"))


def test_a_text_is_taken_as_the_command_line_takes_it() -> None:
    given = TraceOptions(views="endpoint, state", probes="trained,raw", steer="timbre=+,alpha=2")
    assert given == TraceOptions(views=("endpoint", "state"), probes=("trained", "raw"), steer=("timbre=+,alpha=2",))
    assert PickOptions(wants="timbre=dark,weight=2").wants == ("timbre=dark,weight=2",)


def test_numbers_of_numpy_and_torch_are_kept_as_python_s_own() -> None:
    given = TraceOptions(
        n=np.int64(2), seed=np.uint8(1), seeds=np.int64(3), steps=torch.tensor(5), seconds=np.float32(0.5), guidance=2,
        batch_size=np.int64(4), settled_states=np.int32(3), frames=np.bool_(True),
    )  # fmt: skip
    same = TraceOptions(n=2, seed=1, seeds=3, steps=5, seconds=0.5, guidance=2.0)
    assert given == same
    for entry in fields(given):
        assert type(getattr(given, entry.name)) is type(getattr(same, entry.name)), entry.name
    assert type(PickOptions(keep=np.int64(2)).keep) is int


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n": "4"}, "n must be a whole number, got '4'"),
        ({"n": 2.5}, "n must be a whole number, got 2.5"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": None}, "seed must be a whole number"),
        ({"steps": 8.0}, "steps must be a whole number"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"seeds": 1.5}, "seeds must be a whole number"),
        ({"seconds": "3"}, "seconds must be a number"),
        ({"guidance": torch.ones(2)}, "guidance must be a number"),
        ({"settled_within": "x"}, "settled_within must be a number"),
        ({"frames": "no"}, "frames must be true or false"),
    ],
)
def test_what_is_no_such_number_is_refused_before_a_folder_exists(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        trace(out=tmp_path / "run", progress_bar=False, **changes)
    assert not (tmp_path / "run").exists()


def test_a_run_of_numpy_s_numbers_is_read_and_continued(tmp_path: Path) -> None:
    common = {"n": 2, "save_audio": False, "progress_bar": False, "out": tmp_path / "run"}
    first = trace(steps=np.int64(3), seed=np.int64(1), seconds=np.float32(0.5), guidance=np.float32(2), **common)
    again = trace(steps=3, seed=1, seconds=0.5, guidance=2.0, **common)
    assert first is not None
    assert again is not None
    assert again.options == first.options


def test_steering_takes_all_of_a_short_list_of_captions() -> None:
    assert SteerOptions(prompts=["a", "b"]).n == 2
    assert SteerOptions(prompts="demo").n == 32
    for wrong in (None, []):
        with pytest.raises(InputError, match="a list of captions that are not empty"):
            SteerOptions(prompts=wrong)
