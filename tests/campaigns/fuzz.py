"""Damage what the program reads, and see that it gives the right figures or one line.

Each case copies a sound folder, changes one thing in it, and reads it in a forked child that may work for 20 seconds.
The outcome is right (the figures of the sound folder), refused (InputError, one line), told (other figures, with a
warning), other identity (figures of data that the fingerprint tells apart), or a finding: a traceback, a hang, code
run, a number that is not finite, a line of more than 2,000 characters, or other figures without a word.

    python -m tests.campaigns.fuzz --mutations 10000 --seed 0
    python -m tests.campaigns.fuzz --seed 0 --only 4711      (one case again)
"""

import argparse
import hashlib
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from probes.errors import InputError
from tests.campaigns.mutations import MARKER, damage, damage_text
from tests.campaigns.places import commands, contents, make_inputs
from tests.campaigns.programme import Child, draw_numbers, end_with_summary, preload, warm
from tests.campaigns.report import Report

LONGEST = 20
"""Seconds of a core for one case; one that waits is given up after fifteen times that."""
MEMORY = 12 * 2**30
LONGEST_LINE = 2000
SPECS = (
    "pitch=C5,alpha=0.02,from=0.3,to=0.7",
    "loudness=+,vector=closed,alpha=1",
    "timbre=2000Hz,alpha=0.1,site=state,schedule=bell",
    "loudness=-20dB,alpha=0.01,hold=pitch+timbre,unit=std",
)
CAPTIONS = ("slow piano, soft", "fast strings and drums; bright", "a flute\u00e9 plays alone")
Figures = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of input: how to read figures out of a folder, what may be damaged, how often it is drawn.

    `own`: the folder is the user's text, whose other content is another right result.
    """

    read: Callable[[Path], Figures]
    only: tuple[str, ...] = ()
    weight: int = 10
    own: bool = False


def digest(*parts: Any) -> str:
    """Sixteen hex digits of arrays, tables and text."""
    whole = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.detach().numpy()
        whole.update(part.tobytes() if isinstance(part, np.ndarray) else str(part).encode("utf-8", "backslashreplace"))
    return whole.hexdigest()


def finite(*arrays: Any) -> bool:
    """Whether every number is."""
    return all(bool(np.isfinite(np.asarray(array)).all()) for array in arrays)


def read_run(folder: Path) -> Figures:
    """All curves, intervals, maps, captions and the clips of a run."""
    from tracer import Run

    run = Run(folder / "run")
    tables = [run.results.progress.to_csv(), run.results.settled.to_csv()]
    maps = [(str(curve), values) for curve, values in sorted(run.results.commitment.items(), key=str)]
    clips = [run.audio(index)[0] for index in range(run.n)]
    told = digest(*tables, *(part for pair in maps for part in pair), *(str(p) for p in run.prompts), *clips)
    return {"figures": told, "finite": finite(*clips)}


def resume_run(folder: Path) -> Figures:
    """The folder after the same command was given again, with the numbers of its figures.

    Without run.json, which also holds what is only recorded.
    """
    draw_numbers()
    run_command(commands(folder, folder / "run")["trace"])
    held = contents(folder / "run").items()
    kept = {name: data for name, data in held if not name.endswith((".damaged", "run.json"))}
    return {"figures": digest(*(part for pair in sorted(kept.items()) for part in pair))}


def fit_on_corpus(folder: Path) -> Figures:
    """An autoencoder and probes trained for a moment on a corpus."""
    from probes.corpus import Corpus

    few = ["--batch", "64", "--corpus", str(folder / "corpus")]
    run_command(["fit", "sae", "--hidden", "32", "--steps", "5", *few, "--out", str(folder / "new-sae")])
    classes = ["--classes", "pitch=12", "--classes", "loudness=5", "--classes", "timbre=5"]
    run_command(
        ["fit", "probes", "--sae", str(folder / "new-sae"), "--epochs", "1", "--no-baselines", *classes, *few, "--out"]  # noqa: RUF005
        + [str(folder / "new-readout")]
    )
    made = [(folder / name / "model.safetensors").read_bytes() for name in ("new-sae", "new-readout")]
    return {"figures": digest(*made), "identity": Corpus.open(folder / "corpus").fingerprint}


def continue_corpus(folder: Path) -> Figures:
    """The rows of the corpus after the same command was given again; bytes behind them are never read."""
    from probes.corpus import Corpus

    run_command(commands(folder, folder / "corpus")["fit encode"])
    arrays = [np.load(path) for path in sorted((folder / "corpus").rglob("*.npy"))]
    return {"figures": digest(Corpus.open(folder / "corpus").fingerprint, *arrays)}


def resume_sae(folder: Path) -> Figures:
    """The autoencoder that the checkpoint's training ends in."""
    run_command(commands(folder, folder / "half")["fit sae"])
    return {"figures": digest((folder / "half" / "model.safetensors").read_bytes())}


