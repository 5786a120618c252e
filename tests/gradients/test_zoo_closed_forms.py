"""What is known in closed form about credits, corrections, denominators and length penalties."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from support import oracle
from support.enumeration import Rendering, Step, Table, World, expected, gradient_of_rows, log_softmax, one_step, plan_in, rows_and_z
from support.oracle import Told
from support.truths import Truth

from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, Verdict
from vold.core import render
from vold.core.advantage import overlong_penalty
from vold.core.batching import rows_of
from vold.core.objective import (
    ALL_WRONG,
    K1_ADVANTAGE,
    K2,
    REFERENCE,
    TEACHER,
    WRONG,
    Z_SCORE,
    Clip,
    Correction,
    How,
    Level,
    Objective,
    Over,
    Overlong,
    Pull,
    Share,
    Terms,
    Weigh,
)
from vold.core.plan import plan_of
from vold.core.pulls import Estimator
from vold.core.zoo import DAPO, DR_GRPO, OPD, RLOO, VOLD, VOLD_RL
from vold.stages.joint import scored

EXACT = 1e-12
BOTH: tuple[Rendering, ...] = (render.loss, render.by_coefficient)
PAIR = World(sizes=(2,), words=(1, 3), cap=2, seed=31)
TWO = World(sizes=(2, 2), words=(1,), cap=3, seed=32)


@cache
def truth_of(world: World) -> Truth:
    return Truth(world)


def wrong(o: Told) -> float:
    return 0.0 if o.right else 1.0


Slopes = Callable[[Sequence[Sequence[Told]]], list[list[np.ndarray]]]
"""A step's rollouts to ∂ loss / ∂ log π of each token, divided."""


def enumerated(world: World, slopes: Slopes) -> np.ndarray:
    """E over steps of what these slopes make of the logits."""
    truth = truth_of(world)

    def of_step(step: Step) -> np.ndarray:
        found = slopes([[truth.told[q, y] for y in group] for q, group in enumerate(step)])
        total_SV = np.zeros_like(truth.tables["new"])
        for q, (group, moved) in enumerate(zip(step, found, strict=True)):
            for y, slope in zip(group, moved, strict=True):
                total_SV += np.tensordot(slope, truth.rises[q, y], 1)
        return total_SV

    return truth.over_steps(of_step)


def assert_expected(world: World, objective: Objective, slopes: Slopes, *, renderings: Sequence[Rendering] = BOTH) -> None:
    truth_SV = enumerated(world, slopes)
    assert abs(truth_SV).max() > 1e-4
    for found_SV in expected(world, plan_in(world, objective), *renderings):
        np.testing.assert_allclose(found_SV.numpy(), truth_SV, rtol=0, atol=EXACT)


def tokens(groups: Sequence[Sequence[Told]]) -> int:
    return sum(o.length for g in groups for o in g)


# ---- credit ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("objective", "factor"), [(RLOO, 1.0), (DR_GRPO, 1 / 2)])
def test_expected_credit_is_the_gradient_of_accuracy(objective: Objective, factor: float) -> None:
    """Leave-one-out is unbiased; centring loses 1/G of it. Divided by the cap, and downhill in the loss."""
    risen_SV = np.zeros_like(PAIR.student.logits)
    for s in range(len(risen_SV)):
        for v in PAIR.allowed:
            risen_SV[s, v] = (_accuracy(s, v, 1e-6) - _accuracy(s, v, -1e-6)) / 2e-6
    assert abs(risen_SV).max() > 0.02
    for found_SV in expected(PAIR, plan_in(PAIR, objective), *BOTH):
        np.testing.assert_allclose(found_SV.numpy(), -factor * risen_SV / PAIR.cap, rtol=0, atol=1e-9)


def _accuracy(s: int, v: int, by: float) -> float:
    logits_SV = PAIR.student.logits.copy()
    logits_SV[s, v] += by
    log_pi_SV = log_softmax(logits_SV, PAIR.allowed, PAIR.temperature)
    right = [y for y in PAIR.answers if PAIR.judge(0, y) is Ruling.RIGHT]
    return sum(math.exp(sum(log_pi_SV[place] for place in zip(PAIR.states(0, y), y, strict=True))) for y in right)


# ---- importance corrections ------------------------------------------------------------------------------------------------------------

SAMPLED = World(sizes=(2,), words=(1, 3), cap=2, seed=33, moved=(0.5,), frozen=False)
"""Answers come from an engine that is not quite the trainer's policy."""


def weights(o: Told, correction: Correction) -> np.ndarray:
    """min(π / μ, cap), or 0 outside [floor, cap]; by sequence, of the geometric mean."""
    log_ratio = o.new - o.old
    if correction.level is Level.SEQUENCE:
        log_ratio = np.full(len(log_ratio), log_ratio.mean())
    ratio = np.exp(log_ratio)
    if correction.how is How.TRUNCATED:
        return np.minimum(ratio, correction.cap)
    return np.where((ratio > correction.cap) | (ratio < correction.floor), 0.0, ratio)


