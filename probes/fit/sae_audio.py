"""The test that is heard: decode(reconstruction) against decode(original)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from probes.attributes import get_attribute
from probes.sae import SparseAutoencoder
from probes.support.spectra import stft_distance

if TYPE_CHECKING:
    from probes.spaces.base import Space

SECONDS = 20.0  # of each file
FILES = 8
FLOOR = 1e-5  # -100 dB


@torch.no_grad()
def audio_test(
    sae: SparseAutoencoder, space: Space, arrays: Sequence[np.ndarray], pitch_tracker: str = "full"
) -> dict[str, Any]:
    """Compare what is heard, over the first 20 s of up to 8 files of latents [frames, C].

    Returns:
        stft_distance: `probes.support.spectra.stft_distance`, mean over files.
        pitch_within_50_cents: share of the original's voiced frames whose pitch stays within half a semitone.
        loudness_error_db, centroid_error_hz: mean absolute difference over frames that are not silent.
        seconds: length of what was compared.
    """
    distances, pitch, loudness, centroid, seconds = [], [], [], [], 0.0
    measures = {name: get_attribute(name) for name in ("loudness", "timbre")}
    measures["pitch"] = get_attribute("pitch", model=pitch_tracker)
    for array in list(arrays)[:FILES]:
        latents = torch.from_numpy(np.array(array[: round(SECONDS * space.frame_rate)], np.float32))
        rebuilt = sae(latents.to(sae.decoder_bias)).cpu()
        pair = [space.decode(one[None])[0].mean(0).cpu() for one in (latents, rebuilt)]
        distances.append(stft_distance(*pair))
        found = {
            name: [one.measure(audio.numpy(), space.sample_rate, len(latents), space.hop) for audio in pair]
            for name, one in measures.items()
        }
        (before, voiced), (after, _) = found["pitch"]
        pitch.append(np.abs(after - before)[voiced] <= 0.5)
        levels = [20 * np.log10(np.maximum(values, FLOOR)) for values, _ in found["loudness"]]
        loudness.append(np.abs(levels[1] - levels[0])[levels[0] > -80])
        (before, sounding), (after, _) = found["timbre"]
        centroid.append(np.abs(after - before)[sounding])
        seconds += len(latents) / space.frame_rate
    return {
        "stft_distance": float(np.mean(distances)),
        "pitch_within_50_cents": _mean(pitch),
        "loudness_error_db": _mean(loudness),
        "centroid_error_hz": _mean(centroid),
        "seconds": seconds,
    }


def _mean(parts: list[np.ndarray]) -> float | None:
    joined = np.concatenate(parts)
    return float(joined.mean()) if len(joined) else None
