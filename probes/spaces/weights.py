"""Where a codec's weights are: a file, a folder, or a repository on the Hugging Face Hub."""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from probes.errors import InputError
from probes.support.hub import from_hub, pinned


def weights_file(weights: str | None, repo: str, filename: str, revision: str | None) -> tuple[Path, str | None]:
    """A local file with a codec's weights, and the hub commit it came from (None for a local one).

    Args:
        weights: A file, a folder that holds `filename`, a hub id (id@revision to pin it), or None for `repo`.
        repo: Hub id of the released weights.
        filename: Name of the file in a folder or repository.
        revision: Branch, tag or commit of the repository.

    Raises:
        InputError: there is no such file, or the Hub cannot give it.
    """
    if weights is not None and (path := local(weights)) is not None:
        if path.is_file():
            return path, None
        if not (path / filename).is_file():
            raise InputError(f"{path} has no {filename}: give the file itself or the folder that holds it")
        return path / filename, None
    path = from_hub(weights or repo, filename, revision)
    return path, commit_of(path)


def local(weights: str) -> Path | None:
    """The path when `weights` is one, None when it can only be a hub id ("owner/name").

    Raises:
        InputError: neither an existing path nor of the form of a hub id.
    """
    path = Path(weights).expanduser()
    if path.exists():
        return path
    if weights.count("/") != 1 or weights.startswith((".", "/", "~")) or path.suffix in (".pt", ".th", ".ckpt"):
        raise InputError(f"no such file or folder: {weights}")
    return None


def place_of(weights: str, revision: str | None) -> tuple[str, str | None]:
    """A path as it is; a hub id with the revision that stands in it, or else the one given.

    Raises:
        InputError: neither an existing path nor of the form of a hub id.
    """
    return (weights, revision) if local(weights) is not None else pinned(weights, revision)


def commit_of(path: Path) -> str | None:
    """The commit in the path of a file in the Hub's cache (.../snapshots/COMMIT/...)."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None


def load_strict(module: nn.Module, state: dict[str, Tensor], source: object) -> None:
    """Load every tensor of a module, and nothing else.

    Raises:
        InputError: names the keys that are missing, unexpected or of another shape.
    """
    own = module.state_dict()
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    complaints = [
        f"{what} {few(keys)}"
        for what, keys in (
            ("missing", [key for key in own if key not in state]),
            ("unexpected", [key for key in state if key not in own]),
            ("of another shape", shapes),
        )
        if keys
    ]
    if complaints:
        raise InputError(f"{source} does not fit: {'; '.join(complaints)}")
    module.load_state_dict(state)


def number_among(value: object, choices: Iterable[float]) -> float | None:
    """A number or its text as one of some numbers, None when it is none of them."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if number in choices else None


def few(keys: Iterable[str]) -> str:
    """The first three of some keys and how many more there are."""
    names = list(keys)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
