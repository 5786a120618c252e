"""The head: from hidden states to log-probabilities, and back to gradients, a chunk of tokens at a time.

While a chunk's logits exist everything that is wanted of them is taken: log-probabilities, entropies, and, where the loss's slope at each token is
known by then, the gradients of the hidden states and of the head. That is three matrix products. Where a slope hangs on tokens of other chunks
the logits are formed twice (`token_logprobs` under autograd): four. Nothing of tokens × vocabulary is ever stored. On a GPU with Triton the steps
between the products are two kernels (core/kernels.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vold.core import kernels

HALF = (torch.bfloat16, torch.float16)
CPU_NUMBERS = 256 * 151_936
"""How many logits a chunk has on a CPU: enough tokens for the head to be read seldom, and few enough numbers for memory to be reused."""
HALF_ROWS = 8192
"""How many rows of a head in half precision are widened at a time on a CPU."""
CPU_BLOCK = 2**18
"""How many of them go through the steps of a softmax together there: what a core's cache holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one chunk's logits say. They live until the next chunk is formed; temperature and banned ids are in them."""

    start: int
    stop: int
    logits_CV: Float[Tensor, "C V"]
    lse_C: Float[Tensor, " C"]
    """The log of the summed exponentials."""
    mean_C: Float[Tensor, " C"]
    """The expected logit."""
    logprobs_C: Float[Tensor, " C"]
    entropy_C: Float[Tensor, " C"]
    exps_CV: Float[Tensor, "C V"] | None = None
    """Probabilities times `total_C`, which waits for what they are multiplied with; None where a kernel makes them on its way."""
    total_C: Float[Tensor, " C"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slopes:
    """The derivative of a loss by what a chunk says: by each token's log-probability, by its entropy, by its logits directly."""

    logprobs_C: Float[Tensor, " C"]
    entropy_C: Float[Tensor, " C"] | None = None
    logits_CV: Float[Tensor, "C V"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One number a token each, and the hidden states' gradient where slopes were asked for."""

    logprobs_N: Float[Tensor, " N"]
    entropy_N: Float[Tensor, " N"]
    grad_NH: Float[Tensor, "N H"] | None


def chunk_of(head_VH: Float[Tensor, "V H"]) -> int:
    """How many tokens' logits are formed at once: at most 2048, and on a CPU 256 of a vocabulary of 151,936, and more of a smaller one."""
    return 2048 if head_VH.is_cuda else max(32, min(2048, CPU_NUMBERS // head_VH.shape[0]))


@torch.no_grad()
def sweep(
    hidden_NH: Float[Tensor, "N H"],
    head_VH: Float[Tensor, "V H"],
    targets_N: Int[Tensor, " N"],
    slopes: Callable[[Said], Slopes] | None = None,
    *,
    hear: Callable[[Said], None] | None = None,
    banned_V: Bool[Tensor, " V"] | None = None,
    temperature: float = 1.0,
    chunk: int | None = None,
    grad_VH: Float[Tensor, "V H"] | None = None,
) -> Swept:
    """Log-probabilities and entropies of all tokens, in nats, in one pass over them; with `slopes` the gradients too.

    `slopes` is told what each chunk says and answers with the loss's derivatives. The head's gradient is added to `grad_VH`, in place, the
    parameter's own `.grad` if that is what is given; without it the head is taken as fixed. Logits are single precision where the model is half.
    `hear` is told the same, and answers nothing.
    """
    count, vocabulary = hidden_NH.shape[0], head_VH.shape[0]
    chunk = min(chunk or chunk_of(head_VH), max(1, count))
    number = torch.float32 if head_VH.dtype in HALF else head_VH.dtype
    logprobs_N, entropy_N = hidden_NH.new_empty(count, dtype=number), hidden_NH.new_empty(count, dtype=number)
    grad_NH = torch.empty_like(hidden_NH) if slopes is not None else None
    fused = kernels.usable(hidden_NH)
    logits_desk = hidden_NH.new_empty((chunk, vocabulary), dtype=number)
    slopes_desk = hidden_NH.new_empty((chunk, vocabulary), dtype=head_VH.dtype if fused else number) if slopes is not None or not fused else None
    banned = None if banned_V is None else spans_of(banned_V)
    for start in range(0, count, chunk):
        stop = min(start + chunk, count)
        hidden_CH, targets_C = hidden_NH[start:stop], targets_N[start:stop]
        scaled_CH = hidden_CH if temperature == 1.0 else hidden_CH / temperature
        logits_CV = logits_desk[: stop - start]
        desk_CV = None if slopes_desk is None else slopes_desk[: stop - start]
        _product(scaled_CH, head_VH, logits_CV)
        _ban(logits_CV, banned)
        said = _said(start, stop, logits_CV, targets_C, desk_CV, fused=fused)
        logprobs_N[start:stop], entropy_N[start:stop] = said.logprobs_C, said.entropy_C
        if hear is not None:
            hear(said)
        if slopes is None or grad_NH is None:
            continue
        assert desk_CV is not None
        slope_CV = _logit_slopes(slopes(said), said, targets_C, banned, temperature, desk_CV)
        slope_CV = slope_CV.to(head_VH.dtype)
        torch.mm(slope_CV, head_VH, out=grad_NH[start:stop])
        if grad_VH is not None:
            _add_product(grad_VH, slope_CV, hidden_CH)
    if banned_V is not None:
        logprobs_N.masked_fill_(banned_V[targets_N], float("-inf"))
    return Swept(logprobs_N=logprobs_N, entropy_N=entropy_N, grad_NH=grad_NH)


def token_logprobs(
    hidden_NH: Float[Tensor, "N H"],
    head_VH: Float[Tensor, "V H"],
    targets_N: Int[Tensor, " N"],
    *,
    banned_V: Bool[Tensor, " V"] | None = None,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> Float[Tensor, " N"]:
    """log softmax(hidden · headᵀ / temperature)[target], natural logarithms; `banned_V` marks ids left out of the softmax.

    In training each chunk's logits are formed again for the backward pass instead of being stored.
    """
    if torch.is_grad_enabled() and (hidden_NH.requires_grad or head_VH.requires_grad):
        found: Tensor = _TokenLogprobs.apply(hidden_NH, head_VH, targets_N, banned_V, temperature, chunk)  # type: ignore[no-untyped-call]
        return found
    return sweep(hidden_NH, head_VH, targets_N, banned_V=banned_V, temperature=temperature, chunk=chunk).logprobs_N


@dataclass(frozen=True, slots=True, kw_only=True)
class TopLogprobs:
    """Log-probabilities of the targets; the k likeliest ids, likeliest first, and theirs."""

    logprobs_N: Float[Tensor, " N"]
    ids_Nk: Int[Tensor, "N k"]
    top_Nk: Float[Tensor, "N k"]


def top_logprobs(
    hidden_NH: Float[Tensor, "N H"],
    head_VH: Float[Tensor, "V H"],
    targets_N: Int[Tensor, " N"],
    top: int,
    *,
    banned_V: Bool[Tensor, " V"] | None = None,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> TopLogprobs:
    """`token_logprobs`, and in the same sweep the `top` likeliest ids of each softmax, or all that are not banned where those are fewer.
    With a `top` of 0 it is `token_logprobs` alone.

    An id takes four bytes, and so does its log-probability unless the model is in double precision.
    """
    shape = hidden_NH.shape[0], min(top, head_VH.shape[0] - (0 if banned_V is None else int(banned_V.sum())))
    ids_Nk = torch.empty(shape, dtype=torch.int32, device=hidden_NH.device)
    top_Nk = torch.empty(shape, dtype=torch.float32 if head_VH.dtype in HALF else head_VH.dtype, device=hidden_NH.device)

    def hear(said: Said) -> None:
        best = said.logits_CV.topk(shape[1], dim=1)  # a banned logit is below every other
        ids_Nk[said.start : said.stop] = best.indices
        top_Nk[said.start : said.stop] = best.values - said.lse_C[:, None]

    swept = sweep(hidden_NH, head_VH, targets_N, hear=hear if top else None, banned_V=banned_V, temperature=temperature, chunk=chunk)
    return TopLogprobs(logprobs_N=swept.logprobs_N, ids_Nk=ids_Nk, top_Nk=top_Nk)


class _TokenLogprobs(torch.autograd.Function):
    """The two-pass form: values forward, and in the backward pass one sweep with the slopes that autograd then knows."""

    @staticmethod
    def forward(
        ctx: Any, hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor, banned_V: Tensor | None, temperature: float, chunk: int | None
    ) -> Tensor:
        ctx.save_for_backward(hidden_NH, head_VH, targets_N, banned_V)
        ctx.temperature, ctx.chunk = temperature, chunk
        return sweep(hidden_NH, head_VH, targets_N, banned_V=banned_V, temperature=temperature, chunk=chunk).logprobs_N

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        hidden_NH, head_VH, targets_N, banned_V = ctx.saved_tensors
        slope_N = slopes[0]
        grad_VH = torch.zeros_like(head_VH) if ctx.needs_input_grad[1] else None
        swept = sweep(
            hidden_NH,
            head_VH,
            targets_N,
            lambda said: Slopes(logprobs_C=slope_N[said.start : said.stop]),
            banned_V=banned_V,
            temperature=ctx.temperature,
            chunk=ctx.chunk,
            grad_VH=grad_VH,
        )
        return swept.grad_NH, grad_VH, None, None, None, None


# -- inside ---------------------------------------------------------------------------------------------------------------------------


def spans_of(banned_V: Bool[Tensor, " V"]) -> list[tuple[int, int]]:
    """Marked ids as stretches [first, last + 1): a table's unused rows lie together, and a stretch is cheaper to reach than a mask."""
    edges = torch.diff(banned_V.to(torch.int8), prepend=banned_V.new_zeros(1).to(torch.int8), append=banned_V.new_zeros(1).to(torch.int8))
    return list(zip((edges == 1).nonzero().flatten().tolist(), (edges == -1).nonzero().flatten().tolist(), strict=True))


def _product(hidden_CH: Tensor, head_VH: Tensor, logits_CV: Tensor) -> None:
    if head_VH.dtype == logits_CV.dtype:
        torch.mm(hidden_CH, head_VH.T, out=logits_CV)
    elif head_VH.is_cuda:
        torch.mm(hidden_CH, head_VH.T, out_dtype=logits_CV.dtype, out=logits_CV)
    else:  # a product in half precision would round the logits themselves
        hidden_CH = hidden_CH.to(logits_CV.dtype)
        for first in range(0, head_VH.shape[0], HALF_ROWS):
            rows = slice(first, first + HALF_ROWS)
            logits_CV[:, rows] = hidden_CH @ head_VH[rows].to(logits_CV.dtype).T  # without a name, so that it is gone before the next rows come


def _add_product(grad_VH: Tensor, slope_CV: Tensor, hidden_CH: Tensor) -> None:
    if grad_VH.dtype == slope_CV.dtype:
        grad_VH.addmm_(slope_CV.T, hidden_CH)
    elif grad_VH.is_cuda:
        torch.addmm(grad_VH, slope_CV.T, hidden_CH, out_dtype=grad_VH.dtype, out=grad_VH)
    else:  # widened some rows at a time: a product in half precision would be rounded before it is added
        hidden_CH = hidden_CH.to(grad_VH.dtype)
        for first in range(0, grad_VH.shape[0], HALF_ROWS):
            rows = slice(first, first + HALF_ROWS)
            grad_VH[rows].addmm_(slope_CV[:, rows].to(grad_VH.dtype).T, hidden_CH)


def _ban(logits_CV: Tensor, banned: list[tuple[int, int]] | None) -> None:
    for first, end in banned or ():
        logits_CV[:, first:end] = torch.finfo(logits_CV.dtype).min / 4  # -inf would make 0 · -inf of its part in the entropy


def _said(start: int, stop: int, logits_CV: Tensor, targets_C: Tensor, desk_CV: Tensor | None, *, fused: bool) -> Said:
    """The softmax in steps of its own, some rows at a time: torch's on a CPU takes an exponential that is off in the sixth digit."""
    if fused:
        lse_C, mean_C, logprobs_C = kernels.read(logits_CV, targets_C)
        return Said(start=start, stop=stop, logits_CV=logits_CV, lse_C=lse_C, mean_C=mean_C, logprobs_C=logprobs_C, entropy_C=lse_C - mean_C)
    assert desk_CV is not None
    count = logits_CV.shape[0]
    block = count if logits_CV.is_cuda else max(1, CPU_BLOCK // logits_CV.shape[1])
    top_C, total_C, expected_C = (logits_CV.new_empty(count) for _ in range(3))
    for first in range(0, count, block):
        rows = slice(first, first + block)
        z_BV, e_BV = logits_CV[rows], desk_CV[rows]
        torch.amax(z_BV, 1, out=top_C[rows])
        torch.sub(z_BV, top_C[rows, None], out=e_BV).exp_()
        torch.sum(e_BV, 1, out=total_C[rows])
        expected_C[rows] = torch.bmm(e_BV[:, None, :], z_BV[:, :, None]).flatten()
    lse_C, mean_C = top_C + total_C.log(), expected_C / total_C
    return Said(
        start=start,
        stop=stop,
        logits_CV=logits_CV,
        lse_C=lse_C,
        mean_C=mean_C,
        logprobs_C=logits_CV.gather(1, targets_C[:, None]).squeeze(1) - lse_C,
        entropy_C=lse_C - mean_C,
        exps_CV=desk_CV,
        total_C=total_C,
    )


def _logit_slopes(slopes: Slopes, said: Said, targets_C: Tensor, banned: list[tuple[int, int]] | None, temperature: float, desk_CV: Tensor) -> Tensor:
    """∂loss/∂logits before the temperature, formed where the exponentials are. By log π: onehot - π. By the entropy: -π (log π + H)."""
    number = said.logits_CV.dtype
    by_logprob_C = slopes.logprobs_C.to(number)
    entropy_C = None if slopes.entropy_C is None else slopes.entropy_C.to(number)
    if said.exps_CV is None or said.total_C is None:
        by_logits = slopes.logits_CV
        return kernels.slopes(said.logits_CV, targets_C, said.lse_C, said.mean_C, by_logprob_C, entropy_C, by_logits, 1.0 / temperature, desk_CV)
    slope_CV = said.exps_CV
    if entropy_C is None:
        slope_CV.mul_((by_logprob_C / said.total_C).neg_()[:, None])
    else:
        factor_CV = said.logits_CV.sub_(said.mean_C[:, None])  # log π + H is the logit less the expected one
        factor_CV.mul_(entropy_C[:, None]).add_(by_logprob_C[:, None])
        slope_CV.mul_(factor_CV).div_(said.total_C.neg()[:, None])
    slope_CV[torch.arange(len(targets_C), device=targets_C.device), targets_C] += by_logprob_C
    if slopes.logits_CV is not None:
        slope_CV.add_(slopes.logits_CV)
    for first, end in banned or ():
        slope_CV[:, first:end] = 0.0
    return slope_CV if temperature == 1.0 else slope_CV.div_(temperature)
