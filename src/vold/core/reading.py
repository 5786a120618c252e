"""What a student says of a batch: the log-probabilities of its tokens, and where an objective asks for them sums over the vocabulary.

A full-vocabulary divergence is formed a chunk of tokens at a time, from the student's hidden states and the partner's, each under its own
head; ids that are banned leave both softmaxes. Where the partner's k likeliest ids are enough, they stand in the place of its states and its
head. Nothing of size tokens × vocabulary is kept for the backward pass.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vold.core.batching import Batch, Top
from vold.core.head import chunk_of, token_logprobs
from vold.core.plan import Plan
from vold.core.pulls import Estimator, Partner, Pull


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One number a trained token each; `divergences` has one entry a pull, None where the pull reads the sampled token alone."""

    logprobs_N: Float[Tensor, " N"]
    entropy_N: Float[Tensor, " N"] | None = None
    divergences: tuple[Float[Tensor, " N"] | None, ...] = ()


def read(
    plan: Plan,
    batch: Batch,
    hidden_NH: Float[Tensor, "N H"],
    head_VH: Float[Tensor, "V H"],
    *,
    heads: Mapping[Partner, Float[Tensor, "W K"]] = MappingProxyType({}),
    banned_V: Bool[Tensor, " V"] | None = None,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> Reading:
    """Everything `plan` reads of the student on this batch. `heads` are the partners' output matrices; they may be wider than the student's."""
    chunk = chunk or chunk_of(head_VH)

    def divergence(place: int, pull: Pull) -> Tensor | None:
        pulled_N = batch.weights_PN[place] != 0
        if not pull.by.vocabulary_wide or not bool(pulled_N.any()):
            return None
        if pull.by is Estimator.PARTNER_TOP_K:
            said = partner_top(pull, batch, pulled_N)
            at_M = said.at_M
            values_M = _chunked(
                lambda h, i, p: partner_top_k(pull, _logits(h, head_VH, banned_V, temperature), i, p, banned_V),
                (hidden_NH[at_M], said.ids_Mk, said.logprobs_Mk),
                chunk,
            )
        else:
            at_M, states_MK, partner_WK = partner_states(pull, batch, pulled_N, heads)
            values_M = _chunked(
                lambda h, k, t: divergence_of(
                    pull, _logits(h, head_VH, banned_V, temperature), _logits(k, partner_WK, None, temperature), t, banned_V
                ),
                (hidden_NH[at_M], states_MK, batch.targets_N[at_M]),
                chunk,
            )
        missing_N = torch.where(pulled_N, float("nan"), torch.zeros_like(logprobs_N))  # pulled, but what the partner says is not there
        return missing_N.index_copy(0, at_M, values_M)

    logprobs_N = token_logprobs(hidden_NH, head_VH, batch.targets_N, banned_V=banned_V, temperature=temperature, chunk=chunk)
    entropy_N = None
    if plan.entropy != 0.0:
        entropy_N = _chunked(lambda h: entropy_of(_logits(h, head_VH, banned_V, temperature)), (hidden_NH,), chunk)
    divergences = tuple(divergence(place, pull) for place, pull in enumerate(plan.objective.pulls))
    return Reading(logprobs_N=logprobs_N, entropy_N=entropy_N, divergences=divergences)


def partner_states(pull: Pull, batch: Batch, pulled_N: Tensor, heads: Mapping[Partner, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Where a pull that sums over the vocabulary acts and its partner was read, the partner's states there, and the partner's head."""
    if pull.toward not in batch.hidden or pull.toward not in heads:
        raise ValueError(f'"{pull.by}" sums over the vocabulary: it needs the {pull.toward}\'s hidden states (want=HIDDEN) and its head in `heads`.')
    partner = batch.hidden[pull.toward]
    chosen_M = pulled_N[partner.at_M]
    return partner.at_M[chosen_M], partner.states_MH[chosen_M], heads[pull.toward].detach().to(pulled_N.device)  # a partner is never trained


def partner_logits(pull: Pull, batch: Batch, pulled_N: Tensor, heads: Mapping[Partner, Tensor], temperature: float) -> tuple[Tensor, Tensor]:
    """The same with the partner's logits instead of its states."""
    at_M, states_MK, partner_WK = partner_states(pull, batch, pulled_N, heads)
    return at_M, _logits(states_MK, partner_WK, None, temperature)


def partner_top(pull: Pull, batch: Batch, pulled_N: Tensor) -> Top:
    """The partner's likeliest ids where a pull that sums over them acts: as many as it sums over, of those that were given."""
    if pull.toward not in batch.tops:
        raise ValueError(f'"{pull.by}" sums over the {pull.toward}\'s likeliest ids: it needs them (want=TOP_K).')
    said = batch.tops[pull.toward]
    chosen_M = pulled_N[said.at_M]
    return Top(at_M=said.at_M[chosen_M], ids_Mk=said.ids_Mk[chosen_M, : pull.top], logprobs_Mk=said.logprobs_Mk[chosen_M, : pull.top])


def entropy_of(logits_CV: Float[Tensor, "C V"]) -> Float[Tensor, " C"]:
    """-Σ π log π, in nats; entries of -inf have no part in it."""
    logprobs_CV = logits_CV.log_softmax(1)
    return -(logprobs_CV.exp() * logprobs_CV.masked_fill(logits_CV == float("-inf"), 0.0)).sum(1)


def _logits(hidden_CH: Tensor, head_VH: Tensor, banned_V: Tensor | None, temperature: float) -> Tensor:
    logits_CV = hidden_CH @ head_VH.T
    logits_CV = (logits_CV.float() if logits_CV.dtype in (torch.bfloat16, torch.float16) else logits_CV) / temperature
    return logits_CV if banned_V is None else logits_CV.masked_fill(banned_V, float("-inf"))


def divergence_of(
    pull: Pull,
    student_CV: Float[Tensor, "C V"],
    partner_CW: Float[Tensor, "C W"],
    targets_C: Int[Tensor, " C"],
    banned_V: Bool[Tensor, " V"] | None,
) -> Float[Tensor, " C"]:
    """A pull's value a token, from logits. Ids only one of the models has are banned for both."""
    both = min(student_CV.shape[1], partner_CW.shape[1])
    out_V = torch.zeros(both, dtype=torch.bool, device=student_CV.device) if banned_V is None else banned_V[:both]
    student_CV = student_CV.masked_fill(_tail(banned_V, student_CV, both), float("-inf")).log_softmax(1)[:, :both]
    partner_CV = partner_CW[:, :both].to(student_CV.dtype).masked_fill(out_V, float("-inf")).log_softmax(1)
    pi_CV, phi_CV = student_CV.exp(), partner_CV.exp()
    log_pi_CV, log_phi_CV = student_CV.masked_fill(out_V, 0.0), partner_CV.masked_fill(out_V, 0.0)
    match pull.by:
        case Estimator.FULL_STUDENT_TO_PARTNER:
            return (pi_CV * (log_pi_CV - log_phi_CV)).sum(1)
        case Estimator.FULL_PARTNER_TO_STUDENT:
            return (phi_CV * (log_phi_CV - log_pi_CV)).sum(1)
        case Estimator.JSD:
            return _jsd(log_pi_CV, log_phi_CV, pi_CV, phi_CV, pull.mix)
        case Estimator.TOP_K:
            return _top_k(log_pi_CV, log_phi_CV, pi_CV, targets_C, pull.top)
        case _:
            raise ValueError(f"{pull.by} reads the sampled token alone")


def _tail(banned_V: Tensor | None, student_CV: Tensor, both: int) -> Tensor:
    """The student's ids that are banned, or that the partner has no entry for."""
    out_V = torch.zeros(student_CV.shape[1], dtype=torch.bool, device=student_CV.device) if banned_V is None else banned_V.clone()
    out_V[both:] = True
    return out_V


def _jsd(log_pi_CV: Tensor, log_phi_CV: Tensor, pi_CV: Tensor, phi_CV: Tensor, mix: float | None) -> Tensor:
    assert mix is not None, "refused when the pull was made"
    log_m_CV = torch.logaddexp(log_phi_CV + math.log(mix), log_pi_CV + math.log(1 - mix))
    return (mix * phi_CV * (log_phi_CV - log_m_CV) + (1 - mix) * pi_CV * (log_pi_CV - log_m_CV)).sum(1)


def _top_k(log_pi_CV: Tensor, log_phi_CV: Tensor, pi_CV: Tensor, targets_C: Tensor, top: int | None) -> Tensor:
    """The k likeliest tokens' terms exactly, the others' by the sampled token; gradient Σ π Δ ∇log π over the first, Δ ∇log π at the second."""
    assert top is not None, "refused when the pull was made"
    gap_CV = (log_pi_CV - log_phi_CV).detach()
    chosen_Ck = pi_CV.topk(min(top, pi_CV.shape[1]), dim=1).indices
    exact_C = (pi_CV * gap_CV).gather(1, chosen_Ck).sum(1)
    tail_C = (chosen_Ck != targets_C[:, None]).all(1)
    sampled_C = 0.5 * (log_pi_CV - log_phi_CV).gather(1, targets_C[:, None]).squeeze(1).square()
    return exact_C + torch.where(tail_C, sampled_C, 0.0)


def partner_top_k(
    pull: Pull,
    student_CV: Float[Tensor, "C V"],
    ids_Ck: Int[Tensor, "C k"],
    logprobs_Ck: Float[Tensor, "C k"],
    banned_V: Bool[Tensor, " V"] | None,
) -> Float[Tensor, " C"]:
    """KL(φ‖π) over k + 1 outcomes a token, from the student's logits and the partner's k likeliest ids: each of these, and all others as one.

    Neither distribution is renormalised over the k: what φ and π leave to the others is compared as one number, so that it is a divergence, and
    never above the whole sum. The others' part of π is summed and not subtracted: it is no rounding error where it is small.
    """
    assert pull.top is not None, "refused when the pull was made"
    student_CV = student_CV if banned_V is None else student_CV.masked_fill(banned_V, float("-inf"))
    spoken, given = student_CV.shape[1] - (0 if banned_V is None else int(banned_V.sum())), ids_Ck.shape[1]
    if given < min(pull.top, spoken):
        raise ValueError(f'"{pull.by}" sums over {pull.top} of the {pull.toward}\'s likeliest ids, but only {given} are given.')
    ids_Ck, log_phi_Ck = ids_Ck.long(), logprobs_Ck.to(student_CV.dtype)
    phi_Ck, lse_C = log_phi_Ck.exp(), student_CV.logsumexp(1)
    log_pi_Ck = student_CV.gather(1, ids_Ck) - lse_C[:, None]
    value_C = torch.where(phi_Ck == 0, 0.0, phi_Ck * (log_phi_Ck - log_pi_Ck)).sum(1)
    if given >= spoken:
        return value_C  # nobody is left
    rest_C = (1 - phi_Ck.sum(1)).clamp(min=0.0)
    log_pi_rest_C = student_CV.scatter(1, ids_Ck, float("-inf")).logsumexp(1) - lse_C
    return value_C + torch.xlogy(rest_C, rest_C) - rest_C * log_pi_rest_C


def _chunked(form: Callable[..., Tensor], inputs: tuple[Tensor, ...], chunk: int) -> Tensor:
    """`form` over slices of the inputs' first axis; in training each slice is formed again for the backward pass instead of being stored."""
    parts: list[Tensor] = []
    for start in range(0, inputs[0].shape[0], chunk):
        slices = tuple(tensor[start : start + chunk] for tensor in inputs)
        parts.append(checkpoint(form, *slices, use_reentrant=False) if torch.is_grad_enabled() else form(*slices))
    return torch.cat(parts) if parts else inputs[0].new_zeros(0)
