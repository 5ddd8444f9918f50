"""Curves are computed in memory that does not grow with the number of prompts."""

import os
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

from support import planted

from tracer.record.store import RunStore
from tracer.results import compute_progress


def test_memory_does_not_grow_with_the_prompts_of_several_seeds(tmp_path):
    peaks = []
    for count in (64, 192):
        store = RunStore.open(tmp_path / str(count), planted.OPTIONS | {"seeds": 2}, planted.prompts(count))
        clips = [planted.trace(number, frames=8) for number in range(2)]
        for prompt in range(count):
            for seed, clip in enumerate(clips):
                clip.prompt, clip.seed = prompt, seed
            store.append(clips)
        tracemalloc.start()
        compute_progress(tmp_path / str(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1000 * 2 * 128  # bytes of 128 more prompts: a curve of one clip alone takes 256


PEAK = """
    import resource, sys
    from support import planted
    from tracer.run import finish_run
    from tracer.record.store import RunStore
    count = int(sys.argv[2])
    base = [planted.trace(i, states=4, frames=8) for i in range(16)]
    store = RunStore.open(sys.argv[1], planted.OPTIONS, planted.prompts(count))
    for batch in store.pending_batches(16):
        for prompt, trace in zip(batch, base):
            trace.prompt = prompt
        store.append(base[: len(batch)])
    finish_run(sys.argv[1])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_number_of_prompts(tmp_path):
    paths = [str(Path(__file__).parents[i]) for i in (1, 2)]
    peaks = []
    for count in (32, 384):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path / str(count)), str(count)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.05 * peaks[0]
