"""The progress bar of a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class PerMinute(ProgressColumn):
    """Speed of a task in prompts per minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed else f"{60 * speed:.1f}/min", style="progress.data.speed")


@contextmanager
def prompt_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` prompts are finished, how fast it goes and the time left; yields `advance(count)`."""
    columns = (
        TextColumn("prompts"),
        BarColumn(),
        MofNCompleteColumn(),
        PerMinute(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    # Standard error, so that standard output holds results alone.
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("prompts", total=total)
        yield lambda count: progress.advance(task, count)
