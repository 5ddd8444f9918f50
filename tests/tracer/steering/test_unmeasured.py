"""What is measured of an edit is measured on the audio: an edit of a chord can be made, and not judged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from probes.errors import InputError
from tracer import trace
from tracer.curves import Curve
from tracer.steering import edit_audio, run_dose, run_lockin


@pytest.mark.parametrize("run", [run_dose, run_lockin], ids=["dose", "lockin"])
def test_effects_that_cannot_be_measured_are_refused_at_once(run: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an edit of chord cannot be measured on audio, only that of pitch, loudness"):
        run("mini", edits=["chord=Am"], readout="mini-music", n=1, steps=12, seconds=1, out=tmp_path / "run")
    assert not (tmp_path / "run" / "clips.csv").exists()


def test_so_is_an_edit_of_a_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 22050), 22050)
    with pytest.raises(InputError, match="cannot be measured on audio"):
        edit_audio(tmp_path / "a.wav", ["key=A minor"], readout="mini-music", space="mini", out=tmp_path / "out")


def test_a_trace_makes_the_edit(tmp_path: Path) -> None:
    few: dict[str, Any] = {"readout": "mini-music", "n": 4, "steps": 6, "seconds": 3, "views": ["endpoint"]}
    sums = {}
    for target in (None, "drums", "no drums"):
        edits = [f"drums={target},vector=centred,alpha=0.02"] if target else []
        run = trace("mini", out=tmp_path / str(target), steer=edits, save_audio=False, progress_bar=False, **few)
        clips = [run.reader.trace(index) for index in range(4)]
        sums[target] = sum(float(clip.values[Curve("endpoint", "trained", "drums")].sum()) for clip in clips)
    assert sums["no drums"] < sums[None] < sums["drums"]
