"""Nothing is fetched before it was named with its size and licence, and agreed to."""

import io
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file
from support.diffrhythm import unit
from typer.testing import CliRunner

from cli import app
from probes.errors import InputError
from tracer.commands.consent import agree
from tracer.fetching import of_session, of_space
from tracer.generators.catalogue import Entry, entry_of
from tracer.generators.diffrhythm import style
from tracer.options import TraceOptions
from tracer.prompts import load_prompts


@pytest.fixture(autouse=True)
def online_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that could fetch, and has nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


DIFFRHYTHM = [entry_of("generator", "diffrhythm"), entry_of("space", "diffrhythm")]


def names(entries: list[Entry]) -> list[str]:
    return [f"{entry.kind} {entry.name}" for entry in entries]


def test_without_a_terminal_it_takes_yes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as told:
        agree(DIFFRHYTHM, yes=False)
    assert told.value.on_command_line == (
        "this fetches ASLP-lab/DiffRhythm-1_2 (2.2 GB, Apache-2.0); ASLP-lab/DiffRhythm-vae (0.63 GB, Stability AI "
        "Community): add --yes, or see `trace doctor`"
    )
    agree(DIFFRHYTHM, yes=True)
    assert "2.2 GB, Apache-2.0" in capsys.readouterr().err
    agree([], yes=False)


@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_it_asks(
    answer: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", Terminal())
    if goes_on:
        agree(DIFFRHYTHM, yes=False)
    else:
        with pytest.raises(InputError, match="nothing was fetched"):
            agree(DIFFRHYTHM, yes=False)
    monkeypatch.setenv("LOCAL_RANK", "0")  # several processes do not ask each on its own
    with pytest.raises(InputError, match="add yes"):
        agree(DIFFRHYTHM, yes=False)


def test_offline_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    agree(DIFFRHYTHM, yes=False)


def test_what_a_run_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(decoded: bool = True, **options: object) -> list[str]:
        return names(of_session(TraceOptions(generator="diffrhythm", n=2, **options), decoded))  # type: ignore[arg-type]

    monkeypatch.setattr(style, "muq_trouble", lambda: "")
    mulan = ["part muq-mulan", "part muq", "part xlm-roberta"]
    assert fetched() == ["generator diffrhythm", "space diffrhythm", *mulan]
    assert fetched(decoded=False) == ["generator diffrhythm", *mulan]
    styles = {name: tmp_path / f"{name}.safetensors" for name in ("styles", "other")}
    for path in styles.values():
        save_file({style.name_of(prompt.caption): unit(1, 512) for prompt in load_prompts("demo", 2)}, path)
    assert fetched() == ["generator diffrhythm", "space diffrhythm"]
    assert fetched(weights="my.pt", options={"vae": "vae.pt", "style_cache": str(styles["other"])}) == []
    assert of_session(TraceOptions(), decoded=True) == []
    one_repository = of_session(TraceOptions(generator="stable-audio"), decoded=True)
    assert names(one_repository) == ["generator stable-audio"]


def test_captions_that_nobody_can_turn_into_styles_are_told_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(style, "muq_trouble", lambda: "MuQ-MuLan does not run here")
    with pytest.raises(InputError, match=r"2 of 2 captions .*trace styles styles\.safetensors"):
        of_session(TraceOptions(generator="diffrhythm", n=2), decoded=True)


def test_a_codec_is_asked_for_where_it_is_the_released_one() -> None:
    assert names(of_space("diffrhythm", None)) == ["space diffrhythm"]
    assert of_space("diffrhythm", "vae.pt") == []
    assert of_space("mini", None) == []
    with pytest.raises(InputError, match="unknown latent space"):
        of_space("nowhere", None)


@pytest.mark.parametrize(
    "words",
    [
        ["edit", "song.wav", "--space", "stable-audio", "--edit", "loudness=+"],
        ["explore", "--model", "audioldm"],
    ],
)
def test_edits_and_takes_by_ear_ask_too(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.exploring.app.import_gradio", lambda: None)
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, InputError)
    assert "this fetches" in str(found.exception)
