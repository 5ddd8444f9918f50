"""dictionary_learning: FOLDER/{config.json, ae.pt}, a config of its trainer and a state dict written by torch.save.

Its TopK and BatchTopK take the decoder's bias from their input, its JumpReLU does not.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
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
from probes.support.tensors import read_torch

TITLE, CONFIG, WEIGHTS = "dictionary_learning", "config.json", "ae.pt"
CLASSES = {"topk": "AutoEncoderTopK", "batchtopk": "BatchTopKSAE", "jumprelu": "JumpReluAutoEncoder"}
TRAINERS = {"topk": "TopKTrainer", "batchtopk": "BatchTopKTrainer", "jumprelu": "JumpReluTrainer"}


def write(sae: Folded) -> dict[str, bytes]:
    """Both files of an autoencoder.

    Raises:
        InputError: It has an RMSNorm.
    """
    if sae.architecture not in CLASSES:
        raise no_rmsnorm(TITLE, "it loads its own classes alone; `--to saelens` says what registers one")
    trainer: dict[str, Any] = {
        "trainer_class": TRAINERS[sae.architecture],
        "dict_class": CLASSES[sae.architecture],
        "activation_dim": sae.channels,
        "dict_size": sae.hidden,
        "layer": None,
        "lm_name": sae.space,
        "submodule_name": "latents",
    }
    if sae.architecture == "jumprelu":
        assert sae.threshold is not None
        tensors = {
            "W_enc": sae.encoder.t(), "b_enc": sae.encoder_bias, "W_dec": sae.dictionary, "b_dec": sae.decoder_bias,
            "threshold": sae.threshold,
        }  # fmt: skip
    else:
        trainer["k"] = sae.k
        tensors = {
            "encoder.weight": sae.encoder, "encoder.bias": sae.centred_bias, "decoder.weight": sae.dictionary.t(),
            "b_dec": sae.decoder_bias, "threshold": torch.tensor(-1.0) if sae.threshold is None else sae.threshold[0],
        }  # fmt: skip
    held = single(tensors)
    if sae.k is not None:
        held["k"] = torch.tensor(sae.k, dtype=torch.int)
    buffer = io.BytesIO()
    torch.save(held, buffer)
    config = json.dumps({"trainer": trainer, "source": space_written(sae)}, indent=2) + "\n"
    return {CONFIG: config.encode(), WEIGHTS: buffer.getvalue()}


def read(config_path: Path, weights_path: Path) -> Folded:
    """An autoencoder that `trainSAE` wrote.

    Raises:
        InputError: Another class, or damaged files.
    """
    config = read_json(config_path)
    require_fields(config_path, config, {"trainer": dict})
    trainer = config["trainer"]
    named = {name: architecture for architecture, name in CLASSES.items()}
    if trainer.get("dict_class") not in list(named):
        raise InputError(
            f"{config_path} describes the class {trainer.get('dict_class')!r}: of dictionary_learning, "
            f"{', '.join(named)} are converted"
        )
    architecture = named[trainer["dict_class"]]
    channels, hidden = (whole_number(config_path, trainer, name) for name in ("activation_dim", "dict_size"))
    space = space_read(config_path, config.get("source"))
    found = read_torch(weights_path)
    if architecture == "jumprelu":
        wanted: dict[str, tuple[int, ...]] = {
            "W_enc": (channels, hidden), "b_enc": (hidden,), "W_dec": (hidden, channels), "b_dec": (channels,),
            "threshold": (hidden,),
        }  # fmt: skip
        tensors = checked_tensors(weights_path, found, wanted)
        return Folded(
            architecture,
            tensors["W_enc"].t(),
            tensors["b_enc"],
            tensors["W_dec"],
            tensors["b_dec"],
            threshold=tensors["threshold"].clamp_min(0),
            **space,
        )
    wanted = {
        "encoder.weight": (hidden, channels), "encoder.bias": (hidden,), "decoder.weight": (channels, hidden),
        "b_dec": (channels,),
    }  # fmt: skip
    if architecture == "batchtopk":
        wanted["threshold"] = ()
    tensors = checked_tensors(weights_path, found, wanted, unused=("k", "threshold"))
    encoder, decoder_bias = tensors["encoder.weight"], tensors["b_dec"]
    return Folded(
        architecture,
        encoder,
        plain_bias(encoder, tensors["encoder.bias"], decoder_bias),
        tensors["decoder.weight"].t(),
        decoder_bias,
        k=active(config_path, trainer, found),
        threshold=tensors["threshold"].clamp_min(0).expand(hidden) if architecture == "batchtopk" else None,
        **space,
    )


def active(path: Path, trainer: dict[str, Any], found: dict[str, Tensor]) -> int:
    """k of the config. Raises InputError when the weights hold another one."""
    k = whole_number(path, trainer, "k")
    held = found.get("k")
    if held is not None and (held.numel() != 1 or held.item() != k):
        raise InputError(f"{path} says k = {k}, and the weights beside it were made with another k")
    return k


LOAD = 'dictionary_learning.utils.load_dictionary("FOLDER", "cpu")'
LIBRARY = Library(TITLE, CONFIG, WEIGHTS, write, read, LOAD)
