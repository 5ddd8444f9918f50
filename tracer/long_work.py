"""How far long work is: a bar on a terminal, a plain line every ten seconds elsewhere. Both on standard error."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Report = Callable[[str, int, int | None], None]
"""(stage, done, total): how much of a stage is done; total is None where it is not known."""

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def reporting(show: bool = True, below: Callable[[], str] | None = None) -> Iterator[Report]:
    """Yield a function that shows how far each stage is.

    Args:
        show: Whether it does anything.
        below: Text of what is known so far, shown under the bars of a terminal.
    """
    if not show:
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        with bars(below) as report:
            yield report
    else:
        yield Lines()


@contextmanager
def bars(below: Callable[[], str] | None = None) -> Iterator[Report]:
    """A bar per stage, with its speed and the time left; under them what `below` says."""
    from rich.console import Console, RenderableType
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class PerMinute(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if not speed else f"{60 * speed:.1f}/min", style="progress.data.speed")

    class WithText(Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            if below is not None and (text := below()):
                yield Text(text)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        PerMinute(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with WithText(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield report


class Lines:
    """A plain line every ten seconds: stage, how much is done, time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.said = clock()
        self.began: dict[str, tuple[float, int]] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Note how far a stage is, and say so when ten seconds have passed since the last line."""
        now = self.clock()
        start, first = self.began.setdefault(stage, (now, done))
        if now - self.said < EVERY:
            return
        self.said = now
        print(line(stage, done, total, now - start, done - first), file=sys.stderr, flush=True)


def line(stage: str, done: int, total: int | None, seconds: float, gained: int) -> str:
    """What a line says.

    Args:
        stage: Name of the work.
        done: How much of it is done.
        total: How much there is; None where it is not known.
        seconds: Time since the stage was first heard of.
        gained: How much was done in that time.
    """
    if total is None:
        return f"{stage}: {done} done, {duration(seconds)} so far"
    left = "" if gained <= 0 or done >= total else f", about {duration(seconds / gained * (total - done))} left"
    return f"{stage}: {done} of {total}{left}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
