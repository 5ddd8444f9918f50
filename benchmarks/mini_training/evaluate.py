"""Measure what the model card says, on pieces with seeds that training never used.

python -m benchmarks.mini_training.evaluate codec
python -m benchmarks.mini_training.evaluate notes --audio FOLDER
python -m benchmarks.mini_training.evaluate readout
python -m benchmarks.mini_training.evaluate prompts
python -m benchmarks.mini_training.evaluate instruments
"""

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.mini_training.data import HELD_OUT, HOP, SAMPLE_RATE
from benchmarks.rhythm.pieces import texture_of
from probes.attributes import get_attribute
from probes.fit.probe_metrics import accuracy, bootstrap_interval, within_one
from probes.readout import Readout
from probes.rendering.composing import Part, compose, draw_facts
from probes.rendering.example import render_example
from probes.rendering.instruments import BY_NAME
from probes.rendering.synth import render
from probes.spaces import load_space
from tracer.generators import load_generator, prompt_seed

STEPS = 32
PROMPTS = {
    "register": {
        "low": (
            "a low piano melody", "deep low notes on a cello", "a low-pitched bassoon solo", "low register solo guitar",
        ),
        "high": (
            "a high piano melody", "high notes on a violin", "a high-pitched flute solo", "high register solo guitar",
        ),
    },
    "dynamics": {
        "quiet": ("a quiet piano", "a soft flute melody", "gentle, hushed strings", "a quiet acoustic guitar"),
        "loud": ("a loud piano", "a loud flute melody", "powerful, loud strings", "a loud acoustic guitar"),
    },
    "brightness": {
        "dark": ("a dark, mellow cello", "a muffled electric piano", "a warm french horn", "a dark marimba"),
        "bright": ("a bright violin", "a bright harpsichord", "a brilliant trumpet", "a bright xylophone"),
    },
}  # fmt: skip
NAMED = ("piano", "harpsichord", "marimba", "church organ", "violin", "trumpet", "flute", "distorted guitar")


def reconstruction(clips: Iterator[np.ndarray], codec: str | None) -> dict[str, float]:
    """How close decoded audio is to the original: pitch by CREPE full, RMS and spectral centroid as correlations.

    The correlations are taken over all frames of all clips together; `*_within_clip` is the mean over clips.
    """
    space = load_space("mini", codec)
    pitch, loudness, timbre = get_attribute("pitch", model="full"), get_attribute("loudness"), get_attribute("timbre")
    close, pairs = [], {"rms": [], "centroid": []}  # type: tuple[list[np.ndarray], dict[str, list[np.ndarray]]]
    for audio in clips:
        frames = len(audio) // HOP
        audio = audio[: frames * HOP]
        decoded = space.decode(space.encode(torch.from_numpy(audio)[None, None]))[0, 0].numpy()
        (before, voiced), (after, _) = (pitch.measure(x, SAMPLE_RATE, frames, HOP) for x in (audio, decoded))
        close.append(np.abs(before - after)[voiced] < 0.5)
        for name, attribute in (("rms", loudness), ("centroid", timbre)):
            (a, known), (b, heard) = (attribute.measure(x, SAMPLE_RATE, frames, HOP) for x in (audio, decoded))
            pairs[name].append(np.stack([a, b])[:, known & heard])
    result = {
        "clips": len(close),
        "voiced_frames": sum(map(len, close)),
        "within_50_cents": np.concatenate(close).mean(),
    }
    for name, values in pairs.items():
        result[f"{name}_correlation"] = np.corrcoef(np.concatenate(values, axis=1))[0, 1]
        within = [np.corrcoef(v)[0, 1] for v in values if v.shape[1] > 2 and v.std(1).min() > 0]
        result[f"{name}_correlation_within_clip"] = np.mean(within)
    return {name: round(float(value), 4) for name, value in result.items()}


