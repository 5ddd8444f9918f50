"""Dress rehearsal of the README's DiffRhythm section at full size, without the real weights and without a network.

    python benchmarks/rehearsal.py --out /tmp/rehearsal                    # 95 s of music, 3 states, on the CPU
    python benchmarks/rehearsal.py --out /tmp/rehearsal --seconds 10       # the same weights, a shorter clip

It writes what the hub would give into a hub cache of its own: DiffRhythm's 1.1 billion parameters with random values
(half precision, `model_state_dict`), a TorchScript VAE with the two exports of the released one (`AutoencoderOobleck`
with random values), MusicCaps' columns. MuQ-MuLan cannot be had without a network, so random style vectors stand in the
style cache, and a random one for the null branch. Then it runs the two commands of the README and notes for each
stage: time, peak memory, sizes written.
Nothing that is heard or drawn here means anything.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from probes.spaces.oobleck.diffrhythm import FILENAME, REPO
from probes.support.files import write_json
from probes.support.torchaudio_stub import ensure_torchaudio
from tracer.generators.diffrhythm import DiffRhythm, DiTConfig
from tracer.generators.diffrhythm.checkpoint import FILES, REVISIONS
from tracer.generators.diffrhythm.null_style import NAME
from tracer.generators.diffrhythm.style import name_of
from tracer.prompts import MUSICCAPS, MUSICCAPS_FILE, MUSICCAPS_REVISION, load_prompts

ROOT = Path(__file__).parents[1]
MODEL = next(iter(REVISIONS))
GB = 1e9
TRAINING = 300
"""Steps of the autoencoder, a tenth of the usual ones."""
STAGES = (
    ("tracer.session", "load_generator", "load the model"),
    ("tracer.session:Session", "identity", "fingerprints (loads the VAE)"),
    ("tracer.session:Session", "generate", "generate and read every state"),
    ("tracer.record.batches", "read_linear_flow", "read the linear flow"),
    ("tracer.session:Session", "listen", "decode and measure pitch"),
    ("tracer.run", "finish_run", "curves, verdicts, figures"),
    ("probes.corpus.job", "encode_corpus", "render, encode, label"),
    ("probes.fit.pipeline", "fit_sae", "train the autoencoder"),
    ("probes.fit.pipeline", "fit_probes", "train the probes"),
)
"""(module or class, function, what it is called in the table)."""


# --- what the hub would give -----------------------------------------------------------------------------------------


def snapshot(hub: Path, repo: str, revision: str, kind: str = "models") -> Path:
    """The folder of a repository at a revision in the hub's cache, with the reference that "main" goes by."""
    folder = hub / f"{kind}--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(revision)
    (folder / "snapshots" / revision).mkdir(parents=True, exist_ok=True)
    return folder / "snapshots" / revision


def write_checkpoint(path: Path) -> None:
    """DiffRhythm's weights in the released format, with random values of a size at which every state stays finite."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = DiffRhythm(DiTConfig())
    tensors = {}
    for name, tensor in model.state_dict().items():
        value = torch.randn(tensor.shape) * 0.02
        tensors[name] = (value + 1 if "layernorm" in name else value).half()
    torch.save({"model_state_dict": tensors}, path)


class Exports(torch.nn.Module):
    """The two exports of the released VAE."""

    def __init__(self) -> None:
        super().__init__()
        ensure_torchaudio()
        from diffusers import AutoencoderOobleck

        vae = AutoencoderOobleck()
        for module in vae.modules():
            if hasattr(module, "weight_g"):
                torch.nn.utils.remove_weight_norm(module)
        self.encoder, self.decoder = vae.encoder, vae.decoder

    def encode_export(self, audio: torch.Tensor) -> torch.Tensor:
        return self.encoder(audio)

    def decode_export(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(latents)


def write_vae(path: Path) -> None:
    """A TorchScript VAE of the released size with random values."""
    torch.manual_seed(0)
    examples = {"encode_export": torch.randn(1, 2, 4 * 2048), "decode_export": torch.randn(1, 64, 4)}
    vae = Exports().eval().requires_grad_(False)
    torch.jit.trace_module(vae, examples, check_trace=False).save(str(path))


def write_captions(path: Path) -> None:
    """The demo captions in MusicCaps' columns."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ytid", "caption", "is_balanced_subset"])
        writer.writerows([prompt.id, prompt.caption, "True"] for prompt in load_prompts("demo"))


