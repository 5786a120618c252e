"""How much memory a piece of work takes above what was there: the allocator's peak on a GPU, tensors counted one by one on a CPU."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(slots=True)
class Peak:
    """`extra` is the most bytes that were held at once beyond what was held at the start; `largest` the most elements of one tensor made (CPU)."""

    extra: int = 0
    largest: int = 0


@contextmanager
def peak_of(device: torch.device) -> Iterator[Peak]:
    """Watches the work inside the block; the numbers are there when it ends.

    On a CPU every storage that an operator returns is counted while it lives. What a kernel takes for itself is not seen there.
    """
    found = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield found
        torch.cuda.synchronize(device)
        found.extra = torch.cuda.max_memory_allocated(device) - before
        return
    gc.collect()
    with _Counting() as counting:
        yield found
    found.extra, found.largest = counting.peak, counting.largest


@dataclass(eq=False)
class _Counting(TorchDispatchMode):
    held: int = 0
    peak: int = 0
    largest: int = 0
    known: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {tensor.untyped_storage().data_ptr() for tensor in _tensors((args, kwargs))}
        made = func(*args, **(kwargs or {}))
        for tensor in _tensors(made):
            self._note(tensor, given)
        return made

    def _note(self, tensor: Tensor, given: set[int]) -> None:
        storage = tensor.untyped_storage()
        address, size = storage.data_ptr(), storage.nbytes()
        if address in given or address in self.known or not size:
            return
        self.largest = max(self.largest, tensor.numel())
        self.known.add(address)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._drop, address, size)

    def _drop(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.held -= size


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _tensors(inner)
