"""A readout's folder: config.json, model.safetensors and, where it is known, covariance.safetensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save

from probes.attributes import Bins
from probes.errors import InputError
from probes.readout.baselines import Baselines
from probes.readout.generic import GenericDirections
from probes.readout.linear import LinearProbes
from probes.readout.noise import NoiseAware, NoisyInputs
from probes.readout.tempo import TempoReader
from probes.sae import SparseAutoencoder, load_config, make_sae
from probes.support.files import Fields, Missing, read_json, require_each, require_fields, write_json, write_whole
from probes.support.tensors import require_covariance, require_described, require_finite_weights

if TYPE_CHECKING:
    from probes.readout.module import Readout

KIND = "generation-tracer readout"
Null = type(None)
FIELDS: Fields = {
    "spaces": list,
    "attributes": dict,
    "classes": dict,
    "log_rms": (list, Null),
    "sae": dict,
    "report": (dict, Null, Missing),
    "tempo": (dict, Missing),
    "clips": (str, Missing),
}
TEMPO_FIELDS: Fields = {"bins": dict, "frame_rate": float}
MOST_CLASSES = 256
POOLED = "peaks and rises"
"""What the probes of attributes with one value for a clip see, in config.json."""
EXTRAS = ("covariance", "generic", "baselines", "noise")
"""What a readout may bring in files of its own; those of version 0.1.0 have a covariance at most."""
FIELDS_OF_0_1 = {"lam": 0.05, "penalty": "pre_norm", "k": 32, "bandwidth": 0.1, "eps": 1e-8}
"""Fields that config.json of version 0.1.0 held for every architecture: with them a fingerprint stays what it was."""
WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED = {"mini": WEIGHTS / "mini-readout", "mini-music": WEIGHTS / "mini-music"}
"""Readouts of the bundled model: of the paper's attributes, and of these with what `docs/rhythm-harmony.md` has."""


def locate(source: str | Path) -> str:
    """The folder of a readout that comes with the package; another path, or a hub id, unchanged.

    Raises:
        InputError: a bare name that is neither a folder nor a readout that ships.
    """
    if str(source) not in SHIPPED:
        if "/" not in str(source) and not Path(source).exists():
            names = ", ".join(SHIPPED)
            raise InputError(f"there is no folder {source}, and no readout of this name that ships ({names})")
        return str(source)
    if Path(source).exists():
        raise InputError(
            f"{source} is both a readout that ships and a folder here: give --readout ./{source} for the folder, or "
            "leave --readout out for the one that ships"
        )
    folder = SHIPPED[str(source)]
    if not folder.is_dir():
        raise InputError(f"this installation brings no readout named {source}: give the folder of one")
    return str(folder)


def describe(readout: Readout) -> dict[str, Any]:
    """The content of config.json, apart from the measured report."""
    return {
        "kind": KIND,
        "spaces": list(readout.spaces),
        "attributes": {name: readout.bins[name].to_dict() for name in readout.attributes},
        "classes": readout.probes.classes,
        "log_rms": list(readout.log_rms) if readout.log_rms else None,
        "sae": readout.sae.config.to_dict(),
        **({} if readout.tempo is None else {"tempo": readout.tempo.to_dict()}),
        **({"clips": POOLED} if readout.clips else {}),
    } | {name: True for name in EXTRAS if getattr(readout, name) is not None}


