"""A caller whose default dtype is float64, or who is in autocast, gets the run, reading and fit of everybody else."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.corpus import tiny_corpus
from support.readout import tiny_readout

from probes import Readout
from probes.fit.pipeline import fit_bins, fit_readout
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import TrainingOptions
from probes.sae import ReluConfig
from probes.support.devices import in_float32
from tracer import trace
from tracer.steering import edit_audio


@pytest.fixture(autouse=True)
def default() -> Iterator[None]:
    """Put the default back."""
    yield
    torch.set_default_dtype(torch.float32)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_warnings_still_come_from_us() -> None:
    """The command line shows our own warnings alone, and knows them by the module they are told for."""

    @in_float32
    def tell() -> None:
        warnings.warn("loud", stacklevel=2)

    with pytest.warns(UserWarning, match="loud") as told:
        tell()
    assert Path(told[0].filename).parts[-3:] == ("probes", "support", "devices.py")


def test_a_run_is_the_same_to_the_byte(tmp_path: Path) -> None:
    for name, dtype in (("usual", torch.float32), ("float64", torch.float64)):
        torch.set_default_dtype(dtype)
        trace("mini", ["slow piano"], steps=2, seconds=0.5, save_latents=True, out=tmp_path / name, progress_bar=False)
        assert torch.get_default_dtype() == dtype
    usual, other = contents(tmp_path / "usual"), contents(tmp_path / "float64")
    assert {"audio/00000.wav", "latents/00000.safetensors", "progress.csv"} <= usual.keys()
    assert [name for name in usual.keys() | other.keys() if usual.get(name) != other.get(name)] == []


def test_autocast_changes_no_byte_of_a_run(tmp_path: Path) -> None:
    common = {"steps": 3, "seconds": 0.5, "steer": "timbre=+,alpha=2", "save_latents": True, "progress_bar": False}
    trace("mini", ["slow piano"], out=tmp_path / "usual", **common)
    with torch.autocast("cpu", torch.bfloat16):
        trace("mini", ["slow piano"], out=tmp_path / "autocast", **common)
        assert torch.is_autocast_enabled("cpu")
    usual, other = contents(tmp_path / "usual"), contents(tmp_path / "autocast")
    assert {"audio/00000.wav", "latents/00000.safetensors", "progress.csv"} <= usual.keys()
    assert [name for name in usual.keys() | other.keys() if usual.get(name) != other.get(name)] == []


def test_a_readout_reads_the_same_in_autocast() -> None:
    readout, latents = Readout.from_pretrained("mini-music"), torch.randn(2, 40, 64)
    reads = (
        readout, readout.frames, lambda x: {"": readout.logits(x[0])}, lambda x: {"": readout.clip_logits(x[0])},
        lambda x: readout.read(x, noise=(0.6, 0.8)).pooled["trained"],
    )  # fmt: skip
    for read in reads:
        usual = read(latents)
        with torch.autocast("cpu", torch.bfloat16):
            for name, found in read(latents).items():
                assert torch.equal(found, usual[name])


def test_a_readout_reads_the_same(tmp_path: Path) -> None:
    tiny_readout().save_pretrained(tmp_path)
    latents = torch.randn(1, 7, Readout.from_pretrained(tmp_path).sae.config.channels)
    usual = Readout.from_pretrained(tmp_path)(latents)
    torch.set_default_dtype(torch.float64)
    for name, read in Readout.from_pretrained(tmp_path)(latents).items():
        assert read.dtype == torch.float32
        torch.testing.assert_close(read, usual[name], rtol=0, atol=1e-6)


def test_a_fit_is_the_same(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path / "c", frames=60)
    config = ReluConfig(channels=12, hidden=24, lam=0.02)
    bins = fit_bins(corpus, (), {"pitch": 4, "loudness": 4})
    made = []
    for name, dtype in (("usual", torch.float32), ("float64", torch.float64)):
        torch.set_default_dtype(dtype)
        options = TrainingOptions(steps=3, batch=32), ProbeOptions(epochs=1, batch=32)
        fit_readout(corpus, tmp_path / name, config, *options, bins)
        made.append((tmp_path / name / "model.safetensors").read_bytes())
    assert made[0] == made[1]


def test_an_edited_recording_is_the_same(tmp_path: Path) -> None:
    import soundfile

    tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 32000)
    soundfile.write(tmp_path / "a.wav", tone.astype(np.float32), 32000)
    heard = []
    for name, dtype in (("usual", torch.float32), ("float64", torch.float64)):
        torch.set_default_dtype(dtype)
        edit_audio(tmp_path / "a.wav", ["loudness=+"], alphas=[0.5], pitch_tracker="tiny", out=tmp_path / name)
        heard.append((tmp_path / name / "alpha-0.5.wav").read_bytes())
    assert heard[0] == heard[1]
