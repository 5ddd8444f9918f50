"""SAELens 6: FOLDER/{cfg.json, sae_weights.safetensors}, with W_enc [C, H], b_enc [H], W_dec [H, C] and b_dec [C].

Its jumprelu has a `threshold` [H], its topk a k. A BatchTopK is trained there and kept as a jumprelu with a constant
threshold, its k in the metadata; so is ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from probes.errors import InputError
from probes.sae.exchange.fold import Folded, plain_bias
from probes.sae.exchange.library import (
    Library,
    checked_tensors,
    no_rmsnorm,
    single,
    space_read,
    space_written,
    whole_number,
)
from probes.support.files import read_json, require_fields
from probes.support.tensors import read_safetensors

TITLE, CONFIG, WEIGHTS = "SAELens", "cfg.json", "sae_weights.safetensors"
LAYOUT_VERSION = "6.0.0"
"""Oldest version whose cfg.json looks like the one written here."""


def write(sae: Folded) -> dict[str, bytes]:
    """Both files of an autoencoder.

    Raises:
        InputError: It has an RMSNorm.
    """
    if sae.architecture == "relu":
        raise no_rmsnorm(TITLE, "register the class in docs/exchange.md there, with sae_lens.register_sae_class")
    metadata: dict[str, Any] = {
        "sae_lens_version": LAYOUT_VERSION,
        "model_name": sae.space,
        "hook_name": "latents",
        **space_written(sae),
    }
    if sae.architecture == "batchtopk":
        metadata |= {"training_architecture": "batchtopk", "training_architecture_details": {"k": sae.k}}
    config: dict[str, Any] = {
        "architecture": "topk" if sae.threshold is None else "jumprelu",
        "d_in": sae.channels,
        "d_sae": sae.hidden,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": metadata,
    }
    tensors = {"W_enc": sae.encoder.t(), "b_enc": sae.encoder_bias, "W_dec": sae.dictionary, "b_dec": sae.decoder_bias}
    if sae.threshold is None:
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    else:
        tensors["threshold"] = sae.threshold
    return {CONFIG: (json.dumps(config, indent=2) + "\n").encode(), WEIGHTS: save(single(tensors))}


def read(config_path: Path, weights_path: Path) -> Folded:
    """An autoencoder that `SAE.save_model` or `TrainingSAE.save_inference_model` wrote.

    Raises:
        InputError: Another architecture, a normalisation of the input, or damaged files.
    """
    config = read_json(config_path)
    architecture = config.get("architecture")
    if architecture not in ("topk", "jumprelu"):
        raise InputError(
            f"{config_path} describes the architecture {architecture!r}: of SAELens, topk and jumprelu (a BatchTopK "
            "saved for inference is one) are converted"
        )
    flags = {"apply_b_dec_to_input": bool, "normalize_activations": str, "reshape_activations": str}
    require_fields(config_path, config, flags)
    for name in ("normalize_activations", "reshape_activations"):
        if config[name] != "none":
            raise InputError(
                f"{config_path}: {name} is {config[name]!r}, which the weights do not hold: fold it into them in "
                "SAELens and save it with 'none'"
            )
    channels, hidden = whole_number(config_path, config, "d_in"), whole_number(config_path, config, "d_sae")
    wanted: dict[str, tuple[int, ...]] = {
        "W_enc": (channels, hidden), "b_enc": (hidden,), "W_dec": (hidden, channels), "b_dec": (channels,),
    }  # fmt: skip
    if architecture == "jumprelu":
        wanted["threshold"] = (hidden,)
    tensors = checked_tensors(weights_path, read_safetensors(weights_path), wanted)
    encoder, bias, dictionary = tensors["W_enc"].t(), tensors["b_enc"], tensors["W_dec"]
    if config.get("rescale_acts_by_decoder_norm"):
        # Features are ranked, and given out, in units of their atoms' norms.
        norms = dictionary.norm(dim=1).clamp_min(1e-8)
        encoder, bias, dictionary = encoder * norms[:, None], bias * norms, dictionary / norms[:, None]
    if config["apply_b_dec_to_input"]:
        bias = plain_bias(encoder, bias, tensors["b_dec"])
    kind: dict[str, Any] = {"k": whole_number(config_path, config, "k")} if architecture == "topk" else {}
    if architecture == "jumprelu":
        architecture, kind = thresholds(config.get("metadata"), tensors["threshold"].clamp_min(0))
    kind |= space_read(config_path, config.get("metadata"))
    return Folded(architecture, encoder, bias, dictionary, tensors["b_dec"], **kind)


def thresholds(metadata: object, threshold: Tensor) -> tuple[str, dict[str, Any]]:
    """Architecture and its own fields: a batchtopk where the metadata says so and the threshold is one for all."""
    about = metadata if isinstance(metadata, Mapping) else {}
    details = about.get("training_architecture_details")
    k = details.get("k") if isinstance(details, Mapping) else None
    constant = bool(torch.all(threshold == threshold[0]))
    if about.get("training_architecture") == "batchtopk" and constant and isinstance(k, int | float) and k >= 1:
        return "batchtopk", {"k": min(round(k), len(threshold)), "threshold": threshold}
    return "jumprelu", {"threshold": threshold}


LIBRARY = Library(TITLE, CONFIG, WEIGHTS, write, read, 'sae_lens.SAE.load_from_disk("FOLDER")')
