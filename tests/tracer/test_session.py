"""What a session hands on to those who measure."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tracer import clips
from tracer.options import TraceOptions
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
