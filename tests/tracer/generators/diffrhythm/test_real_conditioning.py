"""Real captions, style vectors, phoneme ids and latents through a small random checkpoint: plumbing, not music."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from support.diffrhythm import random_model, released_folder, settings
from support.readout import tiny_readout

from hooks import capture
from tracer import trace
from tracer.generators import load_generator
from tracer.generators.diffrhythm.lyrics import lyric_ids, read_lyrics
from tracer.generators.diffrhythm.style import name_of, read_style
from tracer.prompts import load_prompts

SONGS = ("547512549", "2626046476", "549162241", "28528706")


def test_musiccaps_captions_with_real_styles_and_lyrics(shared: Path, tmp_path: Path) -> None:
    data = shared / "data"
    prompts = load_prompts(str(data / "musiccaps-public.csv"), n=4, seed=3)
    folder = released_folder(tmp_path / "released", [])
    styles = [read_style(data / "diffrhythm" / "style" / f"{song}.pt") for song in SONGS]
    save_file({name_of(p.caption): style for p, style in zip(prompts, styles)}, folder / "styles.safetensors")
    options = settings(folder) | {
        "negative_style": str(data / "diffrhythm" / "negative_style.npy"),
        "lyrics": str(data / "diffrhythm" / "lrc" / f"{SONGS[0]}.pt"),
    }
    run = trace(
        "diffrhythm",
        prompts=str(data / "musiccaps-public.csv"),
        n=4,
        seed=3,
        weights=str(folder),
        readout=tiny_readout(spaces=("diffrhythm",)),
        options=options,
        steps=4,
        seconds=12,
        out=tmp_path / "run",
        progress_bar=False,
    )
    assert run is not None
    assert [p.id for p in run.prompts] == [p.id for p in prompts]
    n = run.progress(measure="l1").set_index("attribute")["n"]
    assert (n[["loudness", "timbre"]] == 4).all()
    assert n["pitch"].max() <= 4  # a clip of random weights need not be voiced anywhere


def test_lyrics_change_the_song_and_their_absence_is_instrumental(shared: Path, tmp_path: Path) -> None:
    folder = released_folder(tmp_path / "released", ["a song"])
    lyrics = str(shared / "data" / "diffrhythm" / "lrc" / f"{SONGS[1]}.pt")
    sung = load_generator("diffrhythm", str(folder), lyrics=lyrics, **settings(folder))
    instrumental = load_generator("diffrhythm", str(folder), **settings(folder))
    with_words, without = (
        model.generate(["a song"], [1], steps=3, seconds=30, guidance=4.0) for model in (sung, instrumental)
    )
    assert (with_words - without).abs().max() > 1e-3
    ids = lyric_ids(read_lyrics(lyrics), with_words.shape[1])
    assert 0 < int((ids != 0).sum()) < len(ids)


def test_editing_a_real_song_keeps_what_is_not_edited(shared: Path) -> None:
    latent = torch.load(shared / "data" / "diffrhythm" / "latent" / f"{SONGS[2]}.pt", weights_only=True)
    cond = latent.transpose(1, 2)[:, :200]
    style = read_style(shared / "data" / "diffrhythm" / "style" / f"{SONGS[2]}.pt")
    events = []
    model = random_model()
    with capture(model, lambda event: events.append((event.index, event.mask))):
        states, out = model.sample(
            noise=torch.randn(1, 150, 64), style=style, negative_style=style, cond=cond,
            pred_segments=[(20, 60), (100, 120)], steps=3, return_out=True,
        )  # fmt: skip
    edited = np.r_[20:60, 100:120]
    kept = np.setdiff1d(np.arange(150), edited)
    assert torch.equal(out[:, kept], cond[:, kept])
    assert torch.equal(out[:, edited], states[-1][:, edited])
    assert [index for index, _ in events] == [0, 1, 2]
    assert events[0][1].shape == (1, 150)
    assert int(events[0][1].sum()) == len(edited)
