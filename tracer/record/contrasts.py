"""contrast.parquet: every clip against its own end and those of other prompts, for paired tests.

One row per clip, view, probe, attribute and measure:

========== ============ =========================================================================================
prompt     int32        position of the prompt in ``prompts.csv``
seed       int32        number of the clip's noise among the run's seeds
view, probe, attribute  as in the shards; the directions "generic-1", "generic-2", ... apart
measure    string       ``agreement``, ``agreement_matched``, ``closeness``, ``closeness_song``, ``closeness_frame``
own        list<float>  agreement: share of frames that have their final class at each state. closeness: squared
                        distance to the own end, summed over frames
other      list<float>  the same against the ends of the other prompts, mean over these
target     list<float>  the same for the states of the other prompts against this clip's end, each by one over the
                        number of clips that it is compared with, for intervals; NaN along a linear flow
frames     int32        number of frames that count; 1 of ``closeness_song``, which compares means
========== ============ =========================================================================================

Agreement is the sum of (own - other) over the sum of (1 - other), closeness 1 minus the sum of own over that of other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from probes.errors import InputError
from probes.support.files import whole_file

if TYPE_CHECKING:
    from tracer.gathering import Contrast

FILE = "contrast.parquet"
SCHEMA = pa.schema(
    [
        pa.field("prompt", pa.int32()),
        pa.field("seed", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("view", "probe", "attribute", "measure")),
        *(pa.field(name, pa.list_(pa.float32())) for name in ("own", "other", "target")),
        pa.field("frames", pa.int32()),
    ]
)


class ContrastWriter:
    """Writes the clips one after the other."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self._file = file

    def add(self, prompt: int, seed: int, contrasts: Sequence[Contrast]) -> None:
        """Write one clip."""
        if not contrasts:
            return
        rows = {
            "prompt": [prompt] * len(contrasts),
            "seed": [seed] * len(contrasts),
            **{name: [getattr(found.curve, name) for found in contrasts] for name in ("view", "probe", "attribute")},
            "measure": [found.measure for found in contrasts],
            "own": [found.own.astype(np.float32) for found in contrasts],
            "other": [found.other.astype(np.float32) for found in contrasts],
            "target": [found.target.astype(np.float32) for found in contrasts],
            "frames": [found.frames for found in contrasts],
        }
        self._file.write_table(pa.Table.from_pydict(rows, schema=SCHEMA))


@contextmanager
def write_contrasts(folder: Path) -> Iterator[ContrastWriter]:
    """Write the file of a run folder, whole or not at all."""
    with whole_file(folder / FILE) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as file:
        yield ContrastWriter(file)


def read_contrasts(folder: Path, probe: str, measure: str) -> dict[tuple[str, str], dict[tuple[int, int], np.ndarray]]:
    """Read one probe and measure of a run folder.

    Returns:
        For each view and attribute, by prompt and seed, float64 [4, states]: own, other, target and frames.

    Raises:
        InputError: The file is not there or damaged.
    """
    try:
        filters = [("probe", "=", probe), ("measure", "=", measure)]
        table = pq.read_table(folder / FILE, schema=SCHEMA, filters=filters)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder / FILE} cannot be read: run the same trace command again") from error
    found: dict[tuple[str, str], dict[tuple[int, int], np.ndarray]] = {}
    for row in table.to_pylist():
        lists = row["own"], row["other"], row["target"], [row["frames"]] * len(row["own"])
        clips = found.setdefault((row["view"], row["attribute"]), {})
        clips[row["prompt"], row["seed"]] = np.array(lists, dtype=np.float64)
    return found
