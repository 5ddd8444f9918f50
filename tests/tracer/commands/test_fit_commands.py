"""`trace fit sae | probes | readout | sweep` from the command line: results as JSON, mistakes as InputError."""

import json

import numpy as np
import pytest
import soundfile
from support.corpus import tiny_corpus
from typer.testing import CliRunner

from probes import Readout
from probes.errors import InputError
from tracer.commands.fit import app

SMALL = ["--hidden", "48", "--steps", "40", "--json"]
BINS = ["--classes", "pitch=12", "--classes", "loudness=5"]


def run(*arguments) -> dict:
    """The JSON that a command prints; its own exceptions come through."""
    result = CliRunner().invoke(app, [str(part) for part in arguments], catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("cli") / "corpus", frames=120).path


def test_the_audio_test_finds_the_bundled_codec_again(tmp_path):
    run("encode", "--audio", "rendered", "--hours", 0.01, "--crepe", "tiny", "--out", tmp_path / "corpus", "--json")
    figures = run("sae", "--corpus", tmp_path / "corpus", "--out", tmp_path / "sae", *SMALL, "--audio-test")
    assert figures["audio"]["seconds"] > 10
    assert 0 <= figures["audio"]["pitch_within_50_cents"] <= 1
    assert figures["audio"]["stft_distance"] > 0


def test_sae_then_probes_then_explain(corpus, tmp_path):
    figures = run("sae", "--corpus", corpus, "--out", tmp_path / "sae", *SMALL, "--architecture", "topk", "--k", "4")
    assert figures["l0"] <= 4
    report = run(
        "probes", "--corpus", corpus, "--sae", tmp_path / "sae", "--out", tmp_path / "readout",
        *BINS, "--epochs", "3", "--json",
    )  # fmt: skip
    assert set(report) == {"pitch", "loudness"}
    found = run("explain", tmp_path / "readout", "--corpus", corpus, "--of", "pitch=C3", "--top", "4", "--json")
    assert len(found) == 4
    back = run("explain", tmp_path / "readout", "--corpus", corpus, "--of", found[0]["feature"], "--json")
    assert {one["attribute"] for one in back} <= {"pitch", "loudness"}
    readout = Readout.from_pretrained(tmp_path / "readout")
    assert readout.sae.config.architecture == "topk"
    assert readout.log_rms is None


def test_readout_in_one_go_and_again(corpus, tmp_path):
    command = ("readout", "--corpus", corpus, "--out", tmp_path, *SMALL, *BINS, "--epochs", "2")
    first = run(*command)
    print_ = Readout.from_pretrained(tmp_path).fingerprint()
    assert run(*command) == first
    assert Readout.from_pretrained(tmp_path).fingerprint() == print_


def test_sweep(corpus, tmp_path):
    rows = run(
        "sweep", "--corpus", corpus, "--out", tmp_path, "--hidden", "70,80", "--lambda", "0.1",
        "--steps", "10", "--epochs", "1", "--json",
    )  # fmt: skip
    assert [row["hidden"] for row in rows] == [70, 80]
    assert {path.name for path in tmp_path.iterdir()} == {"points", "table.csv", "figure3.png", "figure3.svg"}


def test_two_corpora_of_one_name_are_refused_before_any_training(corpus, tmp_path):
    with pytest.raises(InputError, match="the same name"):
        run("sweep", "--corpus", corpus, "--corpus", corpus, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sae", "--out", "x", "--corpus", "absent"], "is not a corpus"),
        (["sae", "--out", "x", "--hidden", "0"], "must be 1 to"),
        (["sae", "--out", "x", "--penalty", "l2"], "penalty must be one of"),
        (["explain", "mini"], "give --of CLASS_OR_FEATURE"),
        (["explain", "mini", "--of", "1", "--page"], "give --of CLASS_OR_FEATURE"),
        (["explain", "mini", "--of", "pitch=Q"], "is no pitch"),
        (["explain", "mini", "--of", "1", "--top", "0"], "--top must be at least 1"),
        (["explain", "mini", "--of", "²"], "--of takes a feature's number"),
        (["probes", "--out", "x", "--sae", "y", "--classes", "pitch=²"], "whole number"),
        (["readout", "--out", "x", "--hours", "-3"], "belong to --audio"),
        (["readout", "--out", "x", "--noise-levels", "1,1.00000001"], "differ as 32-bit numbers"),
        (["probes", "--out", "x", "--sae", "absent/deep/down"], "neither a path that exists nor a hub id"),
        (["probes", "--out", "x", "--sae", "nope"], "there is no folder nope"),
        (["probes", "--out", "x", "--sae", "y", "--classes", "pitch"], "ATTRIBUTE=VALUE"),
        (["probes", "--out", "x", "--sae", "y", "--classes", "pitch=many"], "whole number"),
        (["probes", "--out", "x", "--sae", "y", "--attributes", "tempo"], "tempo"),
        (["readout", "--out", "x", "--audio", "y"], "either --corpus"),
        (["sweep", "--out", "x", "--hidden", "2048,2048"], "different numbers"),
        (["sweep", "--out", "x", "--lambda", "many"], "numbers separated by commas"),
    ],
)
def test_mistakes_are_one_line(arguments, message, corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = arguments if "--corpus" in arguments else [*arguments, "--corpus", corpus]
    with pytest.raises(InputError) as caught:
        run(*given)
    assert message in caught.value.on_command_line
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "mistake",
    [
        ("--lr", "nan"),
        ("--epochs", "0"),
        ("--hidden", "0"),
        ("--classes", "pitch=many"),
        ("--classes", "pitch=300"),
        ("--scale", "loudness=foo"),
        ("--attributes", "tempo,loudness"),
        ("--classes", "chroma=5"),
    ],
)
def test_a_readout_of_audio_tells_mistakes_before_anything_is_encoded(mistake, tmp_path):
    (tmp_path / "songs").mkdir()
    soundfile.write(tmp_path / "songs" / "a.wav", np.zeros(22050), 22050)
    with pytest.raises(InputError):
        run("readout", "--audio", tmp_path / "songs", "--out", tmp_path / "readout", *mistake)
    assert not (tmp_path / "readout").exists()
