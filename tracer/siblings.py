"""Our packages `hooks` and `probes`, found even where files of the same name lie in Python's way.

The names are common ones, and a script's own folder comes first when Python looks for them. So a user's `hooks.py`
beside a script would be taken for ours.
"""

import sys
import warnings
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

HOME = Path(__file__).resolve().parents[1]
"""The folder that holds our packages."""
NAMES = ("hooks", "probes")


def import_siblings() -> None:
    """Import our packages, and say in one line which file of the user's they now hide.

    Raises:
        ImportError: the user's file is imported already, and cannot be both.
    """
    for name in NAMES:
        other = elsewhere(name)
        if other is None:
            continue
        if name in sys.modules:
            raise ImportError(f"{other} hides the package '{name}' of generation-tracer: rename it, or run elsewhere")
        warnings.warn(f"'{name}' is generation-tracer's package here, not {other}: rename that file", stacklevel=3)
        load(name)


def elsewhere(name: str) -> Path | None:
    """What Python finds under the name of one of our packages, if it is not ours."""
    loaded = sys.modules.get(name)
    spec = loaded.__spec__ if loaded is not None else find_spec(name)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or [])]
    found = [Path(place).resolve() for place in places if place]
    return None if any(place.is_relative_to(HOME / name) for place in found) else (found or [Path("nothing")])[0]


def load(name: str) -> ModuleType:
    """Import our package from where it lies."""
    folder = HOME / name
    spec = spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
