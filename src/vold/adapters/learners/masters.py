"""Single-precision weights beside a student that computes in half precision.

A bfloat16 number has eight bits of mantissa: an update below a 256th of a weight is rounded away, and at a learning rate of 6e-6 nearly every one
is. So gradients add up in single precision, the optimizer steps single-precision copies, and the student's own weights are their roundings.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from vold.base.errors import ModelError
from vold.core.head import HALF


class Masters:
    """One copy for each weight in half precision; any other weight is its own. Shared weights are to be given once."""

    def __init__(self, weights: Sequence[tuple[str, nn.Parameter]]) -> None:
        self.names = {id(weight): name for name, weight in weights if weight.dtype in HALF}
        self.pairs = [(weight, nn.Parameter(weight.detach().float())) for _, weight in weights if weight.dtype in HALF]
        self.copies = {id(half): copy for half, copy in self.pairs}

    def of(self, weight: Tensor) -> Tensor:
        """What is stepped in the place of a weight, and has its gradient."""
        return self.copies.get(id(weight), weight)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Inside the block every gradient in half precision is added to the copy's, and freed, as soon as the backward pass has formed it."""
        hooks = [half.register_post_accumulate_grad_hook(partial(_gather, copy)) for half, copy in self.pairs]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def publish(self) -> None:
        """Round the copies into the student's own weights, in place: an engine that shares them samples from the new ones."""
        for half, copy in self.pairs:
            half.copy_(copy)

    def state(self) -> dict[str, Tensor]:
        """The copies by the names of their weights."""
        return {self.names[id(half)]: copy.detach() for half, copy in self.pairs}

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take these by name. Raises ModelError for a weight that is itself in half precision: what its copy had beyond it is lost."""
        for half, copy in self.pairs:
            name = self.names[id(half)]
            if weights[name].dtype in HALF:
                raise ModelError(
                    f"the checkpoint has {name} in {weights[name].dtype} and no single-precision copy of it: it was written with "
                    "student.master_weights = false. Go on with that setting, or start the stage anew under another --name."
                )
            copy.copy_(weights[name])


def _gather(copy: Tensor, half: Tensor) -> None:
    assert half.grad is not None, "the hook runs once there is one"
    if copy.grad is None:
        copy.grad = half.grad.to(copy.dtype)
    else:
        copy.grad.add_(half.grad)
    half.grad = None
