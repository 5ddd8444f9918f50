"""Files of a saved model, from a folder or from the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from probes.errors import InputError


def fetch_files(
    source: str,
    names: Sequence[str],
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> dict[str, Path]:
    """Local paths of `names` in `source`, a folder or a hub id (at `revision` when given, also written id@revision).

    Raises InputError when the folder lacks a file, or the Hub cannot give one.
    """
    folder = Path(source)
    if folder.is_dir():
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise InputError(f"{source} has no {', '.join(missing)}: give a folder that save_pretrained wrote")
        return {name: folder / name for name in names}
    repository, _, pinned = source.partition("@")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return {
            name: Path(
                hf_hub_download(
                    repository,
                    name,
                    revision=revision or pinned or None,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            )
            for name in names
        }
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{source} is neither a folder nor a model the hub can give: {reason}") from error
