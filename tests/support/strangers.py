"""The installed command, and other people's files that bear the names of our packages."""

import sysconfig
from pathlib import Path

COMMAND = Path(sysconfig.get_path("scripts")) / "trace"
"""The command as it is installed beside this Python; under `accelerate launch` it is what several processes run."""


def write_strangers(folder: Path) -> Path:
    """Fill a folder with a module and packages named like ours; whoever imports one of them ends at once."""
    end = "raise SystemExit('somebody else\\'s module was imported')\n"
    (folder / "cli.py").write_text(end)
    for name in ("hooks", "probes", "tracer"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(end)
    return folder
