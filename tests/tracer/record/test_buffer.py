"""What is read of one batch, state after state, gathered into traces."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import planted
from support.planted import open_run

from tracer.curves import Curve
from tracer.record.buffer import TraceBuffer
from tracer.record.store import RunReader


def reading(batch, frames, seed):
    rng = torch.Generator().manual_seed(seed)
    of_frames = torch.softmax(torch.randn(batch, frames, 5, generator=rng), -1)
    classes = torch.randint(0, 5, (batch, frames), generator=rng).to(torch.uint8)
    return SimpleNamespace(
        pooled={"trained": {"pitch": of_frames.mean(1)}, "shuffled": {"pitch": of_frames.mean(1).flip(1)}},
        classes={"trained": {"pitch": classes}, "shuffled": {"pitch": 4 - classes}, "generic-1": {"pitch": classes}},
        values={
            "trained": {"pitch": classes.float() + 0.3},
            "shuffled": {"pitch": 4.0 - classes},
            "generic-1": {"pitch": classes.float() - 9.26},
        },
        distributions={"trained": {"pitch": of_frames}, "shuffled": {"pitch": of_frames.flip(2)}},
        fvu=torch.full((batch,), 0.1 * seed),
        l0=torch.full((batch,), 8.0),
    )


def test_buffer_collects_a_batch(tmp_path):
    readings = [reading(2, 6, seed) for seed in range(3)]
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    clips = planted.prompts(6)[4:]
    buffer = TraceBuffer(clips)
    for index, item in enumerate(readings):
        buffer.add("state", index, index / 2, 0.0, item, mask)
        # What is heard behind the song counts as little as what is read there.
        buffer.add_measured("state", {"pitch": np.array([[0, 1, 1, -1, 4, 4], [-1] * 4 + [2, 2]])})
        buffer.add_linear_flow("state", reading(1, 6, 10 + index), rows=[0])
    voiced = np.array([[False, True, True, True, True, True]] * 2)
    buffer.restrict("pitch", voiced)
    store = open_run(tmp_path / "run", 6)
    store.append(buffer.traces())
    trace = RunReader(tmp_path / "run").trace(5)
    trained, measured = Curve("state", "trained", "pitch"), Curve("state", "measured", "pitch")
    for index, item in enumerate(readings):
        # Only frames inside the song and voiced in the finished audio are pooled.
        expected = item.distributions["trained"]["pitch"][1, 1:4].mean(0)
        np.testing.assert_allclose(trace.pooled[trained][index], expected.numpy(), rtol=1e-6)
        np.testing.assert_array_equal(trace.classes[trained][index], item.classes["trained"]["pitch"][1].numpy())
        np.testing.assert_allclose(
            trace.values[trained._replace(probe="generic-1")][index],
            item.values["generic-1"]["pitch"][1].numpy(),
            atol=1 / 128,
        )
        assert trace.fvu["state"][index] == pytest.approx(0.1 * index)
    assert trace.valid[trained].tolist() == [False, True, True, True, False, False]
    assert not trace.valid[measured].any()
    assert np.isnan(trace.pooled[measured]).all()
    assert measured not in trace.values
    flow = Curve("state", "linear_flow", "pitch")
    assert flow not in trace.classes
    first = RunReader(tmp_path / "run").trace(4)
    np.testing.assert_array_equal(first.classes[flow][2], reading(1, 6, 12).classes["trained"]["pitch"][0].numpy())
    # Of a pitch that was measured, too, the frames count that are voiced in the finished audio.
    np.testing.assert_allclose(first.pooled[measured][0], [0, 0.5, 0, 0, 0.5], rtol=1e-6)
    assert first.classes[measured][0].tolist() == [0, 1, 1, 255, 4, 4]
    assert first.valid[measured].tolist() == [False, True, True, False, True, True]


def test_a_clip_without_a_voiced_frame_is_pooled_nowhere():
    buffer = TraceBuffer(planted.prompts(1))
    for index in range(2):
        buffer.add("state", index, float(index), 0.0, reading(1, 3, index))
    buffer.restrict("pitch", np.zeros((1, 3), dtype=bool))
    (trace,) = buffer.traces()
    assert np.isnan(trace.pooled[Curve("state", "trained", "pitch")]).all()


def test_buffer_refuses_a_trace_with_a_gap():
    buffer = TraceBuffer(planted.prompts(1))
    buffer.add("state", 0, 0.0, 0.0, reading(1, 3, 0))
    with pytest.raises(ValueError, match=r"state 2 .* state 1 was due"):
        buffer.add("state", 2, 0.5, 0.0, reading(1, 3, 1))
    buffer.add("state", 1, 1.0, 0.0, reading(1, 3, 1))
    buffer.add("endpoint", 0, 0.0, 0.0, reading(1, 3, 0))
    with pytest.raises(ValueError, match="endpoint"):
        buffer.traces()
