"""From edits as they are written to edits as the hooks take them."""

import json
import warnings
from collections.abc import Sequence
from typing import Any

from hooks import NULL_NEEDS_GUIDANCE, Displacement, Edit
from probes.attributes.bins import note_name
from probes.errors import InputError
from probes.readout import Readout
from tracer.clips import MEASURED
from tracer.steering.hold import SOLVER
from tracer.steering.song_time import Song, SongDisplacement, curve_hash, goal_of, song_for, windows_of
from tracer.steering.spec import EditSpec, check_hold, read_edits
from tracer.steering.vectors import ClosedDisplacement, VectorDisplacement, control_vector


def edits_from_specs(
    texts: str | EditSpec | Sequence[str | EditSpec], readout: Readout, guided: bool = True, song: Song | None = None
) -> list[Edit]:
    """Hooks' edits from one or several texts that `parse_edit` reads.

    Raises:
        InputError: as `parse_edit` and `check_edit`.
    """
    return make_edits(read_edits(texts), readout, guided, song)


def make_edits(
    specs: Sequence[EditSpec], readout: Readout, guided: bool = True, song: Song | None = None
) -> list[Edit]:
    """Hooks' edits; those with alpha 0 are left out, so that nothing touches the sampler.

    Raises:
        InputError: as `check_edit`.
    """
    for spec in specs:
        check_edit(spec, readout, guided, song)
    return [make_edit(spec, displacement(spec, readout, song)) for spec in specs if spec.alpha != 0]


def check_measured(spec: EditSpec, readout: Readout, guided: bool = True, song: Song | None = None) -> None:
    """Refuse an edit that cannot act, or whose effect cannot be measured on the audio; arguments as for `check_edit`.

    Raises:
        InputError: As `check_edit`, or the attribute is not among those that are measured there.
    """
    require_attribute(spec, readout)
    if spec.attribute not in MEASURED:
        raise InputError(
            f"the effect of an edit of {spec.attribute} cannot be measured on audio, only that of "
            f"{', '.join(MEASURED)}: try it with `trace --steer {spec.attribute}=...`"
        )
    check_edit(spec, readout, guided, song)


def check_edit(spec: EditSpec, readout: Readout, guided: bool = True, song: Song | None = None) -> None:
    """Refuse an edit that cannot act; say which note a class of pitch is that was given by its number.

    Args:
        spec: The edit.
        readout: Reads the attributes.
        guided: Whether the generation evaluates a null branch.
        song: The time axis of `during` and of curves; None for edits without.

    Raises:
        InputError: the readout does not know the attribute, the target or an attribute to hold; the window of the song
            is empty; a curve cannot be read; the closed form is to move or hold what has one value for a clip; or the
            edit is one of the null branch, and without guidance there is none.
    """
    if spec.is_in_song:
        windows_of(spec, song_for(spec, song))
    if spec.is_curve:
        require_attribute(spec, readout)
        song = song_for(spec, song)
        goal_of(spec, song, max(1, round(song.seconds * song.frame_rate)), readout)
    else:
        tell_note(spec, resolve_target(spec, readout), readout)
    if spec.vector == "closed" and spec.attribute in readout.clips:
        raise InputError(
            f"{spec.attribute} has one value for a clip, and the closed form moves frames: give "
            f"{spec.attribute}={spec.target},vector=centred"
        )
    check_hold(spec.hold, readout.attributes, readout.clips)
    if spec.branch == "null" and not guided:
        raise InputError(NULL_NEEDS_GUIDANCE)


def identity_of(specs: Sequence[EditSpec], song: Song) -> dict[str, Any]:
    """What edits depend on beside their text: how the closed form is solved, windows of the song, what curves hold."""
    places = {
        str(spec): {"windows": windows_of(spec, song), "curve": curve_hash(spec)} for spec in specs if spec.is_in_song
    }
    solved = any(spec.vector == "closed" or spec.hold for spec in specs)
    return ({"song_time": json.loads(json.dumps(places))} if places else {}) | ({"solver": SOLVER} if solved else {})


