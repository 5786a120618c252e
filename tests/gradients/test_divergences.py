"""Which divergence every estimator descends, on policies whose every answer can be listed; what a mask, a clamp and a bonus make of it."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from support import oracle
from support.enumeration import Answer, Rendering, Voice, World, expected, log_softmax, one_step, plan_in
from support.truths import Truth
from torch import Tensor

from vold.base.errors import ObjectiveError
from vold.core import render
from vold.core.batching import Row, batch_of
from vold.core.objective import (
    FIXED_LENGTH,
    JSD,
    K1_ADVANTAGE,
    K2,
    K3,
    NO_CREDIT,
    RAW,
    REFERENCE,
    TEACHER,
    WRONG,
    Beyond,
    Clamp,
    Clip,
    Estimator,
    Objective,
    Pull,
)
from vold.core.plan import plan_of
from vold.core.reading import read

EXACT = 1e-13
ALONE = World(sizes=(1,), words=(1, 3), cap=3, temperature=1.2, seed=21)
"""One rollout a step and a constant length in the denominator: every expectation below is a plain sum over prefixes."""
ENTRIES = len(ALONE.allowed)


@cache
def truth() -> Truth:
    return Truth(ALONE)


def alone(pull: Pull, **settings: object) -> Objective:
    return Objective(NO_CREDIT, None, pulls=(pull,), share=FIXED_LENGTH, **settings)  # type: ignore[arg-type]


def found(objective: Objective, world: World = ALONE) -> list[np.ndarray]:
    """The program's expected gradient, by each rendering there is; times the cap, which every answer was divided by."""
    renderings: list[Rendering] = [render.loss] if objective.no_coefficient else [render.loss, render.by_coefficient]
    return [gradient_SV.numpy() * world.cap for gradient_SV in expected(world, plan_in(world, objective), *renderings)]


def visits() -> np.ndarray:
    """How probable each prefix is."""
    p_S = np.zeros(len(ALONE.state_of))
    for (problem, answer), probability in truth().probability.items():
        for s in ALONE.states(problem, answer):
            p_S[s] += probability
    return p_S


def at_visits(value: Callable[[Tensor, Tensor], Tensor], *, partner: str = "teacher", weight_S: np.ndarray | None = None) -> np.ndarray:
    """Σ over prefixes of how often each is seen × ∇ of a number of (log π, log φ) there, by autograd on the allowed ids alone."""
    logits_SV = ALONE.student.hidden_SK.clone().requires_grad_()
    allowed = list(ALONE.allowed)
    log_pi_SA = (logits_SV[:, allowed] / ALONE.temperature).log_softmax(1)
    log_phi_SA = torch.tensor(truth().tables[partner][:, allowed])
    total = (torch.tensor(visits() if weight_S is None else weight_S) * value(log_pi_SA, log_phi_SA)).sum()
    return torch.autograd.grad(total, logits_SV)[0].numpy()


def student_to_partner(log_pi: Tensor, log_phi: Tensor) -> Tensor:
    return (log_pi.exp() * (log_pi - log_phi)).sum(1)


def partner_to_student(log_pi: Tensor, log_phi: Tensor) -> Tensor:
    return (log_phi.exp() * (log_phi - log_pi)).sum(1)


def jensen_shannon(mix: float) -> Callable[[Tensor, Tensor], Tensor]:
    def value(log_pi: Tensor, log_phi: Tensor) -> Tensor:
        log_m = (mix * log_phi.exp() + (1 - mix) * log_pi.exp()).log()
        return mix * (log_phi.exp() * (log_phi - log_m)).sum(1) + (1 - mix) * (log_pi.exp() * (log_pi - log_m)).sum(1)

    return value


def partners_likeliest(k: int) -> Callable[[Tensor, Tensor], Tensor]:
    """KL(φ‖π) once the tokens that are not among the partner's k likeliest have become one."""

    def value(log_pi: Tensor, log_phi: Tensor) -> Tensor:
        order_SA = log_phi.argsort(1, descending=True)
        phi, pi = (logprobs.gather(1, order_SA).exp() for logprobs in (log_phi, log_pi))
        phi, pi = (torch.cat([p[:, :k], p[:, k:].sum(1, keepdim=True)], 1)[:, : min(k + 1, ENTRIES)] for p in (phi, pi))
        return (phi * (phi / pi).log()).sum(1)

    return value


