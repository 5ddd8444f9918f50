"""How many clips go together: halved when memory runs out, refused with the size to try, never of consequence."""

from collections.abc import Callable, Sequence

import pytest
import torch

from probes.errors import InputError, OutOfMemory
from tracer.batching import LARGEST, USUAL, BatchSize

FULL = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def fits(most: int, asked: list[int], error: Exception = FULL) -> Callable[[Sequence[int]], list[int]]:
    """Work that takes at most so many items and notes how many it was given."""

    def work(items: Sequence[int]) -> list[int]:
        asked.append(len(items))
        if len(items) > most:
            raise error
        return [item * item for item in items]

    return work


@pytest.mark.parametrize("most", [1, 2, 3, 5, 32])
@pytest.mark.parametrize("items", [0, 1, 7, 40])
def test_halving_finds_a_size_that_fits_and_keeps_it(most: int, items: int) -> None:
    asked: list[int] = []
    batch = BatchSize(32, halving=True)
    done = list(batch.run(range(items), fits(most, asked)))
    assert [square for _, part in done for square in part] == [item * item for item in range(items)]
    assert [count for count, _ in done] == [len(part) for _, part in done]
    assert asked == sorted(asked, reverse=True) or batch.size <= most
    failed = [size for size in asked if size > most]
    again: list[int] = []
    list(batch.run(range(items), fits(most, again)))
    assert not [size for size in again if size > most]
    assert failed == [] or batch.size == failed[-1] // 2


@pytest.mark.parametrize(
    "error", [FULL, MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")]
)
def test_a_fixed_size_that_does_not_fit_names_the_one_to_try(error: Exception) -> None:
    with pytest.raises(OutOfMemory) as told:
        list(BatchSize(8).run(range(20), fits(4, [], error)))
    assert told.value.on_command_line == ("out of memory with --batch-size 8: try --batch-size 4, or --batch-size auto")
    assert "batch_size=4" in str(told.value)


def test_what_does_not_fit_alone_is_told() -> None:
    with pytest.raises(OutOfMemory, match="one clip at a time"):
        list(BatchSize(8, halving=True).run(range(20), fits(0, [])))


def test_other_errors_pass() -> None:
    asked: list[int] = []
    with pytest.raises(InputError, match="NaN"):
        list(BatchSize(8, halving=True).run(range(20), fits(4, asked, InputError("NaN"))))
    assert asked == [8]


@pytest.mark.parametrize(
    ("asked", "device", "most", "clips", "size"),
    [
        (4, "cpu", None, 100, 4),
        (4, "cuda", 1, 100, 1),
        ("auto", "cuda:1", None, 500, LARGEST),
        ("auto", "cuda", 1, 500, 1),
        ("auto", "cuda", None, 5, 5),
        ("auto", "cpu", None, 500, USUAL),
    ],
)
def test_where_it_begins(asked: int | str, device: str, most: int | None, clips: int, size: int) -> None:
    batch = BatchSize.of(asked, device, most, clips)
    assert batch.size == size
    assert batch.halving == (asked == "auto")


def test_a_process_is_dealt_at_most_its_share() -> None:
    assert BatchSize(32, halving=True).dealt(33, processes=2) == 17
    assert BatchSize(32, halving=True).dealt(500, processes=2) == 32
    assert BatchSize(32).dealt(33, processes=2) == 32
