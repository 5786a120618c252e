"""An objective's gradient at the hidden states, in one sweep of the head: the loss, its slopes and both gradients while each chunk's logits exist.

Where every token's part hangs on that token alone (`render.by_token`) that is three matrix products: the coefficient form at the only update of a
batch, and just so the clipped loss of later updates, an entropy bonus and sums over the vocabulary. Where a part hangs on a whole response (an
importance weight or a ratio by sequence, at a later update) the log-probabilities are swept first: four.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vold.core import render
from vold.core.batching import Batch
from vold.core.head import Said, Slopes, sweep
from vold.core.plan import Plan
from vold.core.pulls import Estimator, Partner, Pull
from vold.core.reading import Reading, divergence_of, partner_logits, partner_top, partner_top_k

Loss = Callable[[Plan, Batch, Reading], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """`loss` is the unnormalised sum; `grad_NH` is its gradient at the hidden states given; `sums` are what the journal's numbers are made of."""

    loss: float
    grad_NH: Float[Tensor, "N H"]
    sums: dict[str, float]


def descend(
    plan: Plan,
    batch: Batch,
    hidden_NH: Float[Tensor, "N H"],
    head_VH: Float[Tensor, "V H"],
    *,
    only_update: bool,
    grad_VH: Float[Tensor, "V H"] | None = None,
    heads: Mapping[Partner, Float[Tensor, "W K"]] = MappingProxyType({}),
    banned_V: Bool[Tensor, " V"] | None = None,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> Descent:
    """The gradient of `plan`'s objective summed over a batch. The head's is added to `grad_VH`; `heads` are the partners' output matrices.

    `only_update`: the batch is used for one update, so the ratio to the behaviour policy is 1 and the coefficient form is exact where it exists.
    """
    form: Loss = render.coefficient_sum if only_update and plan.objective.no_coefficient is None else render.loss_sum
    losses: list[Tensor] = []

    def slopes(said: Said) -> Slopes:
        loss, found = _slopes(form, plan, batch.part(said.start, said.stop), said, heads, banned_V, temperature)
        losses.append(loss)
        return found

    if not render.by_token(plan, only_update=only_update):
        first = sweep(hidden_NH, head_VH, batch.targets_N, banned_V=banned_V, temperature=temperature, chunk=chunk)
        batch = render.with_sequences(batch, first.logprobs_N.to(batch.share_N.dtype))
    swept = sweep(hidden_NH, head_VH, batch.targets_N, slopes, banned_V=banned_V, temperature=temperature, chunk=chunk, grad_VH=grad_VH)
    assert swept.grad_NH is not None, "slopes were asked for"
    reading = Reading(logprobs_N=swept.logprobs_N.to(batch.share_N.dtype), entropy_N=swept.entropy_N)
    loss_sum = float(torch.stack([loss.double() for loss in losses]).sum()) if losses else 0.0
    return Descent(loss=loss_sum, grad_NH=swept.grad_NH, sums=render.measures(plan, batch, reading))


def _slopes(
    form: Loss,
    plan: Plan,
    part: Batch,
    said: Said,
    heads: Mapping[Partner, Tensor],
    banned_V: Tensor | None,
    temperature: float,
) -> tuple[Tensor, Slopes]:
    """Loss of one chunk and its derivative by all that it reads: autograd over a few numbers a token, and over logits only for wide pulls."""
    wide = [place for place, pull in enumerate(plan.objective.pulls) if pull.by.vocabulary_wide and bool((part.weights_PN[place] != 0).any())]
    with torch.enable_grad():
        leaf_C = said.logprobs_C.to(part.share_N.dtype).requires_grad_()
        entropy_C = said.entropy_C.to(part.share_N.dtype).requires_grad_() if plan.entropy != 0.0 else None
        logits_CV = said.logits_CV.detach().clone().requires_grad_() if wide else None
        divergences = tuple(
            _divergence(pull, place, part, logits_CV, heads, banned_V, temperature) if place in wide and logits_CV is not None else None
            for place, pull in enumerate(plan.objective.pulls)
        )
        loss = form(plan, part, Reading(logprobs_N=leaf_C, entropy_N=entropy_C, divergences=divergences))
        leaves = [leaf for leaf in (leaf_C, entropy_C, logits_CV) if leaf is not None]
        found = iter(torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True))
    by_logprob = next(found)
    by_entropy = next(found) if entropy_C is not None else None
    return loss.detach(), Slopes(logprobs_C=by_logprob, entropy_C=by_entropy, logits_CV=next(found) if logits_CV is not None else None)


def _divergence(
    pull: Pull, place: int, part: Batch, logits_CV: Tensor, heads: Mapping[Partner, Tensor], banned_V: Tensor | None, temperature: float
) -> Tensor:
    """A pull's value at each token of a chunk; NaN where it acts and what the partner says is not there."""
    pulled_C = part.weights_PN[place] != 0
    if pull.by is Estimator.PARTNER_TOP_K:
        said = partner_top(pull, part, pulled_C)
        at_M, values_M = said.at_M, partner_top_k(pull, logits_CV[said.at_M], said.ids_Mk, said.logprobs_Mk, banned_V)
    else:
        at_M, partner_MW = partner_logits(pull, part, pulled_C, heads, temperature)
        values_M = divergence_of(pull, logits_CV[at_M], partner_MW, part.targets_N[at_M], banned_V)
    missing_C = torch.where(pulled_C, float("nan"), torch.zeros_like(part.share_N))
    return missing_C.index_copy(0, at_M, values_M.to(missing_C.dtype))
