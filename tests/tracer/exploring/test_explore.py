"""Takes of `trace explore`: those that `trace` makes, and a page that answers on this machine alone."""

import shlex
import socket
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import parsed
from support.readout import tiny_readout

from hooks import attached
from probes.errors import InputError
from tracer.exploring.takes import Take, edit_texts, make_take, repeating_command
from tracer.options import SessionOptions, TraceOptions
from tracer.prompts import choose_prompts
from tracer.session import Session
from tracer.steering.spec import parse_edit
from tracer.tracing import run_trace

CAPTION = "A slow solo piano piece, soft and dark."


@pytest.fixture(scope="module")
def session() -> Session:
    return Session.open(SessionOptions(prompts=[CAPTION], steps=6, seconds=1.0), "cpu")


def finished(session: Session, edits: list[str], caption: str = CAPTION, seed: int = 3) -> Take:
    *_, take = make_take(session, caption, seed, edits)
    assert take.audio is not None
    return take


def test_a_take_grows_state_by_state(session: Session) -> None:
    lengths = []
    for take in make_take(session, CAPTION, 3):
        lengths.append((len(take.curves["pitch"]), take.audio is not None))
    assert lengths == [*((k, False) for k in range(1, 7)), (6, True)]
    assert list(take.curves) == ["pitch", "loudness", "timbre"]


def given_by(shown: str, folder: Path) -> TraceOptions:
    """The options of the run that the shown commands make, with its prompts written into a folder."""
    write, command = shown.split("\n")
    subprocess.run(["sh", "-c", write], cwd=folder, check=True)
    return parsed(shlex.split(command)[1:])


@pytest.mark.parametrize("caption", [CAPTION, 'A slow solo piano piece,\nsoft and dark: 100 % "it\'s" \\n.\n'])
def test_it_is_the_clip_that_the_command_makes(
    session: Session, tmp_path: Path, monkeypatch: Any, caption: str
) -> None:
    import soundfile

    monkeypatch.chdir(tmp_path)
    edits = edit_texts({"pitch": 0.0, "loudness": 0.0, "timbre": 2.0}, (0.0, 0.5), hold=True)
    given = given_by(repeating_command(session, caption, 3, edits), tmp_path)
    (prompt,) = choose_prompts(given.prompts)
    assert prompt.caption == " ".join(caption.split())
    run = run_trace(replace(given, frames=False), progress_bar=False)
    assert run is not None
    made, _ = soundfile.read(run.path / "audio" / "00000.wav", always_2d=True)
    np.testing.assert_allclose(made.T, finished(session, edits, caption).audio, atol=1e-4)


def test_every_take_has_a_folder_of_its_own(session: Session, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    brighter, darker = (edit_texts({"timbre": dose}, (0.0, 0.5), hold=False) for dose in (2.0, -2.0))
    takes = [(CAPTION, 3, brighter), (CAPTION, 3, darker), (CAPTION, 4, darker), ("Drums.", 3, brighter)]
    for caption, seed, edits in takes:
        given = given_by(repeating_command(session, caption, seed, edits), tmp_path)
        assert run_trace(replace(given, frames=False, save_audio=False), progress_bar=False) is not None
    assert len(list((tmp_path / "runs").iterdir())) == len(takes)
    assert repeating_command(session, *takes[0]) == repeating_command(session, *takes[0])
    longer = replace(session, seconds=2.0)
    out = given_by(repeating_command(longer, *takes[0]), tmp_path).out
    assert out is not None
    assert not Path(out).exists()
    assert str(given_by(repeating_command(session, "雨の音", 0, []), tmp_path).out).startswith("runs/explore-")


def test_the_command_has_what_the_session_was_opened_with(tmp_path: Path) -> None:
    from tracer.generators.mini.generator import BUNDLED

    options = SessionOptions(
        prompts=[CAPTION], weights=str(BUNDLED), readout="mini-music", steps=5, seconds=1.0123456789, guidance=1.5,
        options={"style": "a=b c"}, dtype="float32", device="cpu",
    )  # fmt: skip
    session = Session.open(replace(options, options=None), "cpu")
    given = given_by(repeating_command(session, CAPTION, 3, [], options), tmp_path)
    for name in ("weights", "readout", "steps", "seconds", "guidance", "options", "dtype", "device"):
        assert getattr(given, name) == getattr(options, name)
    plain = given_by(repeating_command(session, CAPTION, 3, [], SessionOptions(prompts=[CAPTION])), tmp_path)
    default = SessionOptions()
    assert all(getattr(plain, name) == getattr(default, name) for name in ("weights", "readout", "dtype", "device"))
    assert not plain.options
    assert plain.out != given.out


def test_an_emptied_seed_is_zero_and_the_page_shows_the_options(session: Session) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed (the explore extra)")
    from tracer.exploring.app import build_app

    app = build_app(session, SessionOptions(prompts=[CAPTION], readout="mini"))
    (generate,) = (fn.fn for fn in app.fns.values() if fn.fn is not None)
    *_, (_, steered, _, command) = generate(CAPTION, None, 0.0, 1.0, True, 0.0, 0.0, 2.0)
    edits = edit_texts({"pitch": 0.0, "loudness": 0.0, "timbre": 2.0}, (0.0, 1.0), hold=True)
    np.testing.assert_allclose(steered[1].T / 32767, finished(session, edits, seed=0).audio, atol=1e-4)
    assert "--seed 0" in command
    assert "--readout" in command


def test_a_dose_moves_its_reading_and_no_dose_changes_nothing(session: Session) -> None:
    plain = finished(session, [])
    brighter = finished(session, edit_texts({"timbre": 2.0, "pitch": 0.0}, (0.0, 1.0), hold=False))
    assert brighter.curves["timbre"][-1] > plain.curves["timbre"][-1] + 0.5
    assert edit_texts({"timbre": 0.0, "pitch": 0.0}, (0.0, 1.0), hold=True) == []
    np.testing.assert_array_equal(plain.audio, finished(session, []).audio)


def test_a_take_that_is_left_has_no_part_in_the_next_one(session: Session) -> None:
    plain = finished(session, [])
    left = make_take(session, CAPTION, 4, edit_texts({"loudness": 3.0}, (0.0, 1.0), hold=False))
    next(left)
    left.close()  # its page is gone
    assert attached(session.generator.sampler) == []
    again = finished(session, [])
    assert again.curves == plain.curves
    np.testing.assert_array_equal(again.audio, plain.audio)


def test_two_takes_at_once_are_those_of_one_after_the_other(session: Session) -> None:
    edits = edit_texts({"timbre": 2.0}, (0.0, 1.0), hold=False)
    alone = [finished(session, []), finished(session, edits)]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda acting: finished(session, acting), ([], edits)))
    for one, other in zip(alone, both):
        assert one.curves == other.curves
        np.testing.assert_array_equal(one.audio, other.audio)


