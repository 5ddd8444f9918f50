"""The program in a forked child: every start costs a fork and not an import, and every end is seen from outside."""

import gc
import importlib
import os
import resource
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

import cli
from probes.support.torchaudio_stub import ensure_torchaudio
from tracer.figures.palette import Drawing

# What the commands import when they need it.
LATE = [
    "librosa",
    "librosa.feature",
    "librosa.core.audio",
    "matplotlib.pyplot",
    "pandas",
    "pyarrow.parquet",
    "scipy.signal",
    "scipy.spatial.distance",
    "soundfile",
    "torchcrepe",
    "probes.attributes.pitch",
    "tracer.tracing",
    "tracer.session",
    "tracer.run",
    "tracer.record.batches",
    "tracer.generators.mini.generator",
    "tracer.steering.dose",
    "tracer.steering.lockin",
    "tracer.steering.audio_edit",
    "tracer.figures.emergence",
    "tracer.figures.dose",
    "tracer.figures.leakage",
    "probes.fit.pipeline",
    "probes.fit.probe_fit",
    "probes.corpus.job",
    "probes.corpus.encoding",
    "probes.spaces.mini.space",
    "probes.readout.module",
    "huggingface_hub",
]


def end_with_summary() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt, in a shell's background job too, where Ctrl-C is ignored."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.default_int_handler)


def draw_numbers() -> None:
    """From here on figures are made and written as ever, but hold the numbers of their lines and no image of them."""

    def numbers(figure: Drawing, file: IO[bytes], **options: Any) -> None:
        for axes in figure.axes:
            for line in axes.lines:
                file.write(np.asarray(line.get_xydata()).tobytes())

    Drawing.savefig = numbers  # type: ignore[method-assign, assignment]


def warm(*works: Callable[[], object]) -> list[Any]:
    """Do some work in this process, so that every fork has what it imports and compiles; what it says is dropped.

    Returns:
        The exit codes of those that end with one, and what the others return.
    """
    handlers = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    arguments, report = sys.argv, sys.unraisablehook
    ends: list[Any] = []
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        for work in works:
            with warnings.catch_warnings():
                try:
                    ends.append(work())
                except SystemExit as end:
                    ends.append(end.code)
    sys.argv, sys.unraisablehook = arguments, report
    for kind, handler in handlers.items():
        signal.signal(kind, handler)
    gc.collect()
    gc.freeze()  # a fork copies what its collector touches
    return ends


@dataclass(frozen=True)
class End:
    """How a child ended: its exit code (negative: the signal that killed it), what it said, and how long it worked."""

    code: int
    out: str
    err: str
    worked: float

    @property
    def traceback(self) -> bool:
        """Whether a traceback was printed."""
        return "Traceback (most recent call last)" in self.err

    @property
    def one_line(self) -> bool:
        """Whether exactly one line of the program's own ended it; warnings and progress may stand before it."""
        lines = self.err.strip().splitlines()
        return bool(lines) and lines[-1].startswith("trace: ") and not self.traceback

    def told(self) -> str:
        """The last line on standard error, shortened."""
        lines = self.err.strip().splitlines()
        return lines[-1][:300] if lines else ""


def preload() -> None:
    """Import everything once, with one thread, so that a fork starts at once."""
    torch.set_num_threads(1)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ["MPLBACKEND"] = "agg"
    ensure_torchaudio()
    for name in LATE:
        importlib.import_module(name)


class Child:
    """One running child.

    Args:
        work: Called in the child; what it returns is the exit code (None: 0).
        place: Folder for its standard output and standard error, and for its temporary files.
        before: Called in the child first: limits, and files that fail.
    """

    def __init__(self, work: Callable[[], int | None], place: Path, before: Callable[[], None] | None = None) -> None:
        self._place = place
        (place / "tmp").mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        ready, say_ready = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be_child(work, place, before, say_ready)
        # A signal before the child has its handlers would say nothing of the program.
        os.close(say_ready)
        os.read(ready, 1)
        os.close(ready)
        self._end = os.pidfd_open(self.pid)  # readable once it has ended

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self._ends_within(0.0)

    @property
    def worked(self) -> float:
        """Seconds of a core that its main thread has had: how far it is, however busy the machine."""
        with suppress(OSError):
            return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9
        return 0.0

    def kill(self, number: int, after: float) -> bool:
        """Send a signal once it has worked so many seconds. False when the child has ended before."""
        while (left := after - self.worked) > 0 and not self._ends_within(max(left, 0.001)):
            pass
        if not self.running:
            return False
        os.kill(self.pid, number)
        return True

    def wait(self, limit: float = 900.0) -> End:
        """Its end; after `limit` seconds it is killed, and the code is -SIGKILL."""
        if not self._ends_within(limit):
            os.kill(self.pid, signal.SIGKILL)
            self._ends_within(limit)
        worked = self.worked
        _, status = os.waitpid(self.pid, 0)
        os.close(self._end)
        out, err = ((self._place / name).read_text(errors="replace") for name in ("out.txt", "err.txt"))
        return End(os.waitstatus_to_exitcode(status), out, err, worked)

    def _ends_within(self, seconds: float) -> bool:
        return bool(select.select([self._end], [], [], seconds)[0])


def command(arguments: Sequence[str]) -> Callable[[], int | None]:
    """The work of a child: `trace` with these arguments."""

    def run() -> int | None:
        sys.argv = ["trace", *arguments]
        cli.main()
        return 0

    return run


def trace(arguments: Sequence[str], place: Path, before: Callable[[], None] | None = None) -> End:
    """Run `trace` with these arguments to its end."""
    return Child(command(arguments), place, before).wait()


def _be_child(work: Callable[[], int | None], place: Path, before: Callable[[], None] | None, say_ready: int) -> None:
    code = 1
    try:
        for number, name in ((1, "out.txt"), (2, "err.txt")):
            handle = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, number)
            os.close(handle)
        # pytest puts its own objects there.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        # A shell that runs the campaign in the background has Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ["TMPDIR"] = str(place / "tmp")
        if before is not None:
            before()
        os.write(say_ready, b".")
        os.close(say_ready)
        code = work() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
