"""What one edit is, as it is written on the command line: `pitch=C5,alpha=10,from=0.3,to=0.7,hold=loudness`."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from probes.errors import InputError

EXAMPLE = "pitch=C5,alpha=10,from=0.3,to=0.7"


@dataclass(frozen=True)
class EditSpec:
    """One edit; its option names on the command line are in `OPTIONS`."""

    attribute: str
    """What is to change: a name that the readout knows."""
    target: str
    """A note name, a value with its unit (`-20dB`, `2000Hz`), a class index (a bare number, of pitch too), or `+` / `-`
    along the classes. Or a curve over the song: `ramp(quiet,loud)`, or `@FILE`, a table of seconds and values."""
    alpha: float = None  # type: ignore[assignment]  # filled in by __post_init__
    """Dose; left out, `DEFAULT_DOSES` of its form. closed: how far the reading moves at most, in classes along + and -,
    in nats of a class's odds; a saturated reading moves less. Towards a curve: the share of the way. centred and plain:
    f' = f + alpha w, so what counts is ||alpha w|| / ||f||."""
    start: float = 0.2
    """Flow time from which it acts, inclusive."""
    stop: float = 0.8
    """Flow time at which it ends, exclusive."""
    site: str = "endpoint"
    """endpoint: the clean estimate is moved. state: the state itself, after every step in the window."""
    branch: str = "both"
    """Guidance branch that receives an endpoint edit: both, cond (amplified 1 + w times), null (-w times)."""
    schedule: str = "constant"
    """Strength over the window: constant, ramp (0 to 1) or bell."""
    vector: str = "closed"
    """closed: smallest change of the latent that moves the reading by up to alpha, along the directions in which the
    training latents differ. centred: w_k - mean_j w_j. plain: w_k (arXiv 2510.23802)."""
    unit: str = "raw"
    """raw: alpha as it is. std: every feature moves in units of its own standard deviation over the clip."""
    hold: tuple[str, ...] = ()
    """Attributes whose reading must not change: their directions are taken out of the displacement. A text joins their
    names by + or a comma."""
    during: str = ""
    """Where in the song it acts: seconds, `10s-20s`, or the name of a section; "" is the whole song."""
    fade: int = 8
    """Latent frames over which it fades in and out inside that window."""
    names_dose: bool = field(init=False, compare=False, repr=False)
    """Whether alpha was said, and not left to its form."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", str(self.target))
        object.__setattr__(self, "hold", hold_of(self.hold))
        object.__setattr__(self, "names_dose", self.alpha is not None)
        if not self.names_dose:
            object.__setattr__(self, "alpha", DEFAULT_DOSES[self.form])
        for name in NUMBERS:
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"{_option(name)} must be a finite number, not {getattr(self, name)}")
        if not 0 <= self.start < self.stop <= 1:
            raise InputError(
                f"the window must lie in flow time, 0 <= from < to <= 1, but it goes from {self.start:g} "
                f"to {self.stop:g}"
            )
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if self.fade < 0 or self.fade != int(self.fade):
            raise InputError(f"fade is a number of latent frames, 0 or more, not {self.fade:g}")
        object.__setattr__(self, "fade", int(self.fade))
        if self.is_curve and self.vector != "closed":
            raise InputError("a curve is followed by vector=closed alone")
        if self.is_curve and not 0 <= self.alpha <= 1:
            raise InputError(f"alpha {self.alpha:g} of an edit along a curve is no share of the way: give 0 to 1")
        if self.vector == "closed" and abs(self.alpha) > MOST:
            raise InputError(
                f"alpha {self.alpha:g} is no dose of the closed form: it counts {self.unit_of_alpha}, at most {MOST:g}"
            )
        if self.attribute in self.hold:
            raise InputError(f"an edit of {self.attribute} cannot hold {self.attribute}: leave it out of hold=")
        if self.vector == "closed" and self.unit == "std":
            raise InputError("unit=std belongs to vector=centred or vector=plain: give one of these")
        if self.branch != "both" and self.site == "state":
            raise InputError("branch= belongs to site=endpoint: the state has no guidance branches")

    def at(self, alpha: float) -> "EditSpec":
        """The same edit at another dose."""
        return replace(self, alpha=alpha)

    def holding(self, attributes: str | Sequence[str]) -> "EditSpec":
        """The same edit, which holds these attributes too where it does not aim at them."""
        more = tuple(name for name in hold_of(attributes) if name != self.attribute and name not in self.hold)
        said: Any = self.alpha if self.names_dose else None
        return replace(self, alpha=said, hold=self.hold + more)

    @property
    def form(self) -> str:
        """What its dose counts: "vector", or of the closed form "direction", "class" or "curve"."""
        if self.vector != "closed":
            return "vector"
        if self.is_curve:
            return "curve"
        return "direction" if self.target in ("+", "-") else "class"

    @property
    def is_curve(self) -> bool:
        """Whether the target changes over the song."""
        return self.target.startswith(("@", "ramp("))

    @property
    def is_in_song(self) -> bool:
        """Whether it has a place in the song: a window, or a curve as its target."""
        return bool(self.during) or self.is_curve

    @property
    def usual_doses(self) -> tuple[float, ...]:
        """Doses to begin with: its own where it names one."""
        return (self.alpha,) if self.names_dose else USUAL_DOSES[self.form]

    @property
    def unit_of_alpha(self) -> str:
        """What alpha counts, in a word."""
        return {
            "vector": "of the class vector",
            "direction": "classes",
            "class": "nats",
            "curve": "of the way",
        }[self.form]

    @property
    def label(self) -> str:
        """Name for tables and files, such as `pitch=C5`: the edit without its dose and without what it holds."""
        return str(replace(self, alpha=DEFAULT_DOSES[self.form], hold=()))

    def __str__(self) -> str:
        """The text that `parse_edit` reads back."""
        parts = [f"{self.attribute}={self.target}"]
        for option, name in OPTIONS.items():
            value = getattr(self, name)
            if value != (DEFAULT_DOSES[self.form] if name == "alpha" else DEFAULTS[name]):
                text = "+".join(value) if isinstance(value, tuple) else f"{value:g}" if name in NUMBERS else value
                parts.append(f"{option}={text}")
        return ",".join(parts)


DEFAULT_DOSES = {"vector": 0.02, "direction": 1.0, "class": 10.0, "curve": 1.0}
"""Dose of an edit that names none, by its form."""
MOST = 1000.0
"""Largest dose of the closed form; a readout's axis is shorter, and odds are beyond everything there."""
USUAL_DOSES = {
    "vector": (0.002, 0.005, 0.01, 0.03),
    "direction": (0.5, 1.0, 2.0, 3.0),
    "class": (5.0, 10.0, 15.0, 20.0),
    "curve": (0.25, 0.5, 0.75, 1.0),
}
"""Usual doses. vector: of control vectors, for probes whose class vectors are longer than their features. direction and
class: of the closed form, in classes along + and -, and in nats towards a class. curve: shares of the way to it."""
CHOICES = {
    "site": ("endpoint", "state"),
    "branch": ("both", "cond", "null"),
    "schedule": ("constant", "ramp", "bell"),
    "vector": ("centred", "plain", "closed"),
    "unit": ("raw", "std"),
}
OPTIONS = {
    "alpha": "alpha", "from": "start", "to": "stop", "during": "during", "fade": "fade",
    **{name: name for name in CHOICES}, "hold": "hold",
}  # fmt: skip
SAMPLER = ("from", "to", "site", "branch", "schedule")
"""Options that mean something while music is sampled, and nothing for a recording."""
NUMBERS = ("alpha", "start", "stop", "fade")
DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(EditSpec)}

