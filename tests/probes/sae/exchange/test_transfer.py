"""Out to another library's folder and back in: the same features; whatever cannot be converted, in one line."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from safetensors.torch import load_file, save_file
from support.sae import random_sae

from probes.errors import InputError
from probes.sae import SparseAutoencoder
from probes.sae.exchange import LIBRARIES, export_sae, import_sae

PAIRS = [
    *((library, name) for library in ("saelens", "dictionary_learning") for name in ("topk", "batchtopk", "jumprelu")),
    ("sparsify", "topk"),
]


def exported(folder: Path, library: str, architecture: str, **options) -> tuple[SparseAutoencoder, Path]:
    """An autoencoder of ours with random weights, and the folder of its export."""
    sae = random_sae(architecture, channels=64, space="mini", revision="v1", **options)
    sae.save_pretrained(folder / "ours")
    export_sae(str(folder / "ours"), library, folder / "theirs")
    return sae, folder / "theirs"


@pytest.mark.parametrize(("library", "architecture"), PAIRS)
@pytest.mark.parametrize("standardise", [True, False])
def test_round_trip(library, architecture, standardise, tmp_path):
    sae, theirs = exported(tmp_path, library, architecture, standardise=standardise)
    assert {path.name for path in theirs.iterdir()} == {LIBRARIES[library].config, LIBRARIES[library].weights}
    import_sae(str(theirs), "mini", tmp_path / "again")
    again = SparseAutoencoder.from_pretrained(tmp_path / "again")
    x = torch.randn(200, 64) * sae.std + sae.mean
    f = sae.encode(x)
    assert (f > 0).any()
    assert not (f > 0).all()
    torch.testing.assert_close(again.encode(x), f, rtol=0, atol=1e-5)
    torch.testing.assert_close(again(x), sae(x), rtol=0, atol=1e-5)
    assert (again.config.architecture, again.config.space) == (architecture, "mini")
    assert getattr(again.config, "k", None) == getattr(sae.config, "k", None)
    assert again.config.source == {"library": library, "origin": str(theirs), "revision": None}


@pytest.mark.parametrize(("library", "architecture"), PAIRS)
def test_both_ways_again_leave_the_files_as_they_are(library, architecture, tmp_path):
    _, theirs = exported(tmp_path, library, architecture)
    import_sae(str(theirs), "mini", tmp_path / "again")
    before = {path: path.read_bytes() for folder in (theirs, tmp_path / "again") for path in folder.iterdir()}
    export_sae(str(tmp_path / "ours"), library, theirs)
    import_sae(str(theirs), "mini", tmp_path / "again")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("library", LIBRARIES)
def test_nothing_of_another_autoencoder_is_written_over(library, tmp_path):
    _, theirs = exported(tmp_path, library, "topk")
    random_sae("topk", channels=64, hidden=90).save_pretrained(tmp_path / "other")
    with pytest.raises(InputError, match="of something else: choose another out"):
        export_sae(str(tmp_path / "other"), library, theirs)
    with pytest.raises(InputError, match="of something else: choose another out"):
        import_sae(str(theirs), "mini", tmp_path / "other")
    export_sae(str(tmp_path / "other"), "dictionary_learning", tmp_path / "new")
    with pytest.raises(InputError, match="of something else: choose another out"):
        import_sae(str(theirs), "mini", tmp_path / "new")
    with pytest.raises(InputError, match="of something else: choose another out"):
        export_sae(str(tmp_path / "other"), "dictionary_learning", tmp_path / "other")


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


def set_config(theirs: Path, library: str, change: dict) -> None:
    """Change fields of a config; of dictionary_learning those of its trainer. None takes one away."""
    path = theirs / LIBRARIES[library].config
    config = json.loads(path.read_text())
    own = config["trainer"] if library == "dictionary_learning" else config
    own.update(change)
    for name in [name for name, value in own.items() if value is None]:
        del own[name]
    path.write_text(json.dumps(config))


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


def test_a_space_whose_weights_say_its_channels_is_compared_later(tmp_path):
    _, theirs = exported(tmp_path, "saelens", "topk")
    assert import_sae(str(theirs), "rave", tmp_path / "again").config.space == "rave"


def test_saelens_subtracts_the_decoder_bias_and_ranks_by_norms_where_its_config_says_so(tmp_path):
    _, theirs = exported(tmp_path, "saelens", "topk")
    set_config(theirs, "saelens", {"apply_b_dec_to_input": True, "rescale_acts_by_decoder_norm": True})
    own = load_file(theirs / "sae_weights.safetensors")
    sae = import_sae(str(theirs), "mini", tmp_path / "again")
    x = torch.randn(50, 64)
    norms = own["W_dec"].norm(dim=1)
    pre = ((x - own["b_dec"]) @ own["W_enc"] + own["b_enc"]) * norms
    top = pre.topk(9, dim=1)
    expected = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())
    torch.testing.assert_close(sae.encode(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sae(x), (expected / norms) @ own["W_dec"] + own["b_dec"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metadata", [None, "x", {"training_architecture": "batchtopk"}, {"training_architecture": 3}])
def test_a_constant_threshold_of_unknown_make_is_a_jumprelu(metadata, tmp_path):
    sae, theirs = exported(tmp_path, "saelens", "batchtopk")
    set_config(theirs, "saelens", {"metadata": metadata})
    again = import_sae(str(theirs), "mini", tmp_path / "again")
    assert again.config.architecture == "jumprelu"
    x = torch.randn(50, 64)
    torch.testing.assert_close(again.encode(x), sae.encode(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("threshold", [-1.0, 0.0])
def test_a_batchtopk_that_never_set_its_threshold_is_a_relu(threshold, tmp_path):
    _, theirs = exported(tmp_path, "dictionary_learning", "batchtopk")
    tensors = torch.load(theirs / "ae.pt", weights_only=True)
    tensors["threshold"].fill_(threshold)
    torch.save(tensors, theirs / "ae.pt")
    sae = import_sae(str(theirs), "mini", tmp_path / "again")
    x = torch.randn(50, 64)
    pre = (x - tensors["b_dec"]) @ tensors["encoder.weight"].T + tensors["encoder.bias"]
    torch.testing.assert_close(sae.encode(x), pre.relu(), rtol=1e-4, atol=1e-4)


def test_half_precision_weights_are_read(tmp_path):
    _, theirs = exported(tmp_path, "saelens", "jumprelu")
    own = {name: value.bfloat16() for name, value in load_file(theirs / "sae_weights.safetensors").items()}
    save_file(own, theirs / "sae_weights.safetensors")
    sae = import_sae(str(theirs), "mini", tmp_path / "again")
    assert sae.encoder_weight.dtype == torch.float32
    assert torch.equal(sae.encoder_weight, own["W_enc"].float().T)


class Hub:
    """hf_hub_download of a repository that is the folder `root`, in the layout of the Hub's cache."""

    def __init__(self, root: Path, missing: type[Exception]) -> None:
        self.root, self.missing, self.asked, self.local = root, missing, [], []

    def __call__(self, repo, filename, *, revision=None, local_files_only=False):
        self.asked.append((repo, filename, revision))
        self.local.append(local_files_only)
        path = self.root / "snapshots" / "c0ffee" / filename
        if not path.is_file():
            if self.missing is LocalEntryNotFoundError:
                raise LocalEntryNotFoundError("offline")
            raise self.missing("404", response=type("R", (), {"headers": {}, "request": None})())
        return str(path)


