"""A frozen model's weights in host memory while nobody uses them: the GPU has room for whoever does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WaitingWeights:
    """Moves a model's weights to the host at once, and to its device for the length of a block.

    The host's copies are made once and only read: nothing is copied back, what was on the device is let go. A weight that somebody took hold of
    before (`detach()`) stays where it was for them. `bring` copies one to the device.
    """

    def __init__(self, model: nn.Module, bring: Callable[[Tensor], Tensor] | None = None) -> None:
        self.pairs = [(weight, _held(weight.detach())) for weight in model.parameters()]
        device = next(model.parameters()).device
        self.bring = bring or (lambda waiting: waiting.to(device, non_blocking=True))
        self._leave()

    @contextmanager
    def here(self) -> Iterator[None]:
        """The weights are on the device inside the block."""
        for weight, waiting in self.pairs:
            weight.data = self.bring(waiting)
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        for weight, waiting in self.pairs:
            weight.data = waiting


def _held(weight: Tensor) -> Tensor:
    """A copy in host memory, page-locked where it comes from a GPU: it returns at the bus's full speed."""
    return torch.empty_like(weight, device="cpu", pin_memory=weight.is_cuda).copy_(weight)