LONGEST = 20_000
"""Characters of an edit."""


def parse_edit(text: str) -> EditSpec:
    """An edit from `attribute=target` and options, separated by commas.

    Options: alpha, from, to, during, fade, site, branch, schedule, vector, unit, hold (attributes joined by +). Whether
    the attribute and the target exist is the readout's business (`make_edits`).

    Raises:
        InputError: an item without `=`, no attribute or two, an unknown or repeated option, a value out of range, or
            more than 20,000 characters.
    """
    targets: dict[str, str] = {}
    values: dict[str, Any] = {}
    for item in items_of(text):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise InputError(f"cannot read {item.strip()!r} in the edit {text!r}: write name=value, as in {EXAMPLE}")
        if key in targets or OPTIONS.get(key) in values:
            raise InputError(f"{key} appears twice in the edit {text!r}: give it once")
        if key in OPTIONS:
            values[OPTIONS[key]] = _reader(OPTIONS[key])(value, key)
        else:
            targets[key] = value
    if len(targets) != 1:
        found = "none" if not targets else " and ".join(targets)
        raise InputError(
            f"an edit names one attribute and its target, as in {EXAMPLE}, but {text!r} has {found} "
            f"(options are {', '.join(OPTIONS)}; give further attributes as further edits)"
        )
    ((attribute, target),) = targets.items()
    return EditSpec(attribute, target, **values)


