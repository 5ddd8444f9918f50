"""Load a diffusers pipeline from a folder or the Hub, with mistakes told in one line."""

from typing import Any

import torch

from probes.errors import InputError
from probes.spaces.weights import local
from probes.support.hub import hub_message
from probes.support.tensors import first_line
from probes.support.torchaudio_stub import ensure_torchaudio


def pipeline_config(source: str, class_name: str, revision: str | None = None) -> dict[str, Any]:
    """The `model_index.json` of a saved pipeline.

    Raises:
        InputError: no such folder or repository, or a pipeline of another class.
    """
    ensure_torchaudio()
    from diffusers import DiffusionPipeline

    folder = local(source)
    try:
        config: dict[str, Any] = DiffusionPipeline.load_config(str(folder or source), revision=revision)
    except (OSError, ValueError) as error:
        if folder is not None:
            raise InputError(f"{source} has no model_index.json: give the folder of a saved {class_name}") from error
        raise InputError(hub_message(source, "model_index.json", error)) from error
    if config.get("_class_name") != class_name:
        raise InputError(f"{source} holds a {config.get('_class_name')}, but this model is a {class_name}")
    return config


def load_pipeline(
    source: str, class_name: str, device: str, dtype: torch.dtype, revision: str | None = None, **components: Any
) -> Any:
    """A pipeline of diffusers on its device, every module in eval mode.

    Args:
        source: folder of `save_pretrained`, or hub id.
        class_name: class of `diffusers` that the folder must hold.
        device: torch device.
        dtype: of every module.
        revision: of the hub repository.
        components: modules that take the place of saved ones.

    Raises:
        InputError: weights that are missing, gated, damaged, or of another pipeline.
    """
    pipeline_config(source, class_name, revision)
    import diffusers
    from diffusers.utils import logging

    folder, verbosity = local(source), logging.get_verbosity()
    logging.set_verbosity_error()  # it warns of every component that is passed in, and of every older pipeline
    try:
        pipeline = getattr(diffusers, class_name).from_pretrained(
            str(folder or source), torch_dtype=dtype, revision=revision, **components
        )
    except (OSError, ValueError, RuntimeError, AttributeError, ImportError) as error:
        if folder is None and isinstance(error, OSError):  # the Hub's own errors are OSErrors
            raise InputError(hub_message(source, "the pipeline's files", error)) from error
        raise InputError(f"{source} cannot be loaded as {class_name}: {first_line(error)}") from error
    finally:
        logging.set_verbosity(verbosity)
    return pipeline.to(device)
