"""A run as a dataset on the hub: pushed with a card, pulled into a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probes.errors import InputError
from probes.support.files import expanded, plain_errors
from probes.support.hub import pinned
from probes.support.identity import require_same
from probes.support.remote import refuse_remote
from tracer.generators.catalogue import ENTRIES
from tracer.run import Run, finish_run

HEADER = "run.json"
LEFT_HERE = ["**/.*", ".*", "*.damaged", "**/*.damaged", "page/*"]
"""Files that are not pushed: leftovers, and the page, which is made from the others."""


def push_run(folder: str | os.PathLike[str], repo: str, public: bool = False) -> str:
    """Upload a run as a dataset; a repository that holds the same run is brought up to date.

    Args:
        folder: Run folder.
        repo: Hub id, owner/name; made where it does not exist.
        public: Make a new repository public. An existing one stays what it is.

    Returns:
        The address of the dataset.

    Raises:
        InputError: Not a run, or one without a finished prompt; a repository that holds something else; or the hub
            refuses.
    """
    from huggingface_hub import HfApi

    run = Run(folder)
    if not run.n:
        raise InputError(f"{folder} has no finished prompt yet: trace some first")
    run = finish_run(run.path)
    api = HfApi()
    with hub_errors(repo, "push to"):
        address = api.create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
        if api.file_exists(repo, HEADER, repo_type="dataset"):
            there = read_header(Path(api.hf_hub_download(repo, HEADER, repo_type="dataset")))
            here = read_header(run.path / HEADER)
            require_same(f"the dataset {repo}", "a run", there, here)
        api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=run.path,
            ignore_patterns=[*LEFT_HERE, "README.md"],
            commit_message=f"{run.n} prompts",
        )
        api.upload_file(
            path_or_fileobj=card(run, repo).encode(),
            path_in_repo="README.md",
            repo_id=repo,
            repo_type="dataset",
            commit_message="Card",
        )
    return str(address)


def pull_run(repo: str, out: str | os.PathLike[str]) -> Run:
    """Download a run that was pushed; what an interrupted download has fetched already is kept for the next one.

    Args:
        repo: Hub id, with `@revision` to pin it.
        out: Folder that does not exist yet, or is empty.

    Raises:
        InputError: `out` holds something; no such dataset, or one that is no run; or the hub refuses.
    """
    from huggingface_hub import HfApi

    refuse_remote(out)
    folder = expanded(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--out {folder} is there already: choose a new folder")
    name, revision = pinned(repo, None)
    unfinished = folder.absolute().with_name(f".{folder.absolute().name}.pull")
    with plain_errors(folder), hub_errors(repo, "pull"):
        HfApi().snapshot_download(name, repo_type="dataset", revision=revision, local_dir=unfinished)
    shutil.rmtree(unfinished / ".cache", ignore_errors=True)
    try:
        Run(unfinished)
    except InputError as error:
        shutil.rmtree(unfinished)
        raise InputError(f"the dataset {repo} is no run that `trace push` made") from error
    with plain_errors(folder):
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    return Run(folder)


def read_header(path: Path) -> dict[str, object]:
    """What decides about a run: its options and its prompts. Raises InputError for a file that does not hold them."""
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        return {"prompts": header["prompts"], **header["options"]}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path.name} there is not that of a run: choose another repository") from error


@contextmanager
def hub_errors(repo: str, doing: str) -> Iterator[None]:
    """Turn what the hub refuses, and a hub that cannot be reached, into one line; errors of files here stay theirs."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    transport: type[Exception] = HfHubHTTPError.__bases__[0]  # of the library that the hub's client sends with
    unreachable = f"cannot {doing} {repo}: the hub cannot be reached"
    try:
        yield
    except HFValidationError as error:
        raise InputError(f"{repo} is not a hub id: give owner/name") from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise InputError(unreachable) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        advice = "log in with `hf auth login`, with a token that may write" if status in (401, 403) else "check the id"
        raise InputError(f"cannot {doing} {repo} ({type(error).__name__}, {status}): {advice}") from error
    except (transport, OSError) as error:
        of_a_file = (getattr(error, "errno", None) or 0) > 0 and not isinstance(error, ConnectionError | TimeoutError)
        if of_a_file:
            raise
        raise InputError(unreachable) from error


def card(run: Run, repo: str) -> str:
    """README.md of the dataset: what was traced, with which options, what settled when, and how to open it."""
    from huggingface_hub import DatasetCardData

    tables = {"readings": "shards/*.parquet", "frames": "frames/*.parquet", "prompts": "prompts.csv"}
    data = DatasetCardData(
        pretty_name=f"Trace of {run.options.get('model', 'a model')}",
        tags=["generation-tracer", "music", "audio", "interpretability"],
        configs=[
            {"config_name": name, "data_files": files}
            for name, files in tables.items()
            if name != "frames" or run.reader.frames
        ],
    )
    model = str(run.options.get("model", ""))
    licence = next((entry.licence for entry in ENTRIES if (entry.kind, entry.name) == ("generator", model)), None)
    options = "\n".join(f"{key}: {json.dumps(value)}" for key, value in sorted(run.options.items()))
    lines = [
        f"---\n{data.to_yaml()}\n---\n",
        f"# Trace of {model or 'a model'}, {run.n} prompts\n",
        "When does a text-to-music model decide what it will sound like? Class distributions of acoustic attributes at "
        "every state of the sampler, read with a sparse autoencoder and linear probes (generation-tracer).\n",
        "![Agreement and closeness over the states](emergence.png)\n",
        f"```\n{repr(run).replace(str(run.path), repo)}\n```\n",
        "## Options\n",
        f"```\n{options}\n```\n",
        f"Prompts: {run.reader.about.get('prompts', 'not known')}."
        + (f" Licence of the model's weights: {licence}." if licence else "")
        + "\n",
        "## Open it\n",
        f"```\ntrace pull {repo} --out runs/pulled\n```\n",
        f'```python\nimport datasets\n\nrows = datasets.load_dataset("{repo}", "readings", split="train")\n```\n',
    ]
    return "\n".join(lines)
