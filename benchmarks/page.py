"""The page of a large run: how long it takes to write, to open, and what a browser's tab holds; what `--listen` costs.

    python benchmarks/page.py --prompts 500 --out page.json

The large run is made of readings at random and of one tone, in the sizes of the bundled model (12 s, 32 states, 11
sounds of a clip), since only sizes count here. The cost of `--listen` is measured on the bundled model itself, in turns
with runs without. Times are of this machine; ratios are what to compare.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from probes.readout import Readout
from probes.support.files import file_checksum
from probes.support.ogg import write_ogg
from tracer import trace
from tracer.curves import SHUFFLED, TRAINED, Curve
from tracer.options import TraceOptions
from tracer.page.viewing import write_view
from tracer.prompts import Prompt
from tracer.record.listening import heard_states, sound_path
from tracer.record.shards import PromptTrace
from tracer.record.store import RunStore
from tracer.run import finish_run

STATES, FRAMES, SECONDS, RATE, FRAME_RATE = 32, 258, 12.0, 22050, 22050 / 1024


def readings(prompt: int, readout: Readout) -> PromptTrace:
    """Readings at random of one clip."""
    rng = np.random.default_rng(prompt)
    t = np.linspace(0, 1, STATES)
    with np.errstate(divide="ignore"):
        made = PromptTrace(prompt, t, 2 * np.log(t / (1 - t)))
    for view in ("state", "endpoint"):
        made.fvu[view] = made.l0[view] = np.ones(STATES, np.float32)
        for probe in (TRAINED, SHUFFLED):
            for name, bins in readout.bins.items():
                curve = Curve(view, probe, name)
                made.classes[curve] = rng.integers(0, len(bins), (STATES, FRAMES)).astype(np.uint8)
                made.values[curve] = made.classes[curve].astype(np.float32)
                made.valid[curve] = np.ones(FRAMES, bool)
                made.pooled[curve] = rng.dirichlet(np.ones(len(bins)), STATES).astype(np.float32)
    return made


def write_run(folder: Path, prompts: int) -> None:
    """A finished run of many prompts."""
    readout = Readout.from_pretrained("mini")
    about = {
        "prompts": "demo", "weights": None, "readout": None, "set": {}, "dtype": "auto", "balanced": False,
        "frame_rate": FRAME_RATE, "bins": {name: bins.to_dict() for name, bins in readout.bins.items()}, "versions": {},
    }  # fmt: skip
    given = TraceOptions(listen=11)
    options = {"model": "mini", "seed": 0, "steps": STATES, "seconds": SECONDS, "guidance": 3.0} | given.kept()
    captions = [Prompt(i, f"id-{i}", f"caption number {i}, a slow piece for piano") for i in range(prompts)]
    store = RunStore.open(folder, options, captions, about)
    tone = 0.3 * np.sin(np.arange(round(SECONDS * RATE)) * 0.1) * np.random.default_rng(0).random(round(SECONDS * RATE))
    sound = folder / "tone.ogg"
    write_ogg(sound, tone[None].astype(np.float32), RATE)
    for clip in captions:
        made = readings(clip.index, readout)
        for index in heard_states(STATES, 11):
            path = sound_path(folder, clip.stem, "endpoint", index)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sound, path)
            made.files[path.relative_to(folder).as_posix()] = file_checksum(path)
        store.append([made])
    finish_run(folder)


def opened(page: Path) -> dict[str, float]:
    """Seconds to the first chart, and megabytes of the script's heap after 1, 10 and 60 clips."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = chromium.new_page()
        began = time.perf_counter()
        shown.goto(page.resolve().as_uri())
        shown.wait_for_selector("#curves .main-svg")
        found = {"first_view_seconds": time.perf_counter() - began}
        began = time.perf_counter()
        shown.click("#tab-song")
        shown.wait_for_selector("#map .main-svg")
        found["first_song_seconds"] = time.perf_counter() - began
        session = shown.context.new_cdp_session(shown)
        for clips in (1, 10, 60):
            for k in range(clips):
                shown.locator("#clips button").nth(k).click()
                shown.wait_for_function(f"() => location.hash === '#song={k:05d}'")
            session.send("HeapProfiler.collectGarbage")
            heap = session.send("Runtime.getHeapUsage")
            found[f"heap_megabytes_after_{clips}"] = (heap["usedSize"] + heap.get("backingStorageSize", 0)) / 1e6
        chromium.close()
    return found


def listening(folder: Path, repeats: int, prompts: int) -> dict[str, float]:
    """Time of a trace with `--listen` over one without, median of pairs, and the size of the sounds of a clip."""
    ratios, size = [], 0.0
    for turn in range(repeats):
        seconds = {}
        for listen in (None, 11) if turn % 2 else (11, None):
            out = folder / f"{turn}-{listen}"
            began = time.perf_counter()
            trace("mini", n=prompts, listen=listen, out=out, progress_bar=False)
            seconds[listen] = time.perf_counter() - began
            if listen:
                size = sum(path.stat().st_size for path in out.rglob("*.ogg")) / prompts
        ratios.append(seconds[11] / seconds[None])
    return {"listen_over_plain": statistics.median(ratios), "listen_kilobytes_per_clip": size / 1e3}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    found: dict[str, Any] = {"prompts": given.prompts}
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        write_run(run, given.prompts)
        began = time.perf_counter()
        page = write_view([run])
        found["write_seconds"] = time.perf_counter() - began
        data = sum(path.stat().st_size for path in (page.parent / "data").iterdir())
        found["data_kilobytes_per_clip"] = data / given.prompts / 1e3
        found |= opened(page)
        found |= listening(Path(place), given.repeats, 8)
    print(json.dumps(found, indent=2))
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
