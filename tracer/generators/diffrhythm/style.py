"""Style vectors: captions through MuQ-MuLan, kept in a cache file that can be filled in another environment."""

import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probes.errors import InputError
from probes.support.files import write_whole
from probes.support.tensors import read_safetensors, read_torch

WIDTH = 512
MULAN = "OpenMuQ/MuQ-MuLan-large"
CHUNK = 256  # captions between two writes of the cache: what an interruption can lose
ADVICE = (
    'install the extra [diffrhythm] (pip install "generation-tracer[diffrhythm]"), here or in an environment of its '
    "own where `trace styles` fills the style cache; the file is read anywhere"
)


class StyleCache:
    """Style vectors by caption in one `.safetensors` file: tensors [1, 512] of unit norm, the caption as their name.

    The file is read when it is asked, so that a cache that another process filled is seen.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    @classmethod
    def open(cls, path: str | Path) -> "StyleCache":
        """A cache file; it need not exist yet.

        Raises:
            InputError: the file exists and is no safetensors file.
        """
        cache = cls(path)
        if cache.path.suffix != ".safetensors":
            raise InputError(f"the style cache must be a .safetensors file, got {cache.path}")
        cache.missing([])
        return cache

    def missing(self, captions: Sequence[str]) -> list[str]:
        """The captions without a vector, each once, in order."""
        with self._reader() as stored:
            names = set(stored.keys()) if stored is not None else set()
        return [caption for caption in dict.fromkeys(captions) if name_of(caption) not in names]

    def get(self, captions: Sequence[str]) -> Tensor:
        """Style vectors [B, 512], float32.

        Raises:
            InputError: captions without a vector (how many, and how to fill the cache), or a damaged vector.
        """
        missing = self.missing(captions)
        if missing:
            raise InputError(
                f"{len(missing)} of {len(set(captions))} captions have no style vector in {self.path}; where muq is "
                'installed (pip install "generation-tracer[diffrhythm]"), run: '
                f"trace styles {self.path} with the same --prompts, --n and --seed"
            )
        with self._reader() as stored:
            if stored is None:
                return torch.empty(0, WIDTH)
            where = f"the style cache {self.path}"
            vectors = [checked(stored.get_tensor(name_of(caption)), where) for caption in captions]
        return torch.cat(vectors) if vectors else torch.empty(0, WIDTH)

    def fill(self, captions: Sequence[str], device: str | torch.device = "cpu") -> int:
        """Compute the vectors that are missing with MuQ-MuLan and add them to the file; how many there were.

        Several processes of a machine may ask for the same file: one computes, the others wait for it.

        Args:
            device: torch device, or "auto" for the accelerator where there is one.

        Raises:
            InputError: MuQ-MuLan cannot be had here.
        """
        if not self.missing(captions):
            return 0
        from filelock import FileLock

        name = hashlib.blake2b(str(self.path.absolute()).encode(errors="surrogatepass"), digest_size=8).hexdigest()
        with FileLock(Path(tempfile.gettempdir()) / f"generation-tracer-{name}.lock"):
            return self._compute(self.missing(captions), device)

    def _compute(self, missing: list[str], device: str | torch.device) -> int:
        if not missing:
            return 0
        if device == "auto":
            device = str(torch.accelerator.current_accelerator()) if torch.accelerator.is_available() else "cpu"
        mulan = load_mulan(device)
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            with torch.no_grad():
                # One by one: padding to a common length would make a vector depend on its neighbours.
                vectors = [mulan(texts=[caption]).float().cpu() for caption in chunk]
            self._add({name_of(caption): vector for caption, vector in zip(chunk, vectors)})
        return len(missing)

    def _add(self, vectors: dict[str, Tensor]) -> None:
        from safetensors.torch import save

        vectors = {name: vector / vector.norm() for name, vector in vectors.items()}
        with self._reader() as stored:
            names = [] if stored is None else list(stored.keys())
            old = {name: stored.get_tensor(name).clone() for name in names}
        write_whole(self.path, save({**old, **vectors}, metadata={"model": MULAN}))

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        """The open file, None while there is none."""
        from safetensors import SafetensorError, safe_open

        if not self.path.exists():
            yield None
            return
        try:
            file = safe_open(self.path, framework="pt")
        except (OSError, SafetensorError) as error:
            raise InputError(f"{self.path} is not a readable safetensors file: {error}") from None
        with file as stored:
            yield stored


def name_of(caption: str) -> str:
    """The caption itself, or a hash of it where safetensors cannot hold it as a name."""
    try:
        caption.encode()
        fits = caption != "__metadata__"
    except UnicodeEncodeError:
        fits = False
    return caption if fits else "sha256:" + hashlib.sha256(caption.encode(errors="surrogatepass")).hexdigest()


def checked(vector: Tensor, where: str) -> Tensor:
    """A style vector as [1, 512] float32; InputError unless it is one, of unit norm."""
    if vector.numel() != WIDTH:
        raise InputError(f"{where} holds a tensor of shape {list(vector.shape)}; a style vector is [1, {WIDTH}]")
    vector = vector.float().reshape(1, WIDTH)
    norm = float(vector.norm())
    if not abs(norm - 1) < 0.01:
        raise InputError(f"{where} holds a style vector of norm {norm:.4g}; MuQ-MuLan's have norm 1")
    return vector


def read_style(path: str | Path) -> Tensor:
    """One style vector [1, 512], float32, from a `.npy`, `.safetensors` or `.pt` file (of one tensor).

    DiffRhythm's own negative style vector is `infer/example/vocal.npy` of its repository.
    """
    path = Path(path).expanduser()
    try:
        if path.suffix == ".npy":
            vector = torch.from_numpy(np.load(path, allow_pickle=False))
        elif path.suffix == ".safetensors":
            (vector,) = read_safetensors(path).values()
        elif path.suffix == ".pt":
            vector = read_torch(path)
            if not isinstance(vector, Tensor):
                raise ValueError("no tensor")
        else:
            raise InputError(f"{path}: a style vector is read from .npy, .safetensors or .pt")
    except InputError:
        raise
    # torch, numpy and safetensors each have their own exceptions for a file that is not what its name says.
    except Exception as error:
        raise InputError(f"{path} holds no style vector [1, {WIDTH}]: {(str(error).splitlines() or [''])[0]}") from None
    return checked(vector, str(path))


def muq_trouble() -> str:
    """Why MuQ-MuLan cannot run in this environment, and what to do, on one line; "" where it can, as far as known."""
    try:
        found = find_spec("muq") is not None
    except ValueError:  # it is imported, and says nothing of where it came from
        found = sys.modules.get("muq") is not None
    return "" if found else f"style vectors need the package muq: {ADVICE}"


def load_mulan(device: str | torch.device) -> Any:
    """MuQ-MuLan (`OpenMuQ/MuQ-MuLan-large`, CC-BY-NC-4.0), whose `(texts=[...])` gives vectors [B, 512].

    Its way from texts gives the same numbers under transformers 4.57 and 5.23; its way from audio, which is not taken
    here, fails under the latter.
    """
    if told := muq_trouble():
        raise InputError(told)
    from probes.support.torchaudio_stub import ensure_torchaudio

    ensure_torchaudio()
    try:
        from muq import MuQMuLan
    except (ImportError, OSError, RuntimeError, AttributeError) as error:  # torchaudio and torchvision load code of C++
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"the package muq does not load here ({reason}): {ADVICE}") from None
    try:
        return MuQMuLan.from_pretrained(MULAN).to(device).eval()
    except OSError as error:
        raise InputError(f"cannot get {MULAN} from the hub ({str(error).splitlines()[0]})") from None
