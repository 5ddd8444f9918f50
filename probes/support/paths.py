"""Checks of a folder for results, before any work is done for it."""

import os
from pathlib import Path

from probes.errors import InputError
from probes.support.files import expanded, sweep_temporary
from probes.support.remote import refuse_remote


def result_folder(path: str | os.PathLike[str], option: str = "--out") -> Path:
    """The folder, which need not exist yet. Nothing is created; what killed processes left in it is removed.

    Args:
        path: Where results are to lie; ~ is the home folder.
        option: How the user named it.

    Raises:
        InputError: it is a URL or a file, its name is not UTF-8 or too long, or it cannot be written.
    """
    refuse_remote(path, option)
    folder = expanded(path)
    try:
        os.fspath(folder).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{option} {ascii(str(folder))[:120]} is not UTF-8: choose another name") from error
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{option} {folder} is a file: give a folder")
        parent = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not parent.is_dir():
            raise InputError(f"{option} {folder} lies below the file {parent}: give a folder")
    except OSError as error:
        raise InputError(f"{option} {str(folder)[:80]}... cannot be used: {error.strerror}") from error
    longest = max(len(part.encode()) for part in folder.absolute().parts)
    if longest > 255:
        raise InputError(f"{option} {str(folder)[:80]}... has a name of {longest} bytes, more than 255: shorten it")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{option} {folder} cannot be written (no permission in {parent}): choose another folder")
    if folder.is_dir():
        sweep_temporary(folder)
    return folder
