"""Options of one generator or latent space alone, given as KEY=VALUE."""

from collections.abc import Iterable

from probes.errors import InputError


def key_values(pairs: Iterable[str] | None) -> dict[str, str]:
    """KEY=VALUE texts as a dictionary; InputError for a text without a key or an equals sign."""
    values = {}
    for pair in pairs or ():
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise InputError(f"--set takes KEY=VALUE, got {pair!r}")
        values[key.strip()] = value.strip()
    return values
