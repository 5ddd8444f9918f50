"""Options of a run: the one list of their names, defaults, meanings and checks.

`trace` and `run_dose` take them as arguments, the command line builds its flags and its help from them, and `run.json`
records them.
"""

import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from probes.errors import InputError
from tracer.batching import AUTO
from tracer.curves import RAW, TRAINED, UNTRAINED, VIEWS

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator

DTYPES = ("auto", "float32", "bfloat16", "float16")
MOST_STEPS = 10_000
"""More sampler states than any model is run with: a number beyond is a slip, and its grid alone takes minutes."""


def option(
    default: Any,
    help: str,
    *,
    flags: str | None = None,
    typed: Any = None,
    shown: str | None = None,
    bare: str | None = None,
) -> Any:
    """A field of an options class.

    Args:
        default: Its default.
        help: What it means, as `--help` says it.
        flags: Names on the command line, separated by spaces; None is the field's own name.
        typed: Its type on the command line; None is the type of the default.
        shown: What `--help` shows as the default; None is the default itself, "" nothing.
        bare: Value of the flag where it is given without one; None where it must have one.
    """
    about = {"help": help, "flags": flags, "typed": typed, "shown": shown, "bare": bare}
    return field(default=default, metadata=about)


def flags_of(entry: "Field[Any]") -> list[str]:
    """Names on the command line of a field of an options class."""
    return (entry.metadata["flags"] or f"--{entry.name.replace('_', '-')}").split()


NUMBERS: dict[type, tuple[Callable[[Any], Any], str]] = {
    bool: (bool, "true or false"),
    int: (operator.index, "a whole number"),
    float: (float, "a number"),
}
"""What makes Python's own number of numpy's or torch's, and what it is called."""


def plain_number(entry: "Field[Any]", value: Any) -> Any:
    """The value of a field of numbers as Python's own number, as JSON keeps it; the value of any other as it is.

    Raises:
        InputError: the value is no such number.
    """
    kinds = get_args(entry.type) or (entry.type,)
    kind = next((kind for kind in NUMBERS if kind in kinds), None)
    if kind is None or (value is None and type(None) in kinds) or (isinstance(value, str) and str in kinds):
        return value
    read, name = NUMBERS[kind]
    try:
        if isinstance(value, str):
            raise TypeError("text is no number")
        return kind(read(value))
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        flag = flags_of(entry)[0]
        raise InputError(f"{flag} must be {name}, got {repr(value)[:40]}") from error


def names_of(given: str | Sequence[str]) -> Sequence[str]:
    """Names from a sequence of them, or from a text that separates them by commas."""
    return tuple(name.strip() for name in given.split(",")) if isinstance(given, str) else given


def plain_sequence(entry: "Field[Any]", value: Any) -> Any:
    """The value of a field; of one of several texts a single text as the command line takes it.

    One flag holds all names, separated by commas; a flag that is repeatable holds one thing, such as an edit.

    Raises:
        InputError: the field is one of several texts, and the value is something else.
    """
    if not isinstance(entry.default, tuple):
        return value
    if isinstance(value, str):
        return names_of(value) if entry.metadata["typed"] is str else (value,)
    several = tuple(value) if isinstance(value, Iterable) else (value,)
    other = [one for one in several if not isinstance(one, str)]
    if other:
        flag = flags_of(entry)[0]
        raise InputError(f"{flag} takes text, as on the command line, or a list of texts, not {repr(other[0])[:80]}")
    return several


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """Options that choose prompts and a device."""

    prompts: str | Path | Sequence[str] = option(
        "demo", "[b]demo[/b] (shipped), [b]musiccaps[/b] (from the hub), or a .txt, .csv or .jsonl file."
    )
    n: int | None = option(None, "Number of prompts.", typed=int, shown="16 of demo, otherwise all")
    balanced: bool = option(False, "Choose from MusicCaps' balanced subset.", flags="--balanced")
    seed: int = option(0, "Seed of the run; each prompt's noise comes from it and the prompt's index.")
    device: str = option("auto", "Device to compute on: auto, cpu, cuda, cuda:1, mps.")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = plain_sequence(entry, plain_number(entry, getattr(self, entry.name)))
            object.__setattr__(self, entry.name, value)
        if isinstance(self.prompts, os.PathLike):
            object.__setattr__(self, "prompts", os.fspath(self.prompts))
        if self.n is not None and self.n < 1:
            raise InputError(f"--n must be at least 1, got {self.n}")
        if self.seed < 0:
            raise InputError(f"--seed must be zero or positive, got {self.seed}")

    @property
    def source(self) -> str:
        """Name of where the prompts come from."""
        return self.prompts if isinstance(self.prompts, str) else "captions"


