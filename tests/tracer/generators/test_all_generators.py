"""The same assertions over every generator: one row each."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.diffrhythm import released_folder, settings
from support.pipelines import save
from support.readout import tiny_readout
from torch import Tensor, nn

from hooks import Edit, EditRefused, Event, capture, steer
from probes.errors import InputError
from tracer import trace
from tracer.generators import Generator, load_generator

CAPTIONS = ["slow piano", "fast drums and a bass line"]
SEEDS = [11, 12]
STEPS = 5


@dataclass(frozen=True)
class Row:
    """One generator, and what is particular to it."""

    name: str
    build: Callable[[Path], dict[str, Any]]
    """(empty folder) -> arguments of `load_generator` behind the name."""
    seconds: float = 0.4
    guidance: float = 3.0
    gains: dict[str, float] = field(default_factory=dict)
    """What a push of one branch does to the guided clean estimate; a branch that is not here is refused."""
    last_gain: Callable[[Any], float] = lambda sampler: 1.0
    """What a push of the last clean estimate does to the finished latent."""
    refused: float = 1e-6
    """Seconds that this generator cannot make."""
    id: str = ""


def pipeline(name: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: {"weights": save(name, folder, **options)}


def diffrhythm(folder: Path) -> dict[str, Any]:
    return {"weights": str(released_folder(folder, CAPTIONS))} | settings(folder)


def mini(_: Path) -> dict[str, Any]:
    package = importlib.import_module("tracer.generators.mini")
    if not (Path(package.__file__ or "").parent / "weights" / "model.safetensors").is_file():
        pytest.skip("the bundled model's weights are not in this checkout")
    return {}


def ddim_last_gain(sampler: Any) -> float:
    """prev = sqrt(abar') x0 + sqrt(1 - abar') eps, where pushing x0 by d pushes eps by -alpha / sigma d."""
    kept, final = (
        float(value) for value in (sampler.scheduler.alphas_cumprod[1], sampler.scheduler.final_alpha_cumprod)
    )
    return final**0.5 - ((1 - final) * kept / (1 - kept)) ** 0.5


LINEAR = {"cond": 3.0, "null": -2.0}
UNGUIDED = {"cond": 1.0}
ROWS = [
    Row("diffrhythm", diffrhythm, seconds=0.5, gains={"cond": 4.0, "null": -3.0}),
    Row("mini", mini, seconds=0.5, gains={"cond": 4.0, "null": -3.0}),
    Row("stable-audio", pipeline("stable-audio"), gains=LINEAR),
    Row("audioldm", pipeline("audioldm"), gains=LINEAR, last_gain=ddim_last_gain),
    Row("audioldm2", pipeline("audioldm2"), gains=LINEAR, last_gain=ddim_last_gain),
    Row("musicldm", pipeline("musicldm"), gains=LINEAR, last_gain=ddim_last_gain),
    Row("ace-step", pipeline("ace-step"), refused=1e5),
    Row("ace-step", pipeline("ace-step", turbo=True), guidance=1.0, gains=UNGUIDED, refused=1e5, id="ace-step turbo"),
    Row(
        "stable-audio-3",
        pipeline("stable-audio-3"),
        guidance=1.0,
        gains=UNGUIDED,
        refused=1e5,
        id="stable-audio-3 distilled",
    ),
    Row(
        "stable-audio-3",
        pipeline("stable-audio-3", distilled=False),
        gains=LINEAR,
        refused=1e5,
        id="stable-audio-3 base",
    ),
    Row("longcat-audio", pipeline("longcat-audio"), gains=LINEAR),
]


@dataclass(frozen=True)
class Case:
    """A loaded generator and its row."""

    row: Row
    model: Generator

    def generate(self, captions: list[str] = CAPTIONS[:1], seeds: list[int] = SEEDS[:1]) -> Tensor:
        return self.model.generate(
            captions, seeds, steps=STEPS, seconds=self.row.seconds, guidance=self.row.guidance
        ).clone()

    def traced(self, *edits: Edit, **kwargs: Any) -> tuple[Tensor, list[Event]]:
        events: list[Event] = []
        with steer(self.model.sampler, list(edits)), capture(self.model.sampler, events.append):
            return self.generate(**kwargs), events


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: row.id or row.name)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    row = request.param
    return Case(row, load_generator(row.name, **row.build(tmp_path_factory.mktemp(row.name))))


def modules(sampler: Any) -> Iterator[nn.Module]:
    parts = [sampler] if isinstance(sampler, nn.Module) else list(sampler.components.values())
    for part in parts:
        if isinstance(part, nn.Module):
            yield from part.modules()


def attachments(sampler: Any) -> tuple[int, type, set[str], set[str]]:
    """Hooks on every module, the sampler's class, and the names set on the sampler object and on its scheduler."""
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules(sampler))
    return hooks, type(sampler), set(vars(sampler)), set(vars(getattr(sampler, "scheduler", sampler)))