@pytest.mark.parametrize("on", Terms)
@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("how", How)
@pytest.mark.parametrize("by", [K2, K1_ADVANTAGE])
def test_corrections(how: How, level: Level, on: Terms, by: Estimator) -> None:
    """c = -w A + w β ∂k, each w where declared; clipping is against the trainer's own policy, whose ratio is 1."""
    correction = Correction(how, cap=1.2, floor=0.7 if how is How.MASKED else 0.0, level=level, on=on)
    objective = replace(VOLD, pulls=(Pull(TEACHER, 0.5, by, WRONG),), correction=correction)
    seen = np.concatenate([weights(o, correction) for o in truth_of(SAMPLED).told.values()])
    assert {bool(w == (1.2 if how is How.TRUNCATED else 0.0)) for w in seen} == {True, False}

    def slopes(groups: Sequence[Sequence[Told]]) -> list[list[np.ndarray]]:
        out = []
        for o, a in zip(groups[0], oracle.z_scores(oracle.verdicts(groups[0])), strict=True):
            w = weights(o, correction)
            credit, pull = (1.0 if on is Terms.PULL else w), (1.0 if on is Terms.CREDIT else w)
            out.append((-credit * a + pull * 0.5 * wrong(o) * (o.new - o.teacher)) / tokens(groups))
        return [out]

    assert_expected(SAMPLED, objective, slopes)


def test_an_uncapped_weight_undoes_the_sampler() -> None:
    """On answers of one token: E under the sampler with the weight is E under the trainer's policy without."""
    sampled = World(sizes=(1,), words=(1, 3), cap=1, seed=34, moved=(0.7,), frozen=False)
    trained = World(sizes=(1,), words=(1, 3), cap=1, seed=34)
    corrected = replace(OPD, correction=Correction(How.TRUNCATED, cap=1e6))
    for rendering in BOTH:
        (with_SV,) = expected(sampled, plan_in(sampled, corrected), rendering)
        (without_SV,) = expected(sampled, plan_in(sampled, OPD), rendering)
        (truth_SV,) = expected(trained, plan_in(trained, OPD), rendering)
        torch.testing.assert_close(with_SV, truth_SV, rtol=0, atol=EXACT)
        assert float((without_SV - truth_SV).abs().max()) > 0.01


# ---- denominators ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [WRONG, ALL_WRONG])
@pytest.mark.parametrize("share", Share)
def test_pulls_over_pulled_tokens(share: Share, mask: object) -> None:
    """The credit is divided by the whole count, the pull by the count of what it acts on, each in the unit of the share."""
    objective = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, 0.4, K2, mask, over=Over.PULLED),), share=share)  # type: ignore[arg-type]

    def slopes(groups: Sequence[Sequence[Told]]) -> list[list[np.ndarray]]:
        lost = [all(not o.right for o in g) for g in groups]
        pulled = [[o for o in g if (not o.right if mask is WRONG else alone)] for g, alone in zip(groups, lost, strict=True)]
        whole, part = _count(groups, share), _count(pulled, share)
        out = []
        for group, of_group in zip(groups, pulled, strict=True):
            advantages = oracle.z_scores(oracle.verdicts(group))
            acts = [any(o is p for p in of_group) for o in group]
            own = tokens([group]) / tokens([of_group]) if share is Share.PER_GROUP and of_group else 1.0  # each group over its own pulled tokens
            out.append(
                [
                    _share(o, group, share) * (-a / whole + (0.4 * own * (o.new - o.teacher) / part if act else 0.0)) * np.ones(o.length)
                    for o, a, act in zip(group, advantages, acts, strict=True)
                ]
            )
        return out

    assert_expected(TWO, objective, slopes)


def _count(groups: Sequence[Sequence[Told]], share: Share) -> int:
    match share:
        case Share.PER_TOKEN:
            return tokens(groups)
        case Share.PER_GROUP:
            return sum(1 for g in groups if g)
        case _:
            return sum(len(g) for g in groups)


def _share(o: Told, group: Sequence[Told], share: Share) -> float:
    match share:
        case Share.PER_TOKEN:
            return 1.0
        case Share.PER_GROUP:
            return 1 / tokens([group])
        case Share.PER_SEQUENCE:
            return 1 / o.length
        case Share.FIXED_LENGTH:
            return 1 / TWO.cap


@pytest.mark.parametrize("share", Share)
def test_parts_of_a_step_add_up(share: Share) -> None:
    """Two ranks with one group each, told the counts of both: their sums over the common count are the gradient of the whole step."""
    objective = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, 0.4, K2, WRONG, over=Over.PULLED),), share=share)
    plan = plan_in(TWO, objective)
    for step in (((TWO.answers[0], TWO.answers[1]), (TWO.answers[2], TWO.answers[3])), ((TWO.answers[0],) * 2, (TWO.answers[1], TWO.answers[0]))):
        groups = scored(TWO.groups(step), plan, Table(TWO, TWO.teacher))
        parts = [plan.counts([group]) for group in groups]
        whole = parts[0] + parts[1]
        assert whole == plan.counts(groups)
        split = [gradient_of_rows(TWO, plan, rows_of([group], plan, whole), render.loss) for group in groups]
        torch.testing.assert_close((split[0] + split[1]) / whole.z, one_step(TWO, plan, step, render.loss), rtol=0, atol=EXACT)