def read_readout(folder: Path) -> Figures:
    """Distributions of fixed latents."""
    from probes import Readout

    readout = Readout.from_pretrained(folder / "readout")
    latents = torch.randn(1, 20, 64, generator=torch.Generator().manual_seed(0))
    read = readout(latents)
    values = [read[name] for name in sorted(read)]
    return {"figures": digest(*values), "finite": finite(*values), "identity": readout.fingerprint()}


def read_sae(folder: Path) -> Figures:
    """Features and reconstruction of fixed latents."""
    from probes.sae import SparseAutoencoder
    from probes.support.tensors import fingerprint

    sae = SparseAutoencoder.from_pretrained(folder / "sae")
    latents = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        values = [sae.encode(latents), sae(latents)]
    return {"figures": digest(*values), "finite": finite(*values), "identity": fingerprint([sae], (sae.config,))}


def read_weights(folder: Path) -> Figures:
    """A short latent of the bundled model."""
    from tracer import load_generator

    model = load_generator("mini", weights=str(folder / "weights"))
    latents = model.generate(["piano"], [1], steps=2, seconds=0.5, guidance=1.0)
    return {"figures": digest(latents), "finite": finite(latents), "identity": model.fingerprint()}


def read_checkpoint(folder: Path) -> Figures:
    """A velocity of a checkpoint in DiffRhythm's released form."""
    from probes.support.tensors import fingerprint
    from tracer.generators.diffrhythm import DiffRhythm

    model = DiffRhythm.from_checkpoint(folder / "diffrhythm/cfm_model.pt", folder / "diffrhythm/config.json")
    values = [value for value in model.state_dict().values() if value.is_floating_point()]
    identity = fingerprint([model], (model.config, model.dtype, model.exact_rotary))
    return {"figures": digest(*values), "finite": finite(*values), "identity": identity}


def read_prompts(folder: Path) -> Figures:
    """Captions of the prompt files."""
    from tracer.prompts import load_prompts, prompts_hash

    found = [prompts_hash(load_prompts(str(path))) for path in sorted((folder / "prompts").iterdir())]
    return {"figures": digest(*found)}


def read_manifest(folder: Path) -> Figures:
    """Sources that a manifest names."""
    from probes.corpus.sources import audio_sources

    sources = [(source.name, source.split) for source in audio_sources(str(folder / "manifest" / "files.csv"))]
    return {"figures": digest(*sources)}


def read_spec(folder: Path) -> Figures:
    """Edits that a specification makes with the bundled readout."""
    from probes import Readout
    from tracer.steering import edits_from_specs, parse_edit

    text = (folder / "spec" / "edit.txt").read_bytes().decode("utf-8", errors="surrogatepass")
    spec = parse_edit(text)
    if str(parse_edit(str(spec))) != str(spec):
        raise AssertionError(f"{text!r} does not come back from its own text {str(spec)!r}")
    edits_from_specs([text], Readout.from_pretrained("mini"))
    return {"figures": digest(spec), "finite": finite([spec.alpha, spec.start, spec.stop])}


