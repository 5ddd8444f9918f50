"""Out to another library's folder and back in: the same features."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.exchange import exported, set_config
from support.sae import random_sae

from probes.errors import InputError
from probes.sae import SparseAutoencoder, make_config
from probes.sae.exchange import LIBRARIES, export_sae, import_sae

PAIRS = [
    *((library, name) for library in ("saelens", "dictionary_learning") for name in ("topk", "batchtopk", "jumprelu")),
    ("sparsify", "topk"),
]


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
    assert again.config.revision == sae.config.revision == "v1"


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


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_was_exported_from_another_space_is_refused(library, tmp_path):
    _, theirs = exported(tmp_path, library, "topk")
    with pytest.raises(InputError, match=r"exported from the latent space mini: give that one as space$"):
        import_sae(theirs, "diffrhythm", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_space_with_the_same_latents_is_as_good(tmp_path):
    random_sae("topk", channels=64, space="stable-audio", revision="v1").save_pretrained(tmp_path / "ours")
    export_sae(tmp_path / "ours", "saelens", tmp_path / "theirs")
    config = import_sae(tmp_path / "theirs", "diffrhythm", tmp_path / "again").config
    assert (config.space, config.revision) == ("diffrhythm", None)  # the revision is of the other codec's weights


@pytest.mark.parametrize("kind", [str, Path])
def test_folders_are_texts_or_paths(kind, tmp_path):
    sae, _ = exported(tmp_path, "saelens", "topk")
    export_sae(kind(tmp_path / "ours"), "sparsify", kind(tmp_path / "new"))
    import_sae(kind(tmp_path / "new"), "mini", kind(tmp_path / "again"))
    again = SparseAutoencoder.from_pretrained(tmp_path / "again")
    assert again.config.source["origin"] == str(tmp_path / "new")
    x = torch.randn(20, 64)
    torch.testing.assert_close(again.encode(x), sae.encode(x), rtol=0, atol=1e-5)


def test_a_source_that_json_does_not_hold_is_told_before_weights_are_written():
    source = {"library": "saelens", "origin": Path("x"), "revision": None}
    with pytest.raises(InputError, match="origin of source must be of type"):
        make_config("topk", channels=64, hidden=90, k=9, source=source)


def test_a_space_whose_weights_say_its_channels_is_compared_later(tmp_path):
    _, theirs = exported(tmp_path, "saelens", "topk")
    set_config(theirs, "saelens", {"metadata": None})
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
