import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from probes.errors import InputError
from tracer.generators.diffrhythm import style
from tracer.generators.diffrhythm.style import StyleCache, read_style


def unit(seed: int) -> torch.Tensor:
    vector = torch.randn(1, 512, generator=torch.Generator().manual_seed(seed))
    return vector / vector.norm()


class FakeMuLan:
    """Gives each text its own vector, three times too long, and remembers what it was asked."""

    asked: list[str]
    fail_after: int | None = None

    @classmethod
    def from_pretrained(cls, name: str) -> "FakeMuLan":
        assert name == "OpenMuQ/MuQ-MuLan-large"
        return cls()

    def to(self, device: Any) -> "FakeMuLan":
        torch.device(device)
        return self

    def eval(self) -> "FakeMuLan":
        return self

    def __call__(self, texts: list[str]) -> torch.Tensor:
        if len(type(self).asked) == type(self).fail_after:
            raise KeyboardInterrupt
        type(self).asked += texts
        return torch.cat([3 * unit(len(text)) for text in texts])


@pytest.fixture
def mulan(monkeypatch: pytest.MonkeyPatch) -> type[FakeMuLan]:
    """A muq module."""
    module = types.ModuleType("muq")
    module.MuQMuLan = FakeMuLan  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "muq", module)
    monkeypatch.setattr(FakeMuLan, "asked", [], raising=False)
    monkeypatch.setattr(FakeMuLan, "fail_after", None)
    return FakeMuLan


def test_filling_adds_what_is_missing_once_and_normalised(tmp_path: Path, mulan: type[FakeMuLan]) -> None:
    cache = StyleCache.open(tmp_path / "new" / "styles.safetensors")
    assert cache.fill(["a", "bb", "a"]) == 2
    assert cache.fill(["bb", "ccc"], device="auto") == 1
    assert mulan.asked == ["a", "bb", "ccc"]
    vectors = StyleCache.open(cache.path).get(["ccc", "a", "ccc"])
    assert vectors.shape == (3, 512)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, torch.cat([unit(3), unit(1), unit(3)]))
    assert cache.fill(["a"]) == 0
    assert [file.name for file in cache.path.parent.iterdir()] == ["styles.safetensors"]


@pytest.mark.parametrize(
    "caption", ["", "two\nlines", 'q"\\', "\x00", "🎹 ピアノ", "__metadata__", "lone \ud800", "x" * 5000]
)
def test_any_text_is_a_key(tmp_path: Path, mulan: type[FakeMuLan], caption: str) -> None:
    cache = StyleCache.open(tmp_path / "styles.safetensors")
    assert cache.fill([caption, "other"]) == 2
    torch.testing.assert_close(cache.get([caption]), unit(len(caption)))


def test_a_file_written_by_somebody_else_is_read(tmp_path: Path) -> None:
    save_file({"a quiet piano": unit(1)[0], "drums": unit(2)}, tmp_path / "styles.safetensors")
    cache = StyleCache.open(tmp_path / "styles.safetensors")
    torch.testing.assert_close(cache.get(["drums", "a quiet piano"]), torch.cat([unit(2), unit(1)]))


def test_missing_captions_are_counted_and_the_remedy_named(tmp_path: Path) -> None:
    save_file({"a": unit(1)}, tmp_path / "styles.safetensors")
    cache = StyleCache.open(tmp_path / "styles.safetensors")
    with pytest.raises(InputError, match=r"^2 of 3 captions .*trace styles .*styles\.safetensors") as raised:
        cache.get(["a", "b", "c", "b"])
    assert "\n" not in str(raised.value)


def test_an_interrupted_filling_keeps_the_finished_chunks(
    tmp_path: Path, mulan: type[FakeMuLan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "CHUNK", 2)
    monkeypatch.setattr(mulan, "fail_after", 3)
    cache = StyleCache.open(tmp_path / "styles.safetensors")
    with pytest.raises(KeyboardInterrupt):
        cache.fill(["a", "bb", "ccc", "dddd"])
    assert cache.missing(["a", "bb", "ccc", "dddd"]) == ["ccc", "dddd"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, mulan: type[FakeMuLan], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "styles.safetensors"
    save_file({"a": unit(1)}, path)
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="No space left"):
        StyleCache.open(path).fill(["b"])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_muq_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "muq", None)
    with pytest.raises(InputError, match=r"need the package muq: install the extra \[diffrhythm\]"):
        StyleCache.open(tmp_path / "styles.safetensors").fill(["a"])


