"""One objective, rendered twice: as a differentiable loss (any number of updates) and as a per-token coefficient (one update a batch).

With one update the ratio of new to old policy is 1 and the clip cannot act, so the gradient of every objective here is

    g = (1/Z) Σ s c ∇ log π        c = -A + Σ over pulls of β w ∂k/∂log π        c detached

Both renderings return unnormalised sums over the tokens given; whoever accumulates them divides once, by Z of the whole step.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vold.core.batching import Batch
from vold.core.objective import Objective
from vold.core.terms import SLOPE, VALUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """`loss` is what to backpropagate; the rest are detached sums for the journal."""

    loss: Float[Tensor, ""]
    sums: dict[str, float]


def credit_loss(objective: Objective, batch: Batch, logprobs_N: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """-min(ρA, clip(ρ)A) per token, ρ against the behaviour log-probabilities (or the present ones, at the only update)."""
    behaviour_N = logprobs_N.detach() if batch.behaviour_N is None else batch.behaviour_N
    ratio_N = (logprobs_N - behaviour_N).exp()
    gain_N = ratio_N * batch.advantage_N
    if objective.clip is None:
        return -gain_N
    bounded_N = ratio_N.clamp(1 - objective.clip.low, 1 + objective.clip.high) * batch.advantage_N
    return -torch.minimum(gain_N, bounded_N)


def pull_loss(objective: Objective, batch: Batch, logprobs_N: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Σ over pulls of β w k per token. Where w is 0 the teacher's number is not read: it may be missing."""
    total_N = torch.zeros_like(logprobs_N)
    for pull, weight_N in zip(objective.pulls, batch.weights_PN, strict=True):
        teacher_N = torch.where(weight_N > 0, batch.teacher_N, logprobs_N.detach())
        total_N = total_N + weight_N * VALUE[pull.by](logprobs_N, teacher_N)
    return total_N


def loss(objective: Objective, batch: Batch, logprobs_N: Float[Tensor, " N"]) -> Rendered:
    """The objective as a loss, summed with shares over the batch's trained tokens."""
    per_token_N = credit_loss(objective, batch, logprobs_N) + pull_loss(objective, batch, logprobs_N)
    sums = measures(objective, batch, logprobs_N.detach())
    return Rendered(loss=(batch.share_N * per_token_N).sum(), sums=sums)


def pull_coefficient(objective: Objective, batch: Batch, logprobs_N: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Σ over pulls of β w ∂k/∂log π; exactly 0 where no pull acts."""
    total_N = torch.zeros_like(logprobs_N)
    for pull, weight_N in zip(objective.pulls, batch.weights_PN, strict=True):
        teacher_N = torch.where(weight_N > 0, batch.teacher_N, logprobs_N)
        total_N = total_N + weight_N * SLOPE[pull.by](logprobs_N, teacher_N)
    return total_N


def coefficient(objective: Objective, batch: Batch, logprobs_N: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """c of g = (1/Z) Σ s c ∇ log π, for the only update of a batch."""
    return pull_coefficient(objective, batch, logprobs_N.detach()) - batch.advantage_N


def by_coefficient(objective: Objective, batch: Batch, logprobs_N: Float[Tensor, " N"]) -> Rendered:
    """The objective as Σ s c log π with c detached: same gradient as `loss` at the only update, no second graph."""
    if batch.behaviour_N is not None:
        raise ValueError("the coefficient form holds for the only update of a batch, but behaviour log-probabilities were given; use loss().")
    c_N = coefficient(objective, batch, logprobs_N)
    return Rendered(loss=(batch.share_N * c_N * logprobs_N).sum(), sums=measures(objective, batch, logprobs_N.detach()))


def measures(objective: Objective, batch: Batch, logprobs_N: Float[Tensor, " N"]) -> dict[str, float]:
    """Detached sums over the trained tokens: what the journal's ratios are made of."""
    pulled_N = batch.weights_PN.sum(0) > 0 if len(objective.pulls) else torch.zeros_like(logprobs_N, dtype=torch.bool)
    gap_N = (logprobs_N - batch.teacher_N)[pulled_N]
    sums = {
        "tokens": float(logprobs_N.numel()),
        "pulled_tokens": float(pulled_N.sum()),
        "log_ratio": float(gap_N.double().sum()),
        "k3": float(((-gap_N.double()).expm1() + gap_N.double()).sum()),
        "log_ratio_max": float(gap_N.abs().max()) if gap_N.numel() else 0.0,
        "credit_square": float(batch.advantage_N.double().square().sum()),
        "pull_square": float(pull_coefficient(objective, batch, logprobs_N).double().square().sum()),
        "logprob": float(logprobs_N.double().sum()),
    }
    if batch.behaviour_N is not None and objective.clip is not None:
        ratio_N = (logprobs_N - batch.behaviour_N).exp()
        sums["clipped_low"] = float(((ratio_N < 1 - objective.clip.low) & (batch.advantage_N < 0)).sum())
        sums["clipped_high"] = float(((ratio_N > 1 + objective.clip.high) & (batch.advantage_N > 0)).sum())
    return sums
