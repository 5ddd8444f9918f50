"""The readout of music of the bundled model: pitch, loudness and timbre as ever, and six attributes more."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.rhythm.pieces import balanced_seeds
from probes import Readout
from probes.attributes.tempo import near
from probes.readout.files import SHIPPED
from probes.rendering import render_example
from probes.rendering.scoring import score_example
from probes.spaces import load_space

NEVER_USED = 560_000_000  # seeds from here on had a part in no training, choice or report
SECONDS = 8.0


@cache
def pieces() -> list[tuple[int, torch.Tensor]]:
    """Seeds and latents [1, F, 64] of sixteen pieces, solos, duos, trios and bands."""
    space = load_space("mini")
    found = []
    for seed in balanced_seeds(NEVER_USED, 16):
        audio = render_example(seed, SECONDS, space.sample_rate).audio
        found.append((seed, space.encode(torch.from_numpy(audio)[None, None])))
    return found


@pytest.fixture(scope="module")
def music() -> Readout:
    return Readout.from_pretrained("mini-music")


def test_pitch_loudness_and_timbre_are_read_as_by_the_readout_of_three(music: Readout) -> None:
    mini = Readout.from_pretrained("mini")
    assert music.attributes[:3] == mini.attributes
    latents = torch.cat([latents for _, latents in pieces()[:4]])
    for noise in (None, (0.4, 0.6)):
        mine, theirs = music.read(latents, noise=noise), mini.read(latents, noise=noise)
        for probe in theirs.classes:
            for name in mini.attributes:
                torch.testing.assert_close(
                    mine.values[probe][name], theirs.values[probe][name], rtol=1e-3, atol=2e-3
                )  # fmt: skip
                assert (mine.classes[probe][name] == theirs.classes[probe][name]).float().mean() > 0.995


def test_music_is_read_from_pieces_that_had_no_part_in_any_training(music: Readout) -> None:
    right: dict[str, list[float]] = {name: [] for name in ("chord", "key", "drums", "onset", "family")}
    for seed, latents in pieces():
        score = score_example(seed, SECONDS)
        read = music.read(latents, only_trained=True)
        for name, found in right.items():
            values, known = music_labels(name, score, latents.shape[1])
            wanted = music.bins[name].classes(values, known > 0)
            counted = wanted >= 0
            classes = read.classes["trained"][name][0].numpy()
            found.extend((classes == wanted)[counted] if name in ("chord", "onset") else [classes[0] == wanted[0]])
    accuracy = {name: float(np.mean(found)) for name, found in right.items()}
    # The card: chord 0.67, key 0.63, drums 1.00, onset 0.94, family 0.75; by chance 0.13, 0.05, 0.64, 0.88, 0.13.
    assert accuracy["chord"] > 0.5
    assert accuracy["key"] > 0.25
    assert accuracy["drums"] > 0.85
    assert accuracy["onset"] > 0.9
    assert accuracy["family"] > 0.3
    assert set(music.clips) == {"key", "family", "drums", "voice"}


def test_tempo_is_read_from_pieces_that_had_no_part_in_any_training(music: Readout) -> None:
    right, exact = [], []
    for seed, latents in pieces():
        wanted = np.float64(score_example(seed, SECONDS).tempo)
        found = music.bins["tempo"].values_at(music.read(latents).values["trained"]["tempo"][0].numpy())
        right.append(float(near(found, wanted).mean()))
        exact.append(float(near(found, wanted, folded=False).mean()))
    # The card: 0.93, octaves apart; 0.66 are the tempo itself.
    assert np.mean(right) > 0.75
    assert np.mean(exact) > 0.3


def music_labels(name: str, score, frames: int) -> tuple[np.ndarray, np.ndarray]:
    from probes.attributes import get_attribute

    values, known = get_attribute(name).of_score(score, frames, 22050 / 1024)
    return values, known


def test_it_is_small_and_says_what_it_is_worth(music: Readout) -> None:
    folder: Path = SHIPPED["mini-music"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for name in music.attributes:
        assert f"- {name}: " in card
        assert {"accuracy", "majority", "shuffled"} <= set(music.report["probes"][name])
        assert len(music.report["noise"]["attributes"][name]["accuracy"]) == len(music.report["noise"]["levels"]) == 8