def test_one_event_per_state_in_one_form(case: Case) -> None:
    final, events = case.traced()
    assert [event.index for event in events] == list(range(STEPS))
    times = [event.t for event in events]
    assert times == sorted(times)
    assert times[-1] == 1
    assert events[-1].logsnr == np.inf
    assert [event.logsnr for event in events] == sorted(event.logsnr for event in events)
    shape = (1, case.model.frames(case.row.seconds), case.model.channels)
    assert final.shape == shape
    assert final.dtype == torch.float32
    for event in events:
        assert event.state.shape == event.endpoint.shape == shape
        assert event.velocity is None if event is events[-1] else event.velocity.shape == shape
        assert event.mask is None or event.mask.shape == shape[:2]
    assert torch.equal(events[-1].state, final)
    assert torch.equal(events[-1].endpoint, final)


def test_capture_changes_no_bit_and_the_second_generation_equals_the_first(case: Case) -> None:
    plain = case.generate()
    events: list[Event] = []
    with capture(case.model.sampler, events.append):
        assert torch.equal(case.generate(), plain)
        assert torch.equal(case.generate(), plain)
    assert [event.index for event in events] == 2 * list(range(STEPS))
    for first, second in zip(events[:STEPS], events[STEPS:]):
        assert torch.equal(first.state, second.state)
        assert torch.equal(first.endpoint, second.endpoint)


class Stop(Exception):
    """Something went wrong in a sink."""


@pytest.mark.parametrize("raised", [None, Stop, KeyboardInterrupt])
def test_hooks_and_wrappers_are_gone_afterwards(case: Case, raised: type[BaseException] | None) -> None:
    plain, before = case.generate(), attachments(case.model.sampler)

    def sink(event: Event) -> None:
        if raised is not None and event.index == 2:
            raise raised

    push = Edit(torch.zeros_like)
    if raised is None:
        with steer(case.model.sampler, [push]), capture(case.model.sampler, sink):
            case.generate()
    else:
        with pytest.raises(raised), steer(case.model.sampler, [push]), capture(case.model.sampler, sink):
            case.generate()
    assert attachments(case.model.sampler) == before
    assert torch.equal(case.generate(), plain)


def test_a_displacement_of_zero_changes_no_bit(case: Case) -> None:
    plain = case.generate()
    edits = [Edit(torch.zeros_like, site="state"), Edit(torch.zeros_like)]
    branches: list[Any] = list(case.row.gains)
    steered, _ = case.traced(*edits, *(Edit(torch.zeros_like, branch=branch) for branch in branches))
    assert torch.equal(steered, plain)


def test_a_push_of_the_finished_latent_arrives_whole(case: Case) -> None:
    plain, push = case.generate(), torch.randn(case.model.channels)
    steered, events = case.traced(Edit(push.expand_as, site="state", start=0.9999))
    torch.testing.assert_close(steered, plain + push)
    assert torch.equal(events[-1].state, steered)


