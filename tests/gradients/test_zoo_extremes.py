"""The extremes of every named method: all right, all wrong, a teacher that is the student, strength 0, the ends of a schedule."""

from dataclasses import replace

import pytest
import torch
from support.enumeration import Answer, Rendering, Table, Voice, World, expected, plan_in, rows_and_z

from vold.base.types import Rollout, Ruling
from vold.core import render
from vold.core.objective import (
    NO_CREDIT,
    TEACHER,
    Objective,
    Pull,
)
from vold.core.plan import plan_of
from vold.core.pulls import Estimator, Partner
from vold.core.zoo import KDRL_ANNEALED, OPD, VLAA_THINKER, VOLD, ZOO
from vold.stages.joint import scored

BOTH: tuple[Rendering, ...] = (render.loss, render.by_coefficient)
PAIR = World(sizes=(2,), words=(1, 3), cap=2, seed=31)
TEACHERS = [name for name, objective in ZOO.items() if objective.needs_teacher]


# ---- schedules -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "beta"), [(0, 0.005), (1, 0.00495), (40, 0.003), (79, 0.00105), (80, 0.001), (81, 0.001), (500, 0.001)])
def test_kdrls_annealing(step: int, beta: float) -> None:
    assert plan_of(KDRL_ANNEALED, step=step, length_cap=9).betas == (pytest.approx(beta, abs=1e-15),)


def test_an_adaptive_strength_is_the_one_kept() -> None:
    """VLAA-Thinker starts at 1e-3; what the run has made of it since then is what the gradient has."""
    plain = replace(VLAA_THINKER, pulls=(replace(VLAA_THINKER.pulls[0], beta=0.02),))
    assert plan_of(VLAA_THINKER, step=7, length_cap=2).betas == (1e-3,)
    found, truth = (
        expected(PAIR, plan, render.loss)[0]
        for plan in (plan_of(VLAA_THINKER, step=7, length_cap=2, betas={0: 0.02}), plan_of(plain, step=7, length_cap=2))
    )
    assert torch.equal(found, truth)


# ---- extremes --------------------------------------------------------------------------------------------------------------------------


def ruled(ruling: Ruling) -> World:
    return World(sizes=(2,), words=(1, 3), cap=2, seed=35, judge=lambda *_: ruling)


def test_all_right_is_untouched_under_vold() -> None:
    """No row, so no forward and no backward; nobody is asked; the count is still that of all tokens."""
    world = ruled(Ruling.RIGHT)
    plan = plan_in(world, VOLD)
    for step, _ in world.steps():
        groups = world.groups(step)
        rows, z = rows_and_z(world, plan, step)
        assert (rows, z) == ([], sum(len(y) for y in step[0]))
        assert not any(plan.wants(partner, m, g) for partner in Partner for g in groups for m in g.members)


def test_all_wrong_is_the_pull_alone_under_vold() -> None:
    """β times the gradient of k2, which is OPD's."""
    world = ruled(Ruling.WRONG)
    for rendering in BOTH:
        (vold_SV,) = expected(world, plan_in(world, VOLD), rendering)
        (opd_SV,) = expected(world, plan_in(world, OPD), rendering)
        assert float(opd_SV.abs().max()) > 0.01
        torch.testing.assert_close(vold_SV, 0.1 * opd_SV, rtol=0, atol=1e-15)


