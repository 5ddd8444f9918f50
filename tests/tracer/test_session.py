"""What a session hands on to those who measure."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tracer import clips
from tracer.options import PickOptions, SessionOptions, TraceOptions
from tracer.session import Session


def test_pitch_is_measured_on_the_device_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session.open(TraceOptions(n=1), "cpu", pitch_tracker="tiny")
    assert session.device == "cpu"
    asked: list[dict[str, Any]] = []

    def get_attribute(name: str, **options: Any) -> Any:
        asked.append({"name": name, **options})
        return SimpleNamespace(measure=lambda audio, rate, frames, hop: (np.zeros(frames), np.ones(frames, bool)))

    monkeypatch.setattr(clips, "get_attribute", get_attribute)
    replace(session, device="cuda:1").measure(np.zeros((1, 4096), np.float32), 4, ["pitch", "loudness"])
    assert asked == [{"name": "pitch", "model": "tiny", "device": "cuda:1"}, {"name": "loudness"}]


@pytest.mark.parametrize(
    ("options", "together"),
    [
        (SessionOptions(n=1, batch_size="auto"), 1),
        (TraceOptions(n=1, seeds=3, batch_size="auto"), 3),
        (TraceOptions(n=2, seeds=3, batch_size="auto"), 4),
        (PickOptions(n=1, seeds=32, batch_size="auto"), 4),
        (PickOptions(n=1, seeds=32, batch_size=7), 7),
    ],
)
def test_all_clips_of_a_prompt_may_go_together(options: SessionOptions, together: int) -> None:
    assert Session.open(options, "cpu").batch_size.size == together
