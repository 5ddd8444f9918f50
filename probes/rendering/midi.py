"""Notes as a MIDI file for midirenderer."""

import io
import math
from collections.abc import Iterable, Iterator

from mido import Message, MetaMessage, MidiFile, MidiTrack

from probes.rendering.composing import Facts, Note

DRUM_CHANNEL = 9
# midirenderer starts and ends notes only at blocks of 64 samples at 48 kHz. A tick is half a block, and events stand on
# odd ticks, so that no rounding moves them past the block that they are meant for.
BLOCK = 64 / 48_000  # seconds
TICKS_PER_BEAT, MICROSECONDS_PER_BEAT = 960, 640_000

# Controllers, and the registered parameter that tunes a channel by up to a semitone, in 14 bits around its middle.
VOLUME, REVERB_SEND, PARAMETER_HIGH, PARAMETER_LOW, VALUE_HIGH, VALUE_LOW = 7, 91, 101, 100, 6, 38
FINE_TUNING, SEMITONE = 1, 8192


def _set_up(facts: Facts, volume: int) -> Iterator[Message]:
    tuning = min(SEMITONE + round(facts.tuning / 100 * SEMITONE), 2 * SEMITONE - 1)
    controls = {
        VOLUME: volume, REVERB_SEND: 0, PARAMETER_HIGH: 0, PARAMETER_LOW: FINE_TUNING,
        VALUE_HIGH: tuning >> 7, VALUE_LOW: tuning & 127,
    }  # fmt: skip
    for channel, part in enumerate(facts.parts):
        yield Message("program_change", channel=channel, program=part.instrument.program)
        for control, value in controls.items():
            yield Message("control_change", channel=channel, control=control, value=value)
    for control in (VOLUME, REVERB_SEND):
        yield Message("control_change", channel=DRUM_CHANNEL, control=control, value=controls[control])


def _events(notes: Iterable[Note], tuning: float) -> list[tuple[int, int, int, int, int]]:
    """Tick, whether a note starts, channel, key and velocity of every start and end, in order."""
    events = []
    next_start: dict[tuple[int, int], float] = {}
    for note in sorted(notes, key=lambda note: note.start, reverse=True):
        channel = DRUM_CHANNEL if note.part < 0 else note.part
        key = round(note.pitch if note.part < 0 else note.pitch - tuning / 100)
        # An end stops everything that sounds on the key, so it must not come after the key's next start.
        end = min(note.end, next_start.get((channel, key), math.inf))
        next_start[channel, key] = note.start
        # Compositions write amplitudes as velocities; midirenderer's amplitude goes with the square of the velocity.
        velocity = round(math.sqrt(127 * note.velocity))
        for seconds, starts in ((note.start, 1), (end, 0)):
            events.append((max(2 * round(seconds / BLOCK) - 1, 0), starts, channel, key, velocity))
    return sorted(events)


def to_midi(notes: Iterable[Note], facts: Facts, seconds: float, volume: int = 127) -> bytes:
    """MIDI file of at least `seconds`, in which notes start and end at most 0.7 ms (half a block) off.

    Args:
        notes: in any order; part -1 goes to the drums.
        facts: instruments and tuning.
        seconds: length of the file.
        volume: of every channel, 0 to 127; amplitude goes with its square.
    """
    track = MidiTrack([MetaMessage("set_tempo", tempo=MICROSECONDS_PER_BEAT), *_set_up(facts, volume)])
    now = 0
    for tick, starts, channel, key, velocity in _events(notes, facts.tuning):
        kind = "note_on" if starts else "note_off"
        track.append(Message(kind, channel=channel, note=key, velocity=velocity, time=tick - now))
        now = tick
    last = 2 * math.ceil(seconds / BLOCK)
    track.append(MetaMessage("end_of_track", time=max(last - now, 0)))
    file = io.BytesIO()
    MidiFile(type=0, ticks_per_beat=TICKS_PER_BEAT, tracks=[track]).save(file=file)
    return file.getvalue()