def test_a_push_of_the_last_clean_estimate_moves_the_latent_by_what_the_step_makes_of_it(case: Case) -> None:
    plain, events = case.traced()
    push, last = torch.randn(case.model.channels), events[-2].t
    steered, after = case.traced(Edit(push.expand_as, start=last - 1e-6, stop=last + 1e-6))
    expected = push * case.row.last_gain(case.model.sampler)
    torch.testing.assert_close(steered, plain + expected, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(after[-2].endpoint, events[-2].endpoint + push, rtol=1e-4, atol=2e-5)
    assert torch.equal(after[-2].state, events[-2].state)


@pytest.mark.parametrize("branch", ["cond", "null"])
def test_guidance_amplifies_the_push_of_one_branch(case: Case, branch: Any) -> None:
    (_, events), push = case.traced(), torch.randn(case.model.channels)
    edit = Edit(push.expand_as, branch=branch)
    if branch not in case.row.gains:
        with pytest.raises(EditRefused, match="null branch" if case.row.guidance <= 1 else "not linear"):
            case.traced(edit)
        return
    _, after = case.traced(edit)
    moved = after[0].endpoint - events[0].endpoint
    torch.testing.assert_close(moved, case.row.gains[branch] * push.expand_as(moved), rtol=1e-3, atol=2e-3)


def test_a_state_edit_is_seen_by_the_next_step(case: Case) -> None:
    (_, events), push = case.traced(), torch.randn(case.model.channels)
    _, after = case.traced(Edit(push.expand_as, site="state", start=events[1].t - 1e-6, stop=events[1].t + 1e-6))
    assert torch.equal(after[0].state, events[0].state)
    torch.testing.assert_close(after[1].state, events[1].state + push, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(after[2].state, events[2].state, atol=1e-3)


def test_a_clip_is_the_same_in_every_batch_and_order(case: Case) -> None:
    both = case.generate(CAPTIONS, SEEDS)
    turned = case.generate(CAPTIONS[::-1], SEEDS[::-1])
    for row in range(2):
        alone = case.generate(CAPTIONS[row : row + 1], SEEDS[row : row + 1])[0]
        torch.testing.assert_close(both[row], alone, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(turned[1 - row], alone, rtol=1e-4, atol=1e-4)
    same_seed = case.generate(CAPTIONS, SEEDS[:1] * 2)
    assert not torch.allclose(same_seed[0], same_seed[1], atol=1e-4), "the caption does not matter"


def test_what_is_no_music_is_what_the_events_mask(case: Case) -> None:
    latents, events = case.traced()
    music = case.model.music_frames(case.row.seconds)
    assert (music < latents.shape[1]) == (case.model.name == "stable-audio")
    for event in events:
        mask = torch.ones(latents.shape[:2], dtype=torch.bool) if event.mask is None else event.mask
        assert mask[0].tolist() == [frame < music for frame in range(latents.shape[1])]


def test_decoded_audio_covers_the_latent(case: Case) -> None:
    latents = case.generate()
    audio = case.model.decode(latents)
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert audio.ndim == 3
    assert audio.shape[-1] == pytest.approx(latents.shape[1] / case.model.frame_rate * case.model.sample_rate, rel=1e-3)


def test_lengths_that_cannot_be_made_are_refused(case: Case) -> None:
    with pytest.raises(InputError, match=r"give at least|at most|makes clips of"):
        case.model.frames(case.row.refused)


def test_a_whole_trace_interrupted_and_resumed(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.run.Run.plot", lambda *args, **kwargs: None)
    model, readout = case.model, tiny_readout(case.model.channels, spaces=(case.model.space,))

    def run(folder: str, batch_size: int) -> Any:
        return trace(
            model,
            CAPTIONS,
            out=tmp_path / folder,
            batch_size=batch_size,
            steps=STEPS,
            seconds=case.row.seconds,
            guidance=case.row.guidance,
            readout=readout,
            save_audio=False,
            progress_bar=False,
        )

    whole = run("whole", 2)
    table = whole.progress(view="endpoint", measure="l1")
    assert table[(table.t == 1) & (table.attribute == "pitch")]["mean"].tolist() == pytest.approx([1.0])
    generate = type(model).generate

    def fails_on_the_second(self: Any, captions: Any, *args: Any, **kwargs: Any) -> Tensor:
        if captions == CAPTIONS[1:]:
            raise KeyboardInterrupt
        return generate(self, captions, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "generate", fails_on_the_second)
        with pytest.raises(KeyboardInterrupt):
            run("parts", 1)
    parts = run("parts", 1)
    for first, second in zip(whole.reader.traces(), parts.reader.traces()):
        for curve, pooled in first.pooled.items():
            np.testing.assert_allclose(pooled, second.pooled[curve], atol=2e-3)


def test_a_readout_of_another_space_is_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{case.model.name} generates in '{case.model.space}'"):
        trace(
            case.model, CAPTIONS, readout=tiny_readout(case.model.channels, spaces=("elsewhere",)), out=tmp_path / "r"
        )
