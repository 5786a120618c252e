"""One objective, rendered twice: as a differentiable loss (any number of updates) and as a per-token coefficient (one update a batch).

With one update the ratio of new to old policy is 1 and no clip can act, so the gradient of every objective whose terms read sampled tokens is

    g = (1/Z) Σ s c ∇ log π        c = -w A + Σ over pulls of w β ∂k/∂log π        c detached, w the importance correction or 1

`Objective.no_coefficient` says where that form does not exist, and `rendering` takes the loss there. Both renderings return unnormalised sums
over the tokens given; whoever accumulates them divides once, by Z of the whole step.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from vold.core.batching import Batch
from vold.core.objective import Clip, How, Level, Terms
from vold.core.plan import Plan
from vold.core.pulls import Estimator, Pull
from vold.core.reading import Reading
from vold.core.terms import slope_of, value_of

PerToken = Float[Tensor, " N"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """`loss` is what to backpropagate; the rest are detached sums for the journal."""

    loss: Float[Tensor, ""]
    sums: dict[str, float]


def rendering(plan: Plan, *, only_update: bool) -> Callable[[Plan, Batch, Reading], Rendered]:
    """The coefficient where it is exact, else the loss."""
    return by_coefficient if only_update and plan.objective.no_coefficient is None else loss


def loss(plan: Plan, batch: Batch, reading: Reading) -> Rendered:
    """The objective as a loss, summed with shares over the batch's trained tokens."""
    return Rendered(loss=loss_sum(plan, batch, reading), sums=measures(plan, batch, reading))


def loss_sum(plan: Plan, batch: Batch, reading: Reading) -> Float[Tensor, ""]:
    """Σ s (surrogate + pulls - entropy bonus) over the tokens read."""
    old_N = _old(batch, reading.logprobs_N)
    per_token_N = surrogate(plan, batch, reading.logprobs_N, old_N) + pull_loss(plan, batch, reading)
    if reading.entropy_N is not None and plan.entropy != 0.0:
        per_token_N = per_token_N - plan.entropy * reading.entropy_N
    return (batch.share_N * per_token_N).sum()


def by_coefficient(plan: Plan, batch: Batch, reading: Reading) -> Rendered:
    """The objective as Σ s c log π with c detached: same gradient as `loss` at the only update, no second graph."""
    return Rendered(loss=coefficient_sum(plan, batch, reading), sums=measures(plan, batch, reading))


def coefficient_sum(plan: Plan, batch: Batch, reading: Reading) -> Float[Tensor, ""]:
    """Σ s c log π over the tokens read, c detached."""
    if batch.behaviour_N is not None:
        raise ValueError("the coefficient form holds for the only update of a batch, but behaviour log-probabilities were given; use loss().")
    if plan.objective.no_coefficient is not None:
        raise ValueError(f"{plan.objective.no_coefficient}; use loss().")
    return (batch.share_N * coefficient(plan, batch, reading.logprobs_N) * reading.logprobs_N).sum()


def by_token(plan: Plan, *, only_update: bool) -> bool:
    """Whether each token's part of the objective hangs on that token alone, so that it can be formed for some tokens at a time.

    Elsewhere it can once `with_sequences` has put into the batch what hangs on whole responses.
    """
    correction, clip = plan.objective.correction, plan.objective.clip
    whole = correction is not None and correction.level is Level.SEQUENCE
    return not whole and (only_update or clip is None or clip.level is Level.TOKEN)


def with_sequences(batch: Batch, logprobs_N: PerToken) -> Batch:
    """The batch with what hangs on whole responses, from the log-probabilities of all its tokens."""
    old_N = _old(batch, logprobs_N)
    return replace(
        batch,
        to_sampler_N=over_sequences((old_N - batch.sampler_N).detach(), batch.lengths),
        to_behaviour_N=over_sequences((logprobs_N - old_N).detach(), batch.lengths),
    )


def coefficient(plan: Plan, batch: Batch, logprobs_N: PerToken) -> PerToken:
    """c of g = (1/Z) Σ s c ∇ log π, for the only update of a batch."""
    logprobs_N = logprobs_N.detach()
    return pull_coefficient(plan, batch, logprobs_N) - token_advantages(plan, batch, logprobs_N)


# -- credit -------------------------------------------------------------------------------------------------------------------------


def surrogate(plan: Plan, batch: Batch, logprobs_N: PerToken, old_N: PerToken) -> PerToken:
    """-min(ρA, clip(ρ)A) per token, ρ against the behaviour policy."""
    advantage_N = folded_advantages(plan, batch, old_N)
    clip = plan.objective.clip
    ratio_N = ratio_of(clip, batch, logprobs_N, old_N)
    gain_N = ratio_N * advantage_N
    if clip is None:
        return -gain_N
    bounded_N = torch.minimum(gain_N, ratio_N.clamp(1 - clip.low, 1 + clip.high) * advantage_N)
    if clip.dual is not None:
        bounded_N = torch.where(advantage_N < 0, torch.maximum(bounded_N, clip.dual * advantage_N), bounded_N)
    return -bounded_N


