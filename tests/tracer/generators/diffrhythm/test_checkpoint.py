"""Weight files in the released format, and everything that can be wrong with one."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from probes.errors import InputError
from tracer.generators.diffrhythm import DiffRhythm
from tracer.generators.diffrhythm.config import read_config

CONFIG = {
    "dim": 64,
    "depth": 2,
    "heads": 4,
    "ff_mult": 2,
    "text_dim": 32,
    "conv_layers": 1,
    "mel_dim": 64,
    "text_num_embeds": 20,
    "attention_heads": 2,
}
BuildTiny = Callable[..., DiffRhythm]
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def tensors(tiny_diffrhythm: BuildTiny) -> Tensors:
    """What a released file holds: fp16, upstream's names."""
    return {name: tensor.half() for name, tensor in tiny_diffrhythm().state_dict().items()}


def load(path: Path | str, **options: Any) -> DiffRhythm:
    return DiffRhythm.from_checkpoint(path, **{"config": CONFIG, **options})


def same(model: DiffRhythm, tensors: Tensors) -> bool:
    loaded = model.state_dict()
    return set(loaded) == set(tensors) and all(
        torch.equal(loaded[name], value.to(model.dtype)) for name, value in tensors.items()
    )


def refusal(path: Path | str, **options: Any) -> str:
    """The one line that loading ends in."""
    with pytest.raises(InputError) as raised:
        load(path, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_released_format_in_every_precision(tmp_path: Path, tensors: Tensors) -> None:
    path = tmp_path / "cfm_model.pt"
    torch.save({"model_state_dict": tensors, "optimizer_state_dict": {"state": {}, "step": 3}}, path)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        model = load(path, dtype=dtype)
        assert model.dtype == dtype
        assert not model.training
        assert same(model, tensors)
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_other_nestings_and_formats_hold_the_same_network(tmp_path: Path, tensors: Tensors) -> None:
    bare = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    average: dict[str, Any] = {f"ema_model.{name}": value for name, value in tensors.items()}
    average |= {"initted": torch.tensor(True), "step": torch.tensor(7)}
    torch.save({"ema_model_state_dict": average, "step": 7}, tmp_path / "ema.pt")
    torch.save({"model_state_dict": tensors, "ema_model_state_dict": {}}, tmp_path / "both.pt")
    torch.save(tensors, tmp_path / "flat.pt")
    torch.save(bare, tmp_path / "bare.pt")
    save_file(tensors, tmp_path / "cfm.safetensors")
    (tmp_path / "folder").mkdir()
    torch.save({"model_state_dict": tensors}, tmp_path / "folder" / "cfm_model.pt")
    for name in ("ema.pt", "both.pt", "flat.pt", "bare.pt", "cfm.safetensors", "folder"):
        assert same(load(tmp_path / name), tensors), name


def test_the_config_comes_as_upstream_s_file_too(tmp_path: Path, tensors: Tensors) -> None:
    torch.save({"model_state_dict": tensors}, tmp_path / "cfm_model.pt")
    file = tmp_path / "diffrhythm.json"
    file.write_text(json.dumps({"model_type": "diffrhythm", "model": {**CONFIG, "dropout": 0.1, "dim_head": 64}}))
    assert same(load(tmp_path / "cfm_model.pt", config=file), tensors)


NORM = "transformer.norm_out.linear.bias"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop(NORM), f"missing {NORM}"),
        (lambda t: t.update({"transformer.extra": torch.ones(2)}), "unexpected transformer.extra"),
        (lambda t: t.update({NORM: torch.ones(3)}), rf"{NORM} has shape \[3\].*\[128\]"),
        (lambda t: t[NORM].fill_(float("nan")), f"{NORM} holds NaN"),
        (lambda t: t[NORM].fill_(float("inf")), f"{NORM} holds NaN or infinity"),
        (lambda t: [t.pop(name) for name in list(t)[3:]], "and [0-9]+ more"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, tensors: Tensors, change: Any, named: str) -> None:
    change(tensors)
    torch.save({"model_state_dict": tensors}, tmp_path / "cfm_model.pt")
    save_file(tensors, tmp_path / "cfm_model.safetensors")
    for name in ("cfm_model.pt", "cfm_model.safetensors"):
        with pytest.raises(InputError, match=named):
            load(tmp_path / name)


def test_another_max_frames_is_refused_with_a_hint(
    tmp_path: Path, tensors: Tensors, tiny_diffrhythm: BuildTiny
) -> None:
    torch.save({"model_state_dict": tensors}, tmp_path / "short.pt")
    torch.save({"model_state_dict": tiny_diffrhythm(max_frames=6144).state_dict()}, tmp_path / "long.pt")
    for path, frames in ((tmp_path / "short.pt", 6144), (tmp_path / "long.pt", 2048)):
        message = refusal(path, max_frames=frames)
        assert "duration_time_embed.time_mlp.0.weight" in message
        assert "max_frames=6144" in message
    assert load(tmp_path / "long.pt", max_frames=6144).config.has_duration


class Payload:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("executed"),))


def test_a_pickle_with_code_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state_dict": {"transformer.a": Payload()}}, "code.pt")
    Path("plain.pt").write_bytes(pickle.dumps(Payload()))
    for name in ("code.pt", "plain.pt"):
        assert "not a readable file" in refusal(name)
    assert not Path("executed").exists()


