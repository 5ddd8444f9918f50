"""Which files train, validate and test: by content, so that a file is in the same part wherever it lies."""

import string
from collections.abc import Sequence
from pathlib import PurePath

from probes.errors import InputError

SPLITS = ("train", "val", "test")
WORDS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "eval": "test", "evaluation": "test"}
"""Other words for the splits; `dev` and `eval` as challenges use them."""


def split_named(word: str) -> str:
    """The split that a word means.

    Raises:
        InputError: It means none.
    """
    split = WORDS.get(word.strip().lower(), word.strip().lower())
    if split not in SPLITS:
        raise InputError(f"unknown split {word!r}: use train, val (valid, validation, dev) or test (eval)")
    return split


def held_out(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The split of each file when some, named with or without their suffix, test and all others train.

    Raises:
        InputError: no file has a name that is wanted.
    """
    unknown = set(wanted).difference(*(called(name) for name in names))
    if unknown:
        raise InputError(f"no file is called {min(unknown)}: hold out one of {', '.join(names[:5])}")
    return [split_beside(name, wanted) for name in names]


def split_beside(name: str, wanted: Sequence[str]) -> str:
    """The split of one file, when those that are wanted test."""
    return "test" if called(name) & set(wanted) else "train"


def called(name: str) -> set[str]:
    """What a file may be called: its name, with its suffix or without."""
    return {name, PurePath(name).stem}


def is_hash(text: str) -> bool:
    """Whether a text can be the hash of a content: hexadecimal."""
    return text != "" and all(letter in string.hexdigits for letter in text)


def position(content_hash: str) -> float:
    """A hexadecimal hash as a number in [0, 1)."""
    return int(content_hash[:12], 16) / 16**12


def assign(
    content_hashes: Sequence[str],
    given: Sequence[str | None],
    shares: tuple[float, float] = (0.1, 0.1),
) -> list[str]:
    """The split of each file.

    A given split stands. The others go by their hash: the lowest tenth of all possible hashes is "val", the next
    tenth "test", the rest "train", so files added later do not move those already there. One exception: when a split
    stays empty and there were three files or more to place, what has the lowest hash of the fullest split goes there.
    Files of equal hashes, copies of one recording, always share a split.

    Args:
        content_hashes: Hexadecimal, one per file.
        given: "train", "val", "test" or None, one per file.
        shares: Shares of "val" and "test".
    """
    splits = list(given)
    free = [index for index, split in enumerate(given) if split is None]
    val, test = shares
    for index in free:
        at = position(content_hashes[index])
        splits[index] = "val" if at < val else "test" if at < val + test else "train"
    for wanted in SPLITS:
        if wanted not in splits and len(free) >= 3:
            placed = [splits[index] for index in free]
            fullest = max(SPLITS, key=placed.count)
            rest = [index for index in free if splits[index] == fullest]
            lowest = min(content_hashes[index] for index in rest)
            for index in rest:
                if content_hashes[index] == lowest:
                    splits[index] = wanted
    return [split for split in splits if split is not None]
