"""Files of saved models: from a folder, or from the Hugging Face Hub and its cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from probes.errors import InputError
from probes.support.files import expanded


def from_hub(repo: str, filename: str, revision: str | None = None, **download: Any) -> Path:
    """One file of a hub repository, from the local cache when it is there.

    Args:
        revision: Branch, tag or commit; an id may bring its own, as owner/name@revision.
        download: cache_dir, force_download, local_files_only, token, as for `huggingface_hub.hf_hub_download`.

    Raises:
        InputError: one line on why the Hub did not give it, and what to do.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, revision = pinned(repo, revision)
    try:
        return Path(hf_hub_download(name, filename, revision=revision, **download))
    except HFValidationError as error:
        raise InputError(f"{repo} is neither a path that exists nor a hub id (owner/name)") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise InputError(hub_message(repo, filename, error)) from error


def fetch_files(source: str, names: Sequence[str], revision: str | None = None, **download: Any) -> dict[str, Path]:
    """Local paths of `names` in `source`, a folder or a hub id; `revision` and `download` as in `from_hub`.

    Raises InputError when the folder lacks a file, or the Hub cannot give one.
    """
    folder = expanded(source)
    if folder.is_dir():
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise InputError(f"{source} has no {', '.join(missing)}: give a folder that save_pretrained wrote")
        return {name: folder / name for name in names}
    if "/" not in source:
        raise InputError(f"there is no folder {source}: give one that exists, or a hub id (owner/name)")
    repo = pinned(source, None)[0] if revision else source  # what is asked for goes before what the id brings
    return {name: from_hub(repo, name, revision, **download) for name in names}


def pinned(source: str, revision: str | None) -> tuple[str, str | None]:
    """A hub id and its revision, which may stand in the id itself: "owner/name@revision"."""
    name, _, at = source.partition("@")
    return name, at or revision


def hub_message(source: str, filename: str, error: Exception) -> str:
    """One line on why the Hub did not give a file, and what to do."""
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return f"{source} is gated: accept its licence on huggingface.co and run `hf auth login`, then try again"
    if kind == "RevisionNotFoundError":
        return f"{source} has no such revision: give a branch, tag or commit that exists"
    if kind in ("RepositoryNotFoundError", "RemoteEntryNotFoundError"):
        return f"{source} on the Hub has no {filename}, or needs a login: check the id, or pass a path to the weights"
    return f"cannot download {filename} of {source} from the hub ({kind}): go online once, or pass a path instead"