@dataclass(frozen=True, kw_only=True)
class SessionOptions(PromptOptions):
    """Options of every run that generates music.

    Raises:
        InputError: a number or name that no generator could take.
    """

    generator: "str | Generator" = option("mini", "Model to run; `trace models` lists them.", flags="--model")
    weights: str | None = option(
        None, "Checkpoint file, folder or hub id (id@revision to pin it).", typed=str, shown="the model's own"
    )
    readout: "str | Path | Readout | None" = option(
        None,
        "Folder or hub id of a readout for the model's latent space, or one that ships: mini, or mini-music, which "
        "reads onset, chord, key, lead family, drums and voice too.",
        typed=str,
        shown="the model's own",
    )
    steps: int | None = option(None, "Number of sampler states.", typed=int, shown="32, or the model's own")
    seconds: float | None = option(None, "Length of a clip in seconds.", typed=float, shown="the model's own")
    guidance: float | None = option(
        None,
        "Guidance scale, as the model counts it.",
        flags="--guidance --cfg",
        typed=float,
        shown="the model's own",
    )
    batch_size: int | str = option(
        4,
        "Number of prompts generated together, or auto: the most that fit; changes the result by rounding alone (of a "
        "steered run see docs/steering.md).",
        typed=str,
    )
    dtype: str = option("auto", "Number type of the model: auto, float32, bfloat16 or float16.")
    options: Mapping[str, str] | None = option(
        None,
        "KEY=VALUE for this model alone, such as style_cache=FILE; repeatable.",
        flags="--set",
        typed=list[str],
        shown="",
    )
    seeds = 1
    """Clips of each prompt; an option of those runs that make several."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and self.steps < 2:
            raise InputError(f"--steps must be at least 2 (noise and data), got {self.steps}")
        if self.steps is not None and self.steps > MOST_STEPS:
            raise InputError(f"--steps must be at most {MOST_STEPS:,}, got {self.steps}")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise InputError(f"--seconds must be a positive length, got {self.seconds:g}")
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise InputError(f"--guidance must be zero or positive, got {self.guidance:g}")
        if isinstance(self.batch_size, str) and self.batch_size != AUTO:
            raise InputError(f"--batch-size must be at least 1, or auto, got {self.batch_size[:40]!r}")
        if isinstance(self.batch_size, int) and self.batch_size < 1:
            raise InputError(f"--batch-size must be at least 1, or auto, got {self.batch_size}")
        if self.dtype not in DTYPES:
            raise InputError(f"--dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if not isinstance(self.generator, str):
            idle = {"--weights": self.weights, "--set": self.options, "--dtype": self.dtype != "auto"}
            for flag in (flag for flag, given in idle.items() if given):
                raise InputError(f"{flag} is for a generator that is loaded by name: give it to `load_generator`")


@dataclass(frozen=True, kw_only=True)
class SongOptions(SessionOptions):
    """Options of every run whose edits may have a place in the song."""

    structure: str | Path | None = option(
        None,
        "Sections of the song for during= in edits: a .csv or .lab (start, stop, name), or an .lrc with lines "
        r"\[mm:ss.xx]\[chorus].",
        typed=Path,
        shown="",
    )


@dataclass(frozen=True, kw_only=True)
class TraceOptions(SongOptions):
    """Options of `tracer.trace` and of the bare command."""

    seeds: int = option(1, "Number of clips of each prompt, each from its own noise.")
    views: Sequence[str] = option(
        VIEWS, "What to read: the noisy state, the clean endpoint estimate, or both.", typed=str
    )
    probes: Sequence[str] = option(
        (TRAINED,),
        "What to read with: trained, and beside it raw (no autoencoder) or untrained (an untrained one).",
        typed=str,
    )
    steer: Sequence[str] = option(
        (),
        'Edit to apply while it generates, e.g. "pitch=C5, alpha=10, from=0.3, to=0.7": readings move by up to alpha '
        "in the window of flow time, 0.2 to 0.8 where nothing is said; repeatable.",
        typed=list[str],
        shown="",
    )
    ground_truth: bool = option(
        False,
        "Also decode the endpoint at every state and measure the attributes on that audio.",
        flags="--ground-truth",
    )
    save_audio: bool = option(
        True,
        "Decode and keep each clip; pitch is then read on its voiced frames alone.",
        flags="--save-audio/--no-save-audio",
    )
    listen: int | None = option(
        None,
        "Keep what the endpoint sounds like at this many states, first and last among them, for `trace view`; 11 where "
        "no number is given.",
        typed=int,
        shown="",
        bare="11",
    )
    listen_state: bool = option(
        False, "With --listen: keep what the noisy state sounds like too.", flags="--listen-state"
    )
    stop_when_settled: str | None = option(
        None,
        "End a sampling when its readings have come to rest, by jumping to the endpoint: those of these attributes, or "
        "all where none is named.",
        typed=str,
        shown="",
        bare="all",
    )
    settled_states: int = option(
        3, "Goes with --stop-when-settled and says for how many states readings must have rested."
    )
    settled_within: float = option(
        0.005,
        "Goes with --stop-when-settled and says how far a reading may move at each of them, as a share of the "
        "attribute's classes.",
    )
    save_latents: bool = option(False, "Keep each final latent (.safetensors).", flags="--save-latents")
    frames: bool = option(
        True, "Keep class and reading of every frame; agreement and closeness need them.", flags="--frames/--no-frames"
    )
    out: str | Path | None = option(
        None, "Run folder; the same command continues it.", typed=Path, shown="in runs, named after model and prompts"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seeds < 1:
            raise InputError(f"--seeds must be at least 1, got {self.seeds}")
        if TRAINED not in self.probes or not set(self.probes) <= {TRAINED, RAW, UNTRAINED}:
            raise InputError(
                f"--probes takes trained, and raw or untrained with a comma, got {','.join(self.probes)!r}"
            )
        if self.listen is not None and self.listen < 2:
            raise InputError(f"--listen takes 2 states (the first and the last) or more, got {self.listen}")
        if self.listen_state and self.listen is None:
            raise InputError("--listen-state goes with --listen, which says at how many states")
        if self.ground_truth and "endpoint" not in self.views:
            raise InputError("--ground-truth measures the endpoint: leave it in --views")
        if self.stop_when_settled is None:
            if (self.settled_states, self.settled_within) != (3, 0.005):
                raise InputError("--settled-states and --settled-within go with --stop-when-settled")
        elif self.steer:
            raise InputError("--stop-when-settled holds the endpoint that --steer would move: give one of the two")
        elif "endpoint" not in self.views:
            raise InputError("--stop-when-settled reads the endpoint: leave it in --views")
        if self.settled_states < 1:
            raise InputError(f"--settled-states must be at least 1, got {self.settled_states}")
        if not 0 < self.settled_within < 1:
            raise InputError(f"--settled-within must be a share between 0 and 1, got {self.settled_within:g}")
        unknown = [view for view in self.views if view not in VIEWS]
        if unknown or not self.views:
            raise InputError(f"--views takes state, endpoint or both with a comma, got {','.join(self.views)!r}")

    @property
    def ordered_views(self) -> list[str]:
        """The views to read, the state first."""
        return [view for view in VIEWS if view in self.views]

    @property
    def baselines(self) -> list[str]:
        """The probes to read with beside the trained ones."""
        return [probe for probe in (RAW, UNTRAINED) if probe in self.probes]

    @property
    def heard_views(self) -> list[str]:
        """The views whose sound is kept at some states, the state first."""
        if self.listen is None:
            return []
        return list(VIEWS) if self.listen_state else ["endpoint"]

    def kept(self) -> dict[str, Any]:
        """Options that decide about the readings and files of a prompt; compared when a run is continued."""
        heard = {"listen": self.listen, "listen_state": self.listen_state} if self.listen is not None else {}
        stop = {}
        if self.stop_when_settled is not None:
            names = ("stop_when_settled", "settled_states", "settled_within")
            stop = {name: getattr(self, name) for name in names}
        return (
            heard
            | stop
            | {
                "seeds": self.seeds,
                "views": self.ordered_views,
                "probes": [TRAINED, *self.baselines],
                "steer": list(self.steer),
                "ground_truth": self.ground_truth,
                "save_audio": self.save_audio,
                "save_latents": self.save_latents,
            }
        )


@dataclass(frozen=True, kw_only=True)
class SteerOptions(SongOptions):
    """Options that `run_dose` and `run_lockin` share."""

    n: int | None = option(32, "Number of prompts.", typed=int)
    """Of a list of captions, at most so many."""
    pitch_tracker: str = option(
        "full",
        "What measures pitch: full or tiny (sizes of CREPE), or swift-f0.",
        flags="--pitch-tracker --crepe",
    )

    def __post_init__(self) -> None:
        from tracer.prompts import captions_of

        super().__post_init__()
        if self.n is not None and not isinstance(self.prompts, str):  # 32 is nothing that was asked for of a list
            object.__setattr__(self, "n", min(self.n, len(captions_of(self.prompts))))
        check_pitch_tracker(self.pitch_tracker)


@dataclass(frozen=True, kw_only=True)
class PickOptions(SessionOptions):
    """Options of `run_pick` and of `trace pick`."""

    wants: Sequence[str] = option(
        (),
        "What a take shall be: timbre=dark, loudness=-20dB, pitch=C3 (a note or Hz, no bare number), with ,weight=2 if "
        "it counts more; repeatable.",
        flags="--want",
        typed=list[str],
        shown="",
    )
    like: str | Path | None = option(
        None, "A recording to sound like, in the attributes that no --want names.", typed=Path, shown=""
    )
    seeds: int = option(32, "Number of takes of each prompt, each from its own noise.")
    keep: int = option(4, "Number of takes to finish.")
    at: str = option(
        "auto",
        "Where to decide: a state, a flow time (0.25), or auto: the first state whose ranking the readout's "
        "calibration trusts.",
    )
    pitch_tracker: str = option(
        "full",
        "What measures pitch of the kept takes: full or tiny (sizes of CREPE), or swift-f0.",
        flags="--pitch-tracker --crepe",
    )
    out: str | Path | None = option(
        None, "Folder for tables and clips; the same command continues it.", typed=Path, shown="runs/pick-MODEL"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pitch_tracker(self.pitch_tracker)
        if self.seeds < 2:
            raise InputError(f"--seeds must be at least 2, so that there is a choice, got {self.seeds}")
        if not 1 <= self.keep <= self.seeds:
            raise InputError(f"--keep must be at least 1 and at most --seeds {self.seeds}, got {self.keep}")


def check_pitch_tracker(name: str) -> None:
    """Raise InputError for a pitch tracker that does not exist or is not installed."""
    from probes.attributes import get_attribute

    get_attribute("pitch", model=name)
