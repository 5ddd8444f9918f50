"""How many clips go together, and what is done when they do not fit into memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from probes.errors import OutOfMemory, memory_ran_out

AUTO = "auto"
LARGEST = 32
"""Clips that "auto" begins with on a GPU."""
USUAL = 4
"""Clips that go together where nothing is said, and with "auto" where running out of memory cannot be caught."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class BatchSize:
    """Number of clips of a batch. The result depends on it by rounding alone."""

    size: int
    halving: bool = False
    """Take half as many, from then on, when memory runs out."""

    @classmethod
    def of(cls, asked: int | str, device: str, most: int | None, clips: int) -> BatchSize:
        """The batch size to begin with.

        Args:
            asked: A number, or "auto": on a GPU the largest that fits, elsewhere `USUAL`. A system without free memory
                ends processes of the CPU instead of telling them.
            device: Device that is computed on.
            most: Clips that the generator takes at once; None is any number.
            clips: Clips that there are.
        """
        if asked != AUTO:
            return cls(min(int(asked), most or int(asked)))
        size = LARGEST if device.startswith("cuda") else USUAL
        return cls(max(1, min(size, most or size, clips)), halving=True)

    def dealt(self, clips: int, processes: int) -> int:
        """Clips of a batch when some clips are dealt to processes; where `halving`, at most the share of one."""
        return min(self.size, -(-clips // processes)) if self.halving else self.size

    def run(self, items: Sequence[Item], work: Callable[[Sequence[Item]], Result]) -> Iterator[tuple[int, Result]]:
        """How many items were done, and what was made of them, for one batch after the other.

        Args:
            items: In their order.
            work: Done on each batch; done again on half of it after memory ran out, where `halving`.

        Raises:
            OutOfMemory: A batch does not fit; one line with the size to try.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + self.size]
            result = self._attempt(batch, work)
            if result is None:
                # The error is gone by now, and with it the tensors of its frames.
                free_memory()
                self.size = len(batch) // 2
                continue
            yield len(batch), result[0]
            start += len(batch)

    def _attempt(self, batch: Sequence[Item], work: Callable[[Sequence[Item]], Result]) -> tuple[Result] | None:
        """What was made of a batch, in a tuple; None where it is to be halved."""
        try:
            return (work(batch),)
        except Exception as error:
            if not memory_ran_out(error):
                raise
            if len(batch) == 1:
                raise OutOfMemory(
                    "out of memory with one clip at a time: give fewer --seconds, or free some"
                ) from error
            if not self.halving:
                advice = f"try --batch-size {len(batch) // 2}, or --batch-size auto"
                raise OutOfMemory(f"out of memory with --batch-size {len(batch)}: {advice}") from error
            return None


def free_memory() -> None:
    """Give back what nothing holds any more, of the GPU too."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
