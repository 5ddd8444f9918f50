"""From edits as they are written to edits as the hooks take them."""

from collections.abc import Sequence

from hooks import Edit
from probes.errors import InputError
from probes.readout import Readout
from tracer.steering.spec import EditSpec, check_hold, parse_edit
from tracer.steering.vectors import ClosedDisplacement, VectorDisplacement, control_vector


def edits_from_specs(texts: Sequence[str], readout: Readout, guidance: float | None = None) -> list[Edit]:
    """Hooks' edits from the texts that `parse_edit` reads; raises InputError as `make_edits` does."""
    return make_edits([parse_edit(text) for text in texts], readout, guidance)


def make_edits(specs: Sequence[EditSpec], readout: Readout, guidance: float | None = None) -> list[Edit]:
    """Hooks' edits; those with alpha 0 are left out, so that nothing touches the sampler.

    Args:
        guidance: the generation's guidance scale where it is known, to refuse an edit of a null branch that does not
            exist.

    Raises:
        InputError: attribute, target or held attribute unknown to the readout, or no null branch.
    """
    edits = []
    for spec in specs:
        displace = displacement(spec, readout)
        if spec.branch == "null" and guidance is not None and guidance < 1e-5:
            raise InputError("branch=null needs guidance: give --cfg above 0, or branch=both")
        if spec.alpha != 0:
            edits.append(make_edit(spec, displace))
    return edits


def make_edit(spec: EditSpec, displace: object) -> Edit:
    """The hooks' edit that applies a displacement where and when the spec says."""
    return Edit(displace, spec.site, spec.branch, spec.start, spec.stop, spec.schedule)  # type: ignore[arg-type]


def displacement(spec: EditSpec, readout: Readout) -> VectorDisplacement | ClosedDisplacement:
    """What the edit adds to a latent. Raises InputError as `make_edits` does."""
    target = resolve_target(spec, readout)
    check_hold(spec.hold, readout.attributes)
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
