"""Audio as cached latents and labels: sources, encoding, the corpus folder, splits and sampling."""

from typing import TYPE_CHECKING

from probes.support.packages import late_names

if TYPE_CHECKING:
    from probes.corpus.folder import Corpus

__all__ = ["Corpus"]

__getattr__, __dir__ = late_names(__name__, {"Corpus": "probes.corpus.folder"})
