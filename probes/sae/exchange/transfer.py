"""From a folder of ours to one of another library, and back from a folder or the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from probes.errors import InputError
from probes.sae.base import SparseAutoencoder
from probes.sae.exchange import dictionary_learning, saelens, sparsify
from probes.sae.exchange.fold import fold_statistics, unfold
from probes.sae.exchange.library import Library
from probes.spaces import space_class
from probes.spaces.weights import commit_of
from probes.support.files import expanded, plain_errors, write_whole
from probes.support.hub import from_hub, pinned
from probes.support.tensors import checksum

LIBRARIES: dict[str, Library] = {
    "saelens": saelens.LIBRARY,
    "dictionary_learning": dictionary_learning.LIBRARY,
    "sparsify": sparsify.LIBRARY,
}
"""Libraries by the name that `trace fit export --to` takes."""


class Found(NamedTuple):
    """The files of somebody's autoencoder."""

    library: str
    config: Path
    weights: Path
    origin: str
    """The folder, or the hub id with the folder in it."""
    revision: str | None
    """Commit of the hub repository."""


def export_sae(source: str | Path, library: str, out: str | Path) -> SparseAutoencoder:
    """Write an autoencoder of ours, from a folder or a hub id, into the folder `out` as a library keeps it.

    Returns:
        The autoencoder of ours. The library gives its features and its reconstructions on raw latents.

    Raises:
        InputError: No such library or autoencoder, an architecture that the library has not, or a folder that holds
            something else.
    """
    if library not in LIBRARIES:
        raise InputError(f"unknown library {library!r}: choose one of {', '.join(LIBRARIES)}")
    out, sae = expanded(out), SparseAutoencoder.from_pretrained(source)
    files = LIBRARIES[library].write(fold_statistics(sae))
    for name, content in files.items():
        if (out / name).exists() and not ((out / name).is_file() and (out / name).read_bytes() == content):
            raise InputError(f"{out} holds {name} of something else: choose another --out")
    for name, content in files.items():
        write_whole(out / name, content)
    return sae


def import_sae(source: str | Path, space: str, out: str | Path) -> SparseAutoencoder:
    """Write somebody's autoencoder into the folder `out` as one of ours, on latents of a space.

    Args:
        source: A folder, or a hub id with the folder in it where there is one: owner/name/folder@revision.
        space: Name of the latent space that it was trained on. What our own export wrote brings its space, which must
            be this one or have the same latents, and the revision.
        out: Where config.json and model.safetensors go; config.json says whose it is under `source`.

    Returns:
        The autoencoder, which gives the library's features on raw latents.

    Raises:
        InputError: No such space or files, an architecture without a counterpart, another number of channels than
            the space's, an export from another space, or a folder that holds another autoencoder.
    """
    source, out, codec = str(source), expanded(out), space_class(space)
    # Only the weights of some codecs say how many channels they have; training probes compares with the corpus.
    channels = getattr(codec, "channels", None)
    found = locate(source)
    folded = LIBRARIES[found.library].read(found.config, found.weights)
    if channels is not None and folded.channels != channels:
        raise InputError(
            f"{source} takes {folded.channels} numbers a frame, and latents of {space} have {channels}: give the "
            "--space that it was trained on"
        )
    if folded.space not in ("", space, *codec.compatible):
        raise InputError(f"{source} was exported from the latent space {folded.space}: give that one as --space")
    owner = {"library": found.library, "origin": found.origin, "revision": found.revision}
    sae = unfold(folded, space, owner)
    if (out / "config.json").exists() and not holds(out, sae):
        raise InputError(f"{out} holds the config.json of something else: choose another --out")
    with plain_errors(out):
        sae.save_pretrained(out)
    return sae


def holds(folder: Path, sae: SparseAutoencoder) -> bool:
    """Whether a folder holds this autoencoder."""
    try:
        there = SparseAutoencoder.from_pretrained(folder)
    except InputError:
        return False
    return there.config == sae.config and checksum(there.state_dict()) == checksum(sae.state_dict())


def locate(source: str) -> Found:
    """The config and weights of somebody's autoencoder in a folder, or in a hub repository.

    Raises:
        InputError: There are none, or the Hub cannot give them.
    """
    folder = Path(source).expanduser()
    if folder.is_file():
        raise InputError(f"{source} is a file: give the folder that holds it and its config")
    if folder.is_dir():
        return in_folder(folder, source)
    parts = pinned(source, None)[0].split("/")
    if len(parts) < 2 or not all(parts) or source.startswith((".", "~")):
        raise InputError(f"no such folder: {source} (a hub id has the form owner/name or owner/name/folder)")
    return on_the_hub(source)


def in_folder(folder: Path, source: str) -> Found:
    """The library whose weights a folder holds, with both files. Raises InputError when it holds none."""
    for name, library in LIBRARIES.items():
        config, weights = folder / library.config, folder / library.weights
        if weights.exists():
            if not config.is_file():
                raise InputError(f"{source} has {library.weights} but no {library.config}: give a whole folder")
            return Found(name, config, weights, source, None)
    raise InputError(nothing_in(source, "give the folder that does"))


def on_the_hub(source: str) -> Found:
    """As `in_folder`, in a hub repository: both files of one commit. Raises InputError when it cannot give them."""
    name, revision = pinned(source, None)
    owner, repo, *rest = name.split("/")
    repo, folder = f"{owner}/{repo}", "".join(f"{part}/" for part in rest)
    offline: InputError | None = None
    for key, library in LIBRARIES.items():
        # Where there is no network, the others may still be in the cache.
        download = {"local_files_only": True} if offline else {}
        try:
            weights = from_hub(repo, folder + library.weights, revision, **download)
        except InputError as error:
            if not isinstance(error.__cause__, EntryNotFoundError):
                raise
            if isinstance(error.__cause__, LocalEntryNotFoundError):
                offline = offline or error
            continue
        commit = commit_of(weights) or revision
        config = from_hub(repo, folder + library.config, commit, **download)
        return Found(key, config, weights, name, commit)
    raise offline or InputError(nothing_in(source, "name the folder in it that does, as owner/name/folder"))


def nothing_in(source: str, advice: str) -> str:
    """One line on a place without an autoencoder of another library, and what to do."""
    names = ", ".join(f"{library.weights} ({library.title})" for library in LIBRARIES.values())
    return f"{source} holds none of {names}: {advice}"
