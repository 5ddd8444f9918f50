"""Takes that are chosen early: the right ones, the same ones, whatever happens on the way."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from support.pipelines import save
from support.readout import tiny_readout
from support.steering_toys import SineGenerator, linear_readout
from torch import Tensor

from probes.errors import InputError
from tracer.clips import MEASURED
from tracer.generators import Generator, load_generator
from tracer.options import SessionOptions
from tracer.picking import PickResult, choosing, prompt_work, run_pick
from tracer.session import Session

SMALL: dict[str, Any] = {"steps": 7, "seconds": 1.0, "pitch_tracker": "tiny", "progress_bar": False}


@pytest.fixture(scope="module")
def mini() -> Generator:
    return load_generator("mini")


@pytest.fixture(scope="module")
def pick(mini: Generator) -> Callable[..., PickResult]:
    def run(out: Path, **options: Any) -> PickResult:
        given = {"wants": ["loudness=quiet"], "seeds": 6, "keep": 2, "at": "3", "prompts": ["a soft piano"]}
        found = run_pick(mini, out=out, **(SMALL | given | options))
        assert found is not None
        return found

    return run


@pytest.fixture(scope="module")
def picked(pick: Callable[..., PickResult], tmp_path_factory: pytest.TempPathFactory) -> PickResult:
    return pick(tmp_path_factory.mktemp("picked") / "out")


def test_the_kept_takes_are_the_nearest_and_the_reason_says_so(picked: PickResult) -> None:
    takes = picked.takes.sort_values("rank")
    assert len(takes) == 6
    assert takes["distance"].is_monotonic_increasing
    assert takes["kept"].tolist() == [True, True, False, False, False, False]
    assert picked.kept["seed"].tolist() == takes["seed"].tolist()[:2]
    assert takes["reason"].str.contains("dB .* the goal").all()
    assert (takes["state"] == 3).all()
    # CFG-Rejection's score is there beside it: every take has its rank by it.
    assert sorted(takes["rank_by_guidance"]) == [1, 2, 3, 4, 5, 6]
    # 6 takes of 4 evaluations, and two that go on for 3 of 6.
    assert picked.compute == pytest.approx((6 * 4 + 2 * 3) / (6 * 6))


def test_a_kept_take_is_the_clip_that_trace_makes_of_that_seed(
    picked: PickResult, mini: Generator, tmp_path: Path
) -> None:
    session = Session.open(
        SessionOptions(generator=mini, prompts=["a soft piano"], steps=7, seconds=1.0), "cpu", "tiny"
    )
    for row in picked.kept.to_dict("records"):
        own, _ = soundfile.read(picked.path / "audio" / f"00000-{row['rank']}-seed{row['seed']}.wav")
        clip = replace(session.prompts[0], seed=int(row["seed"]))
        audio, tracks = session.listen([clip], session.generate([clip]), MEASURED)
        np.testing.assert_allclose(own, audio[0, 0, : len(own)], atol=2e-4)
        assert row["measured_loudness"] == pytest.approx(tracks[0].summary()["loudness"], abs=0.01)


def test_batches_do_not_matter_and_a_run_that_was_ended_goes_on(
    picked: PickResult, pick: Callable[..., PickResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = prompt_work.read_takes, []

    def ended(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(prompt_work, "read_takes", ended)
    with pytest.raises(KeyboardInterrupt):
        pick(tmp_path / "out", batch_size=2)
    pick(tmp_path / "out", batch_size=3)
    assert len(calls) == 4  # seeds 4 and 5 were missing, of one batch
    again = PickResult.read(tmp_path / "out")
    for name in ("takes", "kept"):
        one, other = getattr(picked, name), getattr(again, name)
        pd.testing.assert_frame_equal(one, other, atol=2e-3, rtol=1e-3)
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_a_sampler_that_cannot_go_on_from_a_state_makes_the_kept_takes_anew(tmp_path: Path) -> None:
    toy, readout = SineGenerator(), linear_readout()
    found = run_pick(
        toy, ["a", "b"], wants=["loudness=0.1"], seeds=5, keep=1, at="0.5", readout=readout, out=tmp_path / "out",
        pitch_tracker="tiny", progress_bar=False,
    )  # fmt: skip
    assert found is not None
    assert len(found.kept) == 2
    assert (found.takes["t"] == 0.5).all()
    assert found.compute == pytest.approx((5 * 5 + 8) / (5 * 8))


class Place:
    """One process of a launch of two, played by a thread."""

    num_processes = 2

    def __init__(self, index: int, barrier: threading.Barrier) -> None:
        self.process_index, self.is_main_process, self.barrier = index, index == 0, barrier

    def wait_for_everyone(self) -> None:
        self.barrier.wait(60)

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        if not self.is_main_process:
            self.wait_for_everyone()
        yield
        if self.is_main_process:
            self.wait_for_everyone()


def test_takes_that_are_dealt_out_to_processes_are_those_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier, mine = threading.Barrier(2), threading.local()
    given: dict[str, Any] = {
        "wants": ["loudness=0.1"], "seeds": 7, "keep": 3, "at": "4", "batch_size": 2, "readout": linear_readout(),
        "pitch_tracker": "tiny", "progress_bar": False,
    }  # fmt: skip
    alone = run_pick(SineGenerator(), ["a", "b"], out=tmp_path / "alone", **given)
    monkeypatch.setattr(choosing, "join_launch", lambda device: (mine.place, "cpu"))

    def process(index: int) -> PickResult | None:
        mine.place = Place(index, barrier)
        return run_pick(SineGenerator(), ["a", "b"], out=tmp_path / "both", **given)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(process, range(2))
    assert second is None
    assert alone is not None
    assert first is not None
    pd.testing.assert_frame_equal(alone.takes, first.takes, rtol=1e-4)
    pd.testing.assert_frame_equal(alone.kept, first.kept, rtol=1e-4, atol=1e-3)


class SmallMemory(SineGenerator):
    """Holds so many clips at once while it generates, and while it decodes."""

    def __init__(self, generated: int, decoded: int) -> None:
        super().__init__()
        self.generated, self.decoded = generated, decoded

    def generate(self, captions: Sequence[str], seeds: Sequence[int], **rest: Any) -> Tensor:
        if len(captions) > self.generated:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return super().generate(captions, seeds, **rest)

    def decode(self, latents: Tensor) -> np.ndarray:
        if len(latents) > self.decoded:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return super().decode(latents)


def test_every_take_is_read_where_one_process_has_less_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    barrier, mine = threading.Barrier(2), threading.local()
    given: dict[str, Any] = {
        "wants": ["loudness=0.1"], "seeds": 16, "keep": 4, "at": "4", "batch_size": "auto", "readout": linear_readout(),
        "pitch_tracker": "tiny", "progress_bar": False,
    }  # fmt: skip
    alone = run_pick(SineGenerator(), ["a", "b"], out=tmp_path / "alone", **given)
    monkeypatch.setattr(choosing, "join_launch", lambda device: (mine.place, "cpu"))
    generators = [SmallMemory(generated=2, decoded=1), SineGenerator()]

    def process(index: int) -> PickResult | None:
        mine.place = Place(index, barrier)
        return run_pick(generators[index], ["a", "b"], out=tmp_path / "both", **given)

    with ThreadPoolExecutor(2) as pool:
        both, _ = pool.map(process, range(2))
    assert alone is not None
    assert both is not None
    pd.testing.assert_frame_equal(alone.takes, both.takes, rtol=1e-4)
    pd.testing.assert_frame_equal(alone.kept, both.kept, rtol=1e-4, atol=1e-3)


def test_kept_takes_are_finished_in_halves_where_memory_runs_out(tmp_path: Path) -> None:
    found = run_pick(
        SmallMemory(generated=4, decoded=1), ["a", "b"], wants=["loudness=0.1"], seeds=4, keep=2, at="4",
        batch_size="auto", readout=linear_readout(), pitch_tracker="tiny", progress_bar=False, out=tmp_path / "out",
    )  # fmt: skip
    assert found is not None
    assert len(found.kept) == 4


def test_a_diffusers_pipeline_is_read_through_the_same_hooks(tmp_path: Path) -> None:
    audio = load_generator("stable-audio", weights=save("stable-audio", tmp_path / "weights"))
    readout = tiny_readout(channels=audio.channels, spaces=(audio.space,))
    found = run_pick(
        audio, ["slow piano"], wants=["loudness=0.2"], seeds=3, keep=1, at="2", steps=5, seconds=0.4, readout=readout,
        out=tmp_path / "out", pitch_tracker="tiny", progress_bar=False,
    )  # fmt: skip
    assert found is not None
    assert (found.takes["state"] == 2).all()
    assert len(found.kept) == 1
    assert found.takes["evaluations"].tolist() == [3, 3, 3]
    # The branches of its guidance are not seen: CFG-Rejection has no score.
    assert "rank_by_guidance" not in found.takes


def test_the_reading_of_a_recording_is_a_goal(pick: Callable[..., PickResult], tmp_path: Path) -> None:
    time = np.arange(22050) / 22050
    soundfile.write(tmp_path / "like.wav", 0.1 * np.sin(2 * np.pi * 440 * time), 22050)
    soundfile.write(tmp_path / "high_rate.wav", 0.1 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100), 44100)
    found = pick(tmp_path / "out", wants=["loudness=quiet"], like=tmp_path / "like.wav", seeds=3, keep=1)
    assert found.takes["reason"].str.contains("loudness.*pitch|pitch.*loudness").all()
    assert len(pick(tmp_path / "other", wants=[], like=tmp_path / "high_rate.wav", seeds=2, keep=1).kept) == 1


def test_a_recording_is_read_through_the_autoencoder_of_a_pipeline(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "like.wav", 0.1 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050), 22050)
    audio = load_generator("stable-audio", weights=save("stable-audio", tmp_path / "weights"))
    readout = tiny_readout(channels=audio.channels, spaces=(audio.space,))
    found = run_pick(
        audio, ["slow piano"], like=tmp_path / "like.wav", seeds=2, keep=1, at="1", steps=3, seconds=0.4,
        readout=readout, out=tmp_path / "out", pitch_tracker="tiny", progress_bar=False,
    )  # fmt: skip
    assert found is not None
    assert len(found.kept) == 1
    assert np.isfinite(found.takes["distance"]).all()


def test_what_cannot_work_is_one_line(pick: Callable[..., PickResult], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(22050), 22050)
    soundfile.write(tmp_path / "short.wav", np.ones(100) * 0.1, 22050)
    soundfile.write(tmp_path / "low.wav", np.sin(np.arange(8000)), 8000)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"wants": []}, "say what is wanted"),
        ({"wants": ["tempo=120"]}, "not 'tempo'"),
        ({"keep": 7}, "at most seeds=6"),
        ({"keep": 0}, "at least 1"),
        ({"seeds": 1}, "at least 2"),
        ({"at": "7"}, "a state from 0 to 6"),
        ({"at": "soon"}, "takes auto"),
        ({"at": "1.5"}, "takes auto"),
        ({"like": tmp_path / "silent.wav"}, "is silent"),
        ({"like": tmp_path / "short.wav"}, "shorter than one latent frame"),
        ({"like": tmp_path / "low.wav"}, "8000 samples a second"),
        ({"like": tmp_path / "none.wav"}, "none.wav"),
    ]
    for number, (options, says) in enumerate(wrong):
        with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
            pick(tmp_path / f"wrong-{number}", **options)
        assert says in str(refused.value)
        assert not (tmp_path / f"wrong-{number}").exists()


def test_a_folder_of_another_choice_is_refused(picked: PickResult, pick: Callable[..., PickResult]) -> None:
    with pytest.raises(InputError, match="keep"):
        pick(picked.path, keep=3)
