"""What a model needs on this machine: what is here, what is missing, what it costs to get."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tracer.generators.catalogue import PARTS, Entry, entry_of, here, missing

HERE, MISSING, UNKNOWN = "here", "missing", "not known"
READOUT_GB = 0.3
"""What `trace fit readout` writes for 10 hours of rendered music: latents, labels, autoencoder and probes."""


@dataclass(frozen=True)
class Row:
    """One thing that a model needs."""

    what: str
    state: str
    """`HERE`, `MISSING`, or `UNKNOWN` where nobody has published what would be compared."""
    size: float | None = None
    """GB to fetch or to write; None where it is not known or nothing is."""
    licence: str = ""
    command: str = ""
    """What gets it, or what to do about it."""


@dataclass(frozen=True)
class Machine:
    """What a model has to fit into."""

    card: str | None
    """Name of the GPU; None is none."""
    card_gb: float
    """Memory of the GPU."""
    disk_gb: float
    """Room on the disk that the hub's cache lies on."""


def this_machine() -> Machine:
    """The GPU that torch would take, and the room that is left for downloads."""
    import torch
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).absolute()
    disk = shutil.disk_usage(next(place for place in (cache, *cache.parents) if place.exists())).free / 1e9
    if not torch.cuda.is_available():
        return Machine(None, 0.0, disk)
    card = torch.cuda.get_device_properties(torch.cuda.current_device())
    return Machine(card.name, card.total_memory / 1e9, disk)


def examine(model: str, machine: Machine, folder: Path = Path()) -> list[Row]:
    """Every thing that tracing a model takes, in the order in which it is needed.

    Args:
        model: Name of a generator.
        machine: What it has to fit into.
        folder: Where commands would be run: `styles.safetensors` and `readouts/` are looked for there.

    Raises:
        InputError: No generator has that name.
    """
    entry = entry_of("generator", model)
    space = entry_of("space", entry.space or model)
    rows = [*packages(entry), weights_row(entry)]
    if space.source != entry.source:
        rows.append(weights_row(space))
    if entry.name == "diffrhythm":
        rows += styles(folder)
    rows.append(readout_row(space.name, folder))
    return [*rows, card_row(entry, machine), disk_row(rows, machine)]


def packages(entry: Entry) -> Iterator[Row]:
    """The extra of a generator."""
    if entry.extra is not None:
        state = MISSING if missing(entry) else HERE
        yield Row(f"packages of the extra [{entry.extra}]", state, command=install(entry.extra))


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'generation-tracer[{extra}]'"


def weights_row(entry: Entry) -> Row:
    """The weights of a generator, a latent space or a part."""
    found = here(entry)
    what = f"{entry.source or entry.name} ({entry.what})"
    if found == "your own":
        return Row(what, UNKNOWN, licence=entry.licence, command=entry.note)
    if found == "yes":
        return Row(what, HERE, entry.download, entry.licence)
    fetch = "fetched by the command that needs it (--yes)"
    if entry.source:
        file = f" {entry.file}" if entry.file.endswith((".pt", ".ckpt")) else ""
        fetch += f", or: hf download {entry.source}{file}" + (f" --revision {entry.revision}" if entry.revision else "")
    return Row(what, MISSING, entry.download, entry.licence, fetch)


def styles(folder: Path) -> Iterator[Row]:
    """What turns captions into DiffRhythm's style vectors; not needed where a style cache holds them already."""
    from tracer.generators.diffrhythm.null_style import ORIGIN, null_style_file
    from tracer.generators.diffrhythm.style import muq_trouble

    cache = folder / "styles.safetensors"
    if cache.is_file():
        yield Row(f"style vectors ({cache})", HERE)
    else:
        told = muq_trouble()
        yield Row("MuQ-MuLan runs in this environment", MISSING if told else HERE, command=told)
        for part in PARTS["diffrhythm"]:
            yield weights_row(part)
    found = null_style_file(folder)
    yield Row(
        "negative style",
        HERE if found else MISSING,
        2e-6,
        "Apache-2.0",
        "" if found else f"fetched by the run from {ORIGIN}",
    )


def readout_row(space: str, folder: Path) -> Row:
    """A readout for a latent space: the one that ships, or one that was trained into `readouts/`."""
    from probes.readout.files import SHIPPED

    own = folder / "readouts" / space
    if space in SHIPPED:
        return Row(f"readout of the space {space} (ships)", HERE)
    if (own / "config.json").is_file():
        return Row(f"readout of the space {space} ({own})", HERE)
    rendered = "" if find_spec("midirenderer") else f"; rendered music needs {install('rendering')}"
    command = f"trace fit readout --space {space} --audio rendered --hours 10 --out {own}{rendered}"
    return Row(f"readout of the space {space}", MISSING, READOUT_GB, command=command)


def card_row(entry: Entry, machine: Machine) -> Row:
    """Whether the model fits the card."""
    if machine.card is None:
        slow = "" if entry.name == "mini" else "it runs on the CPU, at minutes or hours a clip"
        return Row("a GPU", HERE if entry.name == "mini" else MISSING, command=slow or "not needed")
    what = f"{machine.card}, {machine.card_gb:.0f} GB"
    if entry.card is None:
        return Row(what, HERE if entry.name == "mini" else UNKNOWN, command="start with --batch-size auto")
    if machine.card_gb < entry.card:
        return Row(what, MISSING, command=f"{entry.name} takes {entry.card:g} GB at least")
    return Row(what, HERE, command=f"{entry.name} takes {entry.card:g} GB at least; --batch-size auto fills the rest")


def disk_row(rows: Sequence[Row], machine: Machine) -> Row:
    """Whether everything that is missing fits the disk."""
    missing_rows = [row for row in rows if row.state == MISSING]
    needed = sum(row.size or 0 for row in missing_rows)
    unknown = " and what is of unknown size" if any(row.size is None and row.licence for row in missing_rows) else ""
    what = f"disk: {machine.disk_gb:.0f} GB free, {needed:.1f} GB{unknown} to fetch or write"
    if machine.disk_gb < needed:
        return Row(what, MISSING, command="free some, or set HF_HOME to a folder on another disk")
    return Row(what, HERE)