def write_styles(path: Path, captions: Sequence[str]) -> None:
    """Random style vectors."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    save_file({name_of(caption): torch.nn.functional.normalize(torch.randn(1, 512)) for caption in captions}, path)


def prepare(out: Path) -> list[dict[str, Any]]:
    """Everything that the commands need, made once; a row of the table for each file."""
    hub = out / "home" / "hub"
    todo: dict[str, tuple[Path, Callable[[Path], None]]] = {
        "write the checkpoint": (snapshot(hub, MODEL, REVISIONS[MODEL]) / FILES[1], write_checkpoint),
        "write the VAE": (snapshot(hub, REPO, "0" * 40) / FILENAME, write_vae),
        "write the captions": (
            snapshot(hub, MUSICCAPS, MUSICCAPS_REVISION, "datasets") / MUSICCAPS_FILE,
            write_captions,
        ),
    }
    rows = []
    for what, (path, write) in todo.items():
        began = time.perf_counter()
        if not path.exists():
            write(path)
        spent = time.perf_counter() - began
        rows.append({"command": "prepare", "stage": what, "seconds": spent, "written": path.stat().st_size})
    write_styles(out / "styles.safetensors", [prompt.caption for prompt in load_prompts("demo")])
    np.save(out / NAME, torch.nn.functional.normalize(torch.randn(1, 512)).numpy())
    return rows


# --- running and measuring --------------------------------------------------------------------------------------------


def logging(inner: Callable[..., Any], stage: str, log: Path) -> Callable[..., Any]:
    """A function that appends (stage, begin, end) to a file whenever it has run."""

    def run(*args: Any, **named: Any) -> Any:
        began = time.time()
        try:
            return inner(*args, **named)
        finally:
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps([stage, began, time.time()]) + "\n")

    return run


def time_stages(log: Path) -> None:
    """Have every stage write its times."""
    for place, name, stage in STAGES:
        module, _, attribute = place.partition(":")
        holder = getattr(import_module(module), attribute) if attribute else import_module(module)
        setattr(holder, name, logging(getattr(holder, name), stage, log))


def child(log: Path, arguments: Sequence[str]) -> None:
    """Run one `trace` command in this process, its stages timed."""
    sys.path.insert(0, str(ROOT))
    sys.argv = ["trace", *arguments]
    import_module("tracer.tracing")
    import_module("probes.fit.pipeline")
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps(["imports", time.time(), time.time()]) + "\n")
    time_stages(log)
    runpy.run_path(str(ROOT / "cli.py"), run_name="__main__")


class Memory:
    """Samples of a process's memory: (time, own bytes, bytes of files mapped into it)."""

    def __init__(self, process: int) -> None:
        self.samples: list[tuple[float, int, int]] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, args=(psutil.Process(process),))
        self.thread.start()

    def watch(self, process: psutil.Process) -> None:
        while not self.over.wait(0.03):
            try:
                info = process.memory_info()
            except psutil.Error:
                return
            self.samples.append((time.time(), info.rss - info.shared, info.rss))

    def peak(self, began: float, ended: float, column: int) -> float:
        """Largest value between two times; the last one before them where none lies between."""
        inside = [sample[column] for sample in self.samples if began <= sample[0] <= ended]
        before = [sample[column] for sample in self.samples if sample[0] < began][-1:]
        return max(inside or before or [0])


def measure(out: Path, arguments: Sequence[str]) -> list[dict[str, Any]]:
    """Run a command in a process of its own; a row for each of its stages and one for the whole.

    Raises:
        RuntimeError: the command failed.
    """
    log = out / "stages.jsonl"
    log.unlink(missing_ok=True)
    before = size_of(out)
    environment = {**os.environ, "HF_HOME": str(out / "home"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    began = time.time()
    command = [sys.executable, str(Path(__file__).resolve()), "--child", str(log), *arguments]
    process = subprocess.Popen(command, cwd=out, env=environment)
    memory = Memory(process.pid)
    code = process.wait()
    memory.over.set()
    memory.thread.join()
    ended = time.time()
    if code:
        raise RuntimeError(f"trace {' '.join(arguments)} ended with {code}")
    (_, imported, _), *stages = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    base = memory.peak(began, imported, 2)
    rows = [
        {
            "command": arguments[0].lstrip("-"),
            "stage": stage,
            "seconds": stop - start,
            "own": memory.peak(start, stop, 1),
            "resident": memory.peak(start, stop, 2),
            "base": base,
        }
        for stage, start, stop in [*stages, ("whole command", began, ended)]
    ]
    rows[-1]["written"] = size_of(out) - before
    return rows


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def rehearse(given: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Every row of the table, and the ratio that loading is judged by."""
    rows = prepare(out)
    commands = [
        f"fit readout --space diffrhythm --audio rendered --hours {given.hours:g} --steps {TRAINING} "
        "--out readouts/diffrhythm",
        f"--model diffrhythm --prompts musiccaps --n {given.n} --steps {given.steps} --dtype {given.dtype} "
        "--readout readouts/diffrhythm" + (f" --seconds {given.seconds:g}" if given.seconds is not None else ""),
    ]
    for arguments in (command.split() for command in commands):
        print("$ trace " + " ".join(arguments), flush=True)
        rows += measure(out, arguments)
        show(rows)
    (load,) = [row for row in rows if row["stage"] == "load the model"]
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in DiffRhythm(DiTConfig()).parameters())
    weights = count * (2 if given.dtype in ("float16", "bfloat16") else 4)
    loading = {name: (load[name] - load["base"]) / weights for name in ("own", "resident")}
    return {"rows": rows, "weights_bytes": weights, "loading_over_weights": loading, "machine": machine()}


def machine() -> dict[str, Any]:
    """What it was run on."""
    memory = psutil.virtual_memory().total
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / GB),
        "torch": torch.__version__,
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The table, as Markdown."""
    print("\n| command | stage | seconds | own memory, GB | with mapped files, GB | written, MB |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        memory = [f"{row[name] / GB:.2f}" if name in row else "" for name in ("own", "resident")]
        written = f"{row['written'] / 1e6:.1f}" if "written" in row else ""
        print(f"| {row['command']} | {row['stage']} | {row['seconds']:.1f} | {' | '.join(memory)} | {written} |")
    print(flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return child(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and results (4 GB)")
    parser.add_argument("--n", type=int, default=1, help="prompts")
    parser.add_argument("--steps", type=int, default=3, help="states")
    parser.add_argument("--seconds", type=float, help="length of a clip; left out, the model's own 95 s")
    parser.add_argument("--hours", type=float, default=0.03, help="rendered music that the readout is trained on")
    parser.add_argument("--dtype", default="auto", help="as for trace; auto is float32 on the CPU")
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    result = rehearse(given, out)
    write_json(out / "rehearsal.json", result)
    show(result["rows"])
    print(f"loading over the weights: {result['loading_over_weights']}")


if __name__ == "__main__":
    main()