def folded_advantages(plan: Plan, batch: Batch, old_N: PerToken) -> PerToken:
    """What the clip bounds: the credit of each token, and the log-ratios of pulls that are folded into it."""
    advantage_N = token_advantages(plan, batch, old_N)
    for _, pull, weight_N in _active(plan, batch):
        if pull.by is Estimator.K1_ADVANTAGE:
            advantage_N = advantage_N - _corrected(plan, batch, old_N, Terms.PULL) * weight_N * _slope(pull, batch, weight_N, old_N)
    return advantage_N


def token_advantages(plan: Plan, batch: Batch, old_N: PerToken) -> PerToken:
    """The advantage of each token: the rollout's, reweighted by the teacher's ratio and corrected for the sampler where declared."""
    advantage_N = batch.advantage_N
    by_teacher = plan.objective.credit.by_teacher
    if by_teacher is not None and plan.teacher_ratio > 0:
        teacher_N = torch.where(advantage_N != 0, batch.teacher_N, old_N)
        ratio_N = ((teacher_N - old_N) * advantage_N.sign()).exp().clamp(1 - by_teacher.epsilon, 1 + by_teacher.epsilon)
        advantage_N = (1 - plan.teacher_ratio + plan.teacher_ratio * ratio_N) * advantage_N
    return _corrected(plan, batch, old_N, Terms.CREDIT) * advantage_N


def ratio_of(clip: Clip | None, batch: Batch, logprobs_N: PerToken, old_N: PerToken) -> PerToken:
    """New over old policy per token; by sequence it is the geometric mean over the response, with each token's own gradient."""
    if clip is None or clip.level is Level.TOKEN:
        return (logprobs_N - old_N).exp()
    whole_N = batch.to_behaviour_N
    if whole_N is None:
        whole_N = over_sequences((logprobs_N - old_N).detach(), batch.lengths)
    return (whole_N + logprobs_N - logprobs_N.detach()).exp()


def over_sequences(values_N: PerToken, lengths: tuple[int, ...]) -> PerToken:
    """Each row's mean, at each of its tokens."""
    return torch.cat([part.mean().expand(len(part)) for part in torch.split(values_N, list(lengths))]) if lengths else values_N


def corrections(plan: Plan, batch: Batch, old_N: PerToken) -> PerToken:
    """The importance weight of each token: the trainer's own probability over the sampler's, capped."""
    correction = plan.objective.correction
    assert correction is not None, "asked only where one is declared"
    log_ratio_N = (old_N - batch.sampler_N).detach()
    if correction.level is Level.SEQUENCE:
        known = batch.to_sampler_N
        log_ratio_N = over_sequences(log_ratio_N, batch.lengths) if known is None else known
    ratio_N = log_ratio_N.exp()
    if correction.how is How.TRUNCATED:
        return ratio_N.clamp(max=correction.cap)
    return torch.where((ratio_N <= correction.cap) & (ratio_N >= correction.floor), ratio_N, 0.0)


def _corrected(plan: Plan, batch: Batch, old_N: PerToken, term: Terms) -> PerToken | float:
    correction = plan.objective.correction
    return 1.0 if correction is None or correction.on not in (Terms.ALL, term) else corrections(plan, batch, old_N)


def _old(batch: Batch, logprobs_N: PerToken) -> PerToken:
    return logprobs_N.detach() if batch.behaviour_N is None else batch.behaviour_N


# -- pulls --------------------------------------------------------------------------------------------------------------------------


def _active(plan: Plan, batch: Batch) -> list[tuple[int, Pull, PerToken]]:
    """The pulls that act on some token of the batch, with places and weights. Leaving the others out keeps β = 0 exactly the method without.

    No weight is negative; one that is NaN (a perplexity of numbers that are missing) acts too, so that the loss shows it.
    """
    pairs = zip(plan.objective.pulls, batch.weights_PN, strict=True)
    return [(place, pull, weight_N) for place, (pull, weight_N) in enumerate(pairs) if bool((weight_N != 0).any())]


def _partner(pull: Pull, batch: Batch, weight_N: PerToken, otherwise_N: PerToken) -> PerToken:
    """The partner's log-probabilities where the pull acts; elsewhere they may be missing and the student's own stand in."""
    return torch.where(weight_N != 0, batch.of_partner(pull.toward), otherwise_N)


def _slope(pull: Pull, batch: Batch, weight_N: PerToken, logprobs_N: PerToken) -> PerToken:
    return slope_of(pull, logprobs_N, _partner(pull, batch, weight_N, logprobs_N))


