"""Numbers written down while upstream's own code ran; see the README beside them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hooks import Event, capture
from tracer.generators.diffrhythm import DiffRhythm, DiTConfig

FORWARD, TRAJECTORY, TIME = 5e-5, 1e-4, 1e-6
FRAMES = {"A": 2048, "B": 6144}
FORWARDS = ["forward", "forward_b2", "forward_long"]
SAMPLES = [
    "sample_edit_s8_b2_noseed_sway",
    "sample_generate_s8_b2_noseed",
    "sample_nocfg_s8_b1",
    "sample_noref_s8_b1",
    *(f"sample_s{steps}_b{batch}{sway}" for steps in (8, 32) for batch in (1, 2) for sway in ("", "_sway")),
]


@cache
def loaded(folder: Path) -> DiffRhythm:
    config = json.loads((folder / "weights.json").read_text())["model_config"]
    return DiffRhythm.from_checkpoint(folder / "weights.safetensors", config=config, max_frames=FRAMES[folder.name])


def case(shared: Path, model: str, name: str) -> tuple[DiffRhythm, dict[str, torch.Tensor], dict[str, Any]]:
    folder = shared / "golden/diffrhythm" / model
    return (
        loaded(folder),
        load_file(folder / f"{name}.safetensors"),
        json.loads((folder / f"{name}.json").read_text()),
    )


def conditioning(data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: data[name] for name in ("cond", "text", "start_time", "song_duration")}


def furthest(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return float((one - other).abs().max())


def test_every_shared_file_has_its_case(shared: Path) -> None:
    for model in FRAMES:
        files = (shared / "golden/diffrhythm" / model).glob("*.safetensors")
        assert {file.stem for file in files} - {"weights"} == {*FORWARDS, *SAMPLES}


@pytest.mark.parametrize("name", FORWARDS)
@pytest.mark.parametrize("model", FRAMES)
def test_one_network_evaluation(shared: Path, model: str, name: str) -> None:
    network, data, _ = case(shared, model, name)
    variants: dict[str, dict[str, Any]] = {
        "out_cond": {},
        "out_null": {"style": data.get("negative_style_prompt"), "drop_audio": True, "drop_text": True},
        "out_drop_audio_only": {"drop_audio": True},
        "out_drop_text_only": {"drop_text": True},
        "out_drop_prompt_only": {"style": torch.zeros(1, 512)},
        "out_t0": {"t": 0.0},
        "out_t1": {"t": torch.tensor(1.0)},
    }
    outputs = {key for key in data if key.startswith("out_")}
    assert "out_cond" in outputs
    assert outputs <= set(variants)
    for output in outputs:
        arguments = {"t": data["t"], "style": data["style_prompt"], **conditioning(data), **variants[output]}
        assert furthest(network.velocity(data["x"], **arguments), data[output]) < FORWARD, output


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("model", FRAMES)
def test_sampling(shared: Path, model: str, name: str) -> None:
    network, data, notes = case(shared, model, name)
    given = notes["sample_args"]
    times: list[float] = []
    velocities: list[torch.Tensor] = []

    def keep(event: Event) -> None:
        times.append(event.t)
        if event.velocity is not None:
            velocities.append(event.velocity.clone())

    with capture(network, keep):
        states, out = network.sample(
            **conditioning(data),
            style=data["style_prompt"],
            negative_style=data["negative_style_prompt"],
            noise=data["y0"],
            pred_segments=given["latent_pred_segments"],
            steps=given["steps"],
            cfg_strength=given["cfg_strength"],
            sway=given["sway_sampling_coef"],
            return_out=True,
        )
    assert furthest(torch.tensor(times), data["t"]) < TIME
    assert torch.equal(states[0], data["y0"])
    if "trajectory" in data:
        assert furthest(states, data["trajectory"]) < TRAJECTORY
    else:
        assert furthest(states[notes["trajectory_sub_index"]], data["trajectory_sub"]) < TRAJECTORY
    if "velocity" in data:
        assert furthest(torch.stack(velocities), data["velocity"]) < TRAJECTORY
    if given.get("no_ref_audio"):
        # Upstream forgets the reference after the network has seen it: zeros in the output outside the segments.
        out = out * data["pred_mask"][:, None]
    assert furthest(out, data["out"]) < TRAJECTORY


@pytest.mark.parametrize("frames", FRAMES.values())
def test_full_size_tensors_by_name_and_shape(shared: Path, frames: int) -> None:
    listed = json.loads((shared / "golden/diffrhythm/diffrhythm-1b.params.json").read_text())
    with torch.device("meta"):
        model = DiffRhythm(DiTConfig(max_frames=frames))
    expected = listed[f"max_frames={frames}"]
    ours = {
        name: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for name, tensor in model.state_dict().items()
    }
    assert ours == expected["parameters"]
    assert sum(tensor.numel() for tensor in model.parameters()) == expected["parameter_count"]