# ---- which divergence ------------------------------------------------------------------------------------------------------------------

FAMILIES = {
    "k2": (Pull(TEACHER, 1.0, K2), student_to_partner),
    "k1-advantage": (Pull(TEACHER, 1.0, K1_ADVANTAGE), student_to_partner),
    "full-student-to-partner": (Pull(TEACHER, 1.0, Estimator.FULL_STUDENT_TO_PARTNER), student_to_partner),
    "k3": (Pull(TEACHER, 1.0, K3), partner_to_student),
    "full-partner-to-student": (Pull(TEACHER, 1.0, Estimator.FULL_PARTNER_TO_STUDENT), partner_to_student),
    **{f"top-{k}": (Pull(TEACHER, 1.0, Estimator.TOP_K, top=k), student_to_partner) for k in range(1, ENTRIES + 3)},
    **{f"partner-top-{k}": (Pull(TEACHER, 1.0, Estimator.PARTNER_TOP_K, top=k), partners_likeliest(k)) for k in range(1, ENTRIES + 3)},
    **{f"jsd {mix}": (Pull(TEACHER, 1.0, JSD, mix=mix), jensen_shannon(mix)) for mix in (0.1, 0.5, 0.9)},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_expected_gradient_is_that_of_the_divergence(name: str) -> None:
    pull, value = FAMILIES[name]
    truth_SV = at_visits(value)
    assert abs(truth_SV).max() > 0.01
    for gradient_SV in found(alone(pull)):
        np.testing.assert_allclose(gradient_SV, truth_SV, rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    ("by", "value"), [(K2, student_to_partner), (K3, partner_to_student), (Estimator.FULL_PARTNER_TO_STUDENT, partner_to_student)]
)
def test_the_same_towards_the_reference(by: Estimator, value: Callable[[Tensor, Tensor], Tensor]) -> None:
    for gradient_SV in found(alone(Pull(REFERENCE, 1.0, by))):
        np.testing.assert_allclose(gradient_SV, at_visits(value, partner="reference"), rtol=0, atol=EXACT)


def test_the_divergences_are_different() -> None:
    """Else the tests above could not tell one estimator from another."""
    gradients = [at_visits(value) for value in (student_to_partner, partner_to_student, jensen_shannon(0.5), jensen_shannon(0.1))]
    assert all(abs(a - b).max() > 0.01 for i, a in enumerate(gradients) for b in gradients[:i])


def test_k1_as_a_loss_teaches_nothing() -> None:
    """E[∇(log π - log φ)] = 0, and the program refuses it."""
    total_SV = sum(probability * truth().rises[place].sum(0) for place, probability in truth().probability.items())
    np.testing.assert_allclose(total_SV, 0.0, rtol=0, atol=1e-15)
    with pytest.raises(ObjectiveError, match="teaches nothing"):
        Pull(TEACHER, 1.0, Estimator.K1)


@pytest.mark.parametrize(("rows", "teacher_rows"), [(6, 9), (9, 6)])
def test_ids_only_one_model_has(rows: int, teacher_rows: int) -> None:
    """Whichever head has more rows, full sums run over the ids both may say, as the sampled forms do."""
    drawn = World(sizes=(1,), words=(1, 3), cap=2, rows=rows, seed=22)
    world = replace(drawn, models={"teacher": Voice(drawn.teacher.hidden_SK, drawn.teacher.head_WK[:teacher_rows])})
    assert world.teacher.head_WK.shape[0] == teacher_rows
    for by, top, sampled in (
        (Estimator.FULL_STUDENT_TO_PARTNER, None, K2),
        (Estimator.FULL_PARTNER_TO_STUDENT, None, K3),
        (Estimator.TOP_K, 2, K2),
    ):
        (whole_SV,) = found(alone(Pull(TEACHER, 1.0, by, top=top)), world)
        np.testing.assert_allclose(whole_SV, found(alone(Pull(TEACHER, 1.0, sampled)), world)[0], rtol=0, atol=EXACT)


# ---- under the mask --------------------------------------------------------------------------------------------------------------------


def fails(answer: Answer) -> bool:
    return str(ALONE.judge(0, answer)) == "wrong"


def test_masked_k2_weighs_a_token_by_failing_after_it() -> None:
    """Σ over prefixes and tokens of π P(fail | prefix, token)(log π - log φ)∇ log π; the masked full sum takes P(fail | prefix) instead."""
    log_pi_SV, log_phi_SV = truth().tables["new"], truth().tables["teacher"]
    seen_SV, failed_SV = np.zeros_like(log_pi_SV), np.zeros_like(log_pi_SV)
    for (problem, answer), probability in truth().probability.items():
        for s, y in zip(ALONE.states(problem, answer), answer, strict=True):
            seen_SV[s, y] += probability
            failed_SV[s, y] += probability * fails(answer)
    sampled_SV = np.zeros_like(log_pi_SV)
    for s, reached in enumerate(visits()):
        for v in ALONE.allowed:
            fail = failed_SV[s, v] / seen_SV[s, v]
            rise_V = -np.exp(log_pi_SV[s])
            rise_V[v] += 1
            sampled_SV[s] += reached * math.exp(log_pi_SV[s, v]) * fail * (log_pi_SV[s, v] - log_phi_SV[s, v]) * rise_V / ALONE.temperature
    whole_SV = at_visits(student_to_partner, weight_S=failed_SV.sum(1))
    assert abs(sampled_SV - whole_SV).max() > 0.02
    for gradient_SV in found(alone(Pull(TEACHER, 1.0, K2, on=WRONG))):
        np.testing.assert_allclose(gradient_SV, sampled_SV, rtol=0, atol=EXACT)
    (gradient_SV,) = found(alone(Pull(TEACHER, 1.0, Estimator.FULL_STUDENT_TO_PARTNER, on=WRONG)))
    np.testing.assert_allclose(gradient_SV, whole_SV, rtol=0, atol=EXACT)


def test_baselines_are_not_free_under_the_mask() -> None:
    """E[(1 - r) ∇ log π] = -∇ E[r], which is far from 0; a raw credit follows it the other way round."""
    failing_SV = sum(p * fails(answer) * truth().rises[q, answer].sum(0) for (q, answer), p in truth().probability.items())
    risen_SV = np.zeros_like(failing_SV)
    for s in range(len(risen_SV)):
        for v in ALONE.allowed:
            risen_SV[s, v] = (_accuracy(s, v, 1e-6) - _accuracy(s, v, -1e-6)) / 2e-6
    assert abs(failing_SV).max() > 0.05
    np.testing.assert_allclose(failing_SV, -risen_SV, rtol=0, atol=1e-9)
    for gradient_SV in found(Objective(RAW, None, share=FIXED_LENGTH)):
        np.testing.assert_allclose(gradient_SV, failing_SV, rtol=0, atol=EXACT)


def _accuracy(s: int, v: int, by: float) -> float:
    logits_SV = ALONE.student.logits.copy()
    logits_SV[s, v] += by
    log_pi_SV = log_softmax(logits_SV, ALONE.allowed, ALONE.temperature)
    return sum(math.exp(sum(log_pi_SV[place] for place in zip(ALONE.states(q, y), y, strict=True))) for q, y in truth().probability if not fails(y))


# ---- clamps ----------------------------------------------------------------------------------------------------------------------------

LIMIT = 0.6


def _k2(d: float) -> float:
    return 0.5 * d * d


def _k3(d: float) -> float:
    return math.exp(-d) - 1 + d


def _stopped(k: Callable[[float], float]) -> Callable[[float], float]:
    return lambda d: k(max(-LIMIT, min(LIMIT, d)))


def _huber(d: float) -> float:
    return _k2(d) if abs(d) <= LIMIT else LIMIT * abs(d) - LIMIT * LIMIT / 2


def _saturated_k3(d: float) -> float:
    if abs(d) <= LIMIT:
        return _k3(d)
    edge = math.copysign(LIMIT, d)
    return _k3(edge) + (1 - math.exp(-edge)) * (d - edge)


CLAMPS = {
    "k2, stop": (K2, Beyond.STOP, _stopped(_k2)),
    "k2, saturate": (K2, Beyond.SATURATE, _huber),
    "k3, stop": (K3, Beyond.STOP, _stopped(_k3)),
    "k3, saturate": (K3, Beyond.SATURATE, _saturated_k3),
    "k1-advantage, stop": (K1_ADVANTAGE, Beyond.STOP, _stopped(_k2)),
    "k1-advantage, saturate": (K1_ADVANTAGE, Beyond.SATURATE, _huber),
}


@pytest.mark.parametrize("name", CLAMPS)
def test_clamps_by_finite_differences(name: str) -> None:
    """Outside the limit a token is let go (stop), or pulled as if it were at the limit (saturate)."""
    by, beyond, value = CLAMPS[name]
    clip = Clip(0.2, 0.2) if by is K1_ADVANTAGE else None
    objective = Objective(NO_CREDIT, clip, pulls=(Pull(TEACHER, 1.0, by, clamp=Clamp(LIMIT, beyond)),), share=FIXED_LENGTH)
    gaps = np.concatenate([o.new - o.teacher for o in truth().told.values()])
    assert (gaps > LIMIT).any()
    assert (gaps < -LIMIT).any()
    assert (abs(gaps) < LIMIT).any()
    for answer in ALONE.answers:
        slopes = [(value(gap + 1e-6) - value(gap - 1e-6)) / 2e-6 for gap in truth().told[0, answer].new - truth().told[0, answer].teacher]
        truth_SV = np.tensordot(slopes, truth().rises[0, answer], 1)
        for rendering in (render.loss, render.by_coefficient):
            found_SV = one_step(ALONE, plan_in(ALONE, objective), ((answer,),), rendering).numpy() * ALONE.cap
            np.testing.assert_allclose(found_SV, truth_SV, rtol=0, atol=1e-8)


# ---- entropy ---------------------------------------------------------------------------------------------------------------------------


def test_entropy_bonus_is_exact() -> None:
    """It raises Σ -π log π at every prefix seen, over the ids that may be said."""
    objective = Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, 0.0),), share=FIXED_LENGTH, entropy=0.03)
    truth_SV = at_visits(lambda log_pi, _: 0.03 * (log_pi.exp() * log_pi).sum(1))
    (gradient_SV,) = found(objective)
    np.testing.assert_allclose(gradient_SV, truth_SV, rtol=0, atol=EXACT)


