"""One objective, two renderings: the loss and the coefficient have the same gradient at the only update; both match finite differences."""

import itertools
from dataclasses import replace

import pytest
import torch
from support.records import groups_of
from torch import Tensor

from vold.core import render, terms
from vold.core.batching import Batch, batch_of, rows_of
from vold.core.objective import CENTRED, K2, K3, TEACHER, WRONG, Estimator, Mask, Objective, Pull, Schedule, Share
from vold.core.zoo import VOLD, ZOO

GROUPS = groups_of("RWWw", "RRR", "WwW", "RUW", "UU", "WR", inserted=True)


def batch_for(objective: Objective, *, step: int = 3) -> Batch:
    rows = rows_of(GROUPS, objective, step=step, length_cap=9)
    return batch_of(rows, pulls=len(objective.pulls), dtype=torch.float64)


def some_logprobs(batch: Batch) -> Tensor:
    draw = torch.Generator().manual_seed(7)
    return (-5 * torch.rand(len(batch.targets_N), generator=draw, dtype=torch.float64) - 0.1).requires_grad_()


def gradient(rendering: render.Rendered, logprobs_N: Tensor) -> Tensor:
    return torch.autograd.grad(rendering.loss, logprobs_N)[0]


def variants() -> dict[str, Objective]:
    """Every objective of the zoo with every share, and with every estimator and mask its pulls allow."""
    found = {}
    for (name, base), share in itertools.product(ZOO.items(), Share):
        for by, on in itertools.product(Estimator, Mask) if base.pulls else [(K2, WRONG)]:
            pulls = tuple(replace(pull, by=by, on=on) for pull in base.pulls)
            found["-".join([name, *([by, on] if pulls else []), share])] = replace(base, share=share, pulls=pulls)
    return found


VARIANTS = variants()


@pytest.mark.parametrize("objective", VARIANTS.values(), ids=VARIANTS)
def test_loss_and_coefficient_have_the_same_gradient(objective: Objective) -> None:
    batch = batch_for(objective)
    logprobs_N = some_logprobs(batch)
    by_loss = gradient(render.loss(objective, batch, logprobs_N), logprobs_N)
    by_coefficient = gradient(render.by_coefficient(objective, batch, logprobs_N), logprobs_N)
    torch.testing.assert_close(by_loss, by_coefficient, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_loss, batch.share_N * render.coefficient(objective, batch, logprobs_N), rtol=1e-12, atol=1e-12)
    assert by_loss.abs().max() > 1e-3, "a gradient of zero would agree with everything"


def test_two_pulls_and_a_schedule_add_up() -> None:
    pulls = (Pull(TEACHER, beta=Schedule(0.4, 0.0, until=8), by=K2, on=WRONG), Pull(TEACHER, beta=0.3, by=K3, on=Mask.RIGHT))
    objective = Objective(CENTRED, None, pulls=pulls)
    batch = batch_for(objective, step=4)
    logprobs_N = some_logprobs(batch)
    gap_N = logprobs_N.detach() - batch.teacher_N
    by_hand = batch.weights_PN[0] * gap_N + batch.weights_PN[1] * (1 - (-gap_N).exp()) - batch.advantage_N
    assert batch.weights_PN[0].unique().tolist() == [0.0, 0.2]
    assert batch.weights_PN[1].unique().tolist() == [0.0, 0.3]
    for rendering in (render.loss, render.by_coefficient):
        torch.testing.assert_close(gradient(rendering(objective, batch, logprobs_N), logprobs_N), by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("objective", VARIANTS.values(), ids=VARIANTS)
def test_finite_differences_of_the_loss(objective: Objective) -> None:
    """With behaviour log-probabilities fixed the loss is an ordinary function of log π, kinks of the clip left out."""
    batch = batch_for(objective)
    logprobs_N = some_logprobs(batch)
    shift_N = torch.linspace(-0.5, 0.5, len(logprobs_N), dtype=torch.float64)
    near_a_kink = ((shift_N.exp() - 0.8).abs() < 1e-5) | ((shift_N.exp() - 1.3).abs() < 1e-5)
    assert not near_a_kink.any()
    batch = replace(batch, behaviour_N=logprobs_N.detach() - shift_N)
    assert torch.autograd.gradcheck(lambda lp: render.loss(objective, batch, lp).loss, logprobs_N, eps=1e-6, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("estimator", list(Estimator))
def test_slopes_are_derivatives(estimator: Estimator) -> None:
    student = torch.linspace(-6, -0.01, 40, dtype=torch.float64)
    teacher = student.flip(0) - 0.3
    eps = 1e-6
    central = (terms.VALUE[estimator](student + eps, teacher) - terms.VALUE[estimator](student - eps, teacher)) / (2 * eps)
    torch.testing.assert_close(terms.SLOPE[estimator](student, teacher), central, rtol=1e-7, atol=1e-7)


def test_the_coefficient_form_refuses_a_second_update() -> None:
    batch = batch_for(VOLD)
    logprobs_N = some_logprobs(batch)
    with pytest.raises(ValueError, match="only update"):
        render.by_coefficient(VOLD, replace(batch, behaviour_N=logprobs_N.detach()), logprobs_N)