def make_edit(spec: EditSpec, displace: Displacement) -> Edit:
    """The hooks' edit that applies a displacement where and when the spec says."""
    return Edit(displace, spec.site, spec.branch, spec.start, spec.stop, spec.schedule)  # type: ignore[arg-type]


def why_idle(edit: Edit, times: Sequence[float]) -> str | None:
    """Why an edit acts at none of the states, whose flow times are given; None where it acts at one."""
    # An edit of the state acts on what a step returns, one of the endpoint on what a step begins with.
    reached = times[1:] if edit.site == "state" else times[:-1]
    if any(edit.strength(t) for t in reached):
        return None
    grid = ", ".join(f"{t:.3g}" for t in times[:12]) + (", ..." if len(times) > 12 else "")
    return (
        f"no state lies in the window {edit.start:g} to {edit.stop:g} of flow time where this edit acts, so that it "
        f"steers nothing; the states lie at {grid}"
    )


def displacement(
    spec: EditSpec, readout: Readout, song: Song | None = None
) -> VectorDisplacement | ClosedDisplacement | SongDisplacement:
    """Displacement that an edit adds to a latent; the edit must have passed `check_edit`."""
    target = "+" if spec.is_curve else resolve_target(spec, readout)
    inner: VectorDisplacement | ClosedDisplacement
    if spec.vector == "closed":
        inner = ClosedDisplacement(readout, spec.attribute, target, spec.alpha, spec.hold)
    else:
        vector = control_vector(readout, spec.attribute, target, centred=spec.vector == "centred")
        inner = VectorDisplacement(readout, vector, spec.alpha, spec.unit, spec.hold)
    return SongDisplacement(inner, spec, song_for(spec, song)) if spec.is_in_song else inner


def resolve_target(spec: EditSpec, readout: Readout) -> int | str:
    """Class index, or "+" / "-", of the edit's target in the readout's bins; InputError when there is none."""
    require_attribute(spec, readout)
    if spec.target in ("+", "-"):
        if spec.attribute not in readout.ordered:
            raise InputError(
                f"the classes of {spec.attribute} have no order for {spec.target} to go along: name one of them, such "
                f"as {spec.attribute}={readout.bins[spec.attribute].label(0)}"
            )
        return spec.target
    return int(readout.bins[spec.attribute].parse(spec.target))


def tell_note(spec: EditSpec, target: int | str, readout: Readout) -> None:
    """Warn of the note that a class named by its number is: elsewhere numbers of pitch are MIDI numbers."""
    bins = readout.bins[spec.attribute]
    if bins.unit != "MIDI" or isinstance(target, str) or not spec.target.strip().isdecimal():
        return
    midi = round(bins.centers[target])
    if midi != target:
        warnings.warn(
            f"{spec.attribute}={spec.target} is class {target}, the note {bins.label(target)} (MIDI {midi}); "
            f"for MIDI {target} write {spec.attribute}={note_name(target)}",
            stacklevel=3,
        )


def require_attribute(spec: EditSpec, readout: Readout) -> None:
    """InputError when the readout does not have the edit's attribute."""
    if spec.attribute in readout.bins and spec.attribute not in readout.attributes:
        raise InputError(f"{spec.attribute} is read from the onsets of seconds: it has no probe to steer by")
    if spec.attribute not in readout.attributes:
        raise InputError(f"this readout has no attribute {spec.attribute!r}: it reads {', '.join(readout.attributes)}")


def target_note(spec: EditSpec, readout: Readout) -> float | None:
    """MIDI number that a pitch edit aims at; None for directions and other attributes."""
    target = "+" if spec.is_curve else resolve_target(spec, readout)
    if spec.attribute != "pitch" or isinstance(target, str):
        return None
    return float(readout.bins["pitch"].centers[target])
