"""`trace fit encode`: from what a user asked for to a corpus and its summary."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from probes.attributes import ATTRIBUTES, get_attribute
from probes.corpus import Corpus
from probes.corpus.collections import NAMES, Taken, collect, collect_from_hub
from probes.corpus.sources import Source, audio_sources, rendered_sources
from probes.corpus.split import held_out, split_beside
from probes.corpus.summary import summarise
from probes.corpus.writer import write_summary
from probes.errors import InputError
from probes.support.devices import in_float32
from probes.support.pairs import key_values
from probes.support.paths import result_folder

LABELS = ("measured", "annotation")
OF_AUDIO = {
    "weights": "--weights", "options": "--set", "attributes": "--attributes", "pitch_tracker": "--pitch-tracker",
    "onset_detector": "--onset-detector", "hours": "--hours", "root": "--root", "part": "--part", "labels": "--labels",
    "config": "--config", "workers": "--workers", "device": "--device",
}  # fmt: skip
"""Options that say what to make of audio, as they are typed."""
Progress = Callable[[str, int, int | None], None]
"""(stage, done, total): how much of the work is done."""


@dataclass(frozen=True)
class EncodeOptions:
    """The options of `trace fit encode`; its help says what they mean."""

    out: Path
    audio: str | None = None
    latents: Path | None = None
    space: str = "mini"
    weights: str | None = None
    options: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ("pitch", "loudness", "timbre")
    pitch_tracker: str = "full"
    onset_detector: str = "librosa"
    hours: float = 1.0
    root: Path | None = None
    part: str | None = None
    labels: str = "measured"
    config: str | None = None
    hold_out: tuple[str, ...] = ()
    workers: int = 1
    dtype: str = "float32"
    device: str = "auto"


@in_float32
def encode_corpus(
    options: EncodeOptions,
    progress: Progress | None = None,
    on_taken: Callable[[Sequence[Taken]], None] = lambda _: None,
) -> dict[str, Any]:
    """Make or continue a corpus. A file that cannot be encoded is left out, with a warning.

    Args:
        options: What is asked for.
        progress: Told how much of the work is done.
        on_taken: Told what is taken of data sets by name, before anything is encoded.

    Returns:
        The summary, which is also written beside the corpus.

    Raises:
        InputError: a mistake in the options, or no file that could be encoded.
    """
    if (options.audio is None) == (options.latents is None):
        raise InputError("give either --audio or --latents")
    refuse_idle(options)
    options = replace(options, out=result_folder(options.out))
    if options.labels not in LABELS:
        raise InputError(f"--labels is {' or '.join(LABELS)}, not {options.labels!r}")
    check_labels(options)
    if options.workers < 1:
        raise InputError(f"--workers must be at least 1, not {options.workers}")
    skipped: list[str] = []
    if options.latents is not None:
        from probes.corpus.ready_latents import import_latents

        corpus = import_latents(
            options.latents, options.out, options.space, options.hold_out, options.dtype, skipped.append
        )
    else:
        skipped = encode_audio(options, str(options.audio), progress, on_taken)
        corpus = Corpus.open(options.out)
    summary = summarise(corpus, skipped)
    write_summary(options.out, summary)
    return summary


def refuse_idle(options: EncodeOptions) -> None:
    """Raise InputError for an option of audio beside latents that are ready, where it would do nothing."""
    for option in fields(EncodeOptions) if options.latents is not None else ():
        if option.name in OF_AUDIO and getattr(options, option.name) != option.default:
            raise InputError(f"{OF_AUDIO[option.name]} has no meaning beside --latents: leave it out")


def check_labels(options: EncodeOptions) -> None:
    """Refuse labels that cannot be had, before any weights are loaded.

    Raises:
        InputError: no annotation comes with the audio, or none of the attributes is measured or known from one.
    """
    get_attribute("onset", detector=options.onset_detector)
    get_attribute("pitch", model=options.pitch_tracker)
    attributes = [get_attribute(name) for name in options.attributes]
    if options.labels == "annotation":
        if options.root is None and options.audio not in ("rendered", *NAMES):
            raise InputError(
                "--labels annotation takes labels from annotations: take a data set by name with --audio, or "
                "--audio rendered"
            )
        if not any(attribute.notated for attribute in attributes):
            told = ", ".join(name for name in ATTRIBUTES if get_attribute(name).notated)
            raise InputError(f"--labels annotation takes labels from annotations, which say {told}: name one of these")
        return
    for attribute in attributes:
        if not attribute.measurable:
            raise attribute.not_measurable()


def encode_audio(
    options: EncodeOptions, audio: str, progress: Progress | None, on_taken: Callable[[Sequence[Taken]], None]
) -> list[str]:
    """Encode the audio into the corpus; returns a line for each file that was left out."""
    from probes.corpus.encoding import Encoded, Recipe, encode_into
    from probes.support.devices import pick_device

    device = pick_device(options.device)
    recipe = Recipe(
        space=options.space,
        weights=options.weights,
        device=device,
        options=key_values(options.options),
        attributes={name: attribute_options(name, options, device) for name in options.attributes},
        threads=threads_each(options.workers),
        annotated=options.labels == "annotation",
    )
    sources = find_sources(options, audio, on_taken)
    if options.hold_out:
        sources = holding_out(sources, options.hold_out)
    done, total = 0, len(sources) if isinstance(sources, list) else None

    def report(result: Encoded | None) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("encoding", done, total)
        if result is not None and result.error:
            warnings.warn(f"left out: {result.error}", stacklevel=2)

    failed = encode_into(options.out, sources, recipe, options.workers, options.dtype, report)
    if failed and not any_finished(options.out):
        raise InputError(f"none of the {len(failed)} files could be encoded; the first: {failed[0].error}")
    return [str(result.error) for result in failed]


def holding_out(sources: "list[Source] | Iterator[Source]", wanted: Sequence[str]) -> "list[Source] | Iterator[Source]":
    """Sources of which some, named with or without their suffix, test and all others train.

    Of a data set that streams, one at a time, a name that no source had is told at its end.

    Raises:
        InputError: no source has a name that is wanted.
    """
    if isinstance(sources, list):
        splits = held_out([source.name for source in sources], wanted)
        return [replace(source, split=split) for source, split in zip(sources, splits)]

    def as_they_come() -> "Iterator[Source]":
        names = []
        for source in sources:
            names.append(source.name)
            yield replace(source, split=split_beside(source.name, wanted))
        held_out(names, wanted)

    return as_they_come()


def find_sources(
    options: EncodeOptions, audio: str, on_taken: Callable[[Sequence[Taken]], None]
) -> "list[Source] | Iterator[Source]":
    """The audio that `--audio` names."""
    if options.root is not None:
        there, taken = collect(audio, options.root, options.part)
        on_taken(taken)
        return there
    if from_hub(audio, options.root):
        streamed, taken = collect_from_hub(audio, options.part, options.hours)
        on_taken(taken)
        return streamed
    if audio == "rendered":
        if Path(audio).exists():
            raise InputError(
                "rendered is music to render and a folder here too: give --audio ./rendered for it, or rename it"
            )
        from probes.spaces import space_class

        return rendered_sources(options.hours, getattr(space_class(options.space), "sample_rate", 44100))
    return audio_sources(audio, config=options.config, part=options.part or "train")


def from_hub(audio: str | None, root: Path | None) -> bool:
    """Whether `--audio` names a collection that is not on this machine."""
    return root is None and audio in NAMES and not Path(str(audio)).exists()


def attribute_options(name: str, options: EncodeOptions, device: str) -> dict[str, Any]:
    """Options for the class of an attribute."""
    own: dict[str, dict[str, Any]] = {
        "pitch": {"model": options.pitch_tracker, "device": device},
        "onset": {"detector": options.onset_detector},
    }
    get_attribute(name, **own.get(name, {}))  # tells of an unknown or missing one before any weights are loaded
    return own.get(name, {})


def threads_each(workers: int) -> int | None:
    """Threads of each of several workers, so that together they use the machine once."""
    import torch

    return None if workers == 1 else max(1, torch.get_num_threads() // workers)


def any_finished(path: Path) -> bool:
    """Whether a corpus has a finished file."""
    from probes.corpus.index import read_index

    return bool(read_index(path))
