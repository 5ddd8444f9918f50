"""Autoencoders from the Hub: found by their files, at one commit, or one line on why not."""

from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from support.exchange import exported

from probes.errors import InputError
from probes.sae.exchange import LIBRARIES, import_sae


class Hub:
    """hf_hub_download of a repository that is the folder `root`, in the layout of the Hub's cache."""

    def __init__(self, root: Path, missing: type[Exception]) -> None:
        self.root, self.missing, self.asked, self.local = root, missing, [], []

    def __call__(self, repo, filename, *, revision=None, local_files_only=False):
        self.asked.append((repo, filename, revision))
        self.local.append(local_files_only)
        path = self.root / "snapshots" / "c0ffee" / filename
        if not path.is_file():
            if self.missing is LocalEntryNotFoundError:
                raise LocalEntryNotFoundError("offline")
            raise self.missing("404", response=type("R", (), {"headers": {}, "request": None})())
        return str(path)


@pytest.mark.parametrize("missing", [LocalEntryNotFoundError, RemoteEntryNotFoundError])
@pytest.mark.parametrize(
    ("library", "folder"), [("saelens", ""), ("dictionary_learning", "a/b/"), ("sparsify", "l.3/")]
)
def test_a_hub_id_is_fetched_at_one_commit(library, folder, missing, tmp_path, monkeypatch):
    sae, theirs = exported(tmp_path, library, "topk")
    place = tmp_path / "repo" / "snapshots" / "c0ffee" / folder
    place.parent.mkdir(parents=True)
    theirs.rename(place)
    hub = Hub(tmp_path / "repo", missing)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub)
    name = f"someone/saes/{folder}".rstrip("/")
    again = import_sae(f"{name}@v2", "mini", tmp_path / "again")
    assert again.config.source == {"library": library, "origin": name, "revision": "c0ffee"}
    assert hub.asked[-2:] == [
        ("someone/saes", folder + LIBRARIES[library].weights, "v2"),
        ("someone/saes", folder + LIBRARIES[library].config, "c0ffee"),
    ]
    x = torch.randn(20, 64)
    torch.testing.assert_close(again.encode(x), sae.encode(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (LocalEntryNotFoundError, "go online once"),
        (RemoteEntryNotFoundError, "name the folder in it that does, as owner/name/folder"),
    ],
)
def test_a_hub_id_without_an_autoencoder(missing, says, tmp_path, monkeypatch):
    hub = Hub(tmp_path, missing)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub)
    with pytest.raises(InputError, match=says) as refused:
        import_sae("someone/saes", "mini", tmp_path / "again")
    assert "\n" not in str(refused.value)
    # Without a network nobody waits for it three times.
    assert hub.local == [False, *[missing is LocalEntryNotFoundError] * 2]
