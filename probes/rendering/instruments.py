"""The General MIDI instruments that compositions use, with their ranges and the words that name them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Instrument:
    """One sound of the soundfont.

    Attributes:
        name: the word used for it in captions and tables.
        program: General MIDI program, counted from 0.
        family: keyboard, mallet, organ, guitar, bass, bowed, plucked, voice, brass, reed, flute or synth.
        low, high: lowest and highest MIDI note written for it.
        brightness: -1 dark, 0 neutral, 1 bright, as the sound is heard on its own.
        sustained: whether a held note keeps sounding (a bow, a reed, an organ) or dies away.
        words: other ways to name it.
    """

    name: str
    program: int
    family: str
    low: int
    high: int
    brightness: int
    sustained: bool
    words: tuple[str, ...] = ()


INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument("piano", 0, "keyboard", 28, 96, 0, False, ("grand piano", "acoustic piano")),
    Instrument("electric piano", 4, "keyboard", 33, 88, -1, False, ("rhodes", "e-piano", "keyboard")),
    Instrument("harpsichord", 6, "keyboard", 33, 89, 1, False, ("cembalo", "baroque harpsichord")),
    Instrument("celesta", 8, "mallet", 60, 96, 0, False, ("celeste",)),
    Instrument("music box", 10, "mallet", 60, 96, 1, False, ("toy music box",)),
    Instrument("vibraphone", 11, "mallet", 53, 89, -1, False, ("vibes",)),
    Instrument("marimba", 12, "mallet", 45, 96, -1, False, ("wooden mallets",)),
    Instrument("xylophone", 13, "mallet", 65, 96, 1, False, ("mallet percussion",)),
    Instrument("church organ", 19, "organ", 36, 91, 0, True, ("organ", "pipe organ")),
    Instrument("accordion", 21, "reed", 48, 89, 1, True, ("squeezebox",)),
    Instrument("harmonica", 22, "reed", 55, 90, 1, True, ("blues harp",)),
    Instrument("acoustic guitar", 24, "guitar", 40, 83, 0, False, ("guitar", "nylon guitar", "classical guitar")),
    Instrument("jazz guitar", 26, "guitar", 40, 83, -1, False, ("clean electric guitar", "electric guitar")),
    Instrument("distorted guitar", 30, "guitar", 40, 83, 1, True, ("overdriven guitar", "rock guitar")),
    Instrument("double bass", 32, "bass", 28, 55, -1, False, ("upright bass", "acoustic bass")),
    Instrument("electric bass", 33, "bass", 28, 57, -1, False, ("bass guitar", "e-bass", "bass")),
    Instrument("violin", 40, "bowed", 55, 96, 1, True, ("fiddle", "solo violin")),
    Instrument("cello", 42, "bowed", 36, 76, 0, True, ("solo cello", "violoncello")),
    Instrument("harp", 46, "plucked", 36, 91, -1, False, ("concert harp",)),
    Instrument("strings", 48, "bowed", 36, 91, 0, True, ("string ensemble", "string section", "orchestral strings")),
    Instrument("choir", 52, "voice", 45, 84, -1, True, ("choir voices", "vocal choir", "aah voices")),
    Instrument("trumpet", 56, "brass", 54, 86, 1, True, ("solo trumpet",)),
    Instrument("trombone", 57, "brass", 40, 72, 0, True, ("slide trombone",)),
    Instrument("french horn", 60, "brass", 41, 77, -1, True, ("horn",)),
    Instrument("brass section", 61, "brass", 43, 82, 1, True, ("brass", "horn section")),
    Instrument("saxophone", 65, "reed", 49, 81, 1, True, ("sax", "alto sax", "alto saxophone")),
    Instrument("oboe", 68, "reed", 58, 91, 1, True, ()),
    Instrument("bassoon", 70, "reed", 34, 72, -1, True, ()),
    Instrument("clarinet", 71, "reed", 50, 91, 0, True, ()),
    Instrument("flute", 73, "flute", 60, 96, 0, True, ("solo flute",)),
    Instrument("pan flute", 75, "flute", 55, 91, -1, True, ("panpipes",)),
    Instrument("square lead", 80, "synth", 36, 96, 1, True, ("chiptune synth", "8-bit synth")),
    Instrument("saw lead", 81, "synth", 33, 93, 1, True, ("synth lead", "synthesizer", "synth")),
    Instrument("synth pad", 89, "synth", 40, 84, -1, True, ("warm pad", "ambient pad", "pad")),
    Instrument("sitar", 104, "plucked", 48, 79, 1, False, ("indian sitar",)),
    Instrument("banjo", 105, "plucked", 48, 84, 1, False, ()),
    Instrument("kalimba", 108, "mallet", 55, 91, -1, False, ("thumb piano",)),
    Instrument("steel drums", 114, "mallet", 52, 86, 0, False, ("steel pan",)),
)

BY_NAME = {instrument.name: instrument for instrument in INSTRUMENTS}
BASSES = tuple(instrument for instrument in INSTRUMENTS if instrument.family == "bass")
CHORDAL = tuple(
    BY_NAME[name]
    for name in (
        "piano", "electric piano", "harpsichord", "church organ", "accordion", "acoustic guitar", "jazz guitar",
        "distorted guitar", "harp", "strings", "choir", "brass section", "synth pad", "vibraphone", "marimba",
    )
)  # fmt: skip
