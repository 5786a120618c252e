"""The head's softmax and its slopes on a GPU, in Triton: logits are read once for everything they say, and once more for the gradient.

In plain torch each of these steps is a pass over tokens × vocabulary of its own, and together they take as long as the three matrix products. The
numbers are the same to rounding. Where Triton is not installed, or off a GPU, core/head.py does without.
"""

import os
from functools import cache
from typing import Any

import torch
from torch import Tensor

BLOCK = 4096
"""Logits that a program holds at a time."""
LOW = -1e36
"""Logits below this are those of banned ids."""


def usable(hidden_NH: Tensor) -> bool:
    """Whether these states' logits can go through the kernels: single precision on a GPU, and Triton is there."""
    return hidden_NH.is_cuda and hidden_NH.dtype != torch.float64 and _kernels() is not None


def installed() -> bool:
    """Whether Triton is there and may be used."""
    return _kernels() is not None


def read(logits_CV: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The log of the summed exponentials, the expected logit, and the log-probability of the target, of each token."""
    found = tuple(logits_CV.new_empty(len(targets_C)) for _ in range(3))
    kernels = _kernels()
    assert kernels is not None
    kernels.read_rows[(len(targets_C),)](logits_CV, targets_C, *found, logits_CV.shape[1], logits_CV.stride(0), low=LOW, block=BLOCK, num_warps=8)
    return found  # type: ignore[return-value]


def slopes(
    logits_CV: Tensor,
    targets_C: Tensor,
    lse_C: Tensor,
    mean_C: Tensor,
    by_logprob_C: Tensor,
    by_entropy_C: Tensor | None,
    by_logits_CV: Tensor | None,
    scale: float,
    out_CV: Tensor,
) -> Tensor:
    """∂loss/∂logits times `scale`, into `out_CV` and in its precision; 0 at banned ids."""
    kernels = _kernels()
    assert kernels is not None
    count, vocabulary = logits_CV.shape
    kernels.slopes_of_rows[(count, -(-vocabulary // BLOCK))](
        logits_CV,
        targets_C,
        lse_C,
        mean_C,
        by_logprob_C,
        by_logprob_C if by_entropy_C is None else by_entropy_C,
        logits_CV if by_logits_CV is None else by_logits_CV,
        out_CV,
        scale,
        vocabulary,
        logits_CV.stride(0),
        out_CV.stride(0),
        vocabulary if by_logits_CV is None else by_logits_CV.stride(0),
        low=LOW,
        entropy=by_entropy_C is not None,
        direct=by_logits_CV is not None,
        block=BLOCK,
        num_warps=8,
    )
    return out_CV


@cache
def _kernels() -> Any:
    """The compiled module; None where Triton is missing or VOLD_TRITON=0 asks to do without."""
    if os.environ.get("VOLD_TRITON") == "0":
        return None
    try:
        from vold.core import triton_head
    except ImportError:
        return None
    return triton_head
