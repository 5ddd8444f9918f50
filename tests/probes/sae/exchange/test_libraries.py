"""Against the installed libraries: ours as they read it, theirs as we import it. Skipped where one is absent."""

import re
from pathlib import Path

import pytest
import torch
from support.sae import random_sae

from benchmarks import exchange
from probes.support.torchaudio_stub import ensure_torchaudio

PAIRS = [(library, name) for library, bench in exchange.BENCHES.items() for name in bench.architectures]
PAGE = Path(__file__).parents[4] / "docs" / "exchange.md"


def installed(library: str) -> None:
    ensure_torchaudio()  # the libraries import transformers' audio utilities on the way
    module = exchange.BENCHES[library].module
    pytest.importorskip(module, reason=f"{module} is not installed (the bench extra brings it)", exc_type=ImportError)


@pytest.mark.parametrize(("library", "architecture"), PAIRS)
@pytest.mark.parametrize("way", [exchange.out, exchange.back])
def test_features_are_the_library_s(way, library, architecture, tmp_path):
    installed(library)
    found = way(library, architecture, 256, exchange.frames(500, seed=9), tmp_path)
    assert found.flips == 0
    assert found.features < 1e-5
    assert found.reconstruction < 1e-5
    assert 5 < found.active < 128


def test_the_class_on_the_page_is_the_paper_s_autoencoder(tmp_path, monkeypatch):
    installed("saelens")
    from importlib import import_module

    monkeypatch.chdir(tmp_path)
    sae = random_sae("relu", channels=64, hidden=256)
    sae.save_pretrained("saes/songs")
    names: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    theirs = import_module("sae_lens").SAE.load_from_disk("exported/songs")
    x = torch.randn(500, 64) * sae.std + sae.mean
    torch.testing.assert_close(theirs.encode(x), sae.encode(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(theirs(x), sae(x), rtol=1e-5, atol=1e-5)