@pytest.mark.parametrize(
    "error", [ImportError("no torchvision"), RuntimeError("operator torchvision::nms does not exist\nat length")]
)
def test_a_muq_that_does_not_load_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    class Broken(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise error if name == "MuQMuLan" else AttributeError(name)

    monkeypatch.setitem(sys.modules, "muq", Broken("muq"))
    with pytest.raises(InputError, match=r"does not load here \(.*torchvision.*\): install the extra") as raised:
        StyleCache.open(tmp_path / "styles.safetensors").fill(["a"])
    assert "\n" not in str(raised.value)


def test_damaged_caches_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "styles.safetensors"
    path.write_bytes(b"no tensors here")
    with pytest.raises(InputError, match="not a readable safetensors"):
        StyleCache.open(path)
    with pytest.raises(InputError, match=r"must be a \.safetensors file"):
        StyleCache.open(tmp_path / "styles.pt")
    for vector, named in (
        (torch.zeros(1, 512), "norm"),
        (torch.full((512,), torch.nan), "norm"),
        (unit(1)[:, :5], "shape"),
    ):
        save_file({"a": vector.contiguous()}, path)
        with pytest.raises(InputError, match=named):
            StyleCache.open(path).get(["a"])


@pytest.mark.parametrize(
    "write",
    [
        lambda path: (np.save(path / "v.npy", unit(1).numpy()), path / "v.npy")[1],
        lambda path: (np.save(path / "v.npy", unit(1)[0].numpy()), path / "v.npy")[1],
        lambda path: (save_file({"style": unit(1)}, path / "v.safetensors"), path / "v.safetensors")[1],
        lambda path: (torch.save(unit(1), path / "v.pt"), path / "v.pt")[1],
    ],
)
def test_a_style_vector_from_each_kind_of_file(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    torch.testing.assert_close(read_style(write(tmp_path)), unit(1))


def test_files_that_hold_no_style_vector(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "short.npy", np.ones(5, dtype=np.float32))
    np.save(tmp_path / "long.npy", np.ones((1, 512), dtype=np.float32))
    save_file({"a": unit(1), "b": unit(2)}, tmp_path / "two.safetensors")
    torch.save({"a": unit(1)}, tmp_path / "dict.pt")
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "vector.txt").write_text("0.1")
    for path in [*tmp_path.iterdir(), tmp_path / "missing.npy"]:
        with pytest.raises(InputError, match=path.name) as raised:
            read_style(path)
        assert "\n" not in str(raised.value)


def test_real_style_vectors(shared: Path) -> None:
    files = [*sorted((shared / "data/diffrhythm/style").glob("*.pt")), shared / "data/diffrhythm/negative_style.npy"]
    assert len(files) == 5
    for file in files:
        assert read_style(file).shape == (1, 512)


def test_processes_that_ask_together_compute_once(tmp_path: Path, mulan: type[FakeMuLan]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "styles.safetensors"
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: StyleCache.open(path).fill(["a", "bb", "ccc"]), range(4)))
    assert sorted(counts) == [0, 0, 0, 3]
    assert mulan.asked == ["a", "bb", "ccc"]


def test_a_run_computes_the_vectors_that_it_lacks(tmp_path: Path, mulan: type[FakeMuLan]) -> None:
    from support.diffrhythm import released_folder, settings

    from tracer.generators import load_generator

    folder = released_folder(tmp_path / "released", ["a song"])
    model = load_generator("diffrhythm", str(folder), **settings(folder))
    model.check(["a song", "another song"], 4.0)
    assert mulan.asked == ["another song"]
    assert StyleCache.open(folder / "styles.safetensors").missing(["a song", "another song"]) == []
