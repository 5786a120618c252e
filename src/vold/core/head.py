"""Log-probabilities of given tokens from hidden states, a chunk at a time: no tensor of tokens × vocabulary is kept."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def _chunk_logprobs(
    hidden_CH: Float[Tensor, "C H"],
    head_VH: Float[Tensor, "V H"],
    targets_C: Int[Tensor, " C"],
    banned_V: Bool[Tensor, " V"] | None,
    temperature: float,
) -> Float[Tensor, " C"]:
    logits_CV = hidden_CH @ head_VH.T
    logits_CV = logits_CV.float() if logits_CV.dtype in (torch.bfloat16, torch.float16) else logits_CV
    if temperature != 1.0:
        logits_CV = logits_CV / temperature
    if banned_V is not None:
        logits_CV = logits_CV.masked_fill(banned_V, float("-inf"))
    return logits_CV.gather(1, targets_C[:, None]).squeeze(1) - logits_CV.logsumexp(1)


def chunk_of(head_VH: Float[Tensor, "V H"]) -> int:
    """How many tokens' logits are formed at once: at most 2048, and on a CPU 2^23 numbers, since larger ones cost more to fetch than to form."""
    return 2048 if head_VH.is_cuda else max(32, min(2048, 2**23 // head_VH.shape[0]))


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
    chunk = chunk or chunk_of(head_VH)
    parts: list[Tensor] = []
    for start in range(0, hidden_NH.shape[0], chunk):
        args = (hidden_NH[start : start + chunk], head_VH, targets_N[start : start + chunk], banned_V, temperature)
        if torch.is_grad_enabled():
            parts.append(checkpoint(_chunk_logprobs, *args, use_reentrant=False))
        else:
            parts.append(_chunk_logprobs(*args))
    return torch.cat(parts) if parts else hidden_NH.new_zeros(0)
