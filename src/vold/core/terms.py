"""The estimators of a pull, on log-probabilities of the student's own tokens. Elementwise; no reduction, no masking.

Every estimator has a slope: the factor of ∇ log π at the sampled token. A full-vocabulary estimator's is that of its sampled form, whose
expectation over the student's next token it is (`core/reading.py` forms the sum itself). For `partner-top-k` that is so at its k tokens; at the
others, which it takes together, the slope of the whole KL(φ‖π) stands in.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from vold.core.pulls import Beyond, Estimator, Pull

PerToken = Float[Tensor, " N"]


def k2_student_to_teacher(student: PerToken, teacher: PerToken) -> PerToken:
    """Half the squared log-ratio. On the student's own tokens its gradient is that of KL(student ‖ teacher); its value is not a KL."""
    return 0.5 * (student - teacher).square()


def k3_teacher_to_student(student: PerToken, teacher: PerToken) -> PerToken:
    """φ/π - 1 - log(φ/π). Its value is an unbiased KL(student ‖ teacher); as a loss its gradient is that of KL(teacher ‖ student)."""
    log_ratio = teacher - student
    return log_ratio.expm1() - log_ratio


def k2_slope(student: PerToken, teacher: PerToken) -> PerToken:
    """∂k2 / ∂ log π = log π - log φ; also the slope of every other form of KL(student ‖ teacher)."""
    return student - teacher


def k3_slope(student: PerToken, teacher: PerToken) -> PerToken:
    """∂k3 / ∂ log π = 1 - φ/π; also, up to a constant whose expectation is 0, the slope of KL(teacher ‖ student)."""
    return -(teacher - student).expm1()


def jsd_slope(student: PerToken, teacher: PerToken, mix: float) -> PerToken:
    """(1 - mix)·log(π / M), M = mix·φ + (1 - mix)·π: the slope of the generalised Jensen-Shannon divergence."""
    own = torch.full_like(student, math.log(1 - mix))
    return -(1 - mix) * torch.logaddexp(teacher - student + math.log(mix), own)


VALUE: dict[Estimator, Callable[[Tensor, Tensor], Tensor]] = {Estimator.K2: k2_student_to_teacher, Estimator.K3: k3_teacher_to_student}
SLOPE: dict[Estimator, Callable[[Tensor, Tensor], Tensor]] = {
    Estimator.K1_ADVANTAGE: k2_slope,
    Estimator.K2: k2_slope,
    Estimator.K3: k3_slope,
    Estimator.FULL_STUDENT_TO_PARTNER: k2_slope,
    Estimator.FULL_PARTNER_TO_STUDENT: k3_slope,
    Estimator.TOP_K: k2_slope,
    Estimator.PARTNER_TOP_K: k3_slope,
}


def value_of(pull: Pull, student: PerToken, partner: PerToken) -> PerToken:
    """What a sampled estimator contributes to the loss, before β and mask. Beyond a clamp it is constant (stop) or linear (saturate)."""
    value = VALUE[pull.by]
    if pull.clamp is None:
        return value(student, partner)
    gap = student - partner
    held = gap.clamp(-pull.clamp.limit, pull.clamp.limit)
    inside = value(held, torch.zeros_like(held))
    if pull.clamp.beyond is Beyond.STOP:
        return inside
    edge = held.detach()
    return inside + SLOPE[pull.by](edge, torch.zeros_like(edge)) * (gap - held)


def slope_of(pull: Pull, student: PerToken, partner: PerToken) -> PerToken:
    """∂/∂ log π of the estimator at the sampled token, before β and mask."""
    if pull.mix is not None:
        return jsd_slope(student, partner, pull.mix)
    slope = SLOPE[pull.by]
    if pull.clamp is None:
        return slope(student, partner)
    gap = student - partner
    held = gap.clamp(-pull.clamp.limit, pull.clamp.limit)
    inside = slope(held, torch.zeros_like(held))
    return torch.where(gap == held, inside, 0.0) if pull.clamp.beyond is Beyond.STOP else inside
