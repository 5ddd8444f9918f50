"""Whatever cannot be converted: one line, and nothing written."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.exchange import exported, set_config

from probes.errors import InputError
from probes.sae.exchange import LIBRARIES, import_sae


@pytest.mark.parametrize(
    ("library", "architecture", "says"),
    [
        ("saelens", "relu", r"no counterpart of the RMSNorm.*docs/exchange\.md.*register_sae_class"),
        ("dictionary_learning", "relu", "no counterpart of the RMSNorm"),
        ("sparsify", "relu", "no counterpart of the RMSNorm"),
        ("sparsify", "batchtopk", "only TopK.*export it to saelens"),
        ("sparsify", "jumprelu", "only TopK.*export it to saelens"),
        (
            "overcomplete",
            "topk",
            "choose one of saelens, dictionary_learning, sparsify",
        ),
    ],
)
def test_what_a_library_has_not_is_said(library, architecture, says, tmp_path):
    with pytest.raises(InputError, match=says) as refused:
        exported(tmp_path, library, architecture)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize(
    ("library", "architecture", "change", "says"),
    [
        ("saelens", "topk", {"architecture": "gated"}, "architecture 'gated'"),
        ("saelens", "topk", {"architecture": "standard"}, "architecture 'standard'"),
        ("saelens", "topk", {"architecture": None}, "architecture None"),
        ("saelens", "topk", {"normalize_activations": "layer_norm"}, "normalize_activations is 'layer_norm'"),
        ("saelens", "topk", {"normalize_activations": None}, "has no 'normalize_activations'"),
        ("saelens", "topk", {"normalize_activations": True}, "must be of type str"),
        ("saelens", "topk", {"reshape_activations": "hook_z"}, "reshape_activations is 'hook_z'"),
        ("saelens", "topk", {"apply_b_dec_to_input": "no"}, "must be of type bool"),
        ("saelens", "topk", {"k": None}, "k must be a whole number of at least 1, not nothing"),
        ("saelens", "topk", {"k": 151}, "k must lie between 1 and hidden = 150"),
        ("saelens", "topk", {"d_in": 32}, r"W_enc has the shape \[64, 150\], and its config says \[32, 150\]"),
        ("saelens", "topk", {"d_sae": "150"}, "d_sae must be a whole number"),
        ("saelens", "topk", {"architecture": "jumprelu"}, "has no threshold"),
        ("saelens", "jumprelu", {"architecture": "topk", "k": 3}, "also holds threshold"),
        ("dictionary_learning", "topk", {"dict_class": "GatedAutoEncoder"}, "class 'GatedAutoEncoder'"),
        ("dictionary_learning", "topk", {"dict_class": None}, "class None"),
        ("dictionary_learning", "topk", {"dict_class": ["x"]}, "the class"),
        ("dictionary_learning", "topk", {"dict_class": "JumpReluAutoEncoder"}, "has no W_enc"),
        ("dictionary_learning", "topk", {"k": 8}, "k = 8, and the weights beside it"),
        ("dictionary_learning", "topk", {"activation_dim": 0}, "activation_dim must be a whole number"),
        ("dictionary_learning", "jumprelu", {"dict_size": 149}, "config says"),
        ("sparsify", "topk", {"activation": "groupmax"}, "activation 'groupmax'"),
        ("sparsify", "topk", {"transcode": True}, "has transcode"),
        ("sparsify", "topk", {"skip_connection": True}, "has skip_connection"),
        ("sparsify", "topk", {"signed": True}, "has signed"),
        ("sparsify", "topk", {"d_in": None}, "d_in must be a whole number"),
        ("sparsify", "topk", {"num_latents": 0}, "config says"),
        ("sparsify", "topk", {"num_latents": -1}, "num_latents must be a whole number of at least 0"),
    ],
)
def test_configs_without_a_counterpart(library, architecture, change, says, tmp_path):
    _, theirs = exported(tmp_path, library, architecture)
    set_config(theirs, library, change)
    with pytest.raises(InputError, match=says) as refused:
        import_sae(str(theirs), "mini", tmp_path / "again")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "again").exists()


class Code:
    """What an unpickler would run."""

    ran = False

    def __reduce__(self):
        return setattr, (Code, "ran", True)


def nan(theirs: Path, library: str) -> None:
    path = theirs / LIBRARIES[library].weights
    tensors = torch.load(path, weights_only=True) if library == "dictionary_learning" else load_file(path)
    tensors["b_dec"][0] = float("nan")
    torch.save(tensors, path) if library == "dictionary_learning" else save_file(tensors, path)


def whole_numbers(theirs: Path, library: str) -> None:
    path = theirs / LIBRARIES[library].weights
    tensors = torch.load(path, weights_only=True) if library == "dictionary_learning" else load_file(path)
    tensors["b_dec"] = tensors["b_dec"].int()
    torch.save(tensors, path) if library == "dictionary_learning" else save_file(tensors, path)


def content(data: bytes):
    return lambda theirs, library: (theirs / LIBRARIES[library].weights).write_bytes(data)


def no_config(theirs: Path, library: str) -> None:
    (theirs / LIBRARIES[library].config).unlink()


def no_weights(theirs: Path, library: str) -> None:
    (theirs / LIBRARIES[library].weights).unlink()


def broken_config(theirs: Path, library: str) -> None:
    (theirs / LIBRARIES[library].config).write_text("[")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (nan, "not finite"),
        (whole_numbers, "not floating-point"),
        (content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git LFS pointer"),
        (content(b""), "is empty"),
        (content(b"<html>"), "web page"),
        (content(b"rubbish" * 9), "is not a readable"),
        (no_config, "but no "),
        (no_weights, "holds none of"),
        (broken_config, "not valid JSON"),
    ],
)
def test_damaged_files(library, spoil, says, tmp_path):
    _, theirs = exported(tmp_path, library, "topk")
    spoil(theirs, library)
    with pytest.raises(InputError, match=says) as refused:
        import_sae(str(theirs), "mini", tmp_path / "again")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("tensors", [Code(), [Code()], {"b_dec": Code()}])
def test_nothing_is_unpickled(tensors, tmp_path):
    _, theirs = exported(tmp_path, "dictionary_learning", "topk")
    torch.save(tensors, theirs / "ae.pt")
    with pytest.raises(InputError, match="nothing in it was run"):
        import_sae(str(theirs), "mini", tmp_path / "again")
    assert not Code.ran


@pytest.mark.parametrize("tensors", [[torch.zeros(3)], {"b_dec": 3}, torch.zeros(3)])
def test_a_file_without_names_is_told(tensors, tmp_path):
    _, theirs = exported(tmp_path, "dictionary_learning", "topk")
    torch.save(tensors, theirs / "ae.pt")
    with pytest.raises(InputError, match="does not hold tensors by name"):
        import_sae(str(theirs), "mini", tmp_path / "again")


@pytest.mark.parametrize(
    ("source", "space", "says"),
    [
        ("theirs", "encodec", "takes 64 numbers a frame, and latents of encodec have 128"),
        ("theirs", "nothing", "unknown latent space"),
        ("absent", "mini", "no such folder: absent"),
        ("./absent/x", "mini", "no such folder"),
        ("a//b", "mini", "no such folder"),
        ("theirs/cfg.json", "mini", "is a file: give the folder"),
        ("ours", "mini", "holds none of sae_weights.safetensors"),
    ],
)
def test_wrong_places_and_spaces(source, space, says, tmp_path, monkeypatch):
    exported(tmp_path, "saelens", "topk")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says):
        import_sae(source, space, tmp_path / "again")
