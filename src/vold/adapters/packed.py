"""Attention over sequences laid end to end: each sees itself alone, nothing is padded, and no mask of tokens × tokens is made.

It is registered with transformers under a name of its own and gets the sequences' lengths as a keyword of the model's forward pass, so the layers
are transformers' own. On a CPU sequences of one length go through together; on a GPU in half precision all of them in one varlen kernel.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vold.base.errors import ModelError

NAME = "vold_packed"


@dataclass(frozen=True)
class Spans:
    """Lengths of the sequences of a pack. `plain`: attention written out, as transformers' "eager" has it, instead of the fused kernel."""

    lengths: tuple[int, ...]
    device: torch.device
    plain: bool = False

    @property
    def total(self) -> int:
        return sum(self.lengths)

    @cached_property
    def longest(self) -> int:
        return max(self.lengths)

    @cached_property
    def positions(self) -> Tensor:
        """0, 1, 2, … for each sequence."""
        lengths = torch.tensor(self.lengths, device=self.device)
        starts = torch.tensor(list(accumulate(self.lengths[:-1], initial=0)), device=self.device)
        return torch.arange(self.total, device=self.device) - starts.repeat_interleave(lengths)

    @cached_property
    def edges(self) -> Tensor:
        """Where sequences begin, and where the last one ends."""
        return torch.tensor(list(accumulate(self.lengths, initial=0)), dtype=torch.int32, device=self.device)

    @cached_property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """Neighbours of one length: how many, how long."""
        return tuple((len(list(same)), length) for length, same in groupby(self.lengths))


def attend(
    module: nn.Module,
    query_1HTD: Tensor,
    key_1KTD: Tensor,
    value_1KTD: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    spans: Spans | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer. Heads of keys and values may be fewer than those of queries."""
    if spans is None or attention_mask is not None or dropout:
        raise ModelError(
            f"packed attention was asked for {'with a mask' if spans is not None else 'without lengths'} or with dropout = {dropout:g}; "
            "it takes whole sequences by their lengths. Use LanguageModel.packed."
        )
    window = getattr(module, "sliding_window", None)
    if window is not None and spans.longest > window:
        raise ModelError(
            f"a sequence of {spans.longest} tokens is longer than the model's sliding window of {window}, which packed attention does not have. "
            f"Cap sequences at {window} tokens."
        )
    if query_1HTD.is_cuda and query_1HTD.dtype in (torch.bfloat16, torch.float16):
        return _varlen(query_1HTD, key_1KTD, value_1KTD, spans, scaling), None
    return _by_length(query_1HTD, key_1KTD, value_1KTD, spans, scaling), None


def _varlen(query_1HTD: Tensor, key_1KTD: Tensor, value_1KTD: Tensor, spans: Spans, scaling: float) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    repeat = query_1HTD.shape[1] // key_1KTD.shape[1]
    key, value = (_repeated(states, repeat)[0].transpose(0, 1).contiguous() for states in (key_1KTD, value_1KTD))
    query = query_1HTD[0].transpose(0, 1).contiguous()
    found: Any = varlen_attn(
        query, key, value, spans.edges, spans.edges, spans.longest, spans.longest, scale=scaling, window_size=(-1, 0)
    )  # fmt: skip
    return found[None]


def _by_length(query_1HTD: Tensor, key_1KTD: Tensor, value_1KTD: Tensor, spans: Spans, scaling: float) -> Tensor:
    """Each run of equal lengths as one batch, its sequences side by side."""
    sizes = [count * length for count, length in spans.runs]
    parts = zip(spans.runs, *(states[0].split(sizes, dim=1) for states in (query_1HTD, key_1KTD, value_1KTD)), strict=True)
    out = [_run(q, k, v, count, length, spans.plain, scaling) for (count, length), q, k, v in parts]
    return (torch.cat(out) if len(out) > 1 else out[0])[None]


def _run(query_HTD: Tensor, key_KTD: Tensor, value_KTD: Tensor, count: int, length: int, plain: bool, scaling: float) -> Tensor:
    query, key, value = (states.unflatten(1, (count, length)).transpose(0, 1) for states in (query_HTD, key_KTD, value_KTD))
    repeat = query.shape[1] // key.shape[1]
    key, value = _repeated(key, repeat), _repeated(value, repeat)
    if plain:
        scores = torch.matmul(query, key.transpose(2, 3)).mul_(scaling) + _causal(length, query.dtype, query.device)
        mixed = torch.matmul(nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value)
    else:
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    return mixed.transpose(1, 2).flatten(0, 1)  # sequences and their tokens in one axis again


def _repeated(states: Tensor, repeat: int) -> Tensor:
    """Heads of keys or values, one for each head of queries."""
    return states if repeat == 1 else states.repeat_interleave(repeat, dim=1)


def _causal(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((length, length), float("-inf"), dtype=dtype, device=device).triu(1)


def packed(body: nn.Module) -> AbstractContextManager[None]:
    """The body's layers attend by lengths inside the block, and as they were loaded after it."""
    return attending(body, NAME)


@contextmanager
def attending(body: nn.Module, name: str) -> Iterator[None]:
    """The body's layers attend as the function registered under this name does."""
    config: Any = body.config
    loaded = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = loaded


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