# ---- the oracle's own formulas ---------------------------------------------------------------------------------------------------------


def test_the_oracles_gradients_are_those_of_its_divergences() -> None:
    """The rows the enumeration multiplies `wide` with, against finite differences of the divergence written as a sum."""
    for of, value in (("student-to-teacher", oracle.kl), ("jsd", lambda pi, phi: oracle.jsd(pi, phi, 0.5))):
        for (_, answer), wide_TSV in truth().widths(of).items():
            for t, s in enumerate(ALONE.states(0, answer)):
                for v in ALONE.allowed:
                    there, back = (_divergence_at(s, v, by, value) for by in (1e-6, -1e-6))
                    assert wide_TSV[t, s, v] == pytest.approx((there - back) / 2e-6, abs=1e-9)


def _divergence_at(s: int, v: int, by: float, value: Callable[[np.ndarray, np.ndarray], float]) -> float:
    logits_V = ALONE.student.logits[s].copy()
    logits_V[v] += by
    return value(log_softmax(logits_V, ALONE.allowed, ALONE.temperature), truth().tables["teacher"][s])


# ---- half precision --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [Estimator.FULL_STUDENT_TO_PARTNER, Estimator.FULL_PARTNER_TO_STUDENT, JSD])
def test_an_equal_partner_in_half_precision(by: Estimator) -> None:
    """Both models' logits leave bfloat16 before anything is done to them: a partner that is the student is exactly 0 away at any temperature."""
    draw = torch.Generator().manual_seed(5)
    hidden_NH, head_VH = (torch.randn(n, 16, generator=draw).to(torch.bfloat16) for n in (4, 40))
    objective = Objective(NO_CREDIT, None, (Pull(TEACHER, 1.0, by, mix=0.5 if by is JSD else None),))
    row = Row(prompt_ids=(1,), response_ids=(2, 3, 4, 5), sampled=(True,) * 4, weights=(1.0,), teacher_hidden=hidden_NH)
    batch = batch_of([row], pulls=1)
    reading = read(plan_of(objective, step=0, length_cap=4), batch, hidden_NH, head_VH, heads={TEACHER: head_VH}, temperature=0.7)
    assert reading.divergences[0] is not None
    assert float(reading.divergences[0].abs().max()) < 1e-6