def test_two_pulls_and_a_weight_from_the_group() -> None:
    """Towards teacher and reference at once, each with its own estimator, mask and weight; a credit weighed by how often the group fails."""
    objective = Objective(
        replace(Z_SCORE, weigh=Weigh.FAIL_RATE, weight=0.5),
        Clip(0.2, 0.2),
        pulls=(Pull(REFERENCE, 0.3, Estimator.K3), Pull(TEACHER, 0.2, K2, WRONG, weigh=Weigh.PASS_RATE)),
    )

    def slopes(groups: Sequence[Sequence[Told]]) -> list[list[np.ndarray]]:
        out = []
        for group in groups:
            failed = sum(wrong(o) for o in group) / len(group)
            out.append(
                [
                    (-0.5 * failed * a + 0.3 * o.k3 + 0.2 * (1 - failed) * wrong(o) * o.k2) / tokens(groups)
                    for o, a in zip(group, oracle.z_scores(oracle.verdicts(group)), strict=True)
                ]
            )
        return out

    assert_expected(TWO, objective, slopes)


# ---- length ----------------------------------------------------------------------------------------------------------------------------


def test_overlong_masked() -> None:
    """What was cut off has no credit, no pull and no place in the count, but its reward is in its group's mean."""
    objective = replace(VOLD, overlong=Overlong.MASK)

    def slopes(groups: Sequence[Sequence[Told]]) -> list[list[np.ndarray]]:
        z = sum(o.length for g in groups for o in g if not o.cut)
        return [
            [(0.0 if o.cut else 1.0) * (-a + 0.1 * wrong(o) * o.k2) / max(1, z) for o, a in zip(g, oracle.z_scores(oracle.verdicts(g)), strict=True)]
            for g in groups
        ]

    # A step of nothing but cut answers has a count of 0 and is not an update.
    truth_SV = enumerated(TWO, slopes)
    total_SV = np.zeros_like(truth_SV)
    for step, probability in TWO.steps():
        plan = plan_in(TWO, objective)
        if rows_and_z(TWO, plan, step)[1]:
            total_SV += probability * one_step(TWO, plan, step, render.by_coefficient).numpy()
    np.testing.assert_allclose(total_SV, truth_SV, rtol=0, atol=EXACT)


def test_no_pull_on_truncated() -> None:
    """They keep their credit and their place in the count."""

    def slopes(groups: Sequence[Sequence[Told]]) -> list[list[np.ndarray]]:
        return [
            [(-a + 0.1 * wrong(o) * (not o.cut) * o.k2) / tokens(groups) for o, a in zip(g, oracle.z_scores(oracle.verdicts(g)), strict=True)]
            for g in groups
        ]

    assert_expected(TWO, replace(VOLD, pull_truncated=False), slopes)


def test_soft_penalty_of_a_wide_buffer() -> None:
    """With a buffer of 0.9 of the cap, every length but the shortest is somewhere on the slope."""
    objective = replace(VOLD_RL, overlong=Overlong.SOFT, soft_buffer=0.9)
    penalties = {o.length: oracle.soft_penalty(o.length, 3, 2.7) for o in truth_of(TWO).told.values()}
    assert penalties == {1: pytest.approx(-0.7 / 2.7), 2: pytest.approx(-1.7 / 2.7), 3: -1.0}

    def slopes(groups: Sequence[Sequence[Told]]) -> list[list[np.ndarray]]:
        rewards = [[r + penalties[o.length] for r, o in zip(oracle.verdicts(g), g, strict=True)] for g in groups]
        return [
            [np.full(o.length, -a / tokens(groups)) for o, a in zip(g, oracle.z_scores(of_group), strict=True)]
            for g, of_group in zip(groups, rewards, strict=True)
        ]

    assert_expected(TWO, objective, slopes)


def test_dapos_penalty_at_its_own_lengths() -> None:
    """Cap 20480, buffer 4096: 0, -0.5 and -1 at 16384, 18432 and 20480; through the plan, z-scores of rewards 1, 0.5 and 0."""
    assert [overlong_penalty(length, cap=20480, buffer=4096) for length in (1, 16384, 18432, 20480)] == [0.0, 0.0, -0.5, -1.0]
    problem = Problem(id="q", prompt="", answer="", source="hand")

    def member(sample: int, length: int) -> ScoredRollout:
        told = Rollout(
            problem=problem, sample=sample, prompt_ids=(1,), response_ids=(1,) * length, logprobs=(0.0,) * length, sampled=(True,) * length,
            policy_version=0, finish=Finish.STOP, text="",
        )  # fmt: skip
        return ScoredRollout(rollout=told, verdict=Verdict(ruling=Ruling.RIGHT, extracted=None))

    group = Group(problem=problem, members=tuple(member(i, length) for i, length in enumerate((16384, 18432, 20480))))
    found = plan_of(DAPO, step=0, length_cap=20480).advantages(group)
    assert found == pytest.approx([0.5 / (0.5 + 1e-6), 0.0, -0.5 / (0.5 + 1e-6)], abs=1e-12)