@pytest.mark.parametrize("missing", [LocalEntryNotFoundError, RemoteEntryNotFoundError])
@pytest.mark.parametrize(
    ("library", "folder"), [("saelens", ""), ("dictionary_learning", "a/b/"), ("sparsify", "l.3/")]
)
def test_a_hub_id_is_fetched_at_one_commit(library, folder, missing, tmp_path, monkeypatch):
    sae, theirs = exported(tmp_path, library, "topk")
    place = tmp_path / "repo" / "snapshots" / "c0ffee" / folder
    place.parent.mkdir(parents=True)
    theirs.rename(place)
    hub = Hub(tmp_path / "repo", missing)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub)
    name = f"someone/saes/{folder}".rstrip("/")
    again = import_sae(f"{name}@v2", "mini", tmp_path / "again")
    assert again.config.source == {"library": library, "origin": name, "revision": "c0ffee"}
    assert hub.asked[-2:] == [
        ("someone/saes", folder + LIBRARIES[library].weights, "v2"),
        ("someone/saes", folder + LIBRARIES[library].config, "c0ffee"),
    ]
    x = torch.randn(20, 64)
    torch.testing.assert_close(again.encode(x), sae.encode(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (LocalEntryNotFoundError, "go online once"),
        (RemoteEntryNotFoundError, "name the folder in it that does, as owner/name/folder"),
    ],
)
def test_a_hub_id_without_an_autoencoder(missing, says, tmp_path, monkeypatch):
    hub = Hub(tmp_path, missing)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub)
    with pytest.raises(InputError, match=says) as refused:
        import_sae("someone/saes", "mini", tmp_path / "again")
    assert "\n" not in str(refused.value)
    # Without a network nobody waits for it three times.
    assert hub.local == [False, *[missing is LocalEntryNotFoundError] * 2]