def test_files_that_are_no_checkpoint(tmp_path: Path, tensors: Tensors) -> None:
    torch.save({"model_state_dict": tensors}, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.safetensors").write_text("hello")
    (tmp_path / "empty.safetensors").touch()
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"model_state_dict": {"a": 1}}, tmp_path / "numbers.pt")
    torch.save({}, tmp_path / "nothing.pt")
    for name in ("cut.pt", "text.pt", "empty.pt", "text.safetensors", "empty.safetensors", "list.pt", "numbers.pt"):
        assert name in refusal(tmp_path / name)
    assert "missing" in refusal(tmp_path / "nothing.pt")
    (tmp_path / "folder").mkdir()
    assert "cfm_model.pt" in refusal(tmp_path / "folder")
    for source in (tmp_path / "missing.pt", "missing.pt", "./a/b", "nonsense", ""):
        assert "no weights at" in refusal(source) or "holds neither" in refusal(source)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"dims": 64}, "unknown keys in the model config: dims"),
        ({"dim": 70}, "multiple of"),
        ({"dim": 0}, "'dim' must be a whole number from 1 to"),
        ({"depth": 2.5}, "depth"),
        ({"depth": True}, "depth"),
        ({"conv_layers": -1}, "'conv_layers' must be a whole number from 0 to"),
        ({"causal": 1}, "causal"),
        ({"long_skip_connection": True}, "long_skip_connection"),
        ([1, 2], "must be a dictionary"),
    ],
)
def test_configs_that_cannot_work(tmp_path: Path, config: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        read_config(config)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    with pytest.raises(InputError, match=named):
        read_config(file)


def test_config_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    for name in ("broken.json", "missing.json"):
        with pytest.raises(InputError, match="cannot read the model config"):
            read_config(tmp_path / name)


def test_a_hub_id_offline_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    message = refusal("ASLP-lab/DiffRhythm-1_2@0123456")
    assert "cannot download cfm_model.pt of ASLP-lab/DiffRhythm-1_2@0123456" in message
    assert "pass a path" in message


@pytest.mark.parametrize(
    ("repo", "frames", "causal"),
    [
        ("ASLP-lab/DiffRhythm-1_2", 2048, False),
        ("ASLP-lab/DiffRhythm-1_2-full", 6144, False),
        ("ASLP-lab/DiffRhythm-base", 2048, True),
        ("ASLP-lab/DiffRhythm-full@main", 6144, True),
    ],
)
def test_a_hub_id_brings_its_switches_along(
    tmp_path: Path, tiny_diffrhythm: BuildTiny, monkeypatch: pytest.MonkeyPatch, repo: str, frames: int, causal: bool
) -> None:
    path = tmp_path / "cfm_model.pt"
    torch.save({"model_state_dict": tiny_diffrhythm(max_frames=frames, causal=causal).state_dict()}, path)

    def download(name: str, filename: str, *, revision: str | None) -> Path:
        assert (name, filename) == (repo.partition("@")[0], "cfm_model.pt")
        assert "@" not in repo or revision == "main"
        return path

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    config = load(repo).config
    assert (config.max_frames, config.causal) == (frames, causal)


def velocity(model: DiffRhythm, x: torch.Tensor) -> torch.Tensor:
    frames = x.shape[1]
    return model.velocity(
        x,
        0.5,
        cond=torch.zeros(1, frames, 64),
        text=torch.zeros(1, frames, dtype=torch.long),
        style=torch.ones(1, 512) / 512**0.5,
        start_time=torch.zeros(1),
        song_duration=torch.ones(1),
    )


def test_the_v1_0_switch_makes_attention_causal(tmp_path: Path, tensors: Tensors) -> None:
    torch.save({"model_state_dict": tensors}, tmp_path / "cfm_model.pt")
    full = load(tmp_path / "cfm_model.pt")
    causal = load(tmp_path / "cfm_model.pt", config={**CONFIG, "causal": True})
    x = torch.randn(1, 120, 64)
    changed = x.clone()
    changed[:, 100:] += 1
    # The convolutional position embedding looks two times 15 frames ahead in either version; attention must not.
    before = slice(0, 100 - 30)
    assert (velocity(full, x) - velocity(causal, x)).abs().max() > 1e-2
    assert torch.equal(velocity(causal, x)[:, before], velocity(causal, changed)[:, before])
    assert (velocity(full, x) - velocity(full, changed))[:, before].abs().max() > 1e-3


def test_v1_0_full_has_no_duration_embedding(tiny_diffrhythm: BuildTiny) -> None:
    names = set(tiny_diffrhythm(max_frames=6144, causal=True).state_dict())
    assert names == set(tiny_diffrhythm(max_frames=2048).state_dict())


def test_a_large_file_is_read_in_portions(tmp_path: Path, tensors: Tensors, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracer.generators.diffrhythm import checkpoint

    torch.save({"model_state_dict": tensors}, tmp_path / "cfm_model.pt")
    opened = []
    mapped = checkpoint.read_weights
    monkeypatch.setattr(checkpoint, "read_weights", lambda path: opened.append(path) or mapped(path))
    monkeypatch.setattr(checkpoint, "PORTION", sum(value.nbytes for value in tensors.values()) // 4)
    assert same(load(tmp_path / "cfm_model.pt"), tensors)
    assert 3 <= len(opened) <= 5
    names = [name for portion in checkpoint.portions(tensors) for name in portion]
    assert names == list(tensors)
