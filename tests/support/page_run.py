"""A small finished run with sound, for tests of its page: planted readings, a tone for each state that can be heard."""

from pathlib import Path

import numpy as np
from support import planted

from probes.attributes.bins import Bins
from probes.support.files import file_checksum
from probes.support.ogg import write_ogg
from tracer.prompts import Prompt
from tracer.record.listening import heard_states, sound_path
from tracer.record.store import RunStore
from tracer.results import compute_progress
from tracer.run import Run

RATE, SECONDS = 8000, 4.0
HOSTILE = "<img src=x onerror=\"document.title='broken into'\"> & <b>bold</b> $x$"
OPTIONS = {
    "model": "planted", "seed": 0, "seeds": 1, "steps": planted.STATES, "seconds": SECONDS, "guidance": 2.0,
    "views": ["state", "endpoint"], "probes": ["trained"], "steer": [], "ground_truth": False, "save_audio": True,
    "save_latents": False, "listen": 5, "listen_state": True,
}  # fmt: skip
BINS = {
    "pitch": Bins("pitch", "MIDI", "midi", tuple(np.arange(67) + 29.5)),
    "loudness": Bins("loudness", "RMS", "linear", tuple(np.linspace(0, 1, 21))),
    "timbre": Bins("timbre", "Hz", "linear", tuple(np.linspace(100.0, 5000.0, 21))),
}


def captions(n: int) -> list[Prompt]:
    """Prompts, the second of which is hostile."""
    return [Prompt(i, f"id-{i}", HOSTILE if i == 1 else f"caption number {i} of a quiet piece") for i in range(n)]


def tone(hertz: float) -> np.ndarray:
    """[1, samples] of a clip's length."""
    return 0.2 * np.sin(2 * np.pi * hertz * np.arange(round(RATE * SECONDS)) / RATE)[None].astype(np.float32)


def write_run(folder: Path, n: int = 3, sounds: bool = True, **changes: object) -> Run:
    """A finished run of n prompts."""
    about = {
        "prompts": "demo", "weights": None, "readout": None, "set": {}, "dtype": "auto", "balanced": False,
        "frame_rate": planted.FRAMES / SECONDS, "bins": {name: bins.to_dict() for name, bins in BINS.items()},
        "versions": {"torch": "<i>2</i>"},
    }  # fmt: skip
    store = RunStore.open(folder, OPTIONS | changes, captions(n), about)
    for clip in captions(n):
        made = planted.add_measured(planted.add_nulls(planted.trace(clip.index)))
        if sounds:
            for view in ("state", "endpoint"):
                for index in heard_states(planted.STATES, 5):
                    path = sound_path(folder, clip.stem, view, index)
                    write_ogg(path, tone(200 + 40 * index), RATE)
                    made.files[path.relative_to(folder).as_posix()] = file_checksum(path)
        store.append([made])
    compute_progress(folder)  # the tables, without the figures, which no page shows
    return Run(folder)
