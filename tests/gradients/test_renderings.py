"""One objective, two renderings: the loss and the coefficient have the same gradient at the only update; both match finite differences."""

import itertools
from dataclasses import replace

import pytest
import torch
from support.plans import plan_for
from support.records import groups_of, spoken
from support.toy import Rendering
from torch import Tensor

from vold.core import render, terms
from vold.core.batching import Batch, batch_of, rows_of
from vold.core.objective import CENTRED, K1_ADVANTAGE, K2, K3, TEACHER, WRONG, Estimator, Level, Mask, Objective, Pull, Schedule, Share
from vold.core.plan import Plan
from vold.core.reading import Reading
from vold.core.zoo import VOLD, ZOO

GROUPS = spoken(groups_of("RWWw", "RRR", "WwW", "RUW", "UU", "WR", inserted=True))


def batch_for(plan: Plan) -> Batch:
    rows = rows_of(GROUPS, plan, plan.counts(GROUPS))
    return batch_of(rows, pulls=len(plan.objective.pulls), dtype=torch.float64)


def some_logprobs(batch: Batch) -> Tensor:
    draw = torch.Generator().manual_seed(7)
    return (-5 * torch.rand(len(batch.targets_N), generator=draw, dtype=torch.float64) - 0.1).requires_grad_()


def gradient(rendering: Rendering, plan: Plan, batch: Batch, logprobs_N: Tensor) -> Tensor:
    return torch.autograd.grad(rendering(plan, batch, Reading(logprobs_N=logprobs_N)).loss, logprobs_N)[0]


def variants() -> dict[str, Objective]:
    """Every objective of the zoo that reads sampled tokens alone, with every share; and VOLD with every such estimator and every mask."""
    found = {f"{name}-{share}": replace(base, share=share) for (name, base), share in itertools.product(ZOO.items(), Share)}
    for by, on, share in itertools.product((K1_ADVANTAGE, K2, K3), Mask, Share):
        found[f"VOLD-{by}-{on}-{share}"] = replace(VOLD, share=share, pulls=tuple(replace(pull, by=by, on=on) for pull in VOLD.pulls))
    return {name: objective for name, objective in found.items() if objective.no_coefficient is None}


VARIANTS = variants()
BY_TOKEN = {name: objective for name, objective in VARIANTS.items() if objective.clip is None or objective.clip.level is Level.TOKEN}
"""A ratio by sequence has each token's own gradient, which is not its derivative: differences say nothing of it."""


@pytest.mark.parametrize("objective", VARIANTS.values(), ids=VARIANTS)
def test_loss_and_coefficient_have_the_same_gradient(objective: Objective) -> None:
    plan = plan_for(objective, step=3)
    batch = batch_for(plan)
    logprobs_N = some_logprobs(batch)
    by_loss = gradient(render.loss, plan, batch, logprobs_N)
    torch.testing.assert_close(by_loss, gradient(render.by_coefficient, plan, batch, logprobs_N), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_loss, batch.share_N * render.coefficient(plan, batch, logprobs_N), rtol=1e-12, atol=1e-12)
    assert by_loss.abs().max() > 1e-3, "a gradient of zero would agree with everything"


def test_two_pulls_and_a_schedule_add_up() -> None:
    pulls = (Pull(TEACHER, beta=Schedule(0.4, 0.0, until=8), by=K2, on=WRONG), Pull(TEACHER, beta=0.3, by=K3, on=Mask.RIGHT))
    plan = plan_for(Objective(CENTRED, None, pulls=pulls), step=4)
    batch = batch_for(plan)
    logprobs_N = some_logprobs(batch)
    gap_N = logprobs_N.detach() - batch.teacher_N
    by_hand = batch.weights_PN[0] * gap_N + batch.weights_PN[1] * (1 - (-gap_N).exp()) - batch.advantage_N
    assert batch.weights_PN[0].unique().tolist() == [0.0, 0.2]
    assert batch.weights_PN[1].unique().tolist() == [0.0, 0.3]
    for rendering in (render.loss, render.by_coefficient):
        torch.testing.assert_close(gradient(rendering, plan, batch, logprobs_N), by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("objective", BY_TOKEN.values(), ids=BY_TOKEN)
def test_finite_differences_of_the_loss(objective: Objective) -> None:
    """With behaviour log-probabilities fixed the loss is an ordinary function of log π, kinks of the clip left out."""
    plan = plan_for(objective, step=3)
    batch = batch_for(plan)
    logprobs_N = some_logprobs(batch)
    shift_N = torch.linspace(-0.5, 0.5, len(logprobs_N), dtype=torch.float64)
    bounds = (1 - objective.clip.low, 1 + objective.clip.high) if objective.clip else ()
    assert not any(((shift_N.exp() - bound).abs() < 1e-5).any() for bound in bounds), "a ratio lies on a kink"
    batch = replace(batch, behaviour_N=logprobs_N.detach() - shift_N)
    assert torch.autograd.gradcheck(lambda lp: render.loss(plan, batch, Reading(logprobs_N=lp)).loss, logprobs_N, eps=1e-6, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("estimator", list(terms.VALUE))
def test_slopes_are_derivatives(estimator: Estimator) -> None:
    student = torch.linspace(-6, -0.01, 40, dtype=torch.float64)
    teacher = student.flip(0) - 0.3
    eps = 1e-6
    central = (terms.VALUE[estimator](student + eps, teacher) - terms.VALUE[estimator](student - eps, teacher)) / (2 * eps)
    torch.testing.assert_close(terms.SLOPE[estimator](student, teacher), central, rtol=1e-7, atol=1e-7)


def test_the_coefficient_form_refuses_a_second_update() -> None:
    plan = plan_for(VOLD)
    batch = batch_for(plan)
    logprobs_N = some_logprobs(batch)
    with pytest.raises(ValueError, match="only update"):
        render.by_coefficient(plan, replace(batch, behaviour_N=logprobs_N.detach()), Reading(logprobs_N=logprobs_N))
