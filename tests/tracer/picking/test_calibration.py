"""From which state on takes can be ranked: planted orders, and what a readout carries."""

from pathlib import Path

import numpy as np
import pytest
from support import planted
from support.readout import tiny_readout

from probes.errors import InputError
from probes.readout import Readout
from tracer.curves import TRAINED, Curve
from tracer.picking.calibration import Calibration, calibrate, calibration_of
from tracer.record.shards import PromptTrace
from tracer.record.store import RunStore

PROMPTS, SEEDS, ORDERED = 8, 6, 5
"""From state 5 on every take reads as it ends; before, in an order drawn anew."""


def planted_take(prompt: int, seed: int) -> PromptTrace:
    made = planted.trace(prompt)
    made.seed = seed
    rng = np.random.default_rng([prompt, seed])
    for attribute, classes in planted.CLASSES.items():
        curve = Curve("endpoint", TRAINED, attribute)
        levels = np.full(planted.STATES, classes * (seed + 0.5) / SEEDS)
        levels[:ORDERED] = rng.uniform(0, classes - 1, ORDERED)
        made.values[curve] = np.repeat(levels[:, None], planted.FRAMES, 1).astype(np.float32)
    return made


@pytest.fixture
def readout(tmp_path: Path) -> Path:
    tiny_readout().save_pretrained(tmp_path / "readout")
    return tmp_path / "readout"


def write_run(folder: Path, own: Path, prompts: int = PROMPTS, **changes: object) -> Path:
    options = planted.OPTIONS | {
        "generator": "0" * 16, "seconds": 2.0, "guidance": 3.0, "seeds": SEEDS, "steer": [],
        "views": ["state", "endpoint"], "readout": Readout.from_pretrained(own).fingerprint(),
    } | changes  # fmt: skip
    store = RunStore.open(folder, options, planted.prompts(prompts))
    for prompt in range(prompts):
        store.append([planted_take(prompt, seed) for seed in range(SEEDS)])
    return folder


def test_a_planted_order_is_found_and_travels_with_the_readout(tmp_path: Path, readout: Path) -> None:
    made = calibrate(write_run(tmp_path / "run", readout), readout, tmp_path / "out")
    again = Readout.from_pretrained(tmp_path / "out")
    assert again.fingerprint() == made.fingerprint() == Readout.from_pretrained(readout).fingerprint()
    table = calibration_of(again, "planted")
    assert table is not None
    for name in planted.CLASSES:
        rho, low, high = (np.array(table.attributes[name][key]) for key in ("rho", "low", "high"))
        assert (rho[ORDERED:] == 1).all()
        assert (np.abs(rho[:ORDERED]) < 0.6).all()
        assert ((low <= rho) & (rho <= high)).all()
    assert table.deciding(["loudness"]).t == pytest.approx(ORDERED / (planted.STATES - 1))
    assert table.about["prompts"] == PROMPTS
    assert calibration_of(again, "another") is None


def test_the_latest_of_the_attributes_decides() -> None:
    early, late = [0.95] * 4, [0.1, 0.95, 0.5, 0.95]
    table = Calibration([0.0, 0.3, 0.6, 1.0], {"a": {"rho": early}, "b": {"rho": late}}, {})
    assert table.deciding(["a"]).t == 0
    with pytest.raises(InputError, match="at the end alone"):
        table.deciding(["a", "b"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"readout": "f" * 16}, "another readout"),
        ({"steer": ["pitch=C5"]}, "was steered"),
        ({"stop_when_settled": "all"}, "ended its takes early"),
        ({"views": ["state"]}, "frames of the endpoint"),
        ({"prompts": 4}, "4 prompts with 4 seeds or more"),
    ],
)
def test_a_run_that_says_nothing_about_it_is_refused(
    tmp_path: Path, readout: Path, changes: dict[str, object], says: str
) -> None:
    run = write_run(tmp_path / "run", readout, **changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        calibrate(run, readout, tmp_path / "out")
    assert says in str(refused.value)
    assert not (tmp_path / "out").exists()
