"""EleutherAI's sparsify: FOLDER/{cfg.json, sae.safetensors}, with encoder.weight and W_dec [H, C] each.

It is TopK alone, and takes the decoder's bias from the input.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

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
from probes.support.files import parse_json, read_json
from probes.support.tensors import read_safetensors

TITLE, CONFIG, WEIGHTS = "sparsify", "cfg.json", "sae.safetensors"
CHANGING = {
    "transcode": "it reads one place and writes another",
    "skip_connection": "it adds a linear map of the input",
    "signed": "its features can be negative",
}
"""Switches of its config that make something else of it than an autoencoder of ours."""


def write(sae: Folded) -> dict[str, bytes]:
    """Both files of an autoencoder.

    Raises:
        InputError: It is no TopK.
    """
    if sae.architecture == "relu":
        raise no_rmsnorm(TITLE, "it is TopK alone; `--to saelens` says what registers one")
    if sae.architecture != "topk":
        raise InputError(
            f"{TITLE} has no thresholds, only TopK, and this is a {sae.architecture} autoencoder: export it "
            "to saelens or dictionary_learning"
        )
    config = {
        "activation": "topk",
        "expansion_factor": max(1, sae.hidden // sae.channels),
        "normalize_decoder": False,
        "num_latents": sae.hidden,
        "k": sae.k,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": sae.channels,
    }
    tensors = {
        "encoder.weight": sae.encoder, "encoder.bias": sae.centred_bias, "W_dec": sae.dictionary,
        "b_dec": sae.decoder_bias,
    }  # fmt: skip
    # Its config class complains of keys that it does not know.
    weights = save(single(tensors), {"source": json.dumps(space_written(sae))})
    return {CONFIG: (json.dumps(config, indent=2) + "\n").encode(), WEIGHTS: weights}


def read(config_path: Path, weights_path: Path) -> Folded:
    """An autoencoder that `SparseCoder.save_to_disk` wrote.

    Raises:
        InputError: Another activation, a transcoder, a skip connection, or damaged files.
    """
    config = read_json(config_path)
    if config.get("activation", "topk") != "topk":
        raise InputError(
            f"{config_path} describes the activation {config['activation']!r}: of sparsify, topk is converted"
        )
    for name, meaning in CHANGING.items():
        if config.get(name):
            raise InputError(f"{config_path} has {name}: {meaning}, which has no counterpart here")
    channels = whole_number(config_path, config, "d_in")
    hidden = width(config_path, config, channels)
    wanted: dict[str, tuple[int, ...]] = {
        "encoder.weight": (hidden, channels), "encoder.bias": (hidden,), "W_dec": (hidden, channels),
        "b_dec": (channels,),
    }  # fmt: skip
    tensors = checked_tensors(weights_path, read_safetensors(weights_path), wanted)
    about = written_about(weights_path)
    encoder, decoder_bias = tensors["encoder.weight"], tensors["b_dec"]
    bias = plain_bias(encoder, tensors["encoder.bias"], decoder_bias)
    k = whole_number(config_path, config, "k")
    return Folded("topk", encoder, bias, tensors["W_dec"], decoder_bias, k, **space_read(weights_path, about))


def written_about(path: Path) -> object:
    """What a weights file says under `source`; None where it holds no JSON there."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        found = (file.metadata() or {}).get("source", "null")
    try:
        return parse_json(found)
    except (ValueError, RecursionError):
        return None


def width(path: Path, config: dict[str, Any], channels: int) -> int:
    """Number of features: num_latents, or expansion_factor for each channel where that is 0."""
    own = whole_number(path, {"num_latents": 0} | config, "num_latents", least=0)
    return own or channels * whole_number(path, {"expansion_factor": 32} | config, "expansion_factor")


LIBRARY = Library(TITLE, CONFIG, WEIGHTS, write, read, 'sparsify.SparseCoder.load_from_disk("FOLDER")')
