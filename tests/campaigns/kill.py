"""Kill the long commands at random moments, go on until they finish, and compare with a run that was left alone.

Each round runs one command into a fresh folder: it is killed a few times, then let through. A moment is an amount of
work (time of a core, so that a busy machine changes nothing), drawn over what is surely left to do: the whole command
less what was spent in this round, but at least what the command takes on a finished folder. After every kill each file
that is never written twice must be absent or byte for byte that of the uninterrupted run; at the end the whole folder
must be, without a temporary file.

    python -m tests.campaigns.kill --kills 1000 --terms 50 --interrupts 50
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.campaigns.places import commands, contents, differences, make_inputs
from tests.campaigns.programme import Child, End, command, draw_numbers, end_with_summary, preload, trace, warm
from tests.campaigns.report import Report

COMMANDS = ("trace", "fit encode", "fit sae", "fit probes", "steer", "edit")
WRITTEN_ONCE = (".wav", ".parquet", ".safetensors", ".png", ".svg", ".npz", ".md")
GROWING = ("checkpoint.safetensors",)
EXIT_CODES = {signal.SIGINT: (130,), signal.SIGTERM: (130, -signal.SIGTERM)}


class Campaign:
    """References of the commands, and rounds against them.

    Args:
        place: Folder to work in.
        report: Where counts and findings go.
        source: Random numbers that decide when a signal comes.
        names: The commands.
        images: Draw figures; without, they hold their numbers, which takes a third of the time.
    """

    def __init__(
        self, place: Path, report: Report, source: random.Random, names: tuple[str, ...] = COMMANDS, images: bool = True
    ) -> None:
        self._place, self._report, self._source = place, report, source
        self._before = None if images else draw_numbers
        self._out = place / "out"
        make_inputs(place)
        self._commands = commands(place, self._out)
        self._whole: dict[str, dict[str, bytes]] = {}
        self._usual: dict[str, float] = {}
        self._again: dict[str, float] = {}
        for name in names:
            self._reference(name)

    def round(self, name: str, signals: list[int]) -> int:
        """One run of a command that gets these signals and then goes on to its end. Returns how many hit it."""
        shutil.rmtree(self._out, ignore_errors=True)
        moments, spent, hits = [], 0.0, 0
        for number in signals:
            after = self._source.uniform(0.0, max(self._usual[name] - spent, self._again[name]))
            child = Child(command(self._commands[name]), self._place / "child", self._before)
            hit = child.kill(number, after)
            end = child.wait()
            if hit and end.traceback and "cli.py" not in end.err:  # before the program's own code began
                self._report.count(f"{name}: too early")
                continue
            spent += end.worked
            hits += hit
            moments.append(round(after, 3))
            self._report.count(f"{name}: {signal.Signals(number).name}" if hit else f"{name}: ended before the signal")
            self._judge_end(name, number if hit else None, end, moments)
            self._judge_files(name, moments)
            self._report.advance(int(hit))
        end = trace(self._commands[name], self._place / "child", self._before)
        if end.code != 0:
            self._report.finding("does not go on", command=name, moments=moments, code=end.code, err=end.err[-3000:])
            return hits
        there = contents(self._out)
        left = [path for path in there if Path(path).name.startswith(".")]
        if left:
            self._report.finding("temporary files left", command=name, moments=moments, files=left)
        visible = {path: data for path, data in there.items() if path not in left}
        unlike = differences(visible, self._whole[name])
        if unlike:
            self._report.finding("result differs", command=name, moments=moments, files=unlike)
        self._report.count(f"{name}: rounds")
        return hits

    def _reference(self, name: str) -> None:
        shutil.rmtree(self._out, ignore_errors=True)
        warm(command(self._commands[name]))
        shutil.rmtree(self._out)
        ends, results = [], []
        for _ in ("fresh", "on the finished folder"):
            ends.append(trace(self._commands[name], self._place / "child", self._before))
            if ends[-1].code != 0:
                raise RuntimeError(f"{name} fails when it is left alone: {ends[-1].err}")
            results.append(contents(self._out))
        unlike = differences(*results)
        if unlike:
            self._report.finding("a finished folder is changed", command=name, files=unlike)
        self._whole[name] = results[0]
        self._usual[name], self._again[name] = (end.worked for end in ends)
        self._report.about[f"{name}: seconds of a core"] = [round(end.worked, 2) for end in ends]

    def _judge_end(self, name: str, number: int | None, end: End, moments: list[float]) -> None:
        about = {"command": name, "moments": moments, "code": end.code}
        if number is None or number == signal.SIGKILL:
            # A signal may come between the last look at the child and its end.
            done = end.code == 0 and not differences(contents(self._out), self._whole[name])
            if end.code != -signal.SIGKILL and not done:
                self._report.finding("unexpected end", **about, err=end.err[-3000:])
            return
        told = signal.Signals(number).name
        self._report.count(f"{told}: exit code {end.code}")
        if end.code == 0:  # the signal came when all was written
            if differences(contents(self._out), self._whole[name]):
                self._report.finding(f"{told} is overheard", **about, err=end.err[-500:])
            return
        if end.traceback:
            self._report.finding(f"{told} ends in a traceback", **about, err=end.err[-3000:])
        elif end.code not in EXIT_CODES[signal.Signals(number)]:
            self._report.finding(f"{told} ends without a word", **about, err=end.told())
        elif end.code == 130 and not end.one_line:
            self._report.finding(f"{told} ends without its line", **about, err=end.err[-500:])

    def _judge_files(self, name: str, moments: list[float]) -> None:
        if not self._out.exists():
            return
        for path, data in contents(self._out).items():
            last = Path(path).name
            if last.startswith(".") or last in GROWING or Path(path).suffix not in WRITTEN_ONCE:
                continue
            if data != self._whole[name].get(path):
                self._report.finding("half a file after a kill", command=name, moments=moments, file=path)


def run(
    report: Report,
    kills: int,
    terms: int = 0,
    interrupts: int = 0,
    seed: int = 0,
    per_round: int = 4,
    names: tuple[str, ...] = COMMANDS,
) -> None:
    """Deal signals out to the commands in turn, some to a round, until so many have hit a running command."""
    source = random.Random(seed)
    preload()
    with tempfile.TemporaryDirectory(prefix="campaign-kill-") as place:
        for images, dealt in (
            (False, {signal.SIGKILL: kills}),
            (True, {signal.SIGTERM: terms, signal.SIGINT: interrupts}),
        ):
            if not any(dealt.values()):
                continue
            campaign, rounds = Campaign(Path(place), report, source, names, images), 0
            while any(dealt.values()):
                name, rounds = names[rounds % len(names)], rounds + 1
                for number in [number for number, left in dealt.items() if left]:
                    dealt[number] -= campaign.round(name, [int(number)] * min(per_round, dealt[number]))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="SIGKILLs that hit a running command (default: 1000)")
    parser.add_argument("--terms", type=int, default=50, help="SIGTERMs that do (default: 50)")
    parser.add_argument("--interrupts", type=int, default=50, help="SIGINTs that do (default: 50)")
    parser.add_argument("--per-round", type=int, default=4, help="signals before a run is let through (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument("--command", choices=COMMANDS, action="append", help="only this command; repeatable")
    parser.add_argument("--summary", type=Path, default=Path("campaign-kill.json"), help="where the summary goes")
    given = parser.parse_args()
    report = Report("kill", given.kills + given.terms + given.interrupts, {"seed": given.seed})
    names = tuple(given.command or COMMANDS)
    end_with_summary()
    try:
        run(report, given.kills, given.terms, given.interrupts, given.seed, given.per_round, names)
    except KeyboardInterrupt:
        report.count("campaign interrupted")
    return report.finish(given.summary)


if __name__ == "__main__":
    sys.exit(main())
