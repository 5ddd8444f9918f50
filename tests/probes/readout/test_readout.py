"""The readout: streamed results against the plain formula, files, cards, refusals."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.readout import tiny_bins, tiny_readout
from support.sae import random_sae

from probes import Readout
from probes.errors import InputError
from probes.readout.baselines import Baselines
from probes.readout.linear import LinearProbes
from probes.sae import architectures

ATTRIBUTES = ("pitch", "loudness", "timbre")


def plain_inputs(readout: Readout, latents: torch.Tensor) -> torch.Tensor:
    """f, and log rms(h) behind it, by the formula."""
    sae = readout.sae
    h = sae.hidden(latents)
    if readout.log_rms is None:
        return sae.encode(latents)
    mean, std = readout.log_rms
    rms = (h.square().mean(-1, keepdim=True) + sae.config.eps).sqrt()
    return torch.cat([sae.gain * h / rms, (rms.log() - mean) / std], -1)


def plain(readout: Readout, latents: torch.Tensor, controls: bool = False) -> dict[str, torch.Tensor]:
    """softmax(W f + b), attribute by attribute, with all features held at once."""
    probes = readout.controls if controls else readout.probes
    inputs = plain_inputs(readout, latents)
    found, start = {}, 0
    for name in ATTRIBUTES:
        rows = slice(start, start + probes.classes[name])
        found[name] = torch.softmax(inputs @ probes.weight[rows].T + probes.bias[rows], -1)
        start = rows.stop
    return found


@pytest.mark.parametrize(("architecture", "log_rms"), [(name, False) for name in architectures()] + [("relu", True)])
def test_everything_read_equals_the_plain_formula(architecture, log_rms):
    readout = tiny_readout(channels=16, hidden=600, architecture=architecture, log_rms=log_rms)
    latents = torch.randn(3, 500, 16)  # more frames than one chunk
    mask = torch.rand(3, 500) > 0.3
    share = (mask / mask.sum(1, keepdim=True))[..., None]
    reading = readout.read(latents, mask)
    frames, pooled = readout.frames(latents), readout(latents, mask)
    expected, control = plain(readout, latents), plain(readout, latents, controls=True)
    for name in ATTRIBUTES:
        torch.testing.assert_close(frames[name], expected[name], rtol=0, atol=1e-5)
        torch.testing.assert_close(pooled[name], (expected[name] * share).sum(1), rtol=0, atol=1e-5)
        torch.testing.assert_close(reading.pooled["trained"][name], pooled[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(reading.pooled["shuffled"][name], (control[name] * share).sum(1), rtol=0, atol=1e-5)
        assert reading.classes["trained"][name].dtype == torch.uint8
        for found, probabilities in ((reading.classes["trained"], expected), (reading.classes["shuffled"], control)):
            chosen = probabilities[name].gather(-1, found[name].long()[..., None])[..., 0]
            torch.testing.assert_close(chosen, probabilities[name].max(-1).values, rtol=0, atol=1e-5)
        for side, of in (("trained", expected), ("shuffled", control)):
            scale = torch.arange(of[name].shape[-1]).float()
            torch.testing.assert_close(reading.values[side][name], of[name] @ scale, rtol=0, atol=2e-4)
    kept = readout.read(latents, mask, keep=["pitch"]).distributions
    torch.testing.assert_close(kept["shuffled"]["pitch"], control["pitch"], rtol=0, atol=1e-5)
    assert list(kept["trained"]) == ["pitch"]
    alone = readout.read(latents, mask, only_trained=True)
    assert (list(alone.classes), alone.fvu) == (["trained"], None)
    torch.testing.assert_close(alone.values["trained"]["timbre"], reading.values["trained"]["timbre"])
    error = (readout.sae(latents) - latents).square().sum(-1)
    spread = (latents - readout.sae.mean).square().sum(-1)
    torch.testing.assert_close(reading.fvu, (error * mask).sum(1) / (spread * mask).sum(1), rtol=1e-4, atol=1e-4)
    active = (readout.sae.hidden(latents) > 0).sum(-1)
    torch.testing.assert_close(reading.l0, (active * mask).sum(1) / mask.sum(1))


@settings(max_examples=20, deadline=None)
@given(items=st.integers(1, 5), frames=st.integers(1, 40), split=st.integers(1, 50), seed=st.integers(0, 99))
def test_result_does_not_depend_on_chunks_or_company(items, frames, split, seed):
    readout = tiny_readout(channels=8, hidden=40)
    latents = torch.randn(items, frames, 8, generator=torch.Generator().manual_seed(seed))
    whole = readout.read(latents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probes.sae.streaming.FRAMES", split)
        patch.setattr("probes.sae.fused.CPU_BLOCK", 70 * split)
        parts = [readout.read(item[None]) for item in latents]
    for name in ATTRIBUTES:
        joined = torch.cat([part.pooled["trained"][name] for part in parts])
        torch.testing.assert_close(joined, whole.pooled["trained"][name], rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cat([part.fvu for part in parts]), whole.fvu, rtol=1e-4, atol=1e-5)


def test_masked_frames_may_hold_anything():
    readout = tiny_readout(channels=8)
    latents = torch.randn(2, 10, 8)
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[0, 4:] = False
    mask[1] = False
    dirty = latents.clone()
    dirty[0, 4:] = float("nan")
    clean, found = readout.read(latents, mask), readout.read(dirty, mask)
    assert torch.equal(found.pooled["trained"]["pitch"][0], clean.pooled["trained"]["pitch"][0])
    assert torch.equal(found.fvu[0], clean.fvu[0])
    assert found.pooled["trained"]["pitch"][1].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_latents_of_any_dtype_are_read_in_fp32(dtype):
    readout = tiny_readout()
    latents = torch.randn(1, 20, 64).to(dtype)
    found, wanted = readout.read(latents), readout.read(latents.float())
    assert found.fvu.dtype == torch.float32
    assert all(torch.equal(found.pooled["trained"][name], wanted.pooled["trained"][name]) for name in ATTRIBUTES)


def test_the_readout_moves_as_a_whole():
    readout = tiny_readout().to(torch.float64)
    assert readout(torch.randn(1, 5, 64))["pitch"].dtype == torch.float64
    moved = (*readout.buffers(), *readout.parameters())
    assert {value.dtype for value in moved if value.is_floating_point()} == {torch.float64}


@pytest.mark.parametrize("architecture", architectures())
def test_baselines_move_with_what_their_untrained_autoencoder_needs(architecture):
    """Thresholds too, which the reader of its features has no copy of; the meta device stands for a GPU."""
    sae = random_sae(architecture)
    baselines = Baselines(sae, LinearProbes({"pitch": 3}, 12), LinearProbes({"pitch": 3}, 150), seed=1)
    readings = baselines.logits("untrained", torch.zeros(5, 12))
    assert baselines.to("meta").logits("untrained", torch.zeros(5, 12, device="meta")).shape == readings.shape
    assert all("autoencoder" not in name for name in baselines.state_dict())


def test_class_vectors_are_probe_weights_on_features():
    """A step along w_k - mean_j w_j in f raises the log odds of k by |.|^2 against the mean of the classes."""
    readout = tiny_readout(log_rms=True)
    f = readout.sae.encode(torch.randn(1, 64))
    vector = readout.class_vector("timbre", 3)
    rows = readout.probes.rows("timbre")
    weights = readout.probes.weight[rows, :128]
    before, after = f @ weights.T, (f + vector) @ weights.T
    moved = (after - after.mean()) - (before - before.mean())
    torch.testing.assert_close(moved[0, 3], vector @ vector, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(readout.class_vector("timbre", 3, centred=False), weights[3])
    all_of_them = torch.stack([readout.class_vector("pitch", k) for k in range(66)])
    torch.testing.assert_close(all_of_them.sum(0), torch.zeros(128), rtol=0, atol=1e-3)
    for attribute, k, message in (("tempo", 0, "reads pitch"), ("pitch", 66, "classes 0 to 65")):
        with pytest.raises(InputError, match=message):
            readout.class_vector(attribute, k)


@pytest.mark.parametrize("architecture", architectures())
def test_saved_and_loaded_reads_the_same(architecture, tmp_path):
    readout = tiny_readout(architecture=architecture, log_rms=architecture == "relu", spaces=("a", "b"))
    readout.save_pretrained(tmp_path / "readout")
    again = Readout.from_pretrained(tmp_path / "readout")
    latents = torch.randn(2, 9, 64)
    first, second = readout.read(latents), again.read(latents)
    for name in ATTRIBUTES:
        assert torch.equal(first.pooled["trained"][name], second.pooled["trained"][name])
        assert torch.equal(first.classes["shuffled"][name], second.classes["shuffled"][name])
    assert again.spaces == ("a", "b")
    assert again.bins == readout.bins
    assert again.fingerprint() == readout.fingerprint()
    assert sorted(path.name for path in (tmp_path / "readout").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_the_covariance_of_the_latents_travels_with_the_readout(tmp_path):
    factor = torch.randn(64, 3)
    readout = tiny_readout(covariance=factor @ factor.T)
    readout.save_pretrained(tmp_path)
    again = Readout.from_pretrained(tmp_path)
    assert torch.equal(again.covariance, readout.covariance)
    assert again.fingerprint() == readout.fingerprint() != tiny_readout().fingerprint()
    assert again.to(torch.float64).covariance.dtype == torch.float64
    (tmp_path / "covariance.safetensors").unlink()
    with pytest.raises(InputError, match=r"no covariance\.safetensors"):
        Readout.from_pretrained(tmp_path)
    for wrong in (torch.eye(63), torch.full((64, 64), float("nan"))):
        with pytest.raises(InputError, match="64 x 64 finite"):
            tiny_readout(covariance=wrong)


def test_parts_that_do_not_belong_together_are_told():
    readout = tiny_readout()
    parts = (readout.sae, readout.probes, readout.controls)
    with pytest.raises(InputError, match="same attributes and classes"):
        Readout(*parts, tiny_bins() | {"timbre": tiny_bins()["pitch"]}, readout.spaces)
    with pytest.raises(InputError, match="mean of the latents must be 64 finite"):
        Readout(*parts, tiny_bins(), readout.spaces, mean=torch.zeros(63))


@pytest.mark.parametrize("named", [(), ("drums",)])
def test_no_clip_is_no_reading(named):
    reading = tiny_readout(named=named).read(torch.randn(0, 5, 64))
    assert {len(own) for own in reading.pooled["trained"].values()} == {0}


def test_no_clip_is_no_reading_of_tempo_either():
    readout = Readout.from_pretrained("mini-music")
    reading = readout.read(torch.randn(0, 5, 64), keep=tuple(readout.bins))
    for probe in reading.values:
        assert {own.shape for own in reading.classes[probe].values()} == {(0, 5)}
        assert "tempo" in reading.values[probe]
    assert {len(own) for own in reading.pooled["shuffled"].values()} == {0}
    assert reading.distributions["trained"].keys() == readout.bins.keys()


def test_the_fingerprint_knows_weights_bins_and_spaces():
    prints = {
        tiny_readout().fingerprint(),
        tiny_readout(seed=1).fingerprint(),
        tiny_readout(spaces=("x",)).fingerprint(),
    }
    readout = tiny_readout()
    assert readout.fingerprint() in prints
    readout.controls.bias.data[0] += 1
    assert len({*prints, readout.fingerprint()}) == 4


def test_the_model_card_says_what_goes_in_and_what_was_measured(tmp_path):
    readout = tiny_readout()
    readout.report = {
        "sae": {"fvu": 0.0123},
        "probes": {"pitch": {"accuracy": 0.871, "interval": [0.8, 0.9], "majority": 0.1}},
    }
    readout.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    for text in (
        "`mini`",
        "64 channels",
        "before RMSNorm",
        "loss in sums",
        "0.871",
        "0.800 to 0.900",
        "0.012",
        "2510.23802",
    ):
        assert text in card
    readout.report = {}
    readout.save_pretrained(tmp_path)
    assert "0.871" not in (tmp_path / "README.md").read_text()


def test_wrong_files_are_told(tmp_path):
    with pytest.raises(InputError, match="neither a path that exists nor a hub id"):
        Readout.from_pretrained(str(tmp_path / "absent" / "deep" / "down"))
    with pytest.raises(InputError, match=r"no folder minii, and no readout of this name that ships \(mini, mini-music"):
        Readout.from_pretrained("minii")
    tiny_readout().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"kind": "x"}, "does not describe a readout"),
        ({"log_rms": [0, 1]}, "does not hold the weights"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(InputError, match=message):
            Readout.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        Readout.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        Readout.from_pretrained(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    readout = tiny_readout()
    readout.probes.weight.data[0, 0] = float("nan")
    readout.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="not finite"):
        Readout.from_pretrained(tmp_path)


def test_wrong_inputs_are_told():
    readout = tiny_readout()
    for shape in ((2, 10, 63), (10, 64)):
        with pytest.raises(InputError, match=r"latents \[batch, frames, 64\]"):
            readout(torch.zeros(shape))
    bins = tiny_bins()
    classes = {name: len(edges) for name, edges in bins.items()}
    with pytest.raises(InputError, match="128 inputs"):
        Readout(readout.sae, LinearProbes(classes, 64), LinearProbes(classes, 64), bins, ["mini"])
    with pytest.raises(InputError, match="same attributes"):
        Readout(readout.sae, LinearProbes({"pitch": 66}, 128), LinearProbes(classes, 128), bins, ["mini"])


@pytest.mark.parametrize(("source", "revision"), [("someone/readout@v1", None), ("someone/readout", "v1")])
def test_a_hub_id_is_fetched_at_its_pinned_revision(source, revision, monkeypatch, tmp_path):
    tiny_readout().save_pretrained(tmp_path)
    asked = []

    def download(repository, name, revision, **_):
        asked.append((repository, name, revision))
        return str(tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    found = Readout.from_pretrained(source, revision=revision)
    assert found.fingerprint() == tiny_readout().fingerprint()
    assert asked == [("someone/readout", name, "v1") for name in ("config.json", "model.safetensors")]


def test_a_shipped_name_without_its_files_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("probes.readout.files.SHIPPED", {"mini": tmp_path / "absent"})
    with pytest.raises(InputError, match="brings no readout named mini"):
        Readout.from_pretrained("mini")


def test_pushing_uploads_what_saving_writes(monkeypatch):
    uploaded = {}

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, repo_id, **_):
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, folder_path, **options):
            uploaded.update({path.name: path.stat().st_size for path in folder_path.iterdir()}, **options)
            return "url"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    assert tiny_readout().push_to_hub("someone/readout") == "url"
    assert {"README.md", "config.json", "model.safetensors"} <= set(uploaded)
    assert uploaded["repo_id"] == "someone/readout"


def test_a_readout_says_what_it_is(tmp_path):
    readout = tiny_readout(channels=8, hidden=32, architecture="topk")
    text = repr(readout)
    assert text.splitlines() == [
        "Readout of mini latents [batch, frames, 8]",
        "  autoencoder: topk autoencoder of mini latents: 8 channels to 32 features, k = 8",
        f"  pitch: {readout.bins['pitch'].summary}",
        f"  loudness: {readout.bins['loudness'].summary}",
        f"  timbre: {readout.bins['timbre'].summary}",
    ]
    assert readout.bins["pitch"].summary.startswith("66 classes from ")
    readout.save_pretrained(tmp_path)
    assert repr(Readout.from_pretrained(tmp_path)) == text.replace("Readout of", f'Readout "{tmp_path}" of')


def test_the_shipped_readout_is_the_one_of_version_0_1_0():
    """Its weights have not changed since; only the generic directions came in, and probes to compare with do not
    count."""
    readout = Readout.from_pretrained("mini")
    readout.generic = None
    assert readout.fingerprint() == "4cb5678f47bfa45b"


def test_loaded_weights_are_read_by():
    readout, other = tiny_readout(), tiny_readout()
    other.load_state_dict({name: value * 0.5 for name, value in readout.state_dict().items()})
    changed = tiny_readout()
    for value in changed.state_dict().values():
        value.mul_(0)
    changed.load_state_dict(other.state_dict())
    latents = torch.randn(1, 9, 64)
    assert all(torch.equal(changed(latents)[name], other(latents)[name]) for name in ATTRIBUTES)
    assert not torch.equal(changed(latents)["pitch"], readout(latents)["pitch"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_readout_in_half_precision_is_saved_and_loaded(tmp_path, dtype):
    readout = Readout.from_pretrained("mini").to(dtype)
    readout.save_pretrained(tmp_path)
    again = Readout.from_pretrained(tmp_path)
    assert torch.equal(again.covariance, Readout.from_pretrained("mini").covariance)


def test_what_cannot_be_read_is_told():
    readout, latents = tiny_readout(), torch.randn(2, 5, 64)
    with pytest.raises(InputError, match="no frame"):
        readout.read(latents[:, :0])
    with pytest.raises(InputError, match="a mask of latents"):
        readout.read(latents, torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(InputError, match="a mask of latents"):
        readout.read(latents, torch.ones(3, 5, dtype=torch.bool))
    with pytest.raises(InputError, match="no baselines"):
        readout.read(latents, baselines=("raw",))
    with pytest.raises(InputError, match="baselines are raw and untrained"):
        readout.read(latents, baselines=("shuffled",))
