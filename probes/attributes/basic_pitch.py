"""Onsets by Basic Pitch (Bittner et al. 2022, arXiv 2203.09893): its ONNX file, through onnxruntime alone."""

from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from probes.errors import InputError

RATE, HOP = 22050, 256
WINDOW = 43844  # samples that the network takes at once: 172 frames
EDGE = 15  # frames at each end of a window that are not used
KEPT = 141  # frames of a window that are used; the next window begins that many later
INPUT, ONSETS = "serving_default_input_2:0", "StatefulPartitionedCall:2"
THRESHOLD = 0.6
"""Probability of an onset, chosen by F1 at 50 ms on 40 rendered validation pieces: 0.738 there, 0.698 at 0.5."""
APART = 3  # frames: 35 ms


def require() -> None:
    """Raise InputError where the model or its runtime is missing."""
    if find_spec("basic_pitch") is None or find_spec("onnxruntime") is None:
        raise InputError(
            "Basic Pitch is not installed: `pip install onnxruntime`, then `pip install --no-deps basic-pitch`"
        )


def name() -> str:
    """Name and version: the network comes with the package and changes with it."""
    return f"basic-pitch {version('basic-pitch')}"


def onset_times(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """When notes begin in audio [n], in seconds: peaks of the most probable key's onset, at least 30 ms apart."""
    from scipy.signal import find_peaks

    from probes.support.audio_files import resample

    curve = onset_probability(resample(audio, sample_rate, RATE)).max(1)
    peaks, _ = find_peaks(np.pad(curve, 1), height=THRESHOLD, distance=APART)
    return (peaks - 1) * HOP / RATE


def onset_probability(audio: np.ndarray) -> np.ndarray:
    """Probability `[frames, 88]` that a piano key's note begins, one frame every 256 samples of audio [n] at 22.05 kHz.

    Frame i is centred on sample 256 i. The library's own windows advance by 141.27 frames and keep 142 of each, which
    shifts later windows; these advance by as many frames as they keep.
    """
    frames = len(audio) // HOP + 1
    count = -(-frames // KEPT)
    length = (count - 1) * KEPT * HOP + WINDOW
    padded = np.pad(audio.astype(np.float32), (EDGE * HOP, length))[:length]
    windows = [padded[start : start + WINDOW, None] for start in range(0, count * KEPT * HOP, KEPT * HOP)]
    parts = [model().run([ONSETS], {INPUT: window[None]})[0][0, EDGE : EDGE + KEPT] for window in windows]
    return np.concatenate(parts)[:frames]


@lru_cache(maxsize=1)
def model() -> Any:
    """The network, on as many threads as torch has. The package is not imported: it would load TensorFlow if it can."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    spec = find_spec("basic_pitch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "saved_models" / "icassp_2022" / "nmp.onnx"
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
