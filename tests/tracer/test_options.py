"""One list of options: Python's arguments, the command line and run.json agree."""

import inspect
import json
from dataclasses import fields
from typing import Any

import pytest
from support.command_line import parsed

from probes.errors import InputError
from tracer import trace
from tracer.options import SessionOptions, SteerOptions, TraceOptions
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
