"""The check before a run: it passes every objective the program forms rightly, and refuses each planted mistake."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from vold.base.errors import ObjectiveError
from vold.core import batching, reading, render, terms
from vold.core.batching import Batch
from vold.core.objective import (
    ALL_WRONG,
    CENTRED,
    JSD,
    K1_ADVANTAGE,
    K2,
    K3,
    LEAVE_ONE_OUT,
    NO_CREDIT,
    PER_GROUP,
    PER_SEQUENCE,
    RAW,
    REFERENCE,
    RIGHT,
    TEACHER,
    WRONG,
    Z_SCORE,
    Adaptive,
    Beyond,
    Clamp,
    Clip,
    Correction,
    Estimator,
    How,
    Level,
    Objective,
    Over,
    Overlong,
    Pull,
    Schedule,
    TeacherRatio,
    Terms,
    Weigh,
)
from vold.core.selfcheck import self_check
from vold.core.zoo import GKD, GRPO, OPD, OPD_ADVANTAGE, QWEN3_OPD, RLSD, SRPO, VOLD, VOLD_FULL, VOLD_GSPO, ZOO

FULL, FULL_BACK, TOP_K = Estimator.FULL_STUDENT_TO_PARTNER, Estimator.FULL_PARTNER_TO_STUDENT, Estimator.TOP_K
PARTNER_TOP_K = Estimator.PARTNER_TOP_K

HAND_MADE = {
    "dual clip": replace(VOLD, clip=Clip(0.2, 0.3, dual=3.0)),
    "by sequence": replace(VOLD, clip=Clip(3e-4, 4e-4, level=Level.SEQUENCE)),
    "clamp, stop": replace(VOLD, pulls=(Pull(TEACHER, 0.1, K2, WRONG, clamp=Clamp(0.5, Beyond.STOP)),)),
    "clamp, saturate": replace(VOLD, pulls=(Pull(TEACHER, 0.1, K3, WRONG, clamp=Clamp(5.0, Beyond.SATURATE)),)),
    "clamp of an advantage": replace(SRPO, pulls=(Pull(TEACHER, 1.0, K1_ADVANTAGE, WRONG, clamp=Clamp(1.0, Beyond.STOP)),)),
    "k3": replace(VOLD, pulls=(Pull(TEACHER, 0.1, K3, WRONG),)),
    "full, backwards": replace(OPD, pulls=(Pull(TEACHER, 1.0, FULL_BACK),)),
    "full, towards the reference": replace(GRPO, pulls=(Pull(REFERENCE, 0.04, FULL),)),
    "jsd, uneven": replace(GKD, pulls=(Pull(TEACHER, 1.0, JSD, mix=0.1),)),
    "top 1": replace(OPD, pulls=(Pull(TEACHER, 1.0, TOP_K, top=1),)),
    "top 3": replace(VOLD, pulls=(Pull(TEACHER, 0.1, TOP_K, WRONG, top=3),)),
    "top of more than there are": replace(OPD, pulls=(Pull(TEACHER, 1.0, TOP_K, top=128),)),
    "the partner's top 1": replace(OPD, pulls=(Pull(TEACHER, 1.0, PARTNER_TOP_K, top=1),)),
    "the partner's top 3": replace(VOLD, pulls=(Pull(TEACHER, 0.1, PARTNER_TOP_K, WRONG, top=3),)),
    "the partner's top of all": replace(GRPO, pulls=(Pull(REFERENCE, 0.04, PARTNER_TOP_K, top=128),)),
    "two partners": replace(VOLD, pulls=(*VOLD.pulls, Pull(REFERENCE, 0.04, K3))),
    "twice the teacher": replace(VOLD, pulls=(*VOLD.pulls, Pull(TEACHER, 0.3, FULL, RIGHT))),
    "over pulled tokens": replace(VOLD, pulls=(Pull(TEACHER, 0.1, K2, WRONG, over=Over.PULLED),)),
    "over pulled groups": replace(VOLD, pulls=(Pull(TEACHER, 0.1, K2, ALL_WRONG, over=Over.PULLED),), share=PER_GROUP),
    "weighed": replace(VOLD, pulls=(Pull(TEACHER, 0.1, K2, WRONG, weigh=Weigh.FAIL_RATE),)),
    "weighed by the student": replace(VOLD, pulls=(Pull(TEACHER, 0.1, K2, WRONG, weigh=Weigh.HIGH_STUDENT_PERPLEXITY),)),
    "weighed by the teacher": replace(VOLD, pulls=(Pull(TEACHER, 0.1, K2, WRONG, weigh=Weigh.LOW_TEACHER_PERPLEXITY),)),
    "truncated weight": replace(VOLD, correction=Correction(How.TRUNCATED)),
    "masked weight": replace(VOLD, correction=Correction(How.MASKED, floor=0.5, level=Level.SEQUENCE, on=Terms.PULL)),
    "entropy": replace(VOLD, entropy=0.01),
    "overlong, masked": replace(VOLD, overlong=Overlong.MASK),
    "overlong, soft": replace(VOLD, overlong=Overlong.SOFT, soft_buffer=1.0),
    "dynamic": replace(VOLD, dynamic=True),
    "a strength from 0": replace(VOLD, pulls=(Pull(TEACHER, Schedule(0.0, 0.1, until=50), K2, WRONG),)),
    "a strength to 0": replace(VOLD, pulls=(Pull(TEACHER, Schedule(0.1, 0.0, until=50), K2, WRONG),)),
    "strength 0": replace(VOLD, pulls=(Pull(TEACHER, 0.0, K2, WRONG),)),
    "an adaptive strength": replace(VOLD, pulls=(Pull(TEACHER, Adaptive(1e-3, target=1e-2), K2, WRONG),)),
    "a small strength": replace(VOLD, pulls=(Pull(TEACHER, 1e-5, K2, WRONG),)),
    "a large strength": replace(VOLD, pulls=(Pull(TEACHER, 1e4, K2, WRONG),)),
    "a teacher's ratio in part": replace(RLSD, credit=replace(Z_SCORE, by_teacher=TeacherRatio(0.3, 0.1))),
    "centred, by sequence": replace(VOLD, credit=CENTRED, share=PER_SEQUENCE),
    "leave one out": replace(VOLD, credit=LEAVE_ONE_OUT),
    "raw": replace(VOLD, credit=RAW),
}


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("objective", [*ZOO.values(), *HAND_MADE.values()], ids=[*ZOO, *HAND_MADE])
def test_right_objectives_pass(objective: Objective, temperature: float) -> None:
    for group_size in (2, 5) if objective.credit.compares else (1, 2, 5):
        self_check(objective, temperature=temperature, group_size=group_size)


@pytest.mark.parametrize("temperature", [0.0, 0.2, 0.4, 5.0])
@pytest.mark.parametrize("name", ["clamp, stop", "clamp, saturate", "clamp of an advantage", "two partners", "top 3"])
def test_unusual_temperatures_pass(name: str, temperature: float) -> None:
    self_check(HAND_MADE[name], temperature=temperature)


# ---- planted mistakes ------------------------------------------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def value(by: Estimator, wrong: Callable[[Tensor, Tensor], Tensor]) -> Plant:
    return lambda patch: patch.setitem(terms.VALUE, by, wrong)


def slope(by: Estimator, wrong: Callable[[Tensor, Tensor], Tensor]) -> Plant:
    return lambda patch: patch.setitem(terms.SLOPE, by, wrong)


def attribute(of: Any, name: str, wrong: Callable[..., Any]) -> Plant:
    """`wrong` is given the right one first."""
    right = getattr(of, name)
    return lambda patch: patch.setattr(of, name, lambda *given, **named: wrong(right, *given, **named))


def banned_stay_in_the_partner(*given: Any) -> Tensor:
    """KL(φ‖π) whose φ is a softmax over every id. KL(π‖φ) would not mind: what φ is divided by drops out of its gradient."""
    student_CV, partner_CW, banned_V = given[2], given[3], given[5]
    log_pi_CV = student_CV.log_softmax(1).masked_fill(banned_V, 0.0)
    log_phi_CV = partner_CW[:, : student_CV.shape[1]].log_softmax(1)
    return (log_phi_CV.exp() * (log_phi_CV - log_pi_CV) * ~banned_V).sum(1)


def colder(right: Callable[..., Tensor], *given: Any, **named: Any) -> Tensor:
    return right(*given, **named | {"temperature": 1.0})


def free(right: Callable[..., Tensor], *given: Any, **named: Any) -> Tensor:
    return right(*given, **named | {"banned_V": None})


def the_likeliest_alone(*given: Any) -> Tensor:
    """The terms of the k alone, renormalised over them."""
    student_CV, ids_Ck, logprobs_Ck = given[2:5]
    log_pi_Ck, log_phi_Ck = student_CV.log_softmax(1).gather(1, ids_Ck).log_softmax(1), logprobs_Ck.log_softmax(1)
    return (log_phi_Ck.exp() * (log_phi_Ck - log_pi_Ck)).sum(1)


def late(right: Callable[..., Any], *given: Any) -> Any:
    """Hidden states of the token after."""
    return {p: replace(h, states_MH=h.states_MH.roll(1, 0)) for p, h in right(*given).items()}


MISTAKES: dict[str, tuple[Objective, Plant]] = {
    "k1 as the value of k2": (VOLD, value(K2, lambda s, t: s - t)),
    "k3 as the value of k2": (VOLD, value(K2, terms.k3_teacher_to_student)),
    "k2 as the value of k3": (GRPO, value(K3, terms.k2_student_to_teacher)),
    "the value of k2 twice": (OPD, value(K2, lambda s, t: (s - t).square())),
    "the value of k2 with the wrong sign": (OPD, value(K2, lambda s, t: -0.5 * (s - t).square())),
    "the value of k2 with the ends the wrong way round in k3": (GRPO, value(K3, lambda s, t: terms.k3_teacher_to_student(t, s))),
    "no gradient in the value": (VOLD, value(K2, lambda s, t: 0.5 * (s - t).detach().square())),
    "k3's slope for k2's": (VOLD, slope(K2, terms.k3_slope)),
    "k2's slope for k3's": (GRPO, slope(K3, terms.k2_slope)),
    "a slope of nothing": (OPD, slope(K2, lambda s, _: torch.zeros_like(s))),
    "a slope uphill": (OPD, slope(K2, lambda s, t: t - s)),
    "an advantage uphill": (OPD_ADVANTAGE, slope(K1_ADVANTAGE, lambda s, t: t - s)),
    "an advantage from nobody": (SRPO, slope(K1_ADVANTAGE, lambda s, _: torch.zeros_like(s))),
    "a constant slope, as k1 as a loss has": (OPD, slope(K2, lambda s, _: torch.ones_like(s))),
    "the teacher ignored": (VOLD, attribute(render, "_partner", lambda *given: given[-1])),
    "the teacher ignored by a credit": (RLSD, attribute(render, "token_advantages", lambda *given: given[2].advantage_N)),
    "the reference in the teacher's place": (VOLD, attribute(Batch, "of_partner", lambda *given: given[1].reference_N)),
    "the teacher in the reference's place": (GRPO, attribute(Batch, "of_partner", lambda *given: given[1].teacher_N)),
    "banned ids in the teacher's softmax": (HAND_MADE["full, backwards"], attribute(reading, "divergence_of", banned_stay_in_the_partner)),
    "the other direction": (QWEN3_OPD, attribute(reading, "divergence_of", lambda right, pull, *a: right(replace(pull, by=FULL_BACK), *a))),
    "another mixture": (GKD, attribute(reading, "divergence_of", lambda right, pull, *a: right(replace(pull, mix=0.6), *a))),
    "a divergence left out": (VOLD_FULL, attribute(reading, "divergence_of", lambda right, *a: right(*a).detach() + 0 * a[1][:, 0])),
    "a teacher at another temperature": (VOLD, attribute(reading, "token_logprobs", colder)),
    "banned ids in the student's softmax": (VOLD, attribute(reading, "token_logprobs", free)),
    "hidden states of the token after": (QWEN3_OPD, attribute(batching, "_hidden_of", late)),
    "likeliest ids renormalised": (HAND_MADE["the partner's top 3"], attribute(reading, "partner_top_k", the_likeliest_alone)),
    "likeliest ids of the other partner": (
        HAND_MADE["the partner's top of all"],
        attribute(batching, "_tops_of", lambda right, *a: dict(zip(right(*a), reversed(right(*a).values()), strict=True))),
    ),
    "a pull that is dropped": (VOLD_GSPO, attribute(render, "_active", lambda *_: [])),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, plant = MISTAKES[name]
    self_check(objective, temperature=1.3)
    plant(monkeypatch)
    with pytest.raises(ObjectiveError, match="self-check"):
        self_check(objective, temperature=1.3)


def test_nothing_to_check_is_nothing_refused() -> None:
    """Reward alone asks nobody, and passes whatever became of the estimators."""
    self_check(Objective(Z_SCORE, Clip(0.2, 0.2)), temperature=0.7)
    self_check(Objective(NO_CREDIT, None, (Pull(TEACHER, 0.0),)))
