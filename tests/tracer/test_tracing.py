"""A whole trace on a small random checkpoint: what it leaves, and that nothing but the seed decides about it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.diffrhythm import released_folder, settings
from support.readout import tiny_readout
from support.strangers import COMMAND, write_strangers

from probes.errors import InputError, OutOfMemory
from tracer import Run, trace
from tracer.prompts import load_prompts
from tracer.record.store import RunStore

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with a readout beside it."""
    folder = released_folder(tmp_path_factory.mktemp("released"), [prompt.caption for prompt in load_prompts("demo")])
    tiny_readout(spaces=("diffrhythm",)).save_pretrained(folder / "readout")
    return folder


@pytest.fixture(scope="module")
def traced(released: Path) -> Callable[..., Run]:
    """Trace in this process with small defaults."""

    def run(out: Path, **options: Any) -> Run:
        defaults: dict[str, Any] = {"n": 3, "steps": 4, "seconds": 1, "save_audio": False, "progress_bar": False}
        result = trace(
            "diffrhythm",
            weights=str(released),
            readout=released / "readout",
            options=settings(released),
            out=out,
            **(defaults | options),
        )
        assert result is not None
        return result

    return run


def command(released: Path, out: Path, *options: str) -> list[str]:
    """The command line of a small run."""
    sets = [part for key, value in settings(released).items() for part in ("--set", f"{key}={value}")]
    common = ["--model", "diffrhythm", "--weights", str(released), "--readout", str(released / "readout")]
    return [*common, *sets, "--no-save-audio", "--out", str(out), *options]


def environment() -> dict[str, str]:
    """One thread, offline, and the checkout importable."""
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def distributions(run: Run) -> np.ndarray:
    """Every pooled distribution of a run, in prompt order."""
    return np.concatenate([p.ravel() for item in run.reader.traces() for _, p in sorted(item.pooled.items())])


def test_a_run_leaves_what_the_design_says(traced: Callable[..., Run], tmp_path: Path) -> None:
    run = traced(tmp_path / "run", save_audio=True, save_latents=True)
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert {"run.json", "prompts.csv", "progress.csv", "emergence.png", "emergence.svg"} <= names
    assert {f"audio/{index:05d}.wav" for index in range(3)} <= names
    assert {f"latents/{index:05d}.safetensors" for index in range(3)} <= names
    about = json.loads((run.path / "run.json").read_text())
    assert about["options"]["seed"] == 0
    assert about["options"]["steps"] == 4
    assert about["about"]["versions"]["torch"]
    assert about["about"]["autoencoder"] is None  # trained here
    assert run.autoencoder is None
    table = run.progress(view="endpoint", measure="agreement")
    assert list(table.columns) == ["attribute", "index", "t", "logsnr", "mean", "std", "low", "high", "n"]
    assert set(table["attribute"]) == {"pitch", "loudness", "timbre"}
    assert (table.groupby("attribute")["index"].max() == 3).all()
    last = table[table["index"] == 3]["mean"].dropna()  # without a value where all songs end alike
    assert len(last)
    assert np.allclose(last, 1)


def test_state_and_endpoint_agree_at_the_end_only(traced: Callable[..., Run], tmp_path: Path) -> None:
    run = traced(tmp_path / "run")
    item = run.reader.trace(0)
    curves = {curve: p for curve, p in item.pooled.items() if curve.attribute == "pitch" and curve.probe == "trained"}
    state, endpoint = (next(p for curve, p in curves.items() if curve.view == view) for view in ("state", "endpoint"))
    assert np.array_equal(state[-1], endpoint[-1])
    assert np.abs(state[0] - endpoint[0]).max() > 1e-4


def test_batch_size_has_no_say(traced: Callable[..., Run], tmp_path: Path) -> None:
    one, four = (traced(tmp_path / str(size), n=5, batch_size=size) for size in (1, 4))
    assert [p.caption for p in one.prompts] == [p.caption for p in four.prompts]
    assert np.abs(distributions(one) - distributions(four)).max() < 1e-4


