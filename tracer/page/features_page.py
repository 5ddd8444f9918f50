"""The page of an autoencoder's features: when each fires and how it sounds, and which classes it speaks for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.fit.atlas import EDGES, Atlas, clip_name, make_atlas, votes, write_clips
from probes.support.files import expanded
from tracer.figures.palette import looks
from tracer.page.folder import bring, page_folder, write_data, write_page
from tracer.page.run_page import rounded

if TYPE_CHECKING:
    from probes.corpus import Corpus
    from probes.readout import Readout
    from probes.spaces.base import Space
    from tracer.long_work import Report

BLOCK = 64
"""Features in one data file."""
VOTES = 3
"""Classes of each attribute that a feature is shown to speak for, and against."""


def write_features(readout: Readout, corpus: Corpus, space: Space, out: Path, report: Report) -> Path:
    """Write the page of a readout's features.

    Clips are made beside the page and brought into it at the end, so that a process that was killed goes on with those
    that are missing.

    Args:
        readout: Autoencoder and probes.
        corpus: Where the features are looked for; its latents are decoded to be heard.
        space: Codec of these latents.
        out: Folder of the page; an older page there is replaced.
        report: Told how far it is.

    Returns:
        The page's index.html.

    Raises:
        InputError: The corpus is of another space, or `out` holds something else.
    """
    out = expanded(out)
    with page_folder(out) as folder:
        atlas = make_atlas(readout, corpus, report)
        clips = out.with_name(f".{out.name}.{corpus.fingerprint}-{space.fingerprint()}.clips")
        write_clips(atlas, corpus, space, clips, report)
        hidden = len(atlas.density)
        said = [classes_of(readout, slice(start, start + BLOCK)) for start in range(0, hidden, BLOCK)]
        write_data(folder, "features", overview(readout, corpus, atlas, [one for block in said for one in block]))
        for block, classes in enumerate(said):
            first = block * BLOCK
            content = [feature_data(readout, atlas, first + k, own) for k, own in enumerate(classes)]
            write_data(folder, f"features-{block:03d}", content)
        write_page(folder, "features", ("features",))
        for name in {clip_name(*moment) for moment in atlas.moments}:
            bring(clips / name, folder / "clips" / name)
    for made in out.parent.glob(f".{out.name}.*.clips"):
        shutil.rmtree(made, ignore_errors=True)
    return out / "index.html"


def classes_of(readout: Readout, block: slice) -> list[list[dict[str, Any]]]:
    """For each feature of a block, the classes that it speaks for and against, with the probes' centred weights."""
    found: list[list[dict[str, Any]]] = []
    for name, weights in votes(readout, block):
        order = np.argsort(-weights, axis=0, kind="stable")
        labels = [readout.bins[name].label(k) for k in range(len(weights))]
        for column in range(weights.shape[1]):
            if column == len(found):
                found.append([])
            sides = {"for": order[:VOTES, column], "against": order[::-1][:VOTES, column]}
            own = {
                side: [[labels[k], round(float(weights[k, column]), 3)] for k in chosen]
                for side, chosen in sides.items()
            }
            found[column].append({"attribute": name, **own})
    return found


def overview(readout: Readout, corpus: Corpus, atlas: Atlas, said: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """The content of data/features.js: a short row for each feature, and the strongest features of each class."""
    return {
        "name": str(readout.source or "readout"),
        "about": repr(readout.sae),
        "corpus": f"{atlas.frames:,} frames of {len(atlas.files)} files of {corpus.path.resolve().name}",
        "block": BLOCK,
        "edges": [float(edge) for edge in EDGES[1:-1]],
        "colours": {name: look.colour for name, look in looks(readout.attributes).items()},
        "density": [float(f"{value:.3g}") for value in atlas.density],
        "maximum": [float(f"{value:.3g}") for value in atlas.maximum],
        "speaks_for": [" ".join(f"{vote['attribute']} {vote['for'][0][0]}," for vote in own)[:-1] for own in said],
        "classes": {
            name: [
                {
                    "label": readout.bins[name].label(k),
                    "features": strongest[k].tolist(),
                    "contribution": rounded(row, 3),
                }
                for k, row in enumerate(atlas.contribution[name])
            ]
            for name, strongest in atlas.strongest.items()
        },
    }


def feature_data(readout: Readout, atlas: Atlas, j: int, classes: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything about one feature."""
    moments = []
    for place, number in enumerate(atlas.file[j]):
        if number < 0:
            continue
        peak = int(atlas.peak[j, place])
        window = peak // atlas.window
        labels = {name: own[j, place] for name, own in atlas.labels.items()}
        moments.append(
            {
                "file": atlas.files[number], "sound": f"clips/{clip_name(int(number), window)}",
                "value": round(float(atlas.value[j, place]), 3),
                "at": round((peak - window * atlas.window + 0.5) / atlas.window, 4),
                "labels": {name: readout.bins[name].label(int(k)) if k >= 0 else "-" for name, k in labels.items()},
            }
        )  # fmt: skip
    return {
        "histogram": atlas.histogram[j].tolist(),
        "moments": moments,
        "classes": classes,
        "neighbours": [[int(k), round(float(c), 3)] for k, c in zip(atlas.neighbours[j], atlas.cosine[j])],
    }
