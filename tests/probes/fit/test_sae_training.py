"""Training loop: learning, resuming, sharing a pass, dead features, interruptions."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.sae import config_of

from probes.corpus.sampling import FrameSampler
from probes.errors import InputError
from probes.fit.sae_starts import geometric_median, resample
from probes.fit.sae_training import CHECKPOINT, SAETrainer, TrainingOptions, train
from probes.sae import architectures
from probes.sae.metrics import evaluate


def sparse_data(frames: int = 3000, channels: int = 8, seed: int = 0) -> np.ndarray:
    """Frames that are sums of 2 of 24 directions, shifted and scaled away from zero and one."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(24, channels))
    weights = np.zeros((frames, 24))
    for place in range(2):
        weights[np.arange(frames), random.integers(0, 24, frames)] += random.uniform(0.5, 2, frames) + place
    return np.float32(weights @ directions * 3 + 5)


def trainer_for(data: np.ndarray, lam: float = 0.02, hidden: int = 64, architecture: str = "relu", **options):
    config = config_of(architecture, channels=data.shape[1], hidden=hidden, lam=lam, k=4)
    x = torch.from_numpy(data)
    return SAETrainer(config, TrainingOptions(**({"steps": 60, "batch": 128} | options)), x.mean(0), x.std(0), x)


def same_state(a: SAETrainer, b: SAETrainer) -> bool:
    weights = all(torch.equal(p, q) for p, q in zip(a.sae.state_dict().values(), b.sae.state_dict().values()))
    counts = torch.equal(a.since_fired, b.since_fired) and a.steps_done == b.steps_done
    return weights and counts and a.history == b.history


@pytest.mark.parametrize("architecture", architectures())
def test_training_explains_the_data(architecture):
    data = sparse_data()
    trainer = trainer_for(data, architecture=architecture, steps=400, learning_rate=3e-3, lam=0.01)
    before = evaluate(trainer.sae, [data])["fvu"]
    train([trainer], FrameSampler([data], 128))
    after = evaluate(trainer.sae, [data])
    assert after["fvu"] < 0.15 < before
    assert after["sparsity"] > 0.5
    torch.testing.assert_close(trainer.sae.dictionary.norm(dim=1), torch.ones(64))


def test_more_penalty_is_more_sparsity():
    data = sparse_data()
    trainers = [trainer_for(data, lam, steps=300, learning_rate=3e-3) for lam in (0.005, 1.0)]
    train(trainers, FrameSampler([data], 128))
    loose, strict = (evaluate(trainer.sae, [data])["sparsity"] for trainer in trainers)
    assert strict > loose + 0.05


@pytest.mark.parametrize("architecture", ["relu", "batchtopk"])
def test_resumed_equals_uninterrupted(architecture, tmp_path):
    data = sparse_data()
    options = {"architecture": architecture, "resample_every": 10, "dead_frames": (500, 2000), "hidden": 200}
    whole = trainer_for(data, **options)
    train([whole], FrameSampler([data], 128, seed=7))
    first = trainer_for(data, **options)
    sampler = FrameSampler([data], 128, seed=7)
    for step in range(33):
        first.step(sampler.at(step)[0])
    first.save(tmp_path)
    second = trainer_for(data, **options)
    assert second.resume(tmp_path)
    train([second], FrameSampler([data], 128, seed=7))
    assert same_state(whole, second)


def test_together_equals_each_alone():
    data = sparse_data()
    kinds = [{"lam": 0.01}, {"lam": 0.3, "hidden": 96}, {"architecture": "topk"}]
    together = [trainer_for(data, **kind) for kind in kinds]
    train(together, FrameSampler([data], 128))
    for kind, trainer in zip(kinds, together):
        alone = trainer_for(data, **kind)
        train([alone], FrameSampler([data], 128))
        assert same_state(alone, trainer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_everything_and_the_rest_equals_the_whole(number, tmp_path):
    data = sparse_data()
    whole, stopped, resumed = (trainer_for(data, checkpoint_every=0) for _ in range(3))
    train([whole], FrameSampler([data], 128))

    def kill_at_20(step: int) -> None:
        if step == 20:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train([stopped], FrameSampler([data], 128), [tmp_path], kill_at_20)
    assert signal.getsignal(number) is before
    assert resumed.resume(tmp_path)
    assert 20 <= resumed.steps_done < 60
    train([resumed], FrameSampler([data], 128), [tmp_path])
    assert same_state(whole, resumed)


def test_a_checkpoint_of_other_options_is_refused_with_their_names(tmp_path):
    data = sparse_data(300)
    trainer_for(data, lam=0.01).save(tmp_path)
    with pytest.raises(InputError, match=r"lam \(0.01 there, 0.5 here\)"):
        trainer_for(data, lam=0.5).resume(tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"cut off")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        trainer_for(data).resume(tmp_path)
    assert not trainer_for(data).resume(tmp_path / "elsewhere")


def test_a_checkpoint_with_a_changed_number_is_not_trained_on(tmp_path):
    data = sparse_data(300)
    trainer = trainer_for(data)
    trainer.save(tmp_path)
    whole = bytearray((tmp_path / CHECKPOINT).read_bytes())
    whole[-40] ^= 1  # one bit of a tensor
    (tmp_path / CHECKPOINT).write_bytes(whole)
    with pytest.raises(InputError, match="delete it to start again"):
        trainer_for(data).resume(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"steps_done": -3}, {"steps_done": 10**9}, {"steps_done": "7"}, {"steps_done": True}, {"history": {}},
        {"config": None}, {"options": 5}, {"options": None},
    ],
)  # fmt: skip
def test_a_record_that_no_training_leaves_is_refused(change, tmp_path):
    data = sparse_data(300)
    trainer = trainer_for(data)
    train([trainer], FrameSampler([data], 128), [tmp_path])
    tensors = load_file(tmp_path / CHECKPOINT)
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        record = json.loads(file.metadata()["record"])
    changed = {name: value for name, value in (record | change).items() if value is not None}
    save_file(tensors, tmp_path / CHECKPOINT, {"record": json.dumps(changed)})
    with pytest.raises(InputError, match="delete it to start again"):
        trainer_for(data).resume(tmp_path)
    save_file(tensors, tmp_path / CHECKPOINT, {"record": json.dumps(record)})
    assert trainer_for(data).resume(tmp_path)


