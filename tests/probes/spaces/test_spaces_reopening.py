"""What a corpus records of its codec opens it again, for every space: from the hub's cache and from a path."""

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from support.codecs import Rave, ScriptedVae, encodec_model, wavtokenizer_checkpoint
from support.pipelines import BUILDERS, save

from probes.corpus import Corpus
from probes.corpus.writer import CorpusWriter
from probes.spaces import SPACES, load_space
from probes.spaces.base import Space

COMMIT = "5" * 40
FILES = {40: "wavtokenizer_large_unify_600_24k.ckpt", 75: "wavtokenizer_medium_music_audio_320_24k_v2.ckpt"}
REPOS = {
    "diffrhythm": "ASLP-lab/DiffRhythm-vae",
    "stable-audio": "stabilityai/stable-audio-open-1.0",
    "wavtokenizer": "novateur/WavTokenizer-large-unify-40token",
    "ace-step": "ACE-Step/acestep-v15-xl-turbo-diffusers",
    "audioldm": "cvssp/audioldm-m-full",
    "audioldm2": "cvssp/audioldm2-music",
    "musicldm": "ucsd-reach/musicldm",
    "stable-audio-3": "stabilityai/stable-audio-3-medium",
    "longcat-audio": "ruixiangma/LongCat-AudioDiT-1B-Diffusers",
}
"""Where the released weights lie; those of mini come with the package, those of EnCodec from a URL, RAVE has none."""


def write(name: str, folder: Path, **options: Any) -> Path:
    """A small checkpoint as its repository holds it; what `weights` may name."""
    torch.manual_seed(0)
    if name in BUILDERS:
        save(name, folder)
        if "subfolder" in options:
            shutil.move(folder / "vae", folder / options["subfolder"])
        return folder
    folder.mkdir(parents=True)
    if name == "wavtokenizer":
        tokens = options.get("tokens", 40)
        path = folder / FILES[tokens]
        wavtokenizer_checkpoint(path, (6, 5, 5, 4) if tokens == 40 else (8, 5, 4, 2))
    elif name == "encodec":
        path = folder / "encodec_24khz-d7cc33bc.th"
        torch.save(encodec_model().state_dict(), path)
    else:
        path = folder / ("vae_model.pt" if name == "diffrhythm" else options.get("file", "model.ts"))
        torch.jit.save(torch.jit.script(ScriptedVae() if name == "diffrhythm" else Rave()), str(path))
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def upload(hub: Path, name: str, repo: str, **options: Any) -> None:
    """Put a small checkpoint into the cache as a download leaves it, at a commit that main and v2 name."""
    folder = hub / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    for name_of in ("main", "v2"):
        (folder / "refs" / name_of).write_text(COMMIT)
    write(name, folder / "snapshots" / COMMIT, **options)


def opened_again(space: Space, folder: Path) -> dict[str, Any]:
    """What the codec says of itself that a corpus of this one opens."""
    with CorpusWriter(folder, {"space": space.describe(), "attributes": {}, "dtype": "float32"}) as writer:
        writer.add("a", "00", np.zeros((2, space.channels), np.float32), {})
    return Corpus.open(folder).open_space().describe()


@pytest.mark.parametrize(
    ("name", "weights", "options"),
    [(name, None, {}) for name in SPACES if name != "rave"]
    + [
        ("rave", "someone/rave", {"file": "voice.ts"}),
        ("encodec", None, {"bandwidth": 1.5}),
        ("wavtokenizer", None, {"tokens": 75}),
        ("diffrhythm", "someone/codec@v2", {}),
        ("musicldm", "someone/codec@v2", {}),
        ("stable-audio", "someone/codec@v2", {"subfolder": "codec"}),
    ],
)
def test_released_weights_open_again(
    name: str, weights: str | None, options: dict[str, Any], hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = "novateur/WavTokenizer-medium-music-audio-75token" if "tokens" in options else REPOS.get(name)
    if name == "encodec":
        state = encodec_model().state_dict()
        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: state)
    elif name != "mini":
        upload(hub, name, (weights or str(repo)).split("@")[0], **options)
    space = load_space(name, weights, **options)
    assert space.revision == (None if name in ("mini", "encodec") else COMMIT)
    made, again = space.describe(), opened_again(space, tmp_path / "corpus")
    for about in (made, again):
        about["weights"] = about["weights"].split("@")[0]  # some keep the commit in the id too
    assert again == made


@pytest.mark.parametrize("name", [name for name in SPACES if name != "mini"])
def test_weights_at_a_path_open_again(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path / "weights")
    space = load_space(name, str(path))
    assert opened_again(space, tmp_path / "corpus") == space.describe()