def held_out(count: int, seconds: float, solo: bool) -> Iterator[np.ndarray]:
    """Rendered pieces that no training stage has seen: the first `count` solos, or the first pieces of several parts.

    The two are kept apart because CREPE follows one voice: where several sound, it jumps between them at the
    slightest change, and even the original's own magnitudes with a found phase reach 95 %.
    """
    found = 0
    for seed in itertools.count(HELD_OUT):
        if (texture_of(seed) == "solo") == solo:
            yield render_example(seed, seconds).audio
            found += 1
        if found == count:
            return


def accuracies(clips: Iterator[np.ndarray]) -> dict[str, dict[str, float]]:
    """What the readout that comes with the model reads from clips, against their labels; CREPE full for pitch.

    Its corpus was labelled by CREPE's small model, in a twentieth of the time; this is the check by the large one.
    """
    space, readout = load_space("mini"), Readout.from_pretrained("mini")
    attributes = {name: get_attribute(name, **({"model": "full"} if name == "pitch" else {})) for name in readout.bins}
    labels: dict[str, list[np.ndarray]] = {name: [] for name in attributes}
    classes: dict[str, list[np.ndarray]] = {name: [] for name in attributes}
    for audio in clips:
        audio = audio[: len(audio) // HOP * HOP]
        read = readout.read(space.encode(torch.from_numpy(audio)[None, None]))
        for name, attribute in attributes.items():
            values, valid = attribute.measure(audio, SAMPLE_RATE, len(audio) // HOP, HOP)
            labels[name].append(readout.bins[name].classes(values)[valid].astype(np.int64))
            classes[name].append(read.classes["trained"][name][0].numpy()[valid].astype(np.int64))
    report = {}
    for name in attributes:
        wanted, found = np.concatenate(labels[name]), np.concatenate(classes[name])
        files = np.repeat(np.arange(len(labels[name])), [len(row) for row in labels[name]])
        low, high = bootstrap_interval(wanted == found, files)
        figures = {
            "accuracy": accuracy(wanted, found), "low": low, "high": high, "within_one": within_one(wanted, found),
            "frames": len(wanted), "clips": len(labels[name]),
        }  # fmt: skip
        report[name] = {key: round(float(value), 4) for key, value in figures.items()}
    return report


def recordings(folder: Path, limit: int | None) -> Iterator[np.ndarray]:
    """Audio files below a folder at 22.05 kHz, mono; every k-th one where a limit asks for fewer."""
    import librosa

    files = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".mp3", ".ogg"))
    for path in files[:: max(1, len(files) // limit)] if limit else files:
        yield librosa.load(path, sr=SAMPLE_RATE)[0]


def generate(captions: list[str], seconds: float, guidance: float | None) -> np.ndarray:
    """Decoded audio [n, samples] of captions, clip i from seed i."""
    model = load_generator("mini")
    parts = []
    for first in range(0, len(captions), 16):
        some = captions[first : first + 16]
        seeds = [prompt_seed(0, first + i) for i in range(len(some))]
        scale = model.default_guidance if guidance is None else guidance
        latents = model.generate(some, seeds, steps=STEPS, seconds=seconds, guidance=scale)
        parts.append(model.decode(latents)[:, 0])
    return np.concatenate(parts)


def prompt_effects(seeds: int, seconds: float, guidance: float | None) -> dict[str, object]:
    """Opposite wordings, `seeds` clips each: median pitch, level and centroid of the decoded audio."""
    pitch, timbre = get_attribute("pitch", model="full"), get_attribute("timbre")
    report: dict[str, object] = {}
    for effect, sides in PROMPTS.items():
        measured = {}
        for side, captions in sides.items():
            values = []
            for audio in generate([captions[i % len(captions)] for i in range(seeds)], seconds, guidance):
                frames = len(audio) // HOP
                if effect == "dynamics":
                    values.append(10 * np.log10(np.mean(audio**2) + 1e-12))
                    continue
                value, valid = (pitch if effect == "register" else timbre).measure(audio, SAMPLE_RATE, frames, HOP)
                if valid.any():
                    values.append(np.median(value[valid]))
            measured[side] = values
        low, high = (float(np.median(values)) for values in measured.values())
        names = tuple(measured)
        difference = {"register": high - low, "dynamics": high - low, "brightness": high / low}[effect]
        unit = {"register": "semitones", "dynamics": "dB", "brightness": "times"}[effect]
        spread = {name: [round(float(q), 2) for q in np.quantile(measured[name], [0.25, 0.75])] for name in names}
        report[effect] = {
            names[0]: round(low, 2),
            names[1]: round(high, 2),
            "difference": round(difference, 2),
            "unit": unit,
            "quartiles": spread,
            "clips": [len(values) for values in measured.values()],
        }
    return report


def colour(audio: np.ndarray) -> np.ndarray:
    """Means and standard deviations of 20 mel-frequency cepstral coefficients without the level, [38]."""
    import librosa

    coefficients = librosa.feature.mfcc(y=audio, sr=SAMPLE_RATE, n_mfcc=20)[1:]
    return np.concatenate([coefficients.mean(1), coefficients.std(1)])


def instrument_clips(name: str, count: int, seconds: float) -> Iterator[np.ndarray]:
    """Rendered solos of one instrument."""
    for i in range(count):
        rng = np.random.default_rng((HELD_OUT, i))
        facts = dataclasses.replace(
            draw_facts(rng), parts=(Part("melody", BY_NAME[name]),), drums=False, tone="neutral"
        )
        yield render(compose(facts, seconds, rng), seconds, SAMPLE_RATE, rng)


def confusion(seeds: int, seconds: float, guidance: float | None) -> dict[str, object]:
    """Generated solos of named instruments, told apart by a classifier that was trained on rendered ones."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rendered = [[colour(audio) for audio in instrument_clips(name, 80, seconds)] for name in NAMED]
    labels = np.repeat(np.arange(len(NAMED)), 60)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(np.concatenate([rows[:60] for rows in rendered]), labels)
    table = {}
    correct = []
    for i, name in enumerate(NAMED):
        clips = generate([f"a solo {name} melody"] * seeds, seconds, guidance)
        heard = classifier.predict(np.stack([colour(audio) for audio in clips]))
        table[name] = dict(zip(NAMED, np.bincount(heard, minlength=len(NAMED)).tolist()))
        correct.append(np.mean(heard == i))
    on_rendered = classifier.score(
        np.concatenate([rows[60:] for rows in rendered]), np.repeat(np.arange(len(NAMED)), 20)
    )
    return {
        "accuracy": round(float(np.mean(correct)), 3),
        "chance": 1 / len(NAMED),
        "accuracy_on_held_out_renderings": round(float(on_rendered), 3),
        "table": table,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("codec", "notes", "readout", "prompts", "instruments"))
    parser.add_argument("--audio", type=Path, help="folder of recordings (notes)")
    parser.add_argument("--codec", help="folder of codec weights; the bundled ones without it (codec, notes)")
    parser.add_argument("--count", type=int, default=32, help="clips, or seeds of each wording")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--guidance", type=float)
    options = parser.parse_args()
    if options.what == "codec":
        result: dict[str, object] = {
            name: reconstruction(held_out(options.count, options.seconds, name == "solo"), options.codec)
            for name in ("solo", "several parts")
        }
    elif options.what == "notes":
        result = dict(reconstruction(recordings(options.audio, options.count), options.codec))
    elif options.what == "readout":
        result = dict(accuracies(render_example(HELD_OUT + i, options.seconds).audio for i in range(options.count)))
    elif options.what == "prompts":
        result = prompt_effects(options.count, options.seconds, options.guidance)
    else:
        result = confusion(options.count, options.seconds, options.guidance)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
