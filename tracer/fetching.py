"""What a command is about to fetch, known before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tracer.generators.catalogue import PARTS, Entry, entry_of, here
from tracer.options import SessionOptions


def of_session(options: SessionOptions, decoded: bool) -> list[Entry]:
    """The released weights that a run needs and that are not on this machine.

    What the user names (`--weights`, `--set vae=`) was chosen already and is not listed.

    Args:
        options: Those of the run.
        decoded: Whether latents are decoded, which takes the codec.

    Raises:
        InputError: Captions without a style vector, and MuQ-MuLan does not run here; or prompts that cannot be read.
    """
    if not isinstance(options.generator, str):
        return []
    entry = entry_of("generator", options.generator)
    given = dict(options.options or {})
    wanted = [entry] if options.weights is None else []
    if decoded and "vae" not in given and entry.space is not None:
        space = entry_of("space", entry.space)
        wanted += [space] if space.source != entry.source else []
    if entry.name == "diffrhythm":
        wanted += style_models(options, given)
    return [one for one in wanted if here(one) == "no"]


def of_space(name: str, weights: str | None) -> list[Entry]:
    """The codec of a latent space, where it is the released one and not on this machine."""
    entry = entry_of("space", name)
    return [entry] if weights is None and here(entry) == "no" else []


def of_collection(audio: str | None, root: Path | None, part: str | None, hours: float) -> list[Entry]:
    """The audio of a collection that is named without a folder, where the hub has a mirror of it."""
    from probes.corpus.collections import COLLECTIONS
    from probes.corpus.job import from_hub

    collection = COLLECTIONS.get(audio or "")
    if collection is None or collection.mirror is None or not from_hub(audio, root):
        return []
    mirror, part = collection.mirror, collection.part_named(part)
    size = hours * mirror.gigabytes[part]
    what = f"{hours:g} hours of {collection.title}"
    return [Entry("data", what, what, collection.licence, "-", "-", mirror.address, download=size)]


def style_models(options: SessionOptions, given: Mapping[str, str]) -> Iterator[Entry]:
    """MuQ-MuLan and what it loads, where captions lack a style vector."""
    from probes.errors import InputError
    from tracer.generators.diffrhythm.style import StyleCache, muq_trouble
    from tracer.prompts import choose_prompts

    cache = StyleCache.open(given.get("style_cache") or "styles.safetensors")
    prompts = choose_prompts(options.prompts, options.n, options.seed, options.balanced)
    captions = [prompt.caption for prompt in prompts]
    if not cache.missing(captions):
        return
    if muq_trouble():
        cache.get(captions)  # says how many captions lack one, and where they can be made
        raise InputError(muq_trouble())
    yield from PARTS["diffrhythm"]
