"""Several updates on one batch, where the clip acts: weights after them equal those of a dense PPO."""

from dataclasses import replace

import pytest
import torch
from support import dense
from support import models as m
from support import records as r
from support.plans import plan_for, z_of

from vold.adapters.learners.single import Adam
from vold.core import render
from vold.core.objective import Objective
from vold.core.stats import of_updates
from vold.core.zoo import VOLD, VOLD_RL
from vold.stages.joint import JointRun, Phase, updated

WORDS = ("RWw", "WR", "WWW", "RRW", "RWU", "WRR")


def run_of(objective: Objective, updates: int, lr: float) -> JointRun:
    return JointRun(
        steps=1, group_size=3, lr=lr, warmup=0, sampling=m.sampling(9), phases=(Phase(objective=objective, until=1),), updates_per_batch=updates
    )


@pytest.mark.parametrize(("name", "objective"), [("VOLD", VOLD), ("VOLD_RL", VOLD_RL)])
@pytest.mark.parametrize("updates", [1, 2, 3])
def test_updates_equal_dense_ppo(world: m.World, name: str, objective: Objective, updates: int) -> None:
    ours, theirs = world.fresh(), world.fresh()
    groups = r.groups_of(*WORDS)
    learner = m.learner_of(ours, adam=Adam(weight_decay=0.1), token_budget=60)
    stats = of_updates(updated(run_of(objective, updates, lr=3e-3), learner, groups, plan_for(objective)))
    moved = dense.updated(theirs.model, groups, dense.METHODS[name], learner.banned_V, updates=updates, lr=3e-3, decay=0.1)
    assert learner.step == updates
    assert moved[0] == 0.0
    if updates > 1:
        assert max(moved) > 0.3, "no ratio left the clip's range: the test would not see a clip"
        assert stats["clip/low"] + stats["clip/high"] > 0
    # AdamW divides by |gradient| + 1e-8: where a gradient is zero but for rounding, 1e-15 becomes 1e-7 of a step. Hence not 1e-12.
    for (label, one), (_, other) in zip(ours.model.named_parameters(), theirs.model.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9, msg=lambda text, label=label: f"{label}: {text}")


def test_one_update_by_coefficient_is_one_update_by_loss(world: m.World) -> None:
    """freeze_behaviour right before accumulating changes the rendering, not the gradient."""
    learner = m.learner_of(world.fresh(), token_budget=60)
    groups = r.groups_of(*WORDS)
    by_coefficient = m.gradient_of(learner, groups, VOLD)
    learner.freeze_behaviour(groups)
    m.assert_same_gradient(m.gradient_of(learner, groups, VOLD), by_coefficient, within=1e-12)


def test_frozen_behaviour_is_that_of_the_moment(world: m.World) -> None:
    """It stays what it was when weights move, is kept for tokens that were not sampled too, and is taken anew for the next batch."""
    learner = m.learner_of(world.fresh())
    groups = r.groups_of(*WORDS, inserted=True)
    learner.freeze_behaviour(groups)
    kept = learner.behaviour
    assert kept is not None
    for member in (member for group in groups for member in group.members):
        with torch.no_grad():
            truth = dense.logprobs_of(learner.student.model, member.rollout, learner.banned_V)
        found = torch.tensor(kept[member.rollout.problem.id, member.rollout.sample], dtype=torch.float64)
        torch.testing.assert_close(found, truth, rtol=0, atol=1e-12)
    m.accumulate(learner, groups, VOLD)
    learner.apply(z_of(groups, VOLD), lr=1e-2)
    assert learner.behaviour is kept
    learner.freeze_behaviour(groups)
    assert learner.behaviour != kept


def test_the_gradient_norm_is_clipped_after_the_division(world: m.World) -> None:
    """`grad_norm` is that of the mean gradient; what the optimizer sees is at most the bound."""
    groups = r.groups_of(*WORDS)
    student = world.fresh()
    learner = m.learner_of(student, adam=Adam(clip_norm=1e-3, weight_decay=0.0))
    z = z_of(groups, VOLD)
    norm = torch.stack([g.norm() for g in m.gradient_of(learner, groups, VOLD, z=z).values()]).norm()
    seen: list[float] = []
    learner.optimizer.register_step_pre_hook(
        lambda optimizer, *_: seen.append(
            float(torch.stack([p.grad.norm() for g in optimizer.param_groups for p in g["params"] if p.grad is not None]).norm())
        )
    )
    m.accumulate(learner, groups, VOLD)
    assert learner.apply(z, lr=0.0)["grad_norm"] == pytest.approx(float(norm), rel=1e-10)
    assert seen == [pytest.approx(1e-3, rel=1e-3)]


def test_gradients_do_not_leak_into_the_next_step(world: m.World) -> None:
    learner = m.learner_of(world.fresh())
    groups = r.groups_of("RW")
    m.accumulate(learner, groups, VOLD)
    learner.apply(z_of(groups, VOLD), lr=0.0)
    assert m.size_of(m.taken(learner.student.model)) == 0.0


def test_behaviour_of_the_batch_is_what_the_clip_reads(world: m.World) -> None:
    """The learner hands the frozen numbers, not the sampler's, to the loss."""
    learner = m.learner_of(world.student64)
    groups = r.groups_of("RW")
    learner.freeze_behaviour(groups)
    seen = []
    original = render.loss_sum
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "loss_sum", lambda plan, batch, reading: (seen.append(batch.behaviour_N), original(plan, batch, reading))[1])
        m.accumulate(learner, groups, replace(VOLD, pulls=()))
    m.taken(world.student64.model)
    assert learner.behaviour is not None
    assert sorted(seen[0].tolist()) == sorted(x for row in learner.behaviour.values() for x in row)
