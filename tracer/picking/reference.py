"""A recording as the goal: what its latents read as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from probes.attributes.base import SILENCE
from probes.errors import InputError
from probes.support.audio_files import read_audio
from tracer.picking.takes import song_readings
from tracer.picking.wants import Goal, goal_at

if TYPE_CHECKING:
    from tracer.session import Session


def goals_like(path: str | Path, session: Session, without: Sequence[str] = ()) -> list[Goal]:
    """Goals at what a recording reads as, through the model's codec.

    A higher sample rate than the codec's is brought down to it. A lower one is refused: its treble is missing, and the
    recording would read as darker than it is.

    Args:
        path: Audio in any format that libsndfile reads.
        session: Generator and readout.
        without: Attributes that have a goal already.

    Raises:
        InputError: A file that cannot be read, that is silent, shorter than a latent frame, or of a lower sample rate
            than the codec's.
    """
    samples, rate = read_audio(path)
    codec = session.generator.codec
    if rate < codec.sample_rate:
        raise InputError(
            f"--like {path} has {rate} samples a second and {session.generator.name} makes {codec.sample_rate}: its "
            "treble is missing, so that it would read as too dark; give a recording of at least that rate"
        )
    if samples.shape[1] < rate / codec.frame_rate:
        raise InputError(f"--like {path} is shorter than one latent frame: give a longer recording")
    if float(np.sqrt(np.mean(np.square(samples)))) < SILENCE:
        raise InputError(f"--like {path} is silent: give a recording with sound")
    latents = codec.encode(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)), rate)
    readings = song_readings(session.readout, latents)
    return [
        goal_at(name, float(values[0]), session.readout) for name, values in readings.items() if name not in without
    ]
