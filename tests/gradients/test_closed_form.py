"""A five-token world with every action enumerated: which divergence each estimator descends, and what its value says."""

import pytest
import torch
from support.checks import check_k2_gradient_of_the_coefficient, check_k2_gradient_of_the_loss
from support.plans import plan_for
from support.toy import Rendering, one_action_each
from torch import Tensor

from vold.base.errors import ObjectiveError
from vold.core import render, terms
from vold.core.objective import EVERY, K2, K3, NO_CREDIT, TEACHER, Estimator, Objective, Pull
from vold.core.reading import Reading


def policies(seed: int) -> tuple[Tensor, Tensor]:
    """Student logits (a leaf) and the teacher's log-probabilities."""
    draw = torch.Generator().manual_seed(seed)
    logits_V = torch.randn(5, generator=draw, dtype=torch.float64).mul(1.5).requires_grad_()
    return logits_V, torch.randn(5, generator=draw, dtype=torch.float64).mul(1.5).log_softmax(0)


def gradient(value: Tensor, leaf: Tensor) -> Tensor:
    return torch.autograd.grad(value, leaf, retain_graph=True)[0]


def test_expected_k2_gradient_is_that_of_student_to_teacher() -> None:
    check_k2_gradient_of_the_loss()
    check_k2_gradient_of_the_coefficient()


@pytest.mark.parametrize("rendering", [render.loss, render.by_coefficient])
@pytest.mark.parametrize("seed", range(3))
def test_expected_k3_gradient_is_that_of_teacher_to_student(rendering: Rendering, seed: int) -> None:
    logits_V, teacher_V = policies(seed)
    batch, logprobs_V = one_action_each(logits_V, teacher_V)
    objective = Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, beta=1.0, by=K3, on=EVERY),))
    forward = (teacher_V.exp() * (teacher_V - logprobs_V)).sum()
    found_V = gradient(rendering(plan_for(objective), batch, Reading(logprobs_N=logprobs_V)).loss, logits_V)
    torch.testing.assert_close(found_V, gradient(forward, logits_V), rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_k1_as_a_loss_teaches_nothing(seed: int) -> None:
    """log π − log φ, which is k2's slope: used as a loss its gradient has mean zero, so it must not be offered as an estimator."""
    logits_V, teacher_V = policies(seed)
    logprobs_V = logits_V.log_softmax(0)
    mean = (logprobs_V.exp().detach() * terms.k2_slope(logprobs_V, teacher_V)).sum()
    torch.testing.assert_close(gradient(mean, logits_V), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-15)
    assert {str(estimator) for estimator in terms.VALUE} == {"k2", "k3"}
    with pytest.raises(ObjectiveError, match="teaches nothing"):
        Pull(TEACHER, beta=1.0, by=Estimator.K1)


def test_the_two_directions_are_different_gradients() -> None:
    """Else the two tests above could not tell one estimator from the other."""
    logits_V, teacher_V = policies(0)
    batch, logprobs_V = one_action_each(logits_V, teacher_V)
    k2, k3 = (
        gradient(render.loss(plan_for(objective), batch, Reading(logprobs_N=logprobs_V)).loss, logits_V)
        for objective in (Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, beta=1.0, by=by, on=EVERY),)) for by in (K2, K3))
    )
    assert float((k2 - k3).abs().max()) > 0.1


def test_values_k3_is_the_divergence_and_k2_is_not() -> None:
    """What may be shown to a person as a divergence: on average k3 is KL(student ‖ teacher), k2 is something else."""
    logits_V, teacher_V = policies(0)
    logprobs_V = logits_V.detach().log_softmax(0)
    divergence = float((logprobs_V.exp() * (logprobs_V - teacher_V)).sum())
    assert float((logprobs_V.exp() * terms.k3_teacher_to_student(logprobs_V, teacher_V)).sum()) == pytest.approx(divergence, abs=1e-13)
    assert float((logprobs_V.exp() * terms.k2_student_to_teacher(logprobs_V, teacher_V)).sum()) != pytest.approx(divergence, rel=0.01)


def test_hand_computed_terms() -> None:
    student, teacher = torch.tensor([-1.0], dtype=torch.float64), torch.tensor([-3.0], dtype=torch.float64)
    assert float(terms.k2_student_to_teacher(student, teacher)) == 2.0
    assert float(terms.k2_slope(student, teacher)) == 2.0
    assert float(terms.k3_teacher_to_student(student, teacher)) == pytest.approx(0.1353352832366127 - 1 + 2, abs=1e-15)
    assert float(terms.k3_slope(student, teacher)) == pytest.approx(1 - 0.1353352832366127, abs=1e-15)