def test_optimiser_states_of_another_shape_are_refused(tmp_path):
    data = sparse_data(300)
    train([trainer_for(data)], FrameSampler([data], 128), [tmp_path])
    tensors = load_file(tmp_path / CHECKPOINT)
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        record = json.loads(file.metadata()["record"])
    name = next(name for name in tensors if name.startswith("adam.") and tensors[name].ndim == 2)
    tensors[name] = tensors[name][:1].contiguous()
    del record["checksum"]  # as in checkpoints of older versions
    save_file(tensors, tmp_path / CHECKPOINT, {"record": json.dumps(record)})
    with pytest.raises(InputError, match="delete it to start again"):
        trainer_for(data).resume(tmp_path)


def test_a_folder_in_the_place_of_a_checkpoint_is_refused(tmp_path):
    (tmp_path / CHECKPOINT).mkdir()
    with pytest.raises(InputError, match="delete it to start again"):
        trainer_for(sparse_data(300)).resume(tmp_path)


def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    trainer = trainer_for(sparse_data(300))
    trainer.save(tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no room left"):
        trainer.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_dead_features_are_counted_in_frames():
    data = sparse_data(400)
    trainer = trainer_for(data, batch=100, dead_frames=(250, 450), warmup=0.0)
    with torch.no_grad():
        trainer.sae.encoder_bias[:5] = -1e6
    x = torch.from_numpy(data[:100])
    shares = []
    for _ in range(5):
        trainer.step(x)
        shares.append([int(trainer.dead(horizon)[:5].sum()) for horizon in (0, 1)])
    assert shares == [[0, 0], [0, 0], [5, 0], [5, 0], [5, 5]]


def test_resampled_features_fire_and_their_optimiser_state_is_empty():
    data = sparse_data(400)
    trainer = trainer_for(data, dead_frames=(250, 450))
    x = torch.from_numpy(data)
    trainer.step(x)
    dead = torch.zeros(64, dtype=torch.bool)
    dead[:6] = True
    with torch.no_grad():
        trainer.sae.encoder_bias[dead] = -1e6
    resample(trainer.sae, trainer.optimiser, x, dead, torch.Generator().manual_seed(0))
    assert (trainer.sae.hidden(x)[:, :6] > 0).any(0).all()
    state = trainer.optimiser.state[trainer.sae.dictionary]
    assert (state["exp_avg"][:6] == 0).all()
    assert (state["exp_avg"][6:] != 0).any()


def test_geometric_median_resists_outliers():
    points = torch.cat([torch.randn(200, 3) * 0.1 + 2, torch.full((20, 3), 1000.0)])
    assert (geometric_median(points) - 2).abs().max() < 0.1


def test_the_history_holds_losses_and_dead_features():
    data = sparse_data()
    trainer = trainer_for(data, steps=250, learning_rate=3e-3)
    train([trainer], FrameSampler([data], 128))
    assert [row["step"] for row in trainer.history] == [100, 200, 250]
    assert trainer.history[-1]["error"] < trainer.history[0]["error"]
    assert {"loss", "penalty", "dead_100000", "dead_1000000"} <= set(trainer.history[0])


def test_schedule():
    options = TrainingOptions(steps=100, warmup=0.1, decay=0.2, learning_rate=1.0)
    assert [options.learning_rate_at(step) for step in (0, 80, 90)] == [1.0, 1.0, 0.5]
    assert options.lam_at(0, 2.0) < options.lam_at(5, 2.0) < options.lam_at(10, 2.0) == 2.0


def test_sampler_gives_every_frame_once_an_epoch_in_another_order(monkeypatch):
    monkeypatch.setattr("probes.corpus.sampling.BUFFER", 300)
    parts = [np.arange(0, 700, dtype=np.float32)[:, None], np.arange(700, 1010, dtype=np.float32)[:, None]]
    sampler = FrameSampler(parts, 100, seed=1)
    epochs = [[sampler.at(step) for step in range(k * 10, k * 10 + 10)] for k in range(2)]
    seen = [torch.cat([x[:, 0] for x, _ in epoch]).tolist() for epoch in epochs]
    for epoch, values in zip(epochs, seen):
        assert len(set(values)) == 1000
        assert torch.equal(torch.cat([x[:, 0].long() for x, _ in epoch]), torch.cat([rows for _, rows in epoch]))
    assert seen[0] != seen[1]
    # the position is the step number alone
    torch.testing.assert_close(FrameSampler(parts, 100, seed=1).at(13)[0], epochs[1][3][0])


def test_wrong_data_is_told():
    data = sparse_data(300)
    data[17, 2] = np.nan
    with pytest.raises(InputError, match=r"song\.wav hold NaN"):
        FrameSampler([data], 64, names=["song.wav"]).at(0)
    with pytest.raises(InputError, match="no latent frames"):
        FrameSampler([np.empty((0, 8), np.float32)], 64)
    with pytest.raises(InputError, match="loss is not finite at step 0"):
        trainer_for(sparse_data(300)).step(torch.full((4, 8), 1e30))