def twin(world: World) -> World:
    """The same world with a teacher that is the student, under a wider head whose further rows say something else."""
    further = torch.randn(3, world.rows, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return replace(world, models={"teacher": Voice(world.student.hidden_SK, torch.cat([world.student.head_WK, further]))})


@pytest.mark.parametrize("by", [e for e in Estimator if e is not Estimator.K1])
def test_a_teacher_that_is_the_student_has_no_pull(by: Estimator) -> None:
    pull = Pull(TEACHER, 1.0, by, mix=0.3 if by is Estimator.JSD else None, top=2 if by.takes_top else None)
    objective = Objective(NO_CREDIT, None, pulls=(pull,))
    world = twin(PAIR)
    renderings = [render.loss] if objective.no_coefficient else BOTH
    for found_SV in expected(world, plan_in(world, objective), *renderings):
        assert float(found_SV.abs().max()) < 1e-15
    assert float(expected(PAIR, plan_in(PAIR, objective), *renderings)[0].abs().max()) > 0.01


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_that_is_the_student_adds_nothing(name: str) -> None:
    """Every named method with a teacher is then itself without the teacher; credit that is only for some stays so."""
    objective = ZOO[name]
    world = twin(PAIR)
    (found_SV,) = expected(world, plan_in(world, objective), render.loss)
    if not objective.credit.present:
        assert float(found_SV.abs().max()) < 1e-15
        return
    without = replace(objective, credit=replace(objective.credit, by_teacher=None), pulls=())
    (truth_SV,) = expected(PAIR, plan_in(PAIR, without), render.loss)
    torch.testing.assert_close(found_SV, truth_SV, rtol=0, atol=1e-15)
    assert float(truth_SV.abs().max()) > 1e-3
    assert float((expected(PAIR, plan_in(PAIR, objective), render.loss)[0] - truth_SV).abs().max()) > 1e-5


@pytest.mark.parametrize("name", [name for name, objective in ZOO.items() if objective.pulls and objective.credit.present])
def test_strength_zero_is_the_method_without(name: str) -> None:
    """Bit for bit, and nobody is asked."""
    objective = ZOO[name]
    muted = replace(objective, pulls=tuple(replace(pull, beta=0.0) for pull in objective.pulls))
    plans = [plan_in(PAIR, muted), plan_in(PAIR, replace(objective, pulls=()))]
    found_SV, truth_SV = (expected(PAIR, plan, render.loss)[0] for plan in plans)
    assert torch.equal(found_SV, truth_SV)
    groups = PAIR.groups(((PAIR.answers[0], PAIR.answers[3]),))
    assert not any(plans[0].wants(partner, m, g) for partner in Partner for g in groups for m in g.members)


def test_partners_are_asked_where_they_are_read() -> None:
    """Under VOLD the teacher reads exactly the wrong answers; under SRPO too; under RLSD those with an advantage; under OPD all."""
    right, lost = next(y for y in PAIR.answers if _right(y)), next(y for y in PAIR.answers if not _right(y))
    asked = {
        (name, step): [r.response_ids for r in _asked(ZOO[name], step)]
        for name in ("VOLD", "SRPO", "RLSD", "OPD", "GRPO")
        for step in ((right, lost), (right, right), (lost, lost))
    }
    assert asked == {
        ("VOLD", (right, lost)): [lost], ("VOLD", (right, right)): [], ("VOLD", (lost, lost)): [lost, lost],
        ("SRPO", (right, lost)): [lost], ("SRPO", (right, right)): [], ("SRPO", (lost, lost)): [lost, lost],
        ("RLSD", (right, lost)): [right, lost], ("RLSD", (right, right)): [], ("RLSD", (lost, lost)): [],
        ("OPD", (right, lost)): [right, lost], ("OPD", (right, right)): [right, right], ("OPD", (lost, lost)): [lost, lost],
        ("GRPO", (right, lost)): [], ("GRPO", (right, right)): [], ("GRPO", (lost, lost)): [],
    }  # fmt: skip


def _right(answer: Answer) -> bool:
    return PAIR.judge(0, answer) is Ruling.RIGHT


def _asked(objective: Objective, group: tuple[Answer, ...]) -> list[Rollout]:
    teacher = Table(PAIR, PAIR.teacher)
    scored(PAIR.groups((group,)), plan_in(PAIR, objective), teacher, Table(PAIR, PAIR.reference))
    return teacher.asked