def test_a_size_that_is_found_by_halving_has_no_say(
    traced: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = traced(tmp_path / "fixed", n=5, batch_size=2)
    from tracer.generators.diffrhythm.generator import DiffRhythmGenerator

    whole = DiffRhythmGenerator.generate
    sizes = []

    def small_card(self: Any, captions: Any, *more: Any, **named: Any) -> Any:
        sizes.append(len(captions))
        if len(captions) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(self, captions, *more, **named)

    monkeypatch.setattr(DiffRhythmGenerator, "generate", small_card)
    found = traced(tmp_path / "found", n=5, batch_size="auto")
    assert sizes == [4, 2, 2, 1]
    assert np.array_equal(distributions(fixed), distributions(found))
    with pytest.raises(OutOfMemory, match="try batch_size=2"):
        traced(tmp_path / "refused", n=5, batch_size=5)


def test_the_seed_decides(traced: Callable[..., Run], tmp_path: Path) -> None:
    first, again, other = (traced(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert (first.path / "progress.csv").read_bytes() == (again.path / "progress.csv").read_bytes()
    assert np.abs(distributions(first) - distributions(other)).max() > 1e-3


def test_more_prompts_leave_the_first_as_they_were(traced: Callable[..., Run], tmp_path: Path) -> None:
    few, many = traced(tmp_path / "few", n=2), traced(tmp_path / "many", n=6, batch_size=3)
    for index in range(2):
        one, other = few.reader.trace(index), many.reader.trace(index)
        for curve, p in one.pooled.items():
            assert np.abs(p - other.pooled[curve]).max() < 1e-4


def test_steering_shows_in_the_trace_and_alpha_zero_does_not(traced: Callable[..., Run], tmp_path: Path) -> None:
    plain = traced(tmp_path / "plain")
    zero = traced(tmp_path / "zero", steer=["timbre=15,alpha=0"])
    pushed = traced(tmp_path / "pushed", steer=["timbre=15,alpha=20,site=state"])
    assert np.array_equal(distributions(plain), distributions(zero))
    assert np.abs(distributions(plain) - distributions(pushed)).max() > 1e-3


def test_a_readout_of_another_space_is_refused(traced: Callable[..., Run], released: Path, tmp_path: Path) -> None:
    tiny_readout(spaces=("encodec",)).save_pretrained(tmp_path / "other")
    with pytest.raises(InputError, match=r"encodec.*diffrhythm"):
        trace("diffrhythm", weights=str(released), readout=tmp_path / "other", options=settings(released), n=1)


def test_ground_truth_stands_beside_the_probes(traced: Callable[..., Run], tmp_path: Path) -> None:
    run = traced(tmp_path / "run", n=2, ground_truth=True, save_audio=True)
    table = run.progress(view="endpoint", measure="own", probe="measured")
    # What random weights decode to is noise: it has a loudness and a centroid, and no pitch.
    table = table[table["attribute"] != "pitch"]
    assert set(table["attribute"]) == {"loudness", "timbre"}
    last = table[table["index"] == 3]["mean"].dropna()  # without a value where all songs end alike
    assert len(last)
    assert np.allclose(last, 1)


def test_killed_and_started_again(released: Path, traced: Callable[..., Run], tmp_path: Path) -> None:
    options = ["--n", "10", "--steps", "6", "--seconds", "2", "--batch-size", "1"]
    whole = traced(tmp_path / "whole", n=10, steps=6, seconds=2, batch_size=1)
    arguments = [sys.executable, str(COMMAND), *command(released, tmp_path / "killed", *options)]
    process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "killed").glob("shards/*.parquet"))) < 2:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    finally:
        process.wait()
    finished = len(list((tmp_path / "killed").glob("shards/*.parquet")))
    assert 2 <= finished < 10
    assert not (tmp_path / "killed" / "progress.csv").exists()
    subprocess.run(arguments, env=environment(), check=True, capture_output=True, timeout=300)
    assert (tmp_path / "killed" / "progress.csv").read_bytes() == (whole.path / "progress.csv").read_bytes()