def pull_loss(plan: Plan, batch: Batch, reading: Reading) -> PerToken:
    """Σ over pulls of w β k per token, without those folded into the advantage."""
    logprobs_N = reading.logprobs_N
    total_N = torch.zeros_like(logprobs_N)
    scale = _corrected(plan, batch, _old(batch, logprobs_N), Terms.PULL)
    for place, pull, weight_N in _active(plan, batch):
        if pull.by is not Estimator.K1_ADVANTAGE:
            total_N = total_N + scale * weight_N * _value(place, pull, batch, weight_N, reading)
    return total_N


def _value(place: int, pull: Pull, batch: Batch, weight_N: PerToken, reading: Reading) -> PerToken:
    if not pull.by.vocabulary_wide:
        return value_of(pull, reading.logprobs_N, _partner(pull, batch, weight_N, reading.logprobs_N.detach()))
    divergence_N = reading.divergences[place] if reading.divergences else None
    if divergence_N is None:
        raise ValueError(f'"{pull.by}" sums over the vocabulary, but the reading holds no divergence for it; make the reading with read().')
    return divergence_N


def pull_coefficient(plan: Plan, batch: Batch, logprobs_N: PerToken) -> PerToken:
    """Σ over pulls of w β ∂k/∂log π; exactly 0 where no pull acts."""
    total_N, old_N = torch.zeros_like(logprobs_N), _old(batch, logprobs_N)
    scale = _corrected(plan, batch, old_N, Terms.PULL)
    for _, pull, weight_N in _active(plan, batch):
        at_N = old_N if pull.by is Estimator.K1_ADVANTAGE else logprobs_N  # an advantage stays what it was when the batch was sampled
        total_N = total_N + scale * weight_N * _slope(pull, batch, weight_N, at_N)
    return total_N


# -- what the journal is told -------------------------------------------------------------------------------------------------------


def measures(plan: Plan, batch: Batch, reading: Reading) -> dict[str, float]:
    """Detached sums over the trained tokens: what the journal's ratios are made of.

    `credit_square` and `pull_square` are of share times coefficient, so that their ratio means the same under every share; a full-vocabulary
    pull counts with the slope of its sampled form, the root of whose mean square it has in expectation.
    """
    logprobs_N = reading.logprobs_N.detach()
    old_N = _old(batch, logprobs_N)
    credit = (batch.share_N * token_advantages(plan, batch, old_N)).double()
    pull = (batch.share_N * pull_coefficient(plan, batch, logprobs_N)).double()
    sums = {
        "tokens": float(logprobs_N.numel()),
        "credit_square": float(credit.square().sum()),
        "pull_square": float(pull.square().sum()),
        "logprob": float(logprobs_N.double().sum()),
        **_gaps(plan, batch, logprobs_N),
        **_clipped(plan, batch, logprobs_N, old_N),
    }
    if reading.entropy_N is not None:
        sums["entropy"] = float(reading.entropy_N.detach().double().sum())
    if plan.objective.correction is not None:
        weight_N = corrections(plan, batch, old_N)
        sums["correction"] = float(weight_N.double().sum())
        sums["corrected_away"] = float((weight_N == 0).sum()) if plan.objective.correction.how is How.MASKED else 0.0
    return sums


def _gaps(plan: Plan, batch: Batch, logprobs_N: PerToken) -> dict[str, float]:
    """Per pull and over all: how many tokens it acts on, and how far the partner is there. k3 is an unbiased KL(student ‖ partner)."""
    sums = {"pulled_tokens": 0.0, "log_ratio": 0.0, "k3": 0.0, "log_ratio_max": 0.0}
    for place, (pull, weight_N) in enumerate(zip(plan.objective.pulls, batch.weights_PN, strict=True)):
        on_N = weight_N != 0
        gap_N = (logprobs_N - batch.of_partner(pull.toward))[on_N].double()
        k3 = float(((-gap_N).expm1() + gap_N).sum())
        sums["pulled_tokens"] += float(on_N.sum())
        sums["log_ratio"] += float(gap_N.sum())
        sums["k3"] += k3
        sums["log_ratio_max"] = max(sums["log_ratio_max"], float(gap_N.abs().max()) if gap_N.numel() else 0.0)
        sums |= {f"pulled_tokens/{place}": float(on_N.sum()), f"k3/{place}": k3}
    return sums


def _clipped(plan: Plan, batch: Batch, logprobs_N: PerToken, old_N: PerToken) -> dict[str, float]:
    clip = plan.objective.clip
    if batch.behaviour_N is None or clip is None:
        return {}
    ratio_N, advantage_N = ratio_of(clip, batch, logprobs_N, old_N), folded_advantages(plan, batch, old_N)
    high_N = (ratio_N > 1 + clip.high) & (advantage_N > 0)
    if clip.dual is not None:
        high_N = high_N | ((ratio_N > clip.dual) & (advantage_N < 0))
    return {"clipped_low": float(((ratio_N < 1 - clip.low) & (advantage_N < 0)).sum()), "clipped_high": float(high_N.sum())}
