"""What a user names as a target: a class, a value with its unit, or a word such as `dark`."""

import re

import numpy as np

from probes.attributes.bins import NUMBER, note_name
from probes.attributes.songs import UNITS, frame_value, song_value
from probes.errors import InputError
from probes.readout import Readout
from probes.support.tensors import first_line

NAMES = {
    "loudness": {"quiet": "low", "loud": "high"},
    "timbre": {"dark": "low", "bright": "high"},
    "pitch": {"low": "low", "high": "high"},
}
"""Words for a quantile of the training songs: `low` is their 10 %, `high` their 90 % quantile."""


def target_value(attribute: str, text: str, readout: Readout) -> float:
    """The number that a target names, as `song_value` gives it: dB, log2 Hz or MIDI number.

    Raises:
        InputError: an attribute that the readout does not read, or whose classes are no scale; a target that is none of
            its values; or a word, and the readout does not know how its training songs are spread.
    """
    if attribute not in readout.attributes:
        raise InputError(f"this readout reads {', '.join(readout.attributes)}, not {attribute!r}")
    bins, names = readout.bins[attribute], NAMES.get(attribute, {})
    if bins.unit not in UNITS:
        raise InputError(f"the classes of {attribute} are no scale on which one is near another or far")
    if text in names:
        songs = readout.report.get("songs", {}).get(attribute)
        if songs is None:
            raise InputError(
                f"{attribute}={text} needs a readout that knows how its training songs are spread, and this one does "
                "not: give a value instead, or fit it again with this version"
            )
        return float(songs[names[text]])
    try:
        value = bins.value(text)
    except InputError as error:
        words = f" (or {' or '.join(names)})" if names else ""
        raise InputError(f"{attribute}={text}: {first_line(error)}{words}") from error
    return song_value(bins.unit, np.array([value]), np.array([True]))


def named_value(attribute: str, text: str, readout: Readout) -> float:
    """`target_value` of what does not take a class by its number where that could be read as a MIDI number.

    Raises:
        InputError: as `target_value`, or a bare number of an attribute in MIDI numbers.
    """
    bare = re.fullmatch(NUMBER, text.strip(), re.IGNORECASE)
    if bare and attribute in readout.attributes and readout.bins[attribute].unit == "MIDI":
        raise InputError(
            f"{attribute}={text.strip()[:20]} does not say whether it is a MIDI number or a class: write a note or a "
            f"frequency, as in {' or '.join(midi_names(float(bare[0])))}"
        )
    return target_value(attribute, text, readout)


def midi_names(number: float) -> list[str]:
    """How a MIDI number is written as a target: by its note, where it is one, and in Hz; of one beyond all notes,
    examples."""
    if not 0 <= number <= 127:
        return ["C4", "440Hz"]
    notes = [note_name(int(number))] if number == int(number) else []
    return [*notes, f"{440 * 2 ** ((number - 69) / 12):.2f}Hz"]


def class_position(attribute: str, numbers: np.ndarray, readout: Readout) -> np.ndarray:
    """Where numbers of `target_value` lie along the attribute's classes: what an expected class would be, [n]."""
    bins = readout.bins[attribute]
    return bins.position(np.array([frame_value(bins.unit, number) for number in numbers]))
