"""Configs of any architecture from one list of options."""

from dataclasses import fields
from typing import Any

from probes.sae import SAEConfig, make_config
from probes.sae.base import config_class


def config_of(architecture: str, **options: Any) -> SAEConfig:
    """A config with those of the options that the architecture has."""
    known = {field.name for field in fields(config_class(architecture))}
    return make_config(architecture, **{name: value for name, value in options.items() if name in known})