KINDS = {
    "run": Kind(read_run, weight=25),
    "resumed run": Kind(resume_run, weight=5),
    "corpus": Kind(fit_on_corpus, (".json", ".jsonl", ".npy"), weight=12),
    "continued corpus": Kind(continue_corpus, ("corpus.json", "files.jsonl", "summary.json", ".npy"), weight=4),
    "half-trained": Kind(resume_sae, ("checkpoint.safetensors",), weight=6),
    "readout": Kind(read_readout, weight=20),
    "sae": Kind(read_sae, weight=15),
    "weights": Kind(read_weights, weight=8),
    "diffrhythm": Kind(read_checkpoint, ("cfm_model.pt", "config.json"), weight=8),
    "prompts": Kind(read_prompts, weight=20, own=True),
    "manifest": Kind(read_manifest, ("files.csv",), weight=10, own=True),
    "spec": Kind(read_spec, weight=20, own=True),
}
FOLDERS = {
    "run": ("run",),
    "resumed run": ("run",),
    "corpus": ("corpus",),
    "continued corpus": ("corpus", "audio"),
    "half-trained": ("half", "corpus"),
    "readout": ("readout",),
    "sae": ("sae",),
    "weights": ("weights",),
    "diffrhythm": ("diffrhythm",),
    "prompts": ("prompts",),
    "manifest": ("manifest", "audio"),
    "spec": ("spec",),
}


