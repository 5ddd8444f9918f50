"""What a session hands on to those who measure."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.pipelines import save
from support.readout import tiny_readout
from torch import Tensor

from probes.readout import Readout
from tracer import clips, trace
from tracer.exploring.takes import make_take
from tracer.generators import Generator, load_generator
from tracer.options import PickOptions, SessionOptions, TraceOptions
from tracer.picking import run_pick
from tracer.session import Session
from tracer.steering import run_lockin


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


SECONDS = 0.4
"""Asked for, of the 0.48 seconds that are always made: 20 frames of 24."""


@pytest.fixture(scope="module")
def padding(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return load_generator("stable-audio", weights=save("stable-audio", tmp_path_factory.mktemp("weights")))


def reader_of(generator: Generator) -> Readout:
    covariance = torch.eye(generator.channels)
    return tiny_readout(channels=generator.channels, spaces=(generator.space,), covariance=covariance)


def opened(generator: Generator, seconds: float) -> Session:
    options = SessionOptions(generator=generator, prompts=["a"], n=1, seconds=seconds, readout=reader_of(generator))
    return Session.open(options, "cpu", pitch_tracker="tiny")


def test_what_is_heard_in_the_padding_is_not_measured(padding: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    times = np.arange(round(0.48 * padding.sample_rate)) / padding.sample_rate
    tone = np.where(times < SECONDS, 0.3 * np.sin(2 * np.pi * 200 * times), 0.9 * np.sin(2 * np.pi * 400 * times))
    monkeypatch.setattr(padding, "decode", lambda latents: np.tile(tone, (len(latents), 2, 1)).astype(np.float32))
    latents = torch.zeros(1, 24, padding.channels)
    cut, whole = (opened(padding, seconds) for seconds in (SECONDS, padding.default_seconds))
    (audio, (tracks,)), (all_audio, (all_tracks,)) = (
        session.listen(session.prompts, latents, clips.MEASURED) for session in (cut, whole)
    )
    assert audio.shape[-1] == SECONDS * padding.sample_rate
    assert all_audio.shape[-1] == len(tone)
    assert tracks.summary()["loudness"] == pytest.approx(20 * np.log10(0.3 / 2**0.5), abs=0.3)
    assert tracks.summary()["loudness"] < all_tracks.summary()["loudness"] - 3
    for name in clips.MEASURED:
        assert tracks.valid[name].tolist() == [*tracks.valid[name][:20], *[False] * 4]
    voiced = np.arange(24) < 10  # half of the music
    halved = replace(tracks, values={"pitch": np.full(24, 60.0)}, valid={"pitch": voiced})
    assert halved.voiced() == halved.on_note(60) == 0.5


def explore(generator: Generator, **given: Any) -> None:
    session = opened(generator, SECONDS)
    assert list(make_take(replace(session, steps=given["steps"]), "a", 0))


def lockin(generator: Generator, **given: Any) -> None:
    run_lockin(generator, edits=["loudness=+,alpha=1"], windows=2, pitch_tracker="tiny", **given)


def pick(generator: Generator, **given: Any) -> None:
    run_pick(generator, wants=["loudness=0.2"], seeds=2, keep=1, at="2", pitch_tracker="tiny", **given)


@pytest.mark.parametrize("work", [trace, pick, lockin, explore])
def test_padding_is_read_nowhere(
    padding: Generator, work: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[list[bool] | None] = []
    read = Readout.read

    def watch(self: Readout, latents: Tensor, mask: Tensor | None = None, *rest: Any, **named: Any) -> Any:
        counted.append(None if mask is None else mask.expand(latents.shape[:2])[0].tolist())
        return read(self, latents, mask, *rest, **named)

    monkeypatch.setattr(Readout, "read", watch)
    work(
        padding, prompts=["a"], n=1, seconds=SECONDS, steps=5, readout=reader_of(padding), out=tmp_path / "out",
        progress_bar=False,
    )  # fmt: skip
    assert len(counted) >= 5 if work is not pick else len(counted) == 2
    assert all(mask == [True] * 20 + [False] * 4 for mask in counted)