def test_edits_are_what_the_sliders_say() -> None:
    down, up = edit_texts({"pitch": -1.5, "loudness": 0.0, "timbre": 0.5}, (0.25, 0.75), hold=True)
    first, second = parse_edit(down), parse_edit(up)
    assert (first.attribute, first.target, first.alpha, first.hold) == ("pitch", "-", 1.5, ("loudness",))
    assert (second.attribute, second.target, second.start, second.stop) == ("timbre", "+", 0.25, 0.75)


def test_attributes_without_an_order_are_held_and_have_no_slider() -> None:
    pytest.importorskip("gradio", reason="gradio is not installed (the explore extra)")
    from tracer.exploring.app import build_app

    readout = tiny_readout(named=["chord", "drums"])
    session = Session.open(SessionOptions(prompts=[CAPTION], steps=3, seconds=1.0, readout=readout), "cpu")
    app = build_app(session)
    labels = [block.label for block in app.blocks.values() if type(block).__name__ == "Slider"]
    moved = ["pitch", "loudness", "timbre"]
    assert [label.partition(",")[0] for label in labels[:3]] == moved
    assert not any(name in label for label in labels for name in ("chord", "drums"))
    (generate,) = (fn.fn for fn in app.fns.values() if fn.fn is not None)
    doses = [1.0 if name == "timbre" else 0.0 for name in moved]
    *_, (_, steered, _, command) = generate(CAPTION, 3, 0.0, 1.0, True, *doses)
    assert steered is not None
    assert "hold=pitch+loudness+chord" in command
    assert "drums" not in command  # one value for a clip
    *_, take = make_take(session, CAPTION, 3)
    assert list(take.curves) == [*moved, "drums"]


@pytest.mark.parametrize(
    ("edit", "message"), [("timbre=+,from=0.8,to=0.2", "window"), ("colour=+", "has no attribute 'colour'")]
)
def test_what_cannot_work_is_one_line(session: Session, edit: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        finished(session, [edit])


def test_the_page_answers_on_this_machine_alone(session: Session) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed (the explore extra)")
    from tracer.exploring.app import build_app

    app = build_app(session)
    try:
        _, address, shared = app.launch(server_name="127.0.0.1", prevent_thread_lock=True, share=False, quiet=True)
        assert shared is None
        assert urllib.request.urlopen(address, timeout=10).status == 200
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        with socket.socket() as other:  # the port is free on every other address
            other.settimeout(2)
            assert other.connect_ex((own_address(), port)) != 0
    finally:
        app.close()


def own_address() -> str:
    """An address of this machine that is not 127.0.0.1."""
    for *_, place in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET):
        if place[0] != "127.0.0.1":
            return str(place[0])
    return "127.0.0.2"


def test_without_gradio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from tracer.exploring.app import import_gradio

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r"generation-tracer\[explore\]"):
        import_gradio()