def items_of(text: str) -> list[str]:
    """The parts of an edit between its commas; InputError where it is too long."""
    if len(text) > LONGEST:
        raise InputError(f"an edit of {len(text):,} characters is too long: it takes at most {LONGEST:,}")
    return re.split(r",(?![^(]*\))", text)  # not at the comma of ramp(a,b)


def sampler_options(edit: "str | EditSpec") -> set[str]:
    """Options of `SAMPLER` that a text names, or that a spec has at other values than those where nothing is said."""
    if isinstance(edit, str):
        return {item.partition("=")[0].strip() for item in items_of(edit)} & set(SAMPLER)
    return {option for option in SAMPLER if getattr(edit, OPTIONS[option]) != DEFAULTS[OPTIONS[option]]}


def read_edits(edits: "str | EditSpec | Sequence[str | EditSpec]") -> list[EditSpec]:
    """Edits from one or several, each a spec or a text that `parse_edit` reads. Raises InputError for what is none."""
    several = edits if isinstance(edits, Iterable) and not isinstance(edits, str) else [edits]
    read = [parse_edit(edit) if isinstance(edit, str) else edit for edit in several]
    for edit in read:
        if not isinstance(edit, EditSpec):
            raise InputError(f"an edit is a text, as in {EXAMPLE}, or an EditSpec, not {repr(edit)[:80]}")
    return read


def refuse_two_doses(specs: Sequence[EditSpec]) -> None:
    """InputError when an edit names a dose, where doses are given for it."""
    for spec in specs:
        if spec.names_dose:
            raise InputError(f"{spec} names a dose: leave out either its alpha= or --alpha")


def read_doses(alphas: str | float | Sequence[float]) -> list[float]:
    """Doses from one or several, or from a text that separates them by commas."""
    if isinstance(alphas, str):
        return parse_numbers(alphas)
    return [float(alpha) for alpha in (alphas if isinstance(alphas, Iterable) else [alphas])]


def parse_numbers(text: str, name: str = "--alpha") -> list[float]:
    """Numbers separated by commas, such as doses; InputError unless all are finite and there is one at least."""
    return [_number(item.strip(), name) for item in text.split(",")]


def parse_hold(text: str, key: str = "hold") -> tuple[str, ...]:
    """Attribute names joined by `+` or `,`."""
    names = tuple(name.strip() for name in text.replace(",", "+").split("+"))
    if not all(names) or len(set(names)) != len(names):
        raise InputError(f"{key} takes attribute names joined by +, such as hold=loudness+timbre, not {text!r}")
    return names


def hold_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Attributes to hold, from their names or from a text that `parse_hold` reads."""
    return parse_hold(given) if isinstance(given, str) else tuple(given)


def check_hold(hold: Sequence[str], attributes: Sequence[str], clips: Sequence[str] = ()) -> None:
    """InputError when an attribute to hold is not one that the readout has, or is among those of whole clips."""
    for name in hold:
        if name not in attributes:
            raise InputError(f"cannot hold {name!r}: this readout reads {', '.join(attributes)}")
        if name in clips:
            frames = ", ".join(other for other in attributes if other not in clips)
            raise InputError(f"cannot hold {name}, which has one value for a clip: hold what frames have ({frames})")


def _option(name: str) -> str:
    return next(option for option, field in OPTIONS.items() if field == name)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{name} takes numbers, not {text!r}") from None
    if not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, not {text}")
    return value


def _word(text: str, _: str) -> str:
    return text


def _reader(field: str) -> Callable[[str, str], Any]:
    if field == "hold":
        return parse_hold
    return _number if field in NUMBERS else _word
