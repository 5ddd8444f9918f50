"""The benchmark of choosing early: its takes are shared out over processes, and gone on with."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import picking
from tracer.session import Session


@pytest.fixture
def collect(monkeypatch, tmp_path):
    """`collect` into a folder, with what `measure` makes of each prompt; gives the prompts that it made."""
    monkeypatch.setattr(picking, "FIRST", 64)
    monkeypatch.setattr(picking, "LAST", 67)
    monkeypatch.setattr(Session, "open", lambda options, *_, **__: SimpleNamespace(prompts=range(len(options.prompts))))

    def run(measure=lambda prompt: None):
        made = []

        def measure_takes(_, prompt):
            measure(prompt)
            made.append(prompt)
            return {"states": np.arange(3) + prompt}

        monkeypatch.setattr(picking, "measure_takes", measure_takes)
        picking.collect(tmp_path)
        return made

    return run


def test_a_prompt_that_was_interrupted_is_made_the_next_time(collect, tmp_path):
    def stop(prompt):
        if prompt == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(stop)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["demo-064.npz"]
    assert collect() == [1, 2]
    assert collect() == []
    assert np.load(tmp_path / "demo-066.npz")["states"].tolist() == [2, 3, 4]


def test_a_prompt_that_another_process_makes_is_left_to_it(collect, tmp_path):
    with picking.claimed(tmp_path / ".demo-065") as mine:
        assert mine
        assert collect() == [0, 2]
    assert collect() == [1]


def test_what_is_not_written_to_its_end_is_made_again(collect, tmp_path, monkeypatch):
    def half(file, **arrays):
        file.write(b"half of a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(picking.np, "savez_compressed", half)
        with pytest.raises(KeyboardInterrupt):
            collect()
    assert not list(tmp_path.glob("*.npz"))
    assert collect() == [0, 1, 2]
