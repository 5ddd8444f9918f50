"""Autoencoders of ours as other libraries keep them."""

import json
from pathlib import Path
from typing import Any

from support.sae import random_sae

from probes.sae import SparseAutoencoder
from probes.sae.exchange import LIBRARIES, export_sae


def exported(folder: Path, library: str, architecture: str, **options: Any) -> tuple[SparseAutoencoder, Path]:
    """An autoencoder of ours with random weights, and the folder of its export."""
    sae = random_sae(architecture, channels=64, space="mini", revision="v1", **options)
    sae.save_pretrained(folder / "ours")
    export_sae(str(folder / "ours"), library, folder / "theirs")
    return sae, folder / "theirs"


def set_config(theirs: Path, library: str, change: dict[str, Any]) -> None:
    """Change fields of a config; of dictionary_learning those of its trainer. None takes one away."""
    path = theirs / LIBRARIES[library].config
    config = json.loads(path.read_text())
    own = config["trainer"] if library == "dictionary_learning" else config
    own.update(change)
    for name in [name for name, value in own.items() if value is None]:
        del own[name]
    path.write_text(json.dumps(config))
