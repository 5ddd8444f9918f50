"""Every command where something is scarce: two processes on one folder, few files, little memory, no disk, no rights.

A command must finish with the result it has elsewhere, or end with one line and exit code 2 (1 where memory ran out),
and go on to that result where the scarcity ends. A full disk is a small memory file system where one can be mounted
(root on Linux), and otherwise a limit on the size of files (EFBIG).

    python -m tests.campaigns.surroundings
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.campaigns.places import commands, contents, differences, make_inputs
from tests.campaigns.programme import Child, End, command, preload, trace, warm
from tests.campaigns.report import Report

COMMANDS = ("trace", "fit encode", "fit sae", "fit probes", "steer", "edit", "plot", "compare")
SURROUNDINGS = ("two", "files", "memory", "read-only", "full")
DISKS = (16, 64, 256)
MORE_MEMORY = (16, 64, 256, 1024)


class Campaign:
    """Commands, their results where nothing is scarce, and the same where something is."""

    def __init__(self, place: Path, report: Report, names: tuple[str, ...]) -> None:
        self._place, self._report = place, report
        make_inputs(place, ("audio", "corpus", "sae", "run"))
        shutil.copytree(place / "run", place / "other")
        self._disk = place / "disk"
        self._out = self._disk / "out"
        self._commands = commands(place, self._out) | {
            "plot": ["plot", str(place / "run"), "--out", str(self._out / "curves.png")],
            "compare": ["compare", str(place / "run"), str(place / "other"), "--out", str(self._out / "both.png")],
        }
        self._whole = {}
        for name in names:
            self._fresh()
            if warm(command(self._commands[name])) != [0]:
                raise RuntimeError(f"{name} fails where nothing is scarce")
            self._whole[name] = contents(self._out)

    def two(self, name: str) -> None:
        """Two processes at once: one may be refused, none may spoil the other's result."""
        self._fresh()
        both = [Child(command(self._commands[name]), self._place / f"child-{i}") for i in range(2)]
        for end in [child.wait() for child in both]:
            self._judge(name, "two processes", end)
        self._goes_on(name, "two processes")

    def files(self, name: str) -> None:
        """At most 32 open files."""
        self._limited(name, "32 open files", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))

    def memory(self, name: str) -> None:
        """A little more address space than the process has that did the work once."""
        for more in MORE_MEMORY:
            self._limited(name, f"{more} MiB more memory", lambda more=more: _limit_memory(more))  # type: ignore[misc]

    def read_only(self, name: str) -> None:
        """A folder that cannot be written; root can write everywhere, so it becomes another user there."""
        self._fresh()
        self._disk.chmod(0o555)
        try:
            end = trace(self._commands[name], self._place / "child", _be_nobody if os.getuid() == 0 else None)
            self._judge(name, "a read-only folder", end)
        finally:
            self._disk.chmod(0o755)

    def full(self, name: str) -> None:
        """A disk of so many KiB."""
        for size in DISKS:
            self._fresh()
            mounted = _mount(self._disk, size)
            before = None if mounted else lambda size=size: _limit_size(size)  # type: ignore[misc]
            try:
                end = trace(self._commands[name], self._place / "child", before)
                self._judge(name, f"a disk of {size} KiB", end)
                there = contents(self._out) if self._out.exists() else {}
                left = [path for path in there if Path(path).name.startswith(".")]
                if left:
                    self._report.finding("temporary files left", command=name, where=f"{size} KiB", files=left)
            finally:
                if mounted:
                    subprocess.run(["umount", str(self._disk)], check=True)

    def _limited(self, name: str, where: str, before: Callable[[], None]) -> None:
        self._fresh()
        self._judge(name, where, trace(self._commands[name], self._place / "child", before))
        self._goes_on(name, where)

    def _fresh(self) -> None:
        shutil.rmtree(self._disk, ignore_errors=True)
        self._disk.mkdir()

    def _judge(self, name: str, where: str, end: End) -> None:
        about = {"command": name, "where": where, "code": end.code}
        if end.traceback:
            self._report.finding("traceback", **about, err=end.err[-2500:])
        elif end.code == 1 and end.one_line and "out of memory" in end.err:
            self._report.count(f"{where}: out of memory in one line")
        elif end.code not in (0, 2):
            self._report.finding("unexpected end", **about, err=end.err[-1000:])
        elif end.code == 2 and not end.one_line:
            self._report.finding("refused without its line", **about, err=end.err[-1000:])
        else:
            self._report.count(f"{where}: {'done' if end.code == 0 else 'refused'}")
        self._report.advance()

    def _goes_on(self, name: str, where: str) -> None:
        end = trace(self._commands[name], self._place / "child")
        if end.code != 0:
            self._report.finding("does not go on", command=name, where=where, err=end.err[-2000:])
            return
        unlike = differences(contents(self._out), self._whole[name])
        if unlike:
            self._report.finding("result differs", command=name, where=where, files=unlike)


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _limit_size(kib: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, kib * 1024))


def _be_nobody() -> None:
    os.setgid(65534)
    os.setuid(65534)


def _mount(folder: Path, kib: int) -> bool:
    if os.getuid() != 0 or shutil.which("mount") is None:
        return False
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)]
    return subprocess.run(mount, capture_output=True).returncode == 0


def run(report: Report, names: tuple[str, ...] = COMMANDS, surroundings: tuple[str, ...] = SURROUNDINGS) -> None:
    """Every command in all surroundings."""
    preload()
    with tempfile.TemporaryDirectory(prefix="campaign-") as place:
        Path(place).chmod(0o755)
        campaign = Campaign(Path(place), report, names)
        for surrounding in surroundings:
            for name in names:
                getattr(campaign, surrounding.replace("-", "_"))(name)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", choices=COMMANDS, action="append", help="only this command; repeatable")
    parser.add_argument("--where", choices=SURROUNDINGS, action="append", help="only this scarcity; repeatable")
    parser.add_argument("--summary", type=Path, default=Path("campaign-surroundings.json"), help="where it goes")
    given = parser.parse_args()
    names, surroundings = tuple(given.command or COMMANDS), tuple(given.where or SURROUNDINGS)
    times = {"two": 2, "memory": len(MORE_MEMORY), "full": len(DISKS)}
    report = Report("surroundings", len(names) * sum(times.get(name, 1) for name in surroundings))
    run(report, names, surroundings)
    return report.finish(given.summary)


if __name__ == "__main__":
    sys.exit(main())
