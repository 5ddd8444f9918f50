"""What the readout says of one batch of prompts, collected while they are generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tracer.curves import CONTROL, MEASURED, NO_CLASS, TRAINED, Curve
from tracer.record.shards import PromptTrace


class Reading(Protocol):
    """What a readout says of a batch of latents; arrays or tensors, shapes as in `probes.readout`."""

    @property
    def pooled(self) -> Mapping[str, Any]: ...
    @property
    def classes(self) -> Mapping[str, Any]: ...
    @property
    def control_pooled(self) -> Mapping[str, Any]: ...
    @property
    def control_classes(self) -> Mapping[str, Any]: ...
    @property
    def fvu(self) -> Any: ...
    @property
    def l0(self) -> Any: ...


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float().numpy() if values.is_floating_point() else values.numpy()
    return np.asarray(values)


class TraceBuffer:
    """The traces of one batch, growing by one state at a time; give `traces()` to `RunStore.append` at the end.

    Holds the class distributions and the class of every frame (one byte each), nothing of the size of a latent.

    Args:
        prompts: Index of each prompt of the batch, in batch order.
    """

    def __init__(self, prompts: Sequence[int]) -> None:
        self.prompts = list(prompts)
        self._t: dict[int, tuple[float, float]] = {}
        self._pooled: dict[Curve, list[np.ndarray]] = {}
        self._classes: dict[Curve, list[np.ndarray]] = {}
        self._sae: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._mask: np.ndarray | None = None
        self._voiced: dict[str, np.ndarray] = {}

    def add(self, view: str, index: int, t: float, logsnr: float, reading: Reading, mask: Any | None = None) -> None:
        """Add state ``index`` as seen in ``view``; states of one view come in order from 0.

        ``mask`` [B, F] says which frames belong to the song (all when None).
        """
        seen = len(self._sae.setdefault(view, []))
        if index != seen:
            raise ValueError(f"state {index} of view {view!r} came where state {seen} was due")
        self._t[index] = (float(t), float(logsnr))
        self._sae[view].append((_array(reading.fvu), _array(reading.l0)))
        for probe, pooled, classes in (
            (TRAINED, reading.pooled, reading.classes),
            (CONTROL, reading.control_pooled, reading.control_classes),
        ):
            for attribute, values in pooled.items():
                curve = Curve(view, probe, attribute)
                self._pooled.setdefault(curve, []).append(_array(values))
                self._classes.setdefault(curve, []).append(_array(classes[attribute]).astype(np.uint8))
        if mask is not None:
            self._mask = _array(mask).astype(bool)

    def add_measured(self, view: str, classes: Mapping[str, Any]) -> None:
        """Add what was measured on the decoded audio of the state added last: classes [B, F], -1 where there is none.

        Kept beside the probes' readings as probe ``measured``; its distribution is the histogram of the classes.
        """
        for attribute, values in classes.items():
            found = _array(values)
            kinds = self._pooled[Curve(view, TRAINED, attribute)][0].shape[1]
            counts = (found[:, :, None] == np.arange(kinds)).sum(axis=1)
            with np.errstate(invalid="ignore"):
                pooled = counts / counts.sum(axis=1, keepdims=True).astype(np.float32)
            curve = Curve(view, MEASURED, attribute)
            self._pooled.setdefault(curve, []).append(pooled)
            self._classes.setdefault(curve, []).append(np.where(found < 0, NO_CLASS, found).astype(np.uint8))

    def restrict(self, attribute: str, valid: Any) -> None:
        """Let only the frames ``valid`` [B, F] count for ``attribute``, as pitch counts where the song is voiced."""
        self._voiced[attribute] = _array(valid).astype(bool)

    def traces(self) -> list[PromptTrace]:
        """One trace per prompt. Raises ValueError when the views do not have the same number of states."""
        states = len(self._t)
        short = [view for view, values in self._sae.items() if len(values) != states]
        if short or not states:
            raise ValueError(f"the trace is not finished: {', '.join(short) or 'no state'} of {states} states")
        times, logsnr = (np.array([self._t[i][k] for i in range(states)]) for k in range(2))
        return [self._trace(row, prompt, times, logsnr) for row, prompt in enumerate(self.prompts)]

    def _trace(self, row: int, prompt: int, times: np.ndarray, logsnr: np.ndarray) -> PromptTrace:
        trace = PromptTrace(prompt, times, logsnr)
        for view, values in self._sae.items():
            trace.fvu[view] = np.array([fvu[row] for fvu, _ in values], dtype=np.float32)
            trace.l0[view] = np.array([l0[row] for _, l0 in values], dtype=np.float32)
        for curve, pooled in self._pooled.items():
            trace.pooled[curve] = np.stack([p[row] for p in pooled])
            trace.classes[curve] = classes = np.stack([c[row] for c in self._classes[curve]])
            valid = classes[-1] != NO_CLASS
            if self._mask is not None:
                valid &= self._mask[row]
            if curve.attribute in self._voiced:
                valid &= self._voiced[curve.attribute][row]
            trace.valid[curve] = valid
        return trace
