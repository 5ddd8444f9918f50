"""Pitch by CREPE (Kim et al. 2018, arXiv 1802.06182), through torchcrepe, or by SwiftF0."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from probes.attributes import swift_f0
from probes.attributes.base import SILENCE, Attribute, middles
from probes.attributes.score import Score
from probes.errors import InputError
from probes.support.devices import cpu_multiplies_bf16
from probes.support.torchaudio_stub import ensure_torchaudio

CREPE_SIZES = ("full", "tiny")
RATE = 16000
WINDOW = 1024
# CREPE's 360 classes are 20 cents apart, and the first one lies at this many cents above 10 Hz: 31.7 Hz.
CENTS_PER_CLASS, FIRST_CENTS = 20.0, 1997.3794084376191


class Pitch(Attribute):
    """MIDI note number (69 = A4 = 440 Hz) of the strongest pitch: from C1 to B6 by CREPE, whose periodicity is the
    confidence, or from F#1 to C7 by SwiftF0, which has a confidence of its own.

    CREPE's frames are decoded one by one: torchcrepe's Viterbi path cannot move more than 2.4 semitones from one
    frame to the next, and at 21 frames a second melodies do.

    Args:
        model: "full" or "tiny", sizes of CREPE, or "swift-f0".
        device: Where CREPE runs; SwiftF0 runs on the CPU.
        batch_size: Frames per call of CREPE.
        threshold: Confidence below which a frame counts as unvoiced; None is 0.5 for CREPE and
            `swift_f0.THRESHOLD` for SwiftF0.

    Raises:
        InputError: No such tracker, or its package is not installed.
    """

    name = "pitch"
    unit = "MIDI"
    scales = ("midi",)
    count = 66
    notated = True

    def __init__(
        self,
        model: str = "full",
        device: str | torch.device = "cpu",
        batch_size: int = 256,
        threshold: float | None = None,
    ) -> None:
        if model not in (*CREPE_SIZES, "swift-f0"):
            raise InputError(f"--pitch-tracker is full or tiny (sizes of CREPE) or swift-f0, not {model!r}")
        self.model, self.device, self.batch_size = model, torch.device(device), batch_size
        self.threshold = 0.5 if threshold is None else threshold
        if model == "swift-f0":
            swift_f0.require()
            self.threshold = swift_f0.THRESHOLD if threshold is None else threshold

    def options(self) -> dict[str, Any]:
        return {"crepe": self.model} if self.model in CREPE_SIZES else {"tracker": swift_f0.name()}

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        from probes.support.audio_files import resample

        samples = resample(audio, sample_rate, RATE)
        # Frame i is taken around its own middle, so the 0.04 samples by which a hop of 743 falls short never
        # add up.
        middle = ((np.arange(frames) + 0.5) * hop / sample_rate * RATE).round().astype(int)
        return swift_f0.track(samples, middle) if self.model == "swift-f0" else self._crepe(samples, middle)

    def _crepe(self, audio: np.ndarray, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pitch and periodicity `[frames]` around given samples of audio at 16 kHz."""
        samples, start, frames = torch.from_numpy(audio), torch.from_numpy(middle), len(middle)
        needed = int(start[-1]) + WINDOW
        padded = torch.nn.functional.pad(samples, (WINDOW // 2, max(0, needed - len(samples))))
        windows = padded.unfold(0, WINDOW, 1)
        pitch, periodicity = torch.empty(frames), torch.empty(frames)
        for first in range(0, frames, self.batch_size):
            part = slice(first, first + self.batch_size)
            pitch[part], periodicity[part] = self._batch(windows[start[part]])
        return pitch.numpy(), periodicity.numpy()

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        """Where exactly one note sounds in the middle of a frame; none in silence and in chords."""
        places = middles(frames, frame_rate)
        sounding, pitch = np.zeros(frames, dtype=int), np.zeros(frames)
        for note in score.notes:
            part = slice(*np.searchsorted(places, [note.start, note.stop]))
            sounding[part] += 1
            pitch[part] = note.pitch
        return pitch, sounding == 1

    @torch.no_grad()
    def _batch(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Pitch and periodicity `[n]` of windows `[n, 1024]` at 16 kHz."""
        windows = windows.to(self.device)
        centered = windows - windows.mean(1, keepdim=True)
        level = centered.std(1, keepdim=True)
        pitch, periodicity = decode(self._salience(centered / level.clamp(min=1e-10)))
        return pitch.cpu(), torch.where(level[:, 0] > SILENCE, periodicity, 0.0).cpu()

    def _salience(self, windows: Tensor) -> Tensor:
        """CREPE's output `[n, 360]` for normalised windows."""
        ensure_torchaudio()
        import torchcrepe

        from probes.attributes import crepe_cpu

        if self.device.type == "cpu" and cpu_multiplies_bf16():
            return crepe_cpu.infer(windows, self.model)
        salience: Tensor = torchcrepe.infer(windows, self.model, self.device)
        return salience


def decode(salience: Tensor) -> tuple[Tensor, Tensor]:
    """MIDI pitch and periodicity `[n]` of CREPE's output `[n, 360]`.

    The mean of the nine classes around the strongest one, weighted by their salience (Kim et al. 2018, Eq. 2,
    and their released decoder); periodicity is the strongest salience.
    """
    periodicity, best = salience.max(1)
    classes = best.unsqueeze(1) + torch.arange(-4, 5, device=salience.device)
    inside = (classes >= 0) & (classes < salience.shape[1])
    weight = salience.gather(1, classes.clamp(0, salience.shape[1] - 1)) * inside
    mean = (weight * classes).sum(1) / weight.sum(1).clamp(min=1e-12)
    cents = mean * CENTS_PER_CLASS + FIRST_CENTS
    # Cents count from 10 Hz; MIDI 69 is 440 Hz.
    return 69 + (cents - 1200 * np.log2(440 / 10)) / 100, periodicity
