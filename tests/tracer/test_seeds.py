"""Runs of several noises for each prompt: what prompt, song and frame say; clips unvoiced or of other lengths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import planted

from probes.errors import InputError
from probes.support.intervals import interval
from tracer.commands.run_tables import print_run
from tracer.curves import Curve
from tracer.measures.progress import Bootstrap
from tracer.record.shards import PromptTrace
from tracer.run import Run, finish_run


def seeded(prompts, seeds, knows, course=0.0):
    """A run of several seeds whose state 0 knows the prompt's part of a song, its own constant part, or its frames.

    All states and songs have a course over time in common besides.
    """
    rng = np.random.default_rng(5)
    for prompt in range(prompts):
        common = rng.normal(0, 3)
        for seed in range(seeds):
            constant, shape = rng.normal(0, 3), rng.normal(0, 3, planted.FRAMES)
            shape -= shape.mean()
            parts = {"prompt": common, "song": common + constant, "frame": common + constant + shape}
            shared = course * np.linspace(-1, 1, planted.FRAMES)
            first, last = parts[knows] + shared, parts["frame"] + shared
            made = PromptTrace(prompt, np.array([0.0, 1.0]), np.array([-np.inf, np.inf]), seed=seed)
            made.fvu["endpoint"] = made.l0["endpoint"] = np.zeros(2, np.float32)
            curve = Curve("endpoint", "trained", "pitch")
            made.values[curve] = np.stack([first, last]).astype(np.float32)
            made.classes[curve] = np.clip(np.round(made.values[curve] + 30), 0, 65).astype(np.uint8)
            made.valid[curve] = np.ones(planted.FRAMES, dtype=bool)
            made.pooled[curve] = np.full((2, 66), 1 / 66, np.float32)
            yield made


def unvoiced_where(folder, prompts, seeds, unvoiced, knows="prompt"):
    """A run of pitch of which some clips, (prompt, seed), have no voiced frame."""
    store = planted.RunStore.open(folder, {**planted.OPTIONS, "seeds": seeds}, planted.prompts(prompts), frames=True)
    made = list(seeded(prompts, seeds, knows))
    for clip in made:
        if unvoiced(clip.prompt, clip.seed):
            clip.valid[Curve("endpoint", "trained", "pitch")][:] = False
    store.append(made)
    return Path(folder)


def test_a_clip_without_a_voiced_mate_has_no_parts(tmp_path):
    tables = [
        Run(unvoiced_where(tmp_path / name, 40, 2, unvoiced)).parts(measure="agreement").set_index(["index", "part"])
        for name, unvoiced in (("half", lambda p, s: p % 2 and s), ("even", lambda p, s: p % 2))
    ]
    half, even = tables
    assert set(half["n"]) == {20}
    # The voiced prompts are the same; the lone clips of the others are songs to compare with, and no more.
    np.testing.assert_allclose(half["mean"], even["mean"], atol=0.1)


@pytest.mark.filterwarnings("error")
def test_one_voiced_prompt_of_several_has_no_agreement(tmp_path, capsys):
    folder = unvoiced_where(tmp_path / "run", 4, 2, lambda prompt, seed: prompt > 0)
    run = finish_run(folder)
    for measure in ("agreement", "agreement_matched", "closeness"):
        table = run.progress(measure=measure)
        assert table["mean"].isna().all()
        assert (table["n"] == 0).all()
        with pytest.raises(InputError, match=f"no settled points .* by '{measure}'"):
            run.settled(measure=measure)
    assert run.parts(measure="agreement")["mean"].isna().all()
    assert run.results.variance["mean"].isna().all()
    print_run(run, as_json=False)
    assert "nan" not in capsys.readouterr().out


def test_one_prompt_of_several_seeds_has_no_parts(tmp_path):
    folder = unvoiced_where(tmp_path / "run", 1, 2, lambda prompt, seed: False)
    with pytest.warns(UserWarning, match="one prompt"):
        run = finish_run(folder)
    assert run.progress()["mean"].iloc[-1] == 1
    for measure in ("agreement", "closeness"):
        assert run.parts(measure=measure)["mean"].isna().all()


def test_clips_of_one_prompt_may_differ_in_length(tmp_path):
    store = planted.RunStore.open(tmp_path, {**planted.OPTIONS, "seeds": 2}, planted.prompts(3))
    clips = [planted.trace(i, frames=frames) for i, frames in enumerate((20, 40, 30, 30, 40, 25))]
    store.append([replace(clip, prompt=i // 2, seed=i % 2) for i, clip in enumerate(clips)])
    table = Run(tmp_path).progress(view="state")
    assert (table["n"] == 3).all()
    curve = Curve("state", "trained", "pitch")
    read = [clip.classes[curve].astype(int) for clip in clips]
    part, whole = np.zeros((2, len(clips[0].t)))
    for i, own in enumerate(read):
        others = [
            [one[-1, f] for j, one in enumerate(read) if j // 2 != i // 2 and f < one.shape[1]] for f in range(40)
        ]
        frames = [f for f in range(own.shape[1]) if others[f]]
        share = np.mean([own[:, f] == own[-1, f] for f in frames], axis=0)
        chance = np.mean([np.mean([own[:, f] == end for end in others[f]], axis=0) for f in frames], axis=0)
        part, whole = part + share - chance, whole + 1 - chance
    np.testing.assert_allclose(table[table["attribute"] == "pitch"]["mean"], part / whole, rtol=1e-5)


@pytest.mark.parametrize("course", [0.0, 8.0])
def test_what_prompt_song_and_frame_say_is_split_as_planted(course, tmp_path):
    """A course over time that all songs have, such as a fade, is no part of any."""
    found = {}
    for knows in ("prompt", "song", "frame"):
        store = planted.RunStore.open(
            tmp_path / knows, {**planted.OPTIONS, "seeds": 3}, planted.prompts(150), frames=True
        )
        store.append(list(seeded(150, 3, knows, course)))
        run = Run(tmp_path / knows)
        table = run.parts("endpoint", "closeness")
        found[knows] = table[table["index"] == 0].set_index("part")["mean"]
        assert found[knows].sum() == pytest.approx(run.progress(measure="closeness")["mean"].iloc[0], abs=1e-6)
        assert (run.results.variance["seeds"] == 3).all()
        with pytest.raises(InputError, match="no parts by 'l1': there it has agreement, closeness"):
            run.parts("endpoint", "l1")
    # Parts of variance 9 each. A state that knows the prompt's alone lies 9 + 9 from its own song, 18 more from others;
    # one that knows the song's mean 9 from its own, 18 more from another seed, and again 18 more from others.
    expected = {"prompt": (18 / 36, 0, 0), "song": (18 / 45, 18 / 45, 0), "frame": (18 / 54, 18 / 54, 18 / 54)}
    for knows, parts in expected.items():
        for part, value in zip(("prompt", "song", "frame"), parts, strict=True):
            assert found[knows][part] == pytest.approx(value, abs=0.1)


def drawn_parts_by_hand(traces: list[PromptTrace], prompts: int) -> np.ndarray:
    """Bootstrap replicates of the parts of closeness at state 0, [replicates, 3], from all pairs of clips."""
    curve = Curve("endpoint", "trained", "pitch")
    own, other, mates, times, then, target = np.zeros((6, prompts))
    for clip in traces:
        now, end = clip.values[curve].astype(np.float64)
        others = [made.values[curve] for made in traces if made.prompt != clip.prompt]
        near = [made.values[curve][1] for made in traces if made.prompt == clip.prompt and made.seed != clip.seed]
        shifts = range(1, len(end))
        at = clip.prompt
        own[at] += np.square(now - end).sum() / 2
        other[at] += np.mean([np.square(now - last).sum() for _, last in others]) / 2
        mates[at] += np.mean([np.square(now - last).sum() for last in near]) / 2
        times[at] += np.mean([np.square(now - np.roll(end, shift)).sum() for shift in shifts]) / 2
        then[at] += np.mean([np.square(now - np.roll(last, shift)).sum() for last in near for shift in shifts]) / 2
        target[at] += np.mean([np.square(first - end).sum() for first, _ in others]) / 2
    counts = Bootstrap(prompts)
    for one in np.eye(prompts):
        counts.add(prompts * one[None])
    draws = counts.means()[:, 0]
    chance = draws @ (other + target) - target.sum()
    parts = chance - draws @ mates, draws @ (then - times), draws @ (times - own - then + mates)
    return np.stack(parts, axis=1) / chance[:, None]


def test_intervals_of_parts_draw_both_sides_of_every_pair(tmp_path):
    """With the ends of the others held fixed, the part of the frame was in its interval in seven of ten runs."""
    prompts = 7
    traces = list(seeded(prompts, 2, "song"))
    store = planted.RunStore.open(tmp_path, {**planted.OPTIONS, "seeds": 2}, planted.prompts(prompts), frames=True)
    store.append(traces)
    table = Run(tmp_path).parts("endpoint", "closeness")
    at_first = table[table["index"] == 0].set_index("part").loc[["prompt", "song", "frame"]]
    expected = interval(drawn_parts_by_hand(traces, prompts), prompts)
    np.testing.assert_allclose(at_first[["low", "high"]].T, expected, atol=1e-5)
    assert (at_first["high"] - at_first["low"])["prompt"] > 0.1
