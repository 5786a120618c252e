"""The whole step on a real tiny Qwen2.5-VL in float64 against a dense reference of the paper's equations."""

import pytest
import torch
from support import dense
from support import models as m
from support import records as r
from support.checks import MIXED, check_all_wrong_group_learns, check_step_equals_dense
from support.plans import z_of

from vold.adapters.models import load
from vold.core.zoo import OPD, VOLD


@pytest.mark.parametrize("name", dense.METHODS)
@pytest.mark.parametrize("words", [MIXED, ("RRRR", "RWW"), ("RWW", "WWw", "wwww")], ids=["mixed", "with-all-right", "with-all-wrong"])
def test_step_equals_dense(world: m.World, name: str, words: tuple[str, ...]) -> None:
    check_step_equals_dense(world, name, words)


@pytest.mark.parametrize("name", ["VOLD", "OPD"])
def test_tokens_that_were_not_sampled_are_read_but_not_trained(world: m.World, name: str) -> None:
    check_step_equals_dense(world, name, inserted=True)


@pytest.mark.parametrize("name", ["VOLD", "VOLD_RL"])
def test_at_another_temperature(world: m.World, name: str) -> None:
    check_step_equals_dense(world, name, temperature=0.7)


def test_all_wrong_alone(world: m.World) -> None:
    check_all_wrong_group_learns(world)


def test_all_right_alone_teaches_nothing(world: m.World) -> None:
    assert m.size_of(m.gradient_of(m.learner_of(world.student64), r.groups_of("RRRR", "RR"), VOLD)) == 0.0


def test_one_judged_rollout_has_no_credit_but_its_pull(world: m.World) -> None:
    """Alone in its group its advantage is 0, not 0/0: what is left is β k2."""
    groups = r.groups_of("WUU")
    found = m.gradient_of(m.learner_of(world.student64), groups, VOLD, z=z_of(groups, VOLD))
    alone = r.groups_of("WUU")[0]
    model, banned = world.student64.model, m.learner_of(world.student64).banned_V
    judged = alone.members[0]
    teacher = torch.tensor(judged.teacher_logprobs, dtype=torch.float64)
    (0.1 * 0.5 * (dense.logprobs_of(model, judged.rollout, banned) - teacher) ** 2).mean().backward()
    m.assert_same_gradient(found, m.taken(model), within=1e-12)


def test_as_shipped_in_float32(world: m.World) -> None:
    """The same with the model as it is loaded for a run: float32, its own norms, eager attention."""
    student = load(world.student_folder)
    groups = r.groups_of(*MIXED)
    learner = m.learner_of(student, token_budget=60)
    found = m.gradient_of(learner, groups, VOLD, z=z_of(groups, VOLD))
    dense.loss_of(student.model, groups, dense.METHODS["VOLD"], learner.banned_V).backward()
    m.assert_same_gradient(found, m.taken(student.model), within=2e-5)


def test_finite_differences_through_the_model(world: m.World) -> None:
    """OPD's k2 is an ordinary function of the weights: its slope along a random direction, by differences of the dense loss."""
    student = world.fresh()
    groups = r.groups_of("WRw", "WW")
    learner = m.learner_of(student)
    found = m.gradient_of(learner, groups, OPD, z=z_of(groups, OPD))
    draw = torch.Generator().manual_seed(3)
    trained = [(name, p) for name, p in student.model.named_parameters() if ".visual." not in name]
    direction = {name: torch.randn(p.shape, generator=draw, dtype=torch.float64) for name, p in trained}
    slope = sum(float((found[name] * direction[name]).sum()) for name, _ in trained)
    eps, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            for name, p in trained:
                p.add_(direction[name], alpha=sign * eps)
            values.append(float(dense.loss_of(student.model, groups, dense.METHODS["OPD"], learner.banned_V)))
    assert (values[0] - values[1]) / (2 * eps) == pytest.approx(slope, rel=1e-7)
