"""Make `import torchaudio` harmless, because three libraries do it without needing it.

torchcrepe, encodec and transformers import torchaudio for reading and writing files, which this project does with
soundfile. A torchaudio wheel that does not match the installed torch fails on import and takes them with it.
"""

import importlib
import importlib.machinery
import sys
import types


def ensure_torchaudio() -> None:
    """Import torchaudio if it works, otherwise put an empty module in its place.

    Call before importing torchcrepe, encodec, or a diffusers or transformers class that handles audio. The module
    carries a `__spec__`, since transformers looks for one; anything that really uses torchaudio raises
    AttributeError.
    """
    if "torchaudio" in sys.modules:
        return
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        stub = types.ModuleType("torchaudio")
        stub.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
        sys.modules["torchaudio"] = stub
