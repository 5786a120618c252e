"""Attention over sequences laid end to end: each sees itself alone, nothing is padded, and no mask of tokens × tokens is made.

It is registered with transformers under a name of its own and gets the sequences' lengths as a keyword of the model's forward pass, so the layers
are transformers' own. On a CPU sequences of one length go through together; on a GPU in half precision all of them in one varlen kernel.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vold.base.errors import ModelError

NAME = "vold_packed"
SMALL = 2**14
"""Numbers of a causal mask up to which it is kept for the next layer and the next pack."""


@dataclass(frozen=True)
class Spans:
    """Lengths of the sequences of a pack. `plain`: attention written out, as transformers' "eager" has it, instead of the fused kernel.

    With shared prompts a span is a prompt, or a response that stands `behind` the span of this place: it sees that one and itself.
    """

    lengths: tuple[int, ...]
    device: torch.device
    plain: bool = False
    behind: tuple[int | None, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.lengths)

    @cached_property
    def before(self) -> tuple[int, ...]:
        """How many tokens of a prompt each span sees before itself."""
        return tuple(0 if place is None else self.lengths[place] for place in self.behind) or (0,) * len(self.lengths)

    @cached_property
    def longest(self) -> int:
        return max(self.lengths)

    @cached_property
    def farthest(self) -> int:
        """The most tokens that a token sees, itself included."""
        return max(own + seen for own, seen in zip(self.lengths, self.before, strict=True))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        return tuple(accumulate(self.lengths[:-1], initial=0))

    @cached_property
    def positions(self) -> Tensor:
        """0, 1, 2, … for each sequence, and on behind a prompt."""
        shift = torch.tensor(self.starts, device=self.device) - torch.tensor(self.before, device=self.device)
        return torch.arange(self.total, device=self.device) - shift.repeat_interleave(torch.tensor(self.lengths, device=self.device))

    @cached_property
    def edges(self) -> Tensor:
        """Where sequences begin, and where the last one ends."""
        return torch.tensor(list(accumulate(self.lengths, initial=0)), dtype=torch.int32, device=self.device)

    @cached_property
    def seen(self) -> Tensor:
        """The places of the keys, span by span: those of the prompt that it is behind, then its own."""
        parts = [
            part
            for start, length, place in zip(self.starts, self.lengths, self.behind, strict=True)
            for part in ([] if place is None else [torch.arange(self.starts[place], self.starts[place] + self.lengths[place])])
            + [torch.arange(start, start + length)]
        ]
        return torch.cat(parts).to(self.device)

    @cached_property
    def seen_edges(self) -> Tensor:
        """Where the keys of each span begin, and where the last ones end."""
        counts = (own + before for own, before in zip(self.lengths, self.before, strict=True))
        return torch.tensor(list(accumulate(counts, initial=0)), dtype=torch.int32, device=self.device)

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
    if window is not None and spans.farthest > window:
        raise ModelError(
            f"a sequence of {spans.farthest} tokens is longer than the model's sliding window of {window}, which packed attention does not have. "
            f"Cap sequences at {window} tokens."
        )
    if query_1HTD.is_cuda and query_1HTD.dtype in (torch.bfloat16, torch.float16):
        return _varlen(query_1HTD, key_1KTD, value_1KTD, spans, scaling), None
    form = _behind if spans.behind else _by_length
    return form(query_1HTD, key_1KTD, value_1KTD, spans, scaling), None


def _varlen(query_1HTD: Tensor, key_1KTD: Tensor, value_1KTD: Tensor, spans: Spans, scaling: float) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    repeat = query_1HTD.shape[1] // key_1KTD.shape[1]
    key, value = (_repeated(states, repeat)[0].transpose(0, 1).contiguous() for states in (key_1KTD, value_1KTD))
    query = query_1HTD[0].transpose(0, 1).contiguous()
    edges = spans.edges
    if spans.behind:
        key, value, edges = key[spans.seen], value[spans.seen], spans.seen_edges
    found: Any = varlen_attn(
        query, key, value, spans.edges, edges, spans.longest, spans.farthest, scale=scaling, window_size=(-1, 0)
    )  # fmt: skip
    return found[None]


def _behind(query_1HTD: Tensor, key_1KTD: Tensor, value_1KTD: Tensor, spans: Spans, scaling: float) -> Tensor:
    """Each span by itself, before the keys of its prompt and its own."""
    queries = query_1HTD[0].split(spans.lengths, dim=1)
    keys, values = (states[0].split(spans.lengths, dim=1) for states in (key_1KTD, value_1KTD))

    def whole(states: tuple[Tensor, ...], own: int, prompt: int | None) -> Tensor:
        return states[own] if prompt is None else torch.cat([states[prompt], states[own]], dim=1)

    out = [_one(queries[own], whole(keys, own, prompt), whole(values, own, prompt), spans.plain, scaling) for own, prompt in enumerate(spans.behind)]
    return torch.cat(out)[None]


def _one(query_HTD: Tensor, key_KSD: Tensor, value_KSD: Tensor, plain: bool, scaling: float) -> Tensor:
    """The last tokens of one sequence, whose keys may be more than its queries."""
    repeat = query_HTD.shape[0] // key_KSD.shape[0]
    key, value = _repeated(key_KSD[None], repeat), _repeated(value_KSD[None], repeat)
    mask = _causal(query_HTD.shape[1], key.shape[2], query_HTD.dtype, query_HTD.device)
    if plain:
        scores = torch.matmul(query_HTD[None], key.transpose(2, 3)).mul_(scaling) + mask
        mixed = torch.matmul(nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query_HTD.dtype), value)
    else:
        mixed = scaled_dot_product_attention(query_HTD[None], key, value, attn_mask=mask, scale=scaling)
    return mixed[0].transpose(0, 1)


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
        scores = torch.matmul(query, key.transpose(2, 3)).mul_(scaling) + _causal(length, length, query.dtype, query.device)
        mixed = torch.matmul(nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value)
    else:
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    return mixed.transpose(1, 2).flatten(0, 1)  # sequences and their tokens in one axis again


def _repeated(states: Tensor, repeat: int) -> Tensor:
    """Heads of keys or values, one for each head of queries."""
    return states if repeat == 1 else states.repeat_interleave(repeat, dim=1)


def _causal(queries: int, keys: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What is added to scores: each query sees the keys up to its own, which is the last for the last one. Small ones are kept."""
    return (_small if queries * keys <= SMALL else _made)(queries, keys, dtype, device)


def _made(queries: int, keys: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((queries, keys), float("-inf"), dtype=dtype, device=device).triu(1 + keys - queries)


_small = lru_cache(maxsize=512)(_made)


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
