"""The command line as a user meets it: help that teaches, and mistakes answered in one line with exit code 2."""

import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from support.diffrhythm import released_folder, settings
from support.readout import tiny_readout

import cli
from tracer.prompts import load_prompts
from tracer.steering.spec import USUAL_DOSES

Result = tuple[int, str, str]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run `trace` with arguments: exit code, standard output, standard error."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["trace", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        return int(end.value.code or 0), output.out, output.err

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a released-form checkpoint, a readout, and many things that are wrong."""
    folder = tmp_path_factory.mktemp("inputs")
    released = released_folder(folder / "released", [prompt.caption for prompt in load_prompts("demo", 16)])
    tiny_readout(spaces=("diffrhythm",)).save_pretrained(folder / "readout")
    tiny_readout(spaces=("encodec",)).save_pretrained(folder / "readout-encodec")
    tensors = torch.load(released / "cfm_model.pt", weights_only=True)["model_state_dict"]
    first = "transformer.proj_out.weight"
    wrong = {
        "missing.pt": {name: value for name, value in tensors.items() if name != first},
        "extra.pt": tensors | {"transformer.surplus": torch.zeros(1)},
        "shape.pt": tensors | {first: torch.zeros(3, 3)},
        "nan.pt": tensors | {first: torch.full_like(tensors[first], float("nan"))},
        "list.pt": [1, 2, 3],
    }
    for name, content in wrong.items():
        torch.save(content, folder / name)
    (folder / "damaged.pt").write_bytes((released / "cfm_model.pt").read_bytes()[:1000])
    (folder / "damaged.safetensors").write_bytes(b"not a safetensors file")
    (folder / "empty").mkdir()
    (folder / "empty.txt").write_text("\n\n")
    (folder / "binary.txt").write_bytes(bytes(range(128, 256)) * 4)
    (folder / "columns.csv").write_text("a,b\n1,2\n")
    (folder / "broken.jsonl").write_text('{"caption": "one"}\n{broken\n')
    (folder / "notes.md").write_text("a prompt\n")
    (folder / "one.txt").write_text("a caption without a style vector\n")
    (folder / "words.lrc").write_text("[00:10.00]hello world\n")
    (folder / "config.json").write_text('{"model": {"dim": 64, "width": 3}}')
    (folder / "noise.wav").write_bytes(b"RIFF")
    (folder / "occupied").mkdir()
    (folder / "occupied" / "thesis.txt").write_text("not a run")
    (folder / "file").write_text("")
    return folder


def dr(*more: str) -> list[str]:
    """A DiffRhythm run that would work if it were not for what is added; `{}` is the folder of inputs."""
    sets = [part for key, value in settings(Path("{}/released")).items() for part in ("--set", f"{key}={value}")]
    base = ["--model", "diffrhythm", "--weights", "{}/released", "--readout", "{}/readout", *sets]
    return [*base, "--n", "1", "--steps", "3", "--seconds", "1", "--no-save-audio", "--out", "{}/out", *more]


MISTAKES: list[tuple[list[str], str]] = [
    (["--n", "0"], "at least 1"),
    (["--n", "-3"], "at least 1"),
    (["--n", "many"], "--n"),
    (["--n", "100000"], "fewer than"),
    (["--steps", "1"], "at least 2"),
    (["--steps", "0"], "at least 2"),
    (["--steps", "1000000000"], "at most 10,000"),
    (["--device", "cudaa"], "choose auto, cpu, cuda, cuda:1 or mps"),
    (["--probes", "trained,raw"], "brings trained probes, but none for --probes raw"),
    (["steer", "--windows", "3"], "--windows goes with --when"),
    (["pick", "a piano", "--n", "3", "--want", "timbre=dark"], "--n counts prompts"),
    (
        ["fit", "encode", "--audio", "{}/empty", "--onset-detector", "foo", "--out", "{}/new"],
        "--onset-detector is librosa or basic-pitch, not 'foo'",
    ),
    (["--seconds", "0"], "positive"),
    (["--seconds", "-4"], "positive"),
    (["--seconds", "nan"], "positive"),
    (["--seconds", "inf"], "positive"),
    (["--cfg", "-1"], "zero or positive"),
    (["--cfg", "nan"], "zero or positive"),
    (["--seed", "-1"], "zero or positive"),
    (["--batch-size", "0"], "at least 1"),
    (["--batch-size", "-2"], "at least 1"),
    (["--batch-size", "many"], "or auto"),
    (["--dtype", "float8"], "float32"),
    (["--views", "velocity"], "endpoint"),
    (["--views", ""], "endpoint"),
    (["--model", "jukebox"], "trace models"),
    (["--frobnicate"], "frobnicate"),
    (["nosuchcommand"], "nosuchcommand"),
    (["--model", "nope", "steer", "--n", "1"], "write options after the command: trace steer --model ..."),
    (["--cfg", "1", "plot", "{}/absent"], "write options after the command: trace plot --guidance ..."),
    (["--no-save-audio", "steer"], "trace steer --no-save-audio ..."),
    (["--set", "style_cache"], "KEY=VALUE"),
    (["pick"], "say what to generate"),
    (["pick", "a piano", "--prompts", "{}/one.txt", "--want", "timbre=dark"], "either a caption or --prompts"),
    (["pick", "a piano"], "say what is wanted"),
    (["pick", "a piano", "--want", "timbre=dark", "--seeds", "4", "--keep", "5"], "at most --seeds 4"),
    (["pick", "a piano", "--want", "timbre=loud"], "dark or bright"),
    (["pick", "a piano", "--want", "dark"], "attribute=target"),
    (["pick", "a piano", "--like", "{}/noise.wav"], "noise.wav"),
    (["pick", "a piano", "--want", "timbre=dark", "--at", "32"], "a state from 0 to 31"),
    (["--stop-when-settled", "tempo"], "--stop-when-settled takes pitch, loudness, timbre"),
    (["--stop-when-settled", "--steer", "loudness=+"], "one of the two"),
    (["--steer", "loudness=+,during=20s-30s"], "holds no latent frame"),
    (["--steer", "loudness=+,during=chorus"], "--structure FILE"),
    (["--steer", "loudness=@{}/absent.csv"], "absent.csv"),
    (["--structure", "{}/absent.lab"], "absent.lab"),
    (["fit", "calibrate", "{}/occupied", "--readout", "mini", "--out", "{}/new"], "not a run folder"),
    (["--prompts", "{}/absent.txt"], "absent.txt"),
    (["--prompts", "{}/empty.txt"], "empty.txt"),
    (["--prompts", "{}/binary.txt"], "binary.txt"),
    (["--prompts", "{}/columns.csv"], "caption"),
    (["--prompts", "{}/broken.jsonl"], "broken.jsonl"),
    (["--prompts", "{}/notes.md"], ".txt"),
    (["--prompts", "{}/empty"], "empty"),
    (["--prompts", "musiccaps", "--n", "2"], "csv"),
    (["--balanced"], "MusicCaps"),
    (dr("--device", "warp"), "warp"),
    (dr("--device", "cuda:9"), "cuda:9"),
    (dr("--weights", "{}/absent.pt"), "absent.pt"),
    (dr("--weights", "{}/empty"), "cfm_model.pt"),
    (dr("--weights", "{}/missing.pt"), "missing transformer.proj_out.weight"),
    (dr("--weights", "{}/extra.pt"), "unexpected transformer.surplus"),
    (dr("--weights", "{}/shape.pt"), "shape"),
    (dr("--weights", "{}/nan.pt"), "NaN"),
    (dr("--weights", "{}/list.pt"), "model_state_dict"),
    (dr("--weights", "{}/damaged.pt"), "damaged.pt"),
    (dr("--weights", "{}/damaged.safetensors"), "damaged.safetensors"),
    (dr("--weights", "ASLP-lab/DiffRhythm-1_2"), "hub"),
    (dr("--set", "config={}/config.json"), "width"),
    (dr("--set", "config={}/absent.json"), "absent.json"),
    (dr("--set", "max_frames=1000"), "2048 or 6144"),
    (dr("--set", "exact_rotary=perhaps"), "true or false"),
    (dr("--set", "colour=blue"), "style_cache"),
    (dr("--set", "negative_style={}/absent.npy"), "absent.npy"),
    (dr("--set", "lyrics={}/words.lrc"), "words.lrc"),
    (dr("--seconds", "1000"), "at most"),
    (dr("--prompts", "{}/one.txt"), "style vector"),
    (dr("--readout", "{}/absent"), "absent"),
    (dr("--readout", "{}/empty"), "empty"),
    (dr("--readout", "{}/readout-encodec"), "encodec"),
    (dr("--out", "{}/file"), "file"),
    (dr("--out", "{}/occupied"), "occupied"),
    (dr("--steer", "mood=happy"), "mood"),
    (dr("--steer", "pitch=H9"), "H9"),
    (dr("--steer", "pitch=C5,alpha=nan"), "alpha"),
    (dr("--steer", "pitch=C5,from=0.9,to=0.2"), "0.9"),
    (dr("--steer", "pitch"), "pitch"),
    (["plot", "{}/empty"], "empty"),
    (["plot", "{}/absent"], "absent"),
    (["plot"], "runs"),
    (["compare", "{}/absent", "{}/empty"], "absent"),
    (["edit", "{}/absent.wav", "--attribute", "loudness", "--target", "2"], "absent.wav"),
    (["fit", "encode", "--audio", "{}/empty", "--out", "{}/corpus"], "empty"),
]


@pytest.mark.parametrize(
    ("arguments", "told"), MISTAKES, ids=lambda value: " ".join(value[-3:]) if isinstance(value, list) else ""
)
def test_a_mistake_is_told_in_one_line(
    call: Callable[..., Result], place: Path, arguments: list[str], told: str
) -> None:
    code, _, errors = call(*[argument.replace("{}", str(place)) for argument in arguments])
    assert code == 2, errors
    lines = [line for line in errors.splitlines() if line.strip()]
    assert len(lines) == 1, errors
    assert told in errors
    assert "Traceback" not in errors


def test_other_options_in_a_run_folder_are_named(call: Callable[..., Result], place: Path, tmp_path: Path) -> None:
    arguments = [argument.replace("{}", str(place)) for argument in dr("--out", str(tmp_path / "run"))]
    assert call(*arguments)[0] == 0
    code, _, errors = call(*arguments, "--seed", "7", "--cfg", "1")
    assert code == 2
    assert "seed" in errors
    assert "guidance" in errors
    assert call(*arguments)[0] == 0


def test_json_for_machines(call: Callable[..., Result], place: Path, tmp_path: Path) -> None:
    import json

    arguments = [argument.replace("{}", str(place)) for argument in dr("--out", str(tmp_path / "run"))]
    code, output, errors = call(*arguments, "--json")
    assert code == 0, errors
    assert json.loads(output)["n"] == 1


def test_help_names_every_command(call: Callable[..., Result]) -> None:
    code, output, _ = call("--help")
    assert code == 0
    assert {"plot", "steer", "edit", "fit", "models", "compare"} <= set(re.findall(r"[a-z]+", output))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("trace", ["[mm:ss.xx][chorus]", "alpha=10,", "from=0.3,", 'to=0.7"']),
        ("steer", ["[mm:ss.xx][chorus]", 'hold=timbre"']),
        ("edit", ["[mm:ss.xx][chorus]", "`trace models`"]),
    ],
)
def test_examples_in_the_help_are_whole(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, command: str, told: list[str]
) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    _, output, _ = call(*([] if command == "trace" else [command]), "--help")
    for text in told:
        assert text in output
    assert "settle…" not in output


@pytest.mark.parametrize("command", ["steer", "edit"])
def test_help_tells_the_usual_doses_of_every_form(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 400)
    _, output, _ = call(command, "--help")
    for form, doses in USUAL_DOSES.items():
        assert ", ".join(f"{dose:g}" for dose in doses) in output, form
    assert "0.25, 0.5, 0.75, 1 of the way to a curve" in output


def test_a_group_alone_says_its_help_and_nothing_else(call: Callable[..., Result]) -> None:
    code, output, errors = call("fit")
    assert (code, errors) == (2, "")
    assert "encode" in output


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nsys.argv = ['trace', '--help']\nimport cli\ntry:\n    cli.main()\nexcept SystemExit:\n    pass\n"
    )
    script += "print(sorted({'torch', 'librosa', 'diffusers', 'matplotlib', 'datasets', 'numpy'} & set(sys.modules)))"
    start = time.monotonic()
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    assert time.monotonic() - start < 30


@contextmanager
def failing(monkeypatch, error):
    """The command line, whose command fails; what `main` sets for the process is undone."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setenv("MPLBACKEND", "agg")
    before = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")],
)
def test_no_memory_left_is_one_line(error, monkeypatch, capsys):
    with failing(monkeypatch, error), pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "trace: out of memory: free some, or take a smaller --batch-size; what was finished is kept\n"
    )


def test_a_batch_that_does_not_fit_is_one_line(monkeypatch, capsys):
    from probes.errors import OutOfMemory

    with failing(monkeypatch, OutOfMemory("try --batch-size 2")), pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "trace: try --batch-size 2; what was finished is kept\n"


def test_other_errors_keep_their_traceback(monkeypatch):
    with failing(monkeypatch, RuntimeError("ours")), pytest.raises(RuntimeError, match="ours"):
        cli.main()