def test_interrupted_by_the_user(released: Path, tmp_path: Path) -> None:
    options = ["--n", "20", "--steps", "8", "--seconds", "3", "--batch-size", "1"]
    arguments = [sys.executable, str(COMMAND), *command(released, tmp_path / "run", *options)]
    process = subprocess.Popen(
        arguments,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # A job in the background is born deaf to the interrupt.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not list((tmp_path / "run").glob("shards/*.parquet")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert b"interrupted" in errors
    assert Run(tmp_path / "run").n >= 1


def test_two_machines_make_the_run_of_one(released: Path, traced: Callable[..., Run], tmp_path: Path) -> None:
    """Two launchers on one computer stand for two machines; they share a disk."""
    one = traced(tmp_path / "one", n=5, batch_size=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--n", "5", "--batch-size", "2", "--steps", "4", "--seconds", "1", "--device", "cpu"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "2"]
    launch += ["--num_processes", "2", "--main_process_ip", "127.0.0.1", "--main_process_port", port]
    trace_it = [str(COMMAND), *command(released, tmp_path / "two", *options)]
    machines = [
        subprocess.Popen(
            [*launch, "--machine_rank", rank, *trace_it],
            env=environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in "01"
    ]
    errors = [machine.communicate(timeout=300)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], errors
    two = Run(tmp_path / "two")
    assert two.reader.about["processes"] == 2
    for table in ("progress.csv", "settled.csv", "prompts.csv"):
        assert (one.path / table).read_bytes() == (two.path / table).read_bytes()


def test_two_processes_make_the_run_of_one(released: Path, traced: Callable[..., Run], tmp_path: Path) -> None:
    one = traced(tmp_path / "one", n=5, batch_size=2)
    # accelerate starts several processes on one CPU through its multi-GPU launcher; --device cpu does the rest.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--main_process_port", "0", str(COMMAND)]
    options = ["--n", "5", "--batch-size", "2", "--steps", "4", "--seconds", "1", "--device", "cpu"]
    result = subprocess.run(
        [*launch, *command(released, tmp_path / "two", *options)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=write_strangers(tmp_path),
    )
    assert result.returncode == 0, result.stderr
    two = Run(tmp_path / "two")
    assert two.reader.about["processes"] == 2
    assert [p.caption for p in one.prompts] == [p.caption for p in two.prompts]
    assert np.abs(distributions(one) - distributions(two)).max() < 1e-4


def test_memory_does_not_grow_with_the_number_of_prompts(released: Path, tmp_path: Path) -> None:
    """Peak resident memory of 64 prompts against 8, each in a process of its own."""
    script = "import resource, sys, cli\ntry:\n    cli.main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
    script += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    peaks = []
    for n in (8, 64):
        options = ["--n", str(n), "--steps", "3", "--seconds", "2", "--batch-size", "4"]
        result = subprocess.run(
            [sys.executable, "-c", script, *command(released, tmp_path / str(n), *options)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        peaks.append(int(result.stdout.split()[-1]))
    assert peaks[1] < 1.05 * peaks[0]


def test_what_is_not_finite_stops_the_prompt_and_keeps_the_others(released: Path, tmp_path: Path) -> None:
    from tracer import load_generator

    generator = load_generator("diffrhythm", str(released), **settings(released))
    calls: list[int] = []

    def hook(module: Any, inputs: Any, output: Any) -> Any:
        calls.append(1)
        return output * float("nan") if len(calls) > 5 else output

    generator.sampler.transformer.proj_out.register_forward_hook(hook)
    with pytest.raises(InputError, match=r"the endpoint 2 of 3 of prompt 1 is not finite"):
        trace(
            generator, readout=released / "readout", n=3, steps=4, seconds=1, batch_size=1, save_audio=False,
            out=tmp_path / "run", progress_bar=False,
        )  # fmt: skip
    assert Run(tmp_path / "run").n == 1


def test_a_window_that_holds_no_state_is_told(traced: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no state lies in the window 0.4 to 0.6"):
        traced(tmp_path / "run", steer=["timbre=15,alpha=2,from=0.4,to=0.6"])


def test_of_several_edits_the_idle_one_is_told(traced: Callable[..., Run], tmp_path: Path) -> None:
    idle, off, acting = "timbre=15,alpha=2,from=0.4,to=0.6", "pitch=+,alpha=0", "loudness=+,alpha=2,from=0,to=1"
    with pytest.warns(UserWarning, match="no state lies in") as told:
        traced(tmp_path / "run", steer=[off, idle, acting])
    lines = {str(one.message) for one in told if "no state lies" in str(one.message)}
    assert all(line.startswith(f"--steer {idle}: no state lies in the window 0.4 to 0.6") for line in lines)


def test_a_run_goes_on_with_another_batch_size_and_path(traced: Callable[..., Run], tmp_path: Path) -> None:
    first = traced(tmp_path / "run", batch_size=3)
    again = traced(tmp_path / "." / "run", batch_size=1, device="cpu")
    assert again.n == first.n


def test_a_folder_that_another_command_writes_is_left_alone(traced: Callable[..., Run], tmp_path: Path) -> None:
    run = traced(tmp_path / "run")
    options, frames = run.options, run.reader.frames
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    with closing(RunStore.open(run.path, options, run.prompts, frames=frames, clean=False, lock=True)):
        with pytest.raises(InputError, match=r"^another trace command is writing [^\n]*$"):
            traced(tmp_path / "run")
        assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before
    assert traced(tmp_path / "run").n == run.n


def test_a_clip_that_was_changed_is_made_again_and_one_that_was_removed_is_not(
    traced: Callable[..., Run], tmp_path: Path
) -> None:
    run = traced(tmp_path / "run", save_latents=True, batch_size=1)
    first, second = (tmp_path / "run" / "latents" / f"0000{index}.safetensors" for index in range(2))
    whole = first.read_bytes()
    first.write_bytes(whole[:-4] + b"abcd")
    second.unlink()
    removed = r"latents/00001\.safetensors of finished clips were removed from .* and are not made again"
    with (
        pytest.warns(UserWarning, match=r"latents/00000\.safetensors is not what was written"),
        pytest.warns(UserWarning, match=removed),
    ):
        again = traced(tmp_path / "run", save_latents=True, batch_size=1)
    assert first.read_bytes() == whole
    assert not second.exists()
    pd.testing.assert_frame_equal(run.progress(), again.progress())
