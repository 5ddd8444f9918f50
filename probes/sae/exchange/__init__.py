"""Open doors: autoencoders of SAELens, dictionary_learning and sparsify as ours, and ours as theirs.

One file per library; `fold.py` takes the standardisation into the weights, `transfer.py` goes from folder to folder.
"""

from probes.sae.exchange.transfer import LIBRARIES, export_sae, import_sae

__all__ = ["LIBRARIES", "export_sae", "import_sae"]
