"""Classes of an attribute: edges in its unit, centres, names, and back from what a user typed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probes.errors import InputError
from probes.support.files import Fields, Missing, require_each, require_fields

NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# The outermost thousandth of the training values on each side falls into the end bins instead of stretching
# them.
TAIL = 0.001
GRIDS = ("frame", "window", "clip")
MOST_CLASSES = 256
"""Classes of an attribute at most: the class of a frame is kept in one byte."""
FIELDS: Fields = {
    "attribute": str, "unit": str, "scale": str, "edges": list, "names": (list, Missing), "grid": (str, Missing),
}  # fmt: skip
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"


@dataclass(frozen=True)
class Bins:
    """K classes over the values of one attribute.

    Attributes:
        attribute: Its name.
        unit: Unit of the values and edges.
        scale: "linear" (equal widths), "db" and "octave" (equal ratios), "midi" (one class per semitone), "names".
        edges: K + 1 increasing numbers. Class k holds edges[k] <= value < edges[k + 1].
        names: Name of each class where a value is the number of a class; empty where values are measured, and for
            pitch classes.
        grid: "frame", "window" where one class stands for some seconds (`probes.attributes.windows`), or "clip" where
            one stands for a whole clip.
    """

    attribute: str
    unit: str
    scale: str
    edges: tuple[float, ...]
    names: tuple[str, ...] = ()
    grid: str = "frame"

    @classmethod
    def fit(cls, attribute: str, unit: str, scale: str, values: np.ndarray, count: int) -> "Bins":
        """`count` classes over values `[n]`, as `Attribute.fit_bins` says."""
        values = np.asarray(values, dtype=np.float64)
        values = values[np.isfinite(values)]
        if count < 2:
            raise InputError(f"{attribute} needs at least 2 classes, not {count}")
        if scale == "midi":
            return cls(attribute, unit, scale, midi_edges(values, count))
        if scale in ("db", "octave"):
            values = values[values > 0]
        if len(np.unique(values)) < count:
            raise InputError(
                f"{attribute}: {len(np.unique(values))} different values cannot fill {count} classes: "
                "add audio or take fewer classes"
            )
        low, high = np.quantile(values, [TAIL, 1 - TAIL])
        if scale == "linear":
            edges = np.linspace(low, high, count + 1)
        else:
            edges = np.geomspace(low, high, count + 1)
        if not np.all(np.diff(edges) > 0):
            raise InputError(f"{attribute}: nearly all values are {low:.4g} {unit}: add audio that differs")
        return cls(attribute, unit, scale, tuple(float(edge) for edge in edges))

    @classmethod
    def pitch_classes(cls, attribute: str) -> "Bins":
        """The twelve pitch classes, C = 0."""
        return cls(attribute, "pitch class", "names", tuple(np.arange(13) - 0.5))

    @classmethod
    def named(cls, attribute: str, unit: str, names: Sequence[str], grid: str = "frame") -> "Bins":
        """One class for each name: class k holds the value k."""
        return cls(attribute, unit, "names", tuple(np.arange(len(names) + 1) - 0.5), tuple(names), grid)

    def __repr__(self) -> str:
        return f"Bins of {self.attribute}: {self.summary}"

    @property
    def summary(self) -> str:
        """How many classes there are, from which to which, and on what scale."""
        return (
            f"{len(self)} classes from {self.label(0)} to {self.label(len(self) - 1)} ({self.scale} scale, {self.unit})"
            + ("" if self.grid == "frame" else f", one for each {self.grid}")
        )

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def ordered(self) -> bool:
        """Whether neighbouring classes are alike, so that an expected class says something: not so of chords."""
        return self.scale != "names" or len(self) == 2

    @property
    def centers(self) -> np.ndarray:
        """Middle of each class in the attribute's unit, `[K]`; geometric for "db" and "octave"."""
        low, high = np.array(self.edges[:-1]), np.array(self.edges[1:])
        return np.sqrt(low * high) if self.scale in ("db", "octave") else (low + high) / 2

    def values_at(self, expected: np.ndarray) -> np.ndarray:
        """Values of expected classes, of any shape: on the straight line between the middles of two classes."""
        return np.interp(expected, np.arange(len(self)), self.centers)

    def position(self, values: np.ndarray) -> np.ndarray:
        """Where values lie along the classes, as an expected class: the inverse of `values_at`."""
        return np.interp(values, self.centers, np.arange(len(self)))

    def classes(self, values: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Class of each value, int64, -1 where masked.

        Values beyond the training range belong to the end bins, except that pitches outside the chosen notes
        have no class. Masked are values that are not finite or not `valid`.
        """
        values = np.asarray(values, dtype=np.float64)
        known = np.isfinite(values) if valid is None else np.isfinite(values) & valid
        found = np.searchsorted(self.edges, np.where(known, values, 0.0), side="right") - 1
        if self.scale in ("midi", "names"):
            known &= (found >= 0) & (found < len(self))
        return np.where(known, found.clip(0, len(self) - 1), -1).astype(np.int64)

    def label(self, index: int) -> str:
        """The name of a class: "C5", "-20.1 dB", "2150 Hz", "0.134", "A minor"."""
        center = self.centers[index]
        if self.scale == "midi":
            return note_name(round(center))
        if self.scale == "names":
            return (self.names or NOTES)[index]
        if self.scale == "db":
            return f"{20 * np.log10(center):.1f} dB"
        return f"{center:.0f} {self.unit}" if self.unit in ("Hz", "BPM") else f"{center:.3g}"

    def parse(self, text: str) -> int:
        """The class that a user means.

        A whole number is the index of a class. Otherwise: a note ("C5", "F#3", "Bb4") or a frequency
        ("440Hz") for pitch; a level ("-20dB") or an RMS ("0.1") for loudness; a frequency ("2000Hz", "2kHz")
        for timbre; a note without octave for chroma; "120BPM" for tempo; the name of a class where classes have names.

        Raises:
            InputError: none of these, or outside the classes.
        """
        word = text.strip()
        if re.fullmatch(r"\d+", word):
            index = int(word)
            if index >= len(self):
                raise InputError(f"{self.attribute} has the classes 0 to {len(self) - 1}, not {index}")
            return index
        value = self._value(word)
        if value is None:
            example = {
                "pitch class": "F#", "MIDI": "C5 or 440Hz", "RMS": "-20dB or 0.1", "Hz": "2000Hz", "BPM": "120BPM"
            }  # fmt: skip
            wanted = " or ".join(self.names[:12]) or example.get(self.unit, "a number")
            raise InputError(f"{text!r} is no {self.attribute}: write {wanted}, or a class from 0 to {len(self) - 1}")
        index = int(np.searchsorted(self.edges, value, side="right")) - 1
        if value == self.edges[-1]:
            index -= 1
        if not 0 <= index < len(self):
            raise InputError(
                f"{self.attribute} {text} is outside the classes, which go from {self.label(0)} "
                f"to {self.label(len(self) - 1)}"
            )
        return index

    def value(self, text: str) -> float:
        """The value that a user means, in the attribute's unit; a class named by its index is its middle.

        Raises:
            InputError: as `parse`.
        """
        index, value = self.parse(text), self._value(text.strip())
        return float(self.centers[index]) if value is None or re.fullmatch(r"\d+", text.strip()) else value

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "attribute": self.attribute,
            "unit": self.unit,
            "scale": self.scale,
            "edges": list(self.edges),
        } | self._further()

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Bins":
        """The inverse of `to_dict`. Raises InputError for what is no such dict."""
        require_fields("the description of an attribute", content, FIELDS)
        place = f"the classes of {content['attribute'][:40]}"
        require_each(f"{place}, edges", content["edges"], float)
        if len(content["edges"]) < 3 or not np.all(np.diff(content["edges"]) > 0):
            raise InputError(f"{place} must have edges that increase, at least three: the file is damaged")
        names, grid = content.get("names", []), content.get("grid", "frame")
        require_each(f"{place}, names", names, str)
        if names and len(names) != len(content["edges"]) - 1:
            raise InputError(f"{place} must have as many names as classes: the file is damaged")
        if grid not in GRIDS:
            raise InputError(f"{place} must have one of the grids {', '.join(GRIDS)}: the file is damaged")
        return cls(content["attribute"], content["unit"], content["scale"], tuple(content["edges"]), tuple(names), grid)

    def _further(self) -> dict[str, Any]:
        """What only some attributes have; the others are kept as they were before there was any of it."""
        names = {"names": list(self.names)} if self.names else {}
        return names | ({"grid": self.grid} if self.grid != "frame" else {})

    def _value(self, word: str) -> float | None:
        """What a user typed, in the attribute's unit; None when it makes no sense for this attribute."""
        if self.names:
            known = {plain_name(name): index for index, name in enumerate(self.names)}
            return known.get(plain_name(word))
        if self.unit == "pitch class":
            note = re.fullmatch(r"([A-Ga-g])([#♯b♭]?)", word)
            return float(semitone(note) % 12) if note else None
        if self.unit == "MIDI":
            note = re.fullmatch(r"([A-Ga-g])([#♯b♭]?)(-?\d)", word)
            if note:
                return float(semitone(note) + 12 * (int(note[3]) + 1))
            hertz = frequency(word)
            return 69 + 12 * float(np.log2(hertz / 440)) if hertz else None
        if self.unit == "RMS":
            level = re.fullmatch(rf"({NUMBER})\s*dB(?:FS)?", word, re.IGNORECASE)
            if level:
                return float(10 ** (float(level[1]) / 20))
        elif self.unit == "Hz" and (hertz := frequency(word)):
            return hertz
        elif self.unit == "BPM" and (beats := re.fullmatch(rf"({NUMBER})\s*BPM", word, re.IGNORECASE)):
            return float(beats[1])
        return float(word) if re.fullmatch(NUMBER, word) else None


def midi_edges(values: np.ndarray, count: int) -> tuple[float, ...]:
    """Edges of the `count` neighbouring notes that hold most of the values.

    Where several choices hold as many, as when there are fewer notes than classes, the one in the middle is
    taken.
    """
    if not len(values):
        raise InputError("pitch: no voiced frame to choose classes from: add audio with a clear pitch")
    notes = np.round(values).astype(int)
    starts = np.arange(notes.min() - count + 1, notes.max() + 1)
    histogram = np.bincount(notes - starts[0], minlength=len(starts) + count)
    held = np.convolve(histogram, np.ones(count, dtype=int), mode="valid")[: len(starts)]
    best = starts[held == held.max()]
    first = int(best[len(best) // 2])
    return tuple(first + index - 0.5 for index in range(count + 1))


def note_name(midi: int) -> str:
    """60 -> "C4"."""
    return f"{NOTES[midi % 12]}{midi // 12 - 1}"


def semitone(note: re.Match[str]) -> int:
    """Semitones above C of a matched letter and accidental."""
    return SEMITONES[note[1].upper()] + {"#": 1, "♯": 1, "b": -1, "♭": -1}.get(note[2], 0)


def plain_name(word: str) -> str:
    """A class's name as it is compared: small letters, flats as sharps, so that "Bb minor" is "A# minor"."""
    flat = re.match(r"([A-G])([b♭♯])", word)
    note = NOTES[semitone(flat) % 12] + word[2:] if flat else word
    return " ".join(note.casefold().split())


def frequency(word: str) -> float | None:
    """Hz of "440Hz", "2kHz"; None for anything else."""
    match = re.fullmatch(rf"({NUMBER})\s*(k?)Hz", word, re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        return None
    return float(match[1]) * (1000.0 if match[2] else 1.0)