def fingerprint(readout: Readout) -> str:
    """Sixteen hex digits of a hash over what `describe` says and every weight."""
    about = {name: value for name, value in describe(readout).items() if name not in ("baselines", "noise")}
    # Whose the autoencoder is changes nothing that is read.
    about["sae"] = {name: value for name, value in (FIELDS_OF_0_1 | about["sae"]).items() if name != "source"}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    tensors = readout.state_dict()
    if readout.covariance is not None:
        tensors["covariance"] = readout.covariance
    if readout.own_mean is not None:
        tensors["mean"] = readout.own_mean
    if readout.generic is not None:
        tensors |= {f"generic.{name}": value for name, value in readout.generic.tensors().items()}
    # Baselines read beside the others and change nothing of theirs.
    tensors = {name: value for name, value in tensors.items() if not name.startswith("baselines.")}
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def write_readout(readout: Readout, folder: Path) -> None:
    """Write the files of a readout into a folder, each whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in readout.state_dict().items()}
    baselines = {name: tensors.pop(name) for name in list(tensors) if name.startswith("baselines.")}
    write_whole(folder / "model.safetensors", save(tensors))
    if readout.covariance is not None:
        moments = {"covariance": readout.covariance, "mean": readout.own_mean}
        held = {name: own.detach().float().cpu().contiguous() for name, own in moments.items() if own is not None}
        write_whole(folder / "covariance.safetensors", save(held))
    if readout.generic is not None:
        directions = {name: value.detach().cpu().contiguous() for name, value in readout.generic.tensors().items()}
        write_whole(folder / "generic.safetensors", save(directions))
    if readout.baselines is not None:
        seed = torch.tensor(readout.baselines.seed)
        parts = {name.removeprefix("baselines."): value for name, value in baselines.items()}
        write_whole(folder / "baselines.safetensors", save(parts | {"seed": seed}))
    if readout.noise is not None:
        write_noise(readout, folder)
    config = describe(readout) | {"report": readout.report}
    write_json(folder / "config.json", config)


def write_noise(readout: Readout, folder: Path) -> None:
    """Write the probes that know the noise of a readout that has them."""
    assert readout.noise is not None
    levels = {name: value.detach().cpu().contiguous() for name, value in readout.noise.tensors().items()}
    write_whole(folder / "noise.safetensors", save(levels))


def read_parts(fetch: Callable[[str], Path]) -> dict[str, Any]:
    """What a saved readout is made of: the arguments of `Readout`.

    Args:
        fetch: Gives the path of a file of the readout by the file's name.

    Raises:
        InputError: The files are not those of a readout, or do not belong together.
    """
    config_path, weights_path = fetch("config.json"), fetch("model.safetensors")
    config = read_json(config_path)
    if config.get("kind") != KIND:
        raise InputError(f"{config_path} does not describe a readout: give a folder that `trace fit readout` wrote")
    check_config(config_path, config)
    sae_config = load_config(config["sae"])
    inputs = sae_config.hidden + (config["log_rms"] is not None)
    clips = clip_attributes(config)
    parts: dict[str, torch.nn.Module] = {
        "sae": make_sae(sae_config, seed=None),
        "probes": LinearProbes(config["classes"], inputs, clips),
        "controls": LinearProbes(config["classes"], inputs, clips),
    }
    covariance, mean, generic, baselines = None, None, None, None
    with require_described(weights_path):
        if config.get("covariance"):
            path = fetch("covariance.safetensors")
            moments = {name: own.float() for name, own in load_file(path).items()}
            covariance, mean = moments["covariance"], moments.get("mean")
            require_covariance(path, covariance)
        if config.get("generic"):
            generic = GenericDirections(list(config["attributes"]), **load_file(fetch("generic.safetensors")))
        tensors = load_file(weights_path)
        for prefix, part in parts.items():
            own = {
                name.removeprefix(f"{prefix}."): value
                for name, value in tensors.items()
                if name.startswith(f"{prefix}.")
            }
            part.load_state_dict({name: value.float() for name, value in own.items()})
    if config.get("baselines"):
        baselines = read_baselines(fetch("baselines.safetensors"), parts["sae"], config["classes"], clips)
    noise = None
    if config.get("noise"):
        sae = parts["sae"]
        assert isinstance(sae, SparseAutoencoder)
        own_mean = sae.mean if mean is None else mean
        noise = read_noise(fetch("noise.safetensors"), own_mean, covariance, config["classes"])
    require_finite_weights(weights_path, tensors)
    return {
        **parts,
        "bins": {name: Bins.from_dict(values) for name, values in config["attributes"].items()},
        "spaces": config["spaces"],
        "log_rms": tuple(config["log_rms"]) if config["log_rms"] else None,
        "report": config.get("report"),
        "covariance": covariance,
        "mean": mean,
        "generic": generic,
        "baselines": baselines,
        "noise": noise,
        "tempo": read_tempo(config_path, config["tempo"]) if "tempo" in config else None,
    }


def read_tempo(path: Path, values: dict[str, Any]) -> TempoReader:
    """What reads tempo. Raises InputError where the config.json describes no such thing."""
    require_fields(f"{path}, tempo", values, TEMPO_FIELDS)
    bins = Bins.from_dict(values["bins"])
    if not values["frame_rate"] > 0 or bins.scale != "octave" or not bins.edges[0] > 0:
        raise InputError(f"{path}, tempo: the file is damaged, it takes a positive frame rate and classes in octaves")
    return TempoReader(bins, values["frame_rate"])


def check_config(path: Path, config: dict[str, Any]) -> None:
    """Raise InputError where the config.json of a readout holds what no readout has."""
    require_fields(path, config, FIELDS)
    classes, level = config["classes"], config["log_rms"]
    require_each(f"{path}, classes", classes, int)
    if not classes or not all(1 <= count <= MOST_CLASSES for count in classes.values()):
        raise InputError(f"{path}, classes: each attribute has 1 to {MOST_CLASSES}")
    require_each(f"{path}, log_rms", level or [], float)
    if level is not None and len(level) != 2:
        raise InputError(f"{path}, log_rms: it must be a mean and a standard deviation")
    require_each(f"{path}, spaces", config["spaces"], str)
    require_each(f"{path}, attributes", config["attributes"], dict)
    if clip_attributes(config) and config.get("clips") != POOLED:
        raise InputError(
            f"{path} is of a version that was never released, whose probes of clips saw something else: fit it anew"
        )


def clip_attributes(config: dict[str, Any]) -> list[str]:
    """The attributes of a config.json with one value for a clip, in the order of their probes."""
    return [name for name in config["classes"] if config["attributes"].get(name, {}).get("grid") == "clip"]


def read_baselines(path: Path, sae: torch.nn.Module, classes: dict[str, int], clips: Sequence[str]) -> Baselines:
    """The probes on raw latents and on an untrained autoencoder.

    Raises:
        InputError: The file does not hold them.
    """
    assert isinstance(sae, SparseAutoencoder)
    with require_described(path, "probes"):
        tensors = load_file(path)
        seed = int(tensors["seed"])
        probes = {}
        for kind, inputs in (("raw", sae.config.channels), ("untrained", sae.config.hidden)):
            probes[kind] = LinearProbes(classes, inputs, clips)
            names = probes[kind].state_dict()
            probes[kind].load_state_dict({name: tensors[f"{kind}.{name}"].float() for name in names})
        return Baselines(sae, probes["raw"], probes["untrained"], seed)


def read_noise(path: Path, mean: torch.Tensor, covariance: torch.Tensor | None, classes: dict[str, int]) -> NoiseAware:
    """The probes that know the noise, of a readout with this mean and covariance of its latents.

    Raises:
        InputError: The file does not hold them.
    """
    if covariance is None:
        raise InputError(f"{path} takes a readout that knows the covariance of its latents: fit it again")
    with require_described(path, "probes"):
        tensors = load_file(path)
        require_finite_weights(path, tensors)
        return NoiseAware(NoisyInputs(mean, covariance, classes), **tensors)
