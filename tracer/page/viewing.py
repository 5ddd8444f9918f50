"""Write a page: what `trace view` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probes.errors import InputError
from probes.support.files import expanded
from probes.support.remote import local_folder
from tracer.comparing import joint_name
from tracer.page.comparison_page import compare_data
from tracer.page.folder import page_folder, write_data, write_page
from tracer.page.run_page import run_data
from tracer.page.songs_page import write_songs
from tracer.page.steering_page import steering_kind, write_steering
from tracer.run import Run

if TYPE_CHECKING:
    from tracer.long_work import Report


def write_view(
    folders: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    prompts: Sequence[int] | None = None,
    report: Report = lambda stage, done, total: None,
) -> Path:
    """Write a page with sound, which opens from the disk.

    Args:
        folders: A run, several runs to compare, or the folder of one steering run or edited recording; paths or URLs.
        out: Folder of the page; None is `page` in the folder, or in the copy here of one that lies elsewhere. Of
            several runs it is `page-FIRST-with-OTHERS` beside the first, which keeps its own page. An older page there
            is replaced.
        prompts: Indices of the prompts of runs to show; None for all.
        report: Told how far it is.

    Returns:
        The page's index.html.

    Raises:
        InputError: No folder, one that holds nothing of ours, a prompt that is not finished, or an `out` that holds
            something else.
    """
    if not folders:
        raise InputError("nothing to show: give the folder of a run")
    here = [local_folder(folder) for folder in folders]
    kinds = [steering_kind(folder) for folder in here]
    steering = next((kind for kind in kinds if kind), None)
    if steering and len(folders) > 1:
        raise InputError("several folders are shown together only where all are runs of `trace`: give one at a time")
    if steering and prompts is not None:
        raise InputError("--prompts goes with runs of `trace`: leave it out for steering")
    opened = [] if steering else [Run(folder) for folder in here]
    target = expanded(out) if out is not None else page_of(here)
    with page_folder(target) as folder:
        if steering:
            write_steering(here[0], steering, folder, lambda done, total: report("prompts", done, total))
            write_page(folder, "steering", ("player", "steering"))
        elif len(opened) == 1:
            write_run(opened[0], folder, prompts, lambda done, total: report("clips", done, total))
        else:
            write_runs(opened, folder, prompts, report)
    return target / "index.html"


def page_of(folders: Sequence[Path]) -> Path:
    """Default folder of a page: in the folder that it shows, or beside the first of several.

    A page of several runs holds sounds of them all, and so is no part of one, which may be pushed or sent alone.
    """
    if len(folders) == 1:
        return folders[0] / "page"
    first = folders[0].resolve()
    return first.parent / joint_name(f"page-{first.name}", folders)


def write_run(
    run: Run, folder: Path, prompts: Sequence[int] | None, report: Callable[[int, int], None], root: str = ""
) -> None:
    """Write the page of one run, in a folder whose scripts lie at `root`."""
    write_data(folder, "run", run_data(run) | {"others": bool(root)})
    write_songs(run, folder, prompts, report)
    write_page(folder, "run", ("player", "song", "run"), root)


def write_runs(runs: Sequence[Run], folder: Path, prompts: Sequence[int] | None, report: Report) -> None:
    """Write the page that compares runs, and the page of each below it."""
    names = [f"runs/{number}" for number in range(len(runs))]
    write_data(folder, "compare", compare_data(runs, [f"{name}/index.html" for name in names]))
    write_page(folder, "compare", ("compare",))
    for number, (run, name) in enumerate(zip(runs, names), 1):
        stage = f"clips of run {number}"
        write_run(run, folder / name, prompts, lambda done, total, stage=stage: report(stage, done, total), "../../")  # type: ignore[misc]
