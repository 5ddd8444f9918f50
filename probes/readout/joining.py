"""One readout of the attributes of several that were made on the same autoencoder.

Labels seldom come together: one collection has notes, another chords. Probes are trained on each, and what each reads
is left as it is: rows of different attributes share nothing but the inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from probes.errors import InputError
from probes.readout.generic import GenericDirections
from probes.readout.linear import LinearProbes
from probes.readout.module import Readout
from probes.readout.noise import NoiseAware, NoisyInputs


def join_readouts(readouts: Sequence[Readout]) -> Readout:
    """A readout of all attributes, in the order given.

    Autoencoder, mean, covariance and the report on whole songs' calibration are the first one's. Probes on raw latents
    and on an untrained autoencoder are left out; probes that know the noise are kept where all have them.

    Args:
        readouts: Two or more, of different attributes.

    Raises:
        InputError: They have other autoencoders, an attribute in common, only some of them the level of the
            activations as an input or generic directions, or probes for other noise.
    """
    first = readouts[0]
    names = [name for readout in readouts for name in readout.attributes]
    if len(set(names)) < len(names):
        raise InputError("readouts that are joined must read different attributes")
    for other in readouts[1:]:
        require_same_autoencoder(first, other)
    classes = {name: count for readout in readouts for name, count in readout.probes.classes.items()}
    probes, controls = (
        stack([with_level(readout, kind, first.log_rms) for readout in readouts], classes)
        for kind in ("probes", "controls")
    )
    return Readout(
        first.sae,
        probes,
        controls,
        {name: readout.bins[name] for readout in readouts for name in readout.attributes},
        first.spaces,
        first.log_rms,
        join_reports([readout.report for readout in readouts]),
        first.covariance,
        join_directions(readouts),
        noise=join_noise(readouts, classes),
        tempo=next((readout.tempo for readout in readouts if readout.tempo is not None), None),
        mean=first.own_mean,
    )


def require_same_autoencoder(first: Readout, other: Readout) -> None:
    """Raise InputError unless both read the same features in the same way."""
    tensors, others = first.sae.deciding(), other.sae.deciding()
    same = tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)
    if not same or first.sae.config.to_dict() != other.sae.config.to_dict() or first.spaces != other.spaces:
        raise InputError("readouts that are joined must have the same autoencoder: train the probes on one of them")
    for what in ("log_rms", "generic"):
        if (getattr(first, what) is None) != (getattr(other, what) is None):
            raise InputError(f"only one of the readouts that are joined has {what}: fit the other one anew")


def with_level(readout: Readout, kind: str, wanted: tuple[float, float] | None) -> LinearProbes:
    """Probes or controls whose last input, log rms(h), is measured from another mean in another deviation."""
    probes: LinearProbes = getattr(readout, kind)
    if wanted is None or readout.log_rms is None:
        return probes
    (mean, std), (own_mean, own_std) = wanted, readout.log_rms
    weight, level = probes.weight.data.clone(), probes.weight.data[:, -1]
    weight[:, -1] = level * (std / own_std)
    rises = {name: own.data.clone() for name, own in probes.on_rises().items()}
    for own in rises.values():
        own[:, -1] *= std / own_std
    bias = probes.bias.data + level * ((mean - own_mean) / own_std)
    return LinearProbes.of_weights(probes.classes, weight, bias, rises)


def stack(parts: Sequence[LinearProbes], classes: Mapping[str, int]) -> LinearProbes:
    """Their rows one below the other."""
    weight, bias = (torch.cat([getattr(part, name).data for part in parts]) for name in ("weight", "bias"))
    rises = {name: own.data for part in parts for name, own in part.on_rises().items()}
    return LinearProbes.of_weights(classes, weight, bias, rises)


def join_directions(readouts: Sequence[Readout]) -> GenericDirections | None:
    """The generic directions of all attributes, as many of each as the readout with the fewest has."""
    found = [readout.generic for readout in readouts if readout.generic is not None]
    if not found:
        return None
    count, edges = min(map(len, found)), max(one.edges.shape[-1] for one in found)

    def padded(values: Tensor) -> Tensor:
        return torch.nn.functional.pad(values, (0, edges - values.shape[-1]), value=float("inf"))

    return GenericDirections(
        [name for one in found for name in one.attributes],
        torch.cat([one.directions[:, :count] for one in found]),
        torch.cat([padded(one.edges[:, :count]) for one in found]),
        torch.cat([one.mean[:, :count] for one in found]),
        torch.cat([one.std[:, :count] for one in found]),
    )


def join_noise(readouts: Sequence[Readout], classes: Mapping[str, int]) -> NoiseAware | None:
    """Probes that know the noise, where all readouts have them; each reads what it did, and nothing of the others."""
    found = [readout.noise for readout in readouts if readout.noise is not None]
    if len(found) < len(readouts):
        return None
    first = readouts[0]
    assert first.covariance is not None
    for readout, noise in zip(readouts, found):
        if not torch.equal(noise.levels, found[0].levels):
            raise InputError("readouts that are joined must know the same log-SNRs: fit the noise of one anew")
        same = readout.covariance is not None and torch.equal(readout.covariance, first.covariance)
        if not same or not torch.equal(readout.mean, first.mean):
            raise InputError(
                "readouts that are joined must know the noise by the same covariance and mean: fit the noise of one "
                "anew"
            )
    inputs = NoisyInputs(first.mean, first.covariance, classes)
    total, channels = sum(classes.values()), first.sae.config.channels
    weight = torch.zeros(len(found[0].levels), 2 * total, total + channels)
    bias = torch.zeros(weight.shape[:2])
    start = 0
    for noise in found:
        own = sum(noise.inputs.classes.values())
        for side in (0, 1):  # the probes, and those of shuffled labels
            rows, source = slice(side * total + start, side * total + start + own), slice(side * own, (side + 1) * own)
            weight[:, rows, start : start + own] = noise.weight[:, source, :own]
            weight[:, rows, total:] = noise.weight[:, source, own:]
            bias[:, rows] = noise.bias[:, source]
        start += own
    return NoiseAware(inputs, found[0].levels, weight, bias)


def join_reports(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first one's, with the figures of every attribute and what each readout was trained on."""
    joined = dict(reports[0])
    for part in ("probes", "songs"):
        joined[part] = {name: own for report in reports for name, own in report.get(part, {}).items()}
    joined["training"] = [own for report in reports for own in listed(report.get("training"))]
    noise = [report["noise"] for report in reports if "noise" in report]
    if len(noise) == len(reports):
        joined["noise"] = {
            "levels": noise[0]["levels"],
            "attributes": {name: own for one in noise for name, own in one["attributes"].items()},
            "training": [own for one in noise for own in listed(one.get("training"))],
        }
    else:
        joined.pop("noise", None)
    return joined


def listed(training: Any) -> list[Any]:
    """What a readout was trained on, or those that it was joined of; nothing where it does not say."""
    return training if isinstance(training, list) else [training] if training else []