def run_command(arguments: list[str]) -> None:
    """Run `trace` with these arguments, and go on only when it ended well."""
    import cli

    sys.argv = ["trace", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise


class Campaign:
    """Sound folders, the figures they give, and cases against them."""

    def __init__(self, place: Path, report: Report, seed: int, kinds: tuple[str, ...] = tuple(KINDS)) -> None:
        self._place, self._report, self._seed, self._kinds = place, report, seed, kinds
        self._sound = place / "sound"
        self._case = place / "case"
        make_sound(self._sound, {folder for kind in kinds for folder in FOLDERS[kind]})
        self._right = {}
        for kind in kinds:
            shutil.copytree(self._sound, place / "warm")
            warm(lambda kind=kind: KINDS[kind].read(place / "warm"))
            shutil.rmtree(place / "warm")
        for kind in kinds:
            self._copy(kind)
            code, said, err = self._read(kind)
            if code != 0:
                raise RuntimeError(f"the sound {kind} cannot be read: {err}")
            self._right[kind] = said

    def case(self, number: int, show: bool = False) -> None:
        """Damage, read, judge."""
        source = random.Random(f"{self._seed}:{number}")
        kind = source.choices(self._kinds, [KINDS[name].weight for name in self._kinds])[0]
        self._copy(kind)
        folder = self._case / FOLDERS[kind][0]
        if kind == "spec":
            path = folder / "edit.txt"
            done = damage_text(source.choice(SPECS), source)
            path.write_bytes(done.encode("utf-8", errors="surrogatepass"))
            done = repr(done[:200])
        else:
            done = damage(folder, source, KINDS[kind].only)
        code, said, err = self._read(kind)
        outcome = self._judge(kind, code, said, err)
        self._report.count(f"{kind}: {outcome.removeprefix('FINDING ')}")
        if outcome.startswith("FINDING "):
            about = {"case": f"--seed {self._seed} --only {number}", "input": kind, "done": done, "code": code}
            self._report.finding(outcome.removeprefix("FINDING "), **about, err=err[-1800:])
        if show:
            print(f"{kind}: {done}\nexit {code}: {outcome}\n{err[-5000:]}")
        self._report.advance()

    def _judge(self, kind: str, code: int, said: Figures, err: str) -> str:
        if any(self._case.rglob(MARKER)):
            return "FINDING code was run"
        if "Traceback (most recent call last)" in err:
            return "FINDING traceback"
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return "FINDING hang"
        if code == 2:
            lines = [line for line in err.splitlines() if line.strip()]
            return (
                "refused" if lines and max(map(len, lines)) < LONGEST_LINE else "FINDING refused without a short line"
            )
        if code != 0:
            return f"FINDING exit code {code}"
        right = self._right[kind]
        if said.get("finite") is False:
            return "FINDING not finite"
        if said["figures"] == right["figures"]:
            return "right"
        if KINDS[kind].own:
            return "read as another text"
        if said.get("identity") != right.get("identity"):
            return "other identity"
        if "trace: " in err:
            return "told"
        return "FINDING other figures without a word"

    def _copy(self, kind: str) -> None:
        shutil.rmtree(self._case, ignore_errors=True)
        for name in FOLDERS[kind]:
            shutil.copytree(self._sound / name, self._case / name)

    def _read(self, kind: str) -> tuple[int, Figures, str]:
        child = Child(lambda: _say(KINDS[kind].read, self._case), self._place / "child", _guard)
        end = child.wait(limit=15 * LONGEST)
        lines = [line for line in end.out.splitlines() if line.startswith("FIGURES ")]
        return end.code, json.loads(lines[-1][8:]) if lines else {}, end.err


def make_sound(place: Path, folders: set[str]) -> None:
    """Sound folders of every kind named."""
    make_inputs(place, [name for name in ("audio", "corpus", "sae", "readout", "run") if name in _needed(folders)])
    if "half" in folders:
        child = Child(lambda: run_command(commands(place, place / "half")["fit sae"]), place / "making")
        checkpoint, seen = place / "half" / "checkpoint.safetensors", set[int]()
        while child.running and len(seen) < 2:  # the second one, so that little is left to train
            with suppress(FileNotFoundError):
                seen.add(checkpoint.stat().st_ino)
        child.kill(signal.SIGKILL, 0)
        child.wait()
    if "weights" in folders:
        from tracer.generators.mini.generator import BUNDLED

        shutil.copytree(BUNDLED, place / "weights")
    if "diffrhythm" in folders:
        from tests.support.diffrhythm import released_folder

        released_folder(place / "diffrhythm", list(CAPTIONS))
    for folder, files in {
        "prompts": {
            "one.txt": "\n".join(CAPTIONS) + "\n",
            "two.csv": "id,caption\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(CAPTIONS)),
            "three.jsonl": "".join(json.dumps({"id": i, "caption": text}) + "\n" for i, text in enumerate(CAPTIONS)),
        },
        "manifest": {"files.csv": "path,split\n" + "".join(f"../audio/{i}.wav,train\n" for i in range(5))},
        "spec": {"edit.txt": SPECS[0]},
    }.items():
        (place / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (place / folder / name).write_text(text, encoding="utf-8")


def _needed(folders: set[str]) -> set[str]:
    needs = {"corpus": {"audio"}, "sae": {"audio", "corpus"}, "half": {"audio", "corpus"}}
    needs["readout"] = {"audio", "corpus", "sae"}
    return folders | {more for folder in folders for more in needs.get(folder, set())}


def _say(read: Callable[[Path], Figures], folder: Path) -> int:
    warnings.resetwarnings()
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("always", module=r"(tracer|probes|hooks|tests\.campaigns)(\.|$)")
    warnings.formatwarning = lambda message, *_: f"trace: {message}\n"  # type: ignore[assignment]
    try:
        figures = read(folder)
    except InputError as error:
        print(f"trace: {' '.join(error.on_command_line.split())}", file=sys.stderr)
        return 2
    print("FIGURES " + json.dumps(figures))
    return 0


def _guard() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run(report: Report, mutations: int, seed: int = 0, only: int | None = None, kinds: tuple[str, ...] = ()) -> None:
    """All cases, or one."""
    preload()
    with tempfile.TemporaryDirectory(prefix="campaign-fuzz-") as place:
        campaign = Campaign(Path(place), report, seed, kinds or tuple(KINDS))
        for number in range(mutations) if only is None else [only]:
            campaign.case(number, show=only is not None)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=10_000, help="number of cases (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the cases (default: 0)")
    parser.add_argument("--only", type=int, help="number of the one case to run, shown in full")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="only this input; changes the cases")
    parser.add_argument("--summary", type=Path, default=Path("campaign-fuzz.json"), help="where the summary goes")
    given = parser.parse_args()
    report = Report("fuzz", given.mutations if given.only is None else 1, {"seed": given.seed, "kinds": given.kind})
    end_with_summary()
    try:
        run(report, given.mutations, given.seed, given.only, tuple(given.kind or ()))
    except KeyboardInterrupt:
        report.count("campaign interrupted")
    return report.finish(given.summary if given.only is None else None)


if __name__ == "__main__":
    sys.exit(main())
