"""Tell when a file of the user hides one of our packages: their names are short, and a script's folder comes first."""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]


class HiddenPackageError(ImportError):
    """A module that Python would import in place of ours."""


def refuse_hidden_packages() -> None:
    """Check that `hooks` and `probes` are those that stand beside this package.

    Raises:
        HiddenPackageError: Another file of that name comes first on `sys.path`, or is imported already.
    """
    for name in ("hooks", "probes"):
        file = file_of(name)
        if file is not None and Path(file).resolve() != (ROOT / name / "__init__.py").resolve():
            place = Path(file).parent if Path(file).name == "__init__.py" else Path(file)
            raise HiddenPackageError(
                f"the package `{name}` of generation-tracer is hidden by {place}: rename it or run from another folder"
            )


def file_of(name: str) -> str | None:
    """The file that `import name` takes; None where it has none."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    spec = find_spec(name)
    return None if spec is None else spec.origin
