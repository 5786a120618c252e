"""What must not change a gradient: how rollouts are cut, ordered and padded, what nobody reads, and a pull of weight 0."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import models as m
from support import records as r
from support.checks import MIXED, check_all_wrong_group_learns, check_cut_changes_nothing, check_reward_alone_needs_no_teacher
from support.invariance import accompanied
from support.plans import CAP, plan_for, z_of

from vold.core import render
from vold.core.batching import batch_of, rows_of
from vold.core.objective import K2, TEACHER, WRONG, Pull, Schedule, Share
from vold.core.reading import Reading
from vold.core.zoo import OPD, VOLD, VOLD_RL, VOLD_UNMASKED

WORDS = st.lists(st.text("RWUrwu", min_size=2, max_size=3), min_size=1, max_size=4)


def test_cut(world: m.World) -> None:
    check_cut_changes_nothing(world)


@settings(max_examples=12)
@given(words=WORDS, budget=st.integers(1, 120), shuffled=st.randoms(use_true_random=False), seed=st.integers(0, 9))
def test_cut_and_order_of_groups(world: m.World, words: list[str], budget: int, shuffled: object, seed: int) -> None:
    groups = r.groups_of(*words, seed=seed)
    whole = m.gradient_of(m.learner_of(world.student64, token_budget=10_000), groups, VOLD_UNMASKED)
    shuffled.shuffle(groups)  # type: ignore[attr-defined]
    found = m.gradient_of(m.learner_of(world.student64, token_budget=budget), groups, VOLD_UNMASKED)
    m.assert_same_gradient(found, whole, within=1e-12)


def test_reported_sums_do_not_depend_on_the_cut(world: m.World) -> None:
    """Sums add up over micro-batches; the largest log-ratio is the largest of all."""
    groups = r.groups_of(*MIXED)
    found = []
    for budget in (10_000, 37, 1):
        found.append(m.accumulate(m.learner_of(world.student64, token_budget=budget), groups, VOLD))
        m.taken(world.student64.model)
    assert found[0]["log_ratio_max"] > 0
    assert found[1] == pytest.approx(found[0], rel=1e-10)
    assert found[2] == pytest.approx(found[0], rel=1e-10)


def test_accumulating_in_pieces(world: m.World) -> None:
    """Groups may come one at a time: sums add up before the one division."""
    groups = r.groups_of(*MIXED)
    learner = m.learner_of(world.student64)
    whole = m.gradient_of(learner, groups, VOLD)
    plan = plan_for(VOLD)
    for group in groups:
        learner.accumulate([group], plan, plan.counts(groups))
    m.assert_same_gradient(m.taken(world.student64.model), whole, within=1e-12)


def test_strangers_in_the_pack(world: m.World) -> None:
    """Sequences before and behind the trained ones: log-probabilities and gradient stay."""
    learner = m.learner_of(world.student64)
    groups, plan = r.groups_of(*MIXED), plan_for(VOLD)
    rows = rows_of(groups, plan, plan.counts(groups))
    batch = batch_of(rows, pulls=1, dtype=torch.float64)
    gradients = []
    for each in (batch, accompanied(batch)):
        render.by_coefficient(plan, each, Reading(logprobs_N=learner._logprobs(each))).loss.backward()
        gradients.append(m.taken(world.student64.model))
    m.assert_same_gradient(gradients[1], gradients[0], within=1e-12)


def test_pad_id(world: m.World) -> None:
    """Masks come from lengths: which id fills the gaps does not matter, not even one that answers contain."""
    other = world.fresh()
    other.tokenizer.pad_token = "7"
    assert other.pad_id in r.SPEAKABLE
    assert other.pad_id != world.student64.pad_id
    groups = r.groups_of(*MIXED)
    assert any(r.PAD in member.rollout.response_ids for group in groups for member in group.members)
    m.assert_same_gradient(m.gradient_of(m.learner_of(other), groups, VOLD), m.gradient_of(m.learner_of(world.student64), groups, VOLD), within=1e-12)


@pytest.mark.parametrize("unread", [(math.nan,), None], ids=["nan", "missing"])
def test_a_right_rollout_ignores_the_teacher(world: m.World, unread: tuple[float, ...] | None) -> None:
    groups = r.groups_of("RWW", "RR", "RUW")
    learner = m.learner_of(world.student64)
    plain = m.gradient_of(learner, groups, VOLD)
    blinded = r.with_teacher(groups, lambda x: x.teacher_logprobs if x.wrong else unread and unread * len(x.rollout.response_ids))
    found = m.gradient_of(learner, blinded, VOLD)
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize("beta", [0.0, Schedule(0.1, 0.0, until=5)], ids=["constant", "scheduled"])
def test_beta_zero_is_the_reward_alone_bit_for_bit(world: m.World, beta: float | Schedule) -> None:
    """No teacher number is read either, in both renderings."""
    groups = r.with_teacher(r.groups_of(*MIXED), lambda _: None)
    without = replace(VOLD, pulls=(Pull(TEACHER, beta=beta, by=K2, on=WRONG),))
    learner = m.learner_of(world.student64)
    for frozen in (False, True):
        if frozen:
            learner.freeze_behaviour(groups)
        alone = m.gradient_of(learner, groups, VOLD_RL, step=5)
        found = m.gradient_of(learner, groups, without, step=5)
        assert m.size_of(alone) > 1e-3
        assert all(torch.equal(found[name], alone[name]) for name in alone)
    assert z_of(groups, without) == z_of(groups, VOLD_RL)


def test_reward_alone_needs_no_teacher(world: m.World) -> None:
    check_reward_alone_needs_no_teacher(world)


def test_an_all_right_group_adds_nothing_but_its_tokens_to_z(world: m.World) -> None:
    groups = r.groups_of("RWW", "RRR")
    learner = m.learner_of(world.student64)
    both, alone = m.gradient_of(learner, groups, VOLD), m.gradient_of(learner, groups[:1], VOLD)
    assert all(torch.equal(both[name], alone[name]) for name in alone)
    assert z_of(groups, VOLD) - z_of(groups[:1], VOLD) == sum(len(x.rollout.response_ids) for x in groups[1].members) > 0


def test_an_all_wrong_group_learns(world: m.World) -> None:
    check_all_wrong_group_learns(world)


def test_an_all_wrong_group_has_no_credit(world: m.World) -> None:
    assert m.size_of(m.gradient_of(m.learner_of(world.student64), r.groups_of("WWW"), VOLD_RL)) == 0.0


def test_shares_weigh_whole_rollouts(world: m.World) -> None:
    """The gradient of a step is the sum of its rollouts' own, each divided by its length (per sequence) or by the cap (fixed length)."""
    groups = r.groups_of("RWw", "WR")
    learner = m.learner_of(world.student64)
    alone = [(len(x.rollout.response_ids), m.gradient_of(learner, [replace(g, members=(x,))], OPD)) for g in groups for x in g.members]
    for share, divisor in ((Share.PER_SEQUENCE, lambda length: length), (Share.FIXED_LENGTH, lambda _: CAP)):
        found = m.gradient_of(learner, groups, replace(OPD, share=share))
        by_hand = {name: sum(each[name] / divisor(length) for length, each in alone) for name in found}
        m.assert_same_gradient(found, by_hand, within=1e-12)


@pytest.mark.parametrize("name", ["VOLD", "VOLD_RL"])
def test_an_unjudged_rollout_changes_nothing(world: m.World, name: str) -> None:
    """The same group with and without it: the same credit, pull and Z."""
    objective = {"VOLD": VOLD, "VOLD_RL": VOLD_RL}[name]
    groups = r.groups_of("RWUW")
    without = [replace(groups[0], members=tuple(x for x in groups[0].members if x.judged))]
    learner = m.learner_of(world.student64)
    one, other = m.gradient_of(learner, groups, objective), m.gradient_of(learner, without, objective)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert z_of(groups, objective) == z_of(without, objective)
