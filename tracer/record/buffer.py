"""What the readout says of one batch of clips, collected while they are generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tracer.curves import LINEAR_FLOW, MEASURED, NO_CLASS, TRAINED, Curve
from tracer.prompts import Prompt
from tracer.record.shards import PromptTrace

STEP = 64
"""Readings are kept in steps of one 64th: of a class, or of a direction's standard deviation."""


class Reading(Protocol):
    """What a readout says of a batch of latents; arrays or tensors by probe and attribute, as in `probes.readout`."""

    @property
    def pooled(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def classes(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def values(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def distributions(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def fvu(self) -> Any: ...
    @property
    def l0(self) -> Any: ...


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float().numpy() if values.is_floating_point() else values.numpy()
    return np.asarray(values)


def histogram(classes: np.ndarray, kinds: int) -> np.ndarray:
    """Share [N, kinds] of each class among the frames of classes [N, F] that have one, -1 where there is none."""
    counts = (classes[:, :, None] == np.arange(kinds)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(counts / counts.sum(axis=1, keepdims=True).astype(np.float32))


class TraceBuffer:
    """The traces of one batch, growing by one state at a time; give `traces()` to `RunStore.append` at the end.

    Holds class distributions, and of every frame the class (one byte) and the reading (two bytes). Distributions of
    single frames are held only of attributes that `restrict` is called for at the end.

    Args:
        clips: Prompt of each clip of the batch, with the number of its seed, in batch order.
    """

    def __init__(self, clips: Sequence[Prompt]) -> None:
        self.clips = list(clips)
        self._t: dict[int, tuple[float, float]] = {}
        self._pooled: dict[Curve, list[np.ndarray]] = {}
        self._frames: dict[Curve, list[np.ndarray]] = {}
        self._classes: dict[Curve, list[np.ndarray]] = {}
        self._values: dict[Curve, list[np.ndarray]] = {}
        self._sae: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._mask: np.ndarray | None = None
        self._restricted: dict[str, np.ndarray] = {}
        self._rows: list[int] = []

    def add(self, view: str, index: int, t: float, logsnr: float, reading: Reading, mask: Any | None = None) -> None:
        """Add state ``index`` as seen in ``view``; states of one view come in order from 0.

        ``mask`` [B, F] says which frames belong to the song (all when None).
        """
        seen = len(self._sae.setdefault(view, []))
        if index != seen:
            raise ValueError(f"state {index} of view {view!r} came where state {seen} was due")
        self._t[index] = (float(t), float(logsnr))
        self._sae[view].append((_array(reading.fvu), _array(reading.l0)))
        for into, found in ((self._pooled, reading.pooled), (self._frames, reading.distributions)):
            for probe, attributes in found.items():
                for attribute, values in attributes.items():
                    into.setdefault(Curve(view, probe, attribute), []).append(_array(values))
        for probe, attributes in reading.classes.items():
            self._add_frames(view, probe, attributes, reading.values[probe])
        if mask is not None:
            self._mask = _array(mask).astype(bool)

    def add_linear_flow(self, view: str, reading: Reading, rows: Sequence[int]) -> None:
        """Add what the trained probes read in the next state of a linear flow, for the clips at `rows` of the batch."""
        self._rows = list(rows)
        self._add_frames(view, LINEAR_FLOW, reading.classes[TRAINED], reading.values[TRAINED])

    def _add_frames(self, view: str, probe: str, classes: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        for attribute, read in classes.items():
            curve = Curve(view, probe, attribute)
            self._classes.setdefault(curve, []).append(_array(read).astype(np.uint8))
            if attribute not in values:  # its classes have no order
                continue
            steps = np.nan_to_num(np.round(STEP * _array(values[attribute])), nan=0.0)
            self._values.setdefault(curve, []).append(np.clip(steps, -(2**15), 2**15 - 1).astype(np.int16))

    def add_measured(self, view: str, classes: Mapping[str, Any]) -> None:
        """Add what was measured on the decoded audio of the state added last: classes [B, F], -1 where there is none.

        Kept beside the probes' readings as probe ``measured``; its distribution is the histogram of the classes over
        the frames that count.
        """
        for attribute, values in classes.items():
            found = _array(values)
            if self._mask is not None:
                found = np.where(self._mask, found, -1)
            kinds = self._pooled[Curve(view, TRAINED, attribute)][0].shape[1]
            pooled = histogram(found, kinds)
            curve = Curve(view, MEASURED, attribute)
            self._pooled.setdefault(curve, []).append(pooled)
            self._classes.setdefault(curve, []).append(np.where(found < 0, NO_CLASS, found).astype(np.uint8))

    def restrict(self, attribute: str, valid: Any) -> None:
        """Let only the frames ``valid`` [B, F] count for ``attribute``, as pitch counts where the song is voiced.

        Distributions are pooled over these frames where those of single frames were kept, and what was measured is
        counted in them; a clip without a valid frame has none (NaN).
        """
        self._restricted[attribute] = _array(valid).astype(bool)

    def traces(self) -> list[PromptTrace]:
        """One trace per clip. Raises ValueError when the views do not have the same number of states."""
        states = len(self._t)
        short = [view for view, values in self._sae.items() if len(values) != states]
        if short or not states:
            raise ValueError(f"the trace is not finished: {', '.join(short) or 'no state'} of {states} states")
        times, logsnr = (np.array([self._t[i][k] for i in range(states)]) for k in range(2))
        return [self._trace(row, clip, times, logsnr) for row, clip in enumerate(self.clips)]

    def _trace(self, row: int, clip: Prompt, times: np.ndarray, logsnr: np.ndarray) -> PromptTrace:
        trace = PromptTrace(clip.index, times, logsnr, seed=clip.seed)
        for view, values in self._sae.items():
            trace.fvu[view] = np.array([fvu[row] for fvu, _ in values], dtype=np.float32)
            trace.l0[view] = np.array([l0[row] for _, l0 in values], dtype=np.float32)
        for curve, classes in self._classes.items():
            at = row
            if curve.probe == LINEAR_FLOW:
                if row not in self._rows:
                    continue
                at = self._rows.index(row)
            trace.classes[curve] = read = np.stack([c[at] for c in classes])
            if curve in self._values:
                trace.values[curve] = np.stack([v[at] for v in self._values[curve]]).astype(np.float32) / STEP
            valid = read[-1] != NO_CLASS
            if self._mask is not None:
                valid &= self._mask[row]
            if curve.attribute in self._restricted:
                valid &= self._restricted[curve.attribute][row]
            trace.valid[curve] = valid
        for curve, pooled in self._pooled.items():
            trace.pooled[curve] = np.stack([p[row] for p in pooled])
            if curve in self._frames and curve.attribute in self._restricted:
                counted = trace.valid[curve]
                frames = np.stack([f[row, counted].sum(axis=0, dtype=np.float64) for f in self._frames[curve]])
                with np.errstate(invalid="ignore"):
                    trace.pooled[curve] = (frames / np.float64(counted.sum())).astype(np.float32)
            elif curve.probe == MEASURED and curve.attribute in self._restricted:
                read = trace.classes[curve]
                found = np.where(trace.valid[curve] & (read != NO_CLASS), read.astype(int), -1)
                trace.pooled[curve] = histogram(found, trace.pooled[curve].shape[1])
        return trace
