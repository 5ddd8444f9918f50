"""From edits as they are written to edits as the hooks take them."""

from collections.abc import Sequence

from hooks import NULL_NEEDS_GUIDANCE, Displacement, Edit
from probes.errors import InputError
from probes.readout import Readout
from tracer.steering.spec import EditSpec, check_hold, parse_edit
from tracer.steering.vectors import ClosedDisplacement, VectorDisplacement, control_vector


def edits_from_specs(texts: Sequence[str], readout: Readout, guided: bool = True) -> list[Edit]:
    """Hooks' edits from the texts that `parse_edit` reads.

    Raises:
        InputError: as `parse_edit` and `check_edit`.
    """
    return make_edits([parse_edit(text) for text in texts], readout, guided)


def make_edits(specs: Sequence[EditSpec], readout: Readout, guided: bool = True) -> list[Edit]:
    """Hooks' edits; those with alpha 0 are left out, so that nothing touches the sampler.

    Raises:
        InputError: as `check_edit`.
    """
    for spec in specs:
        check_edit(spec, readout, guided)
    return [make_edit(spec, displacement(spec, readout)) for spec in specs if spec.alpha != 0]


def check_edit(spec: EditSpec, readout: Readout, guided: bool = True) -> None:
    """Refuse an edit that cannot act.

    Args:
        guided: Whether the generation evaluates a null branch.

    Raises:
        InputError: the readout does not know the attribute, the target or an attribute to hold; or the edit is one of
            the null branch, and without guidance there is none.
    """
    resolve_target(spec, readout)
    check_hold(spec.hold, readout.attributes)
    if spec.branch == "null" and not guided:
        raise InputError(NULL_NEEDS_GUIDANCE)


def make_edit(spec: EditSpec, displace: Displacement) -> Edit:
    """The hooks' edit that applies a displacement where and when the spec says."""
    return Edit(displace, spec.site, spec.branch, spec.start, spec.stop, spec.schedule)  # type: ignore[arg-type]


def displacement(spec: EditSpec, readout: Readout) -> VectorDisplacement | ClosedDisplacement:
    """Displacement that an edit adds to a latent; the edit must have passed `check_edit`."""
    target = resolve_target(spec, readout)
    if spec.vector == "closed":
        return ClosedDisplacement(readout, spec.attribute, target, spec.alpha, spec.hold)
    vector = control_vector(readout, spec.attribute, target, centred=spec.vector == "centred")
    return VectorDisplacement(readout, vector, spec.alpha, spec.unit, spec.hold)


def resolve_target(spec: EditSpec, readout: Readout) -> int | str:
    """Class index, or "+" / "-", of the edit's target in the readout's bins; InputError when there is none."""
    if spec.attribute not in readout.attributes:
        raise InputError(f"this readout has no attribute {spec.attribute!r}: it reads {', '.join(readout.attributes)}")
    if spec.target in ("+", "-"):
        return spec.target
    return int(readout.bins[spec.attribute].parse(spec.target))


def target_note(spec: EditSpec, readout: Readout) -> float | None:
    """MIDI number that a pitch edit aims at; None for directions and other attributes."""
    target = resolve_target(spec, readout)
    if spec.attribute != "pitch" or isinstance(target, str):
        return None
    return float(readout.bins["pitch"].centers[target])
