"""The General MIDI soundfont, made ready for midirenderer."""

from functools import cache
from importlib.resources import files

import numpy as np

# Generators of the SoundFont standard 2.04, section 8.1.2; each is an operator and an amount.
FILTER_Q, CHORUS_SEND, REVERB_SEND, ATTENUATION = 9, 15, 16, 48

GAIN = 12.0  # decibels over the soundfont's own level, because midirenderer returns 16 bits
DECIBEL = 25  # amount of attenuation for one decibel: midirenderer applies 0.4 of what the standard says, 10
RESONANCE = 12  # filter peak in centibels: the bundled model was trained on sound that had it


def _chunk(font: bytes, name: bytes) -> slice:
    """Where the content of a chunk lies. The chunks asked for come after the samples, so the last match is right."""
    at = font.rindex(name) + 8
    return slice(at, at + int.from_bytes(font[at - 4 : at], "little"))


@cache
def load_soundfont() -> bytes:
    """TimGM6mb.sf2 from pretty_midi, changed so that midirenderer plays it dry and in balance.

    Sends to midirenderer's own chorus and reverb are closed: `synth.reverberate` adds the room. Attenuations are
    scaled, or soft instruments would be too loud beside others. Every zone begins with a gain and a filter peak, which
    the zone's own values override.

    Raises:
        ImportError: pretty_midi is not installed.
    """
    font = files("pretty_midi").joinpath("TimGM6mb.sf2").read_bytes()

    igen, ibag = _chunk(font, b"igen"), _chunk(font, b"ibag")
    generators = np.frombuffer(font[igen], "<i2").reshape(-1, 2).copy()
    zones = np.frombuffer(font[ibag], "<u2").reshape(-1, 2).copy()  # index of the first generator; of the modulator

    operators, amounts = generators.T
    amounts[np.isin(operators, (CHORUS_SEND, REVERB_SEND))] = 0
    attenuated = operators == ATTENUATION
    amounts[attenuated] = (amounts[attenuated] / 10 - GAIN) * DECIBEL
    defaults = [(ATTENUATION, -GAIN * DECIBEL), (FILTER_Q, RESONANCE)]
    firsts = zones[:-1, 0].astype(int)  # the last zone only marks the end
    generators = np.insert(generators, np.repeat(firsts, len(defaults)), np.tile(defaults, (len(firsts), 1)), axis=0)
    zones[:, 0] += len(defaults) * np.arange(len(zones), dtype=np.uint16)

    changed = bytearray(font)
    changed[ibag] = zones.tobytes()
    changed[igen] = generators.tobytes()
    growth = len(changed) - len(font)
    for size in (4, font.rindex(b"pdta") - 4, igen.start - 4):  # of the file, of the list with both chunks, of igen
        changed[size : size + 4] = (int.from_bytes(font[size : size + 4], "little") + growth).to_bytes(4, "little")
    return bytes(changed)
