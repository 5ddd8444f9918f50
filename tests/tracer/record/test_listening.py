"""Sounds of states: which, where, part of the run like everything else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import InputError
from tracer import Run, trace
from tracer.commands.from_options import with_bare_values
from tracer.record.listening import heard_states, sounds


@given(st.integers(2, 200), st.integers(2, 60))
def test_states_are_spread_with_first_and_last(states: int, count: int) -> None:
    found = heard_states(states, count)
    assert found[0] == 0
    assert found[-1] == states - 1
    assert len(found) == min(states, count)
    assert max(np.diff(found)) - min(np.diff(found)) <= 1


def traced(out: Path, **options: Any) -> Run:
    """A short run of the bundled model that keeps sounds."""
    small: dict[str, Any] = {"n": 3, "steps": 5, "seconds": 1.0, "listen": 3, "listen_state": True, "frames": False}
    run = trace("mini", out=out, progress_bar=False, **(small | options))
    assert run is not None
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return traced(tmp_path_factory.mktemp("heard") / "run")


def bytes_of(run: Run) -> dict[str, bytes]:
    return {path.relative_to(run.path).as_posix(): path.read_bytes() for path in run.path.rglob("*.ogg")}


def test_sounds_are_those_of_the_states(whole: Run) -> None:
    assert sounds(whole.path, "00001") == {"endpoint": [0, 2, 4], "state": [0, 2, 4]}
    finished, rate = soundfile.read(whole.path / "audio" / "00001.wav")
    played, own = soundfile.read(whole.path / "audio" / "00001" / "endpoint-004.ogg")
    noise, _ = soundfile.read(whole.path / "audio" / "00001" / "state-000.ogg")
    assert own == rate
    assert len(played) == len(finished) == 21 * 1024  # whole frames
    assert np.corrcoef(played, finished)[0, 1] > 0.9
    assert abs(np.corrcoef(noise, finished)[0, 1]) < 0.3


def test_a_damaged_or_missing_part_is_made_again_byte_for_byte(whole: Run, tmp_path: Path) -> None:
    run = traced(tmp_path / "run")
    assert bytes_of(run) == bytes_of(whole)
    (run.path / "audio" / "00002" / "endpoint-002.ogg").write_bytes(b"OggS")
    with pytest.warns(UserWarning, match="is not what was written beside it"):
        again = traced(tmp_path / "run")
    assert bytes_of(again) == bytes_of(whole)


def test_listening_changes_no_figure(whole: Run, tmp_path: Path) -> None:
    plain = traced(tmp_path / "run", listen=None, listen_state=False)
    assert (plain.path / "progress.csv").read_bytes() == (whole.path / "progress.csv").read_bytes()
    assert not list(plain.path.rglob("*.ogg"))
    assert "listen" not in plain.options
    with pytest.raises(InputError, match="listen"):
        traced(tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"listen": 1}, "2 states"), ({"listen": None, "listen_state": True}, "goes with")],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        traced(tmp_path / "run", **options)


@pytest.mark.parametrize(
    ("given_", "filled"),
    [
        (["--listen"], ["--listen=11"]),
        (["--listen", "5", "--n", "3"], ["--listen", "5", "--n", "3"]),
        (["--listen", "--n", "3"], ["--listen=11", "--n", "3"]),
        (["--listen", "-3"], ["--listen", "-3"]),
        (["steer", "--n", "3"], ["steer", "--n", "3"]),
    ],
)
def test_the_flag_may_stand_alone(given_: list[str], filled: list[str]) -> None:
    assert with_bare_values(given_) == filled
