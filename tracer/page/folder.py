"""The folder of a page: plain files that open from the disk, ask nothing of the network and can be zipped.

A page opened from the disk may not read other files as data, but it may load scripts. So everything that it shows lies
in scripts of the form `Page.receive(name, content)`, and what belongs to one clip or a few features in a file of its
own, loaded when it is needed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from probes.errors import InputError
from probes.support.files import finite, plain_errors, sweep_temporary, write_whole
from probes.support.remote import refuse_remote

MARK = "page.json"
"""File by which a page of ours is known, so that no other folder is ever replaced."""

TITLES = {"run": "Trace", "compare": "Runs compared", "steering": "Steering", "features": "Features"}
"""Title of each template, until the page knows a better one."""


@contextmanager
def page_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write a page into, and put it in the place of an older page when the block ends well.

    Raises:
        InputError: `path` holds something else than a page, or cannot be written.
    """
    refuse_remote(path)
    if path.exists() and not (path / MARK).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} holds something else than a page: choose another --out")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with plain_errors(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            write_whole(temporary / MARK, b'{"made_by": "generation-tracer"}\n')
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    sweep_temporary(path.parent)


def write_page(folder: Path, name: str, scripts: Sequence[str], root: str = "") -> None:
    """Write a page from its template, with the scripts that it needs.

    Args:
        folder: Folder of the page.
        name: Name of the template, such as "run"; the page is index.html.
        scripts: Names of our scripts beside page.js.
        root: Path from this page to the folder that has the scripts, such as "../../"; "" is its own.
    """
    if not root:
        for asset in ("page.css", "page.js"):
            write_whole(folder / asset, _asset(asset))
        from plotly.offline import get_plotlyjs

        write_whole(folder / "plotly.min.js", get_plotlyjs().encode())
    for script in scripts:
        target = (folder / root / f"{script}.js").resolve()
        if not target.exists():
            write_whole(target, _asset(f"{script}.js"))
    sources = ("plotly.min", "page", *scripts)
    loaded = "\n".join(f'<script src="{root}{source}.js"></script>' for source in sources)
    parts = {"title": TITLES[name], "root": root, "body": _asset(f"{name}.html").decode(), "scripts": loaded}
    html = _asset("frame.html").decode()
    for part, text in parts.items():
        html = html.replace("{{" + part + "}}", text)
    write_whole(folder / "index.html", html.encode())


def _asset(name: str) -> bytes:
    return (files("tracer.page") / "assets" / name).read_bytes()


def write_data(folder: Path, name: str, content: Any) -> None:
    """Write data/NAME.js, which hands `content` to the page. Numbers that are not finite become null."""
    text = json.dumps(finite(content), separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    write_whole(folder / "data" / f"{name}.js", f"Page.receive({json.dumps(name)},{text});\n".encode())


def bring(source: Path, target: Path) -> None:
    """Bring a file into the page: as a link to the same bytes where the disk can, otherwise as a copy."""
    with plain_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def bring_as_ogg(source: Path, target: Path) -> None:
    """Bring a WAV file into the page as Ogg Vorbis."""
    from probes.support.audio_files import read_audio
    from probes.support.ogg import write_ogg

    write_ogg(target, *read_audio(source))
