"""`trace fit export | import` from the command line, and what a run says of an autoencoder trained elsewhere."""

import json

import pytest
import torch
from support.corpus import tiny_corpus
from support.readout import tiny_readout
from support.sae import random_sae
from typer.testing import CliRunner

from probes import Readout
from probes.errors import InputError
from probes.sae import SparseAutoencoder
from tracer import Run, trace
from tracer.commands.fit import app
from tracer.commands.run_tables import print_run


def run(*arguments) -> str:
    """What a command prints; its own exceptions come through."""
    result = CliRunner().invoke(app, [str(part) for part in arguments], catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture
def theirs(tmp_path):
    """The folder of a TopK as SAELens keeps it."""
    random_sae("topk", channels=64, space="mini").save_pretrained(tmp_path / "ours")
    run("export", tmp_path / "ours", "--to", "saelens", "--out", tmp_path / "theirs", "--json")
    return tmp_path / "theirs"


def test_tables_and_json(theirs, tmp_path):
    out = run("export", tmp_path / "ours", "--to", "sparsify", "--out", tmp_path / "sparse")
    assert "exported to sparsify" in out
    assert f'sparsify.SparseCoder.load_from_disk("{tmp_path / "sparse"}")' in out
    about = json.loads(
        run("export", tmp_path / "ours", "--to", "dictionary_learning", "--out", tmp_path / "d", "--json")
    )
    assert (about["architecture"], about["hidden"], about["files"]) == ("topk", 150, ["config.json", "ae.pt"])
    out = run("import", theirs, "--space", "mini", "--out", tmp_path / "again")
    assert f"imported from saelens, {theirs}" in out
    config = json.loads(run("import", theirs, "--space", "mini", "--out", tmp_path / "again", "--json"))
    assert config["source"] == {"library": "saelens", "origin": str(theirs), "revision": None}


def test_probes_and_runs_say_whose_autoencoder_it_is(theirs, tmp_path, capsys):
    corpus = tiny_corpus(tmp_path / "corpus", channels=64, frames=60)
    run("import", theirs, "--space", "mini", "--out", tmp_path / "sae")
    run(
        "probes", "--corpus", corpus.path, "--sae", tmp_path / "sae", "--out", tmp_path / "readout",
        "--classes", "pitch=6", "--classes", "loudness=5", "--epochs", "1", "--json",
    )  # fmt: skip
    readout = Readout.from_pretrained(tmp_path / "readout")
    source = {"library": "saelens", "origin": str(theirs), "revision": None}
    assert readout.sae.config.source == source
    assert f"Not trained here: imported from saelens, {theirs}." in (tmp_path / "readout" / "README.md").read_text()
    # Its FVU is taken against the corpus's mean latent, which no file of the library holds.
    mean = torch.from_numpy(corpus.statistics("train")[0]).float()
    torch.testing.assert_close(readout.sae.mean, mean)
    unread = SparseAutoencoder.from_pretrained(tmp_path / "sae")
    x = torch.randn(1, 9, 64) + 1
    torch.testing.assert_close(readout.sae.encode(x), unread.encode(x))
    fvu = ((x - unread(x)) ** 2).sum() / ((x - mean) ** 2).sum()
    torch.testing.assert_close(readout.read(x).fvu[0], fvu.detach(), rtol=1e-4, atol=0)

    made = trace(generator="mini", readout=readout, prompts="demo", n=2, steps=2, seconds=2, out=tmp_path / "run")
    about = json.loads((made.path / "run.json").read_text())["about"]
    assert about["autoencoder"] == source
    assert f"autoencoder imported from saelens, {theirs}" in repr(Run(made.path))
    capsys.readouterr()
    print_run(made, as_json=False)
    assert f"read by an autoencoder imported from saelens, {theirs}" in capsys.readouterr().out


def test_whose_it_is_leaves_the_fingerprint_alone(tmp_path):
    """Two copies of one autoencoder read the same, wherever they came from."""
    readout = tiny_readout(architecture="topk")
    before = readout.fingerprint()
    source = {"library": "saelens", "origin": "x", "revision": None}
    object.__setattr__(readout.sae.config, "source", source)
    assert readout.fingerprint() == before
    readout.save_pretrained(tmp_path / "readout")
    assert Readout.from_pretrained(tmp_path / "readout").sae.config.source == source


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "ours", "--to", "overcomplete", "--out", "x"], "unknown library 'overcomplete'"),
        (["export", "absent/deep/down", "--to", "saelens", "--out", "x"], "neither a path that exists nor a hub id"),
        (["export", "mini", "--to", "saelens", "--out", "x"], "there is no folder mini: "),
        (["export", "theirs", "--to", "saelens", "--out", "x"], "has no config.json"),
        (["export", "ours", "--to", "saelens", "--out", "ours/config.json"], "is a file"),
        (["import", "theirs", "--space", "encodec", "--out", "x"], "latents of encodec have 128"),
        (["import", "ours", "--space", "mini", "--out", "x"], "holds none of"),
        (["import", "theirs", "--space", "mini", "--out", "ours"], "config.json of something else"),
        (["import", "theirs", "--space", "mini", "--out", "ours/config.json"], "is a file"),
    ],
)
def test_mistakes_are_one_line(arguments, says, theirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        run(*arguments)
    assert says in refused.value.on_command_line
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "x").exists()
