"""A copy of what an installation is built from: nothing is written beside the sources, nothing stale gets in."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("hooks", "probes", "tracer")


def copy_sources(folder: Path) -> Path:
    """Copy the packages and what their build reads into an empty folder."""
    for name in (*ROOMS, "cli.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder
