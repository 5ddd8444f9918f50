"""One take at a time: generated in the background, its readings handed over state by state."""

from __future__ import annotations

import hashlib
import json
import queue
import re
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from hooks import Event
from tracer.prompts import Prompt
from tracer.steering.edits import edits_from_specs
from tracer.steering.spec import parse_edit

if TYPE_CHECKING:
    from tracer.options import SessionOptions
    from tracer.session import Session

_generating = threading.Lock()
"""Held by the take that is being generated: hooks act on whatever goes through their sampler."""


@dataclass
class Take:
    """A generation as far as it is."""

    curves: dict[str, list[float]] = field(default_factory=dict)
    """For each attribute whose classes have an order, the mean reading of the clean estimate at every state so far, as
    a class."""
    audio: np.ndarray | None = None
    """The finished sound [channels, samples]; None until then."""


class Left(Exception):
    """Ends a sampling that nobody waits for any more."""


def make_take(session: Session, caption: str, seed: int, edits: Sequence[str] = ()) -> Iterator[Take]:
    """Generate a caption from a seed, and yield the take after every state and when it is finished.

    It is the clip that `trace --seed` makes of that caption as its first prompt. One take is generated at a time.
    Closing the iterator ends the take at its next state, and waits for that.

    Args:
        session: Generator and readout.
        caption: What to generate.
        seed: Seed of the noise.
        edits: Edits that act on it, as `parse_edit` reads them.

    Raises:
        InputError: A caption or an edit that cannot work.
    """
    prompt = Prompt(0, "explore", " ".join(caption.split()))  # as from a file of prompts
    session.generator.check([prompt.caption], session.guidance)
    acting = edits_from_specs(edits, session.readout, session.guided, session.song())
    own = replace(session, seed=seed, prompts=[prompt])
    found: queue.Queue[Mapping[str, float] | np.ndarray | BaseException] = queue.Queue()

    left = threading.Event()

    def watch(event: Event) -> None:
        if left.is_set():
            raise Left
        assert event.endpoint is not None
        found.put(mean_readings(session, event.endpoint, event.mask))

    def work() -> None:
        try:
            with _generating:
                latents = own.generate([prompt], acting, watch)
                audio, _ = own.listen([prompt], latents, [])
            found.put(audio[0][:, : round(own.seconds * own.generator.sample_rate)])
        except BaseException as error:  # handed to whoever waits for the take
            found.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    take = Take({name: [] for name in ordered_attributes(session)})
    try:
        while take.audio is None:
            item = found.get()
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, np.ndarray):
                take.audio = item
            else:
                for name, value in item.items():
                    take.curves[name].append(value)
            yield take
    finally:
        left.set()
        thread.join()


def ordered_attributes(session: Session) -> list[str]:
    """The attributes that have a curve: those with a probe whose classes have an order."""
    return [name for name in session.readout.attributes if name in session.readout.ordered]


def mean_readings(session: Session, latents: torch.Tensor, mask: torch.Tensor | None) -> dict[str, float]:
    """Mean reading of each attribute whose classes have an order, as a class, of latents [1, F, C] in the frames that
    count [1, F].
    """
    shares = session.readout(latents, mask)
    return {
        name: float((shares[name][0] * torch.arange(shares[name].shape[1]).to(shares[name])).sum())
        for name in ordered_attributes(session)
    }


def edit_texts(doses: Mapping[str, float], window: tuple[float, float], hold: bool) -> list[str]:
    """Edits from the dose of each attribute, positive for more of it and negative for less; 0 is none.

    Args:
        doses: In classes along the attribute's axis.
        window: Flow times between which they act.
        hold: Whether the readings of all attributes without a dose are kept.
    """
    kept = [name for name, dose in doses.items() if not dose] if hold else []
    texts = []
    for name, dose in doses.items():
        if dose:
            parts = [f"{name}={'+' if dose > 0 else '-'}", f"alpha={abs(dose):g}"]
            parts += [f"from={window[0]:g}", f"to={window[1]:g}", *(["hold=" + "+".join(kept)] if kept else [])]
            texts.append(str(parse_edit(",".join(parts))))
    return texts


def repeating_command(
    session: Session, caption: str, seed: int, edits: Sequence[str], options: SessionOptions | None = None
) -> str:
    """The commands that make the steered take again, as a run with its curves in a folder of its own.

    Args:
        session: Generator and readout.
        caption: What was generated; a line break in it stays part of the one prompt.
        seed: Seed of the noise.
        edits: Edits that acted on it.
        options: What the session was opened with; None leaves the model's own weights, readout and settings.
    """
    words = ["trace", "--model", session.generator.name, "--prompts", "prompt.jsonl", "--seed", str(seed)]
    words += ["--steps", str(session.steps)]
    words += ["--seconds", number_word(session.seconds), "--guidance", number_word(session.guidance)]
    words += [] if options is None else given_words(session, options)
    words += [word for edit in edits for word in ("--steer", edit)]
    words += ["--out", f"runs/{take_name(caption, words)}"]
    line = json.dumps({"caption": caption}, ensure_ascii=False)
    return f"printf '%s\\n' {shlex.quote(line)} > prompt.jsonl\n{shlex.join(words)}"


def given_words(session: Session, options: SessionOptions) -> list[str]:
    """Words of a command for what a session was opened with, where it is not what `trace` takes by itself."""
    own = {
        "weights": options.weights,
        "readout": None if options.readout is None else session.readout.source,
        "dtype": None if options.dtype == "auto" else options.dtype,
        "device": None if options.device == "auto" else options.device,
    }
    words = [word for name, value in own.items() if value is not None for word in (f"--{name}", str(value))]
    return words + [word for key, value in (options.options or {}).items() for word in ("--set", f"{key}={value}")]


def number_word(value: float) -> str:
    """A number as a word of a command, with all its digits."""
    return str(value).removesuffix(".0")


def take_name(caption: str, words: Sequence[str]) -> str:
    """Name of the folder of a take: the first words of its caption, and a hash of everything that makes it."""
    start = "-".join(["explore", *re.findall(r"[a-z0-9]+", caption.lower())[:4]])[:48]
    digest = hashlib.blake2b(json.dumps([caption, *words]).encode(), digest_size=4).hexdigest()
    return f"{start}-{digest}"
