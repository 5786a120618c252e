"""Whom teacher and reference are asked about: exactly those whose gradient contains the answer. And what a pull of no strength is: nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import models as m
from support import records as r
from support.bigram import PARTNER_WIDTH, Bigram
from support.objectives import STATED, objectives
from support.plans import plan_for, z_of
from support.toy import Rendering

from vold.base.errors import Diverged
from vold.base.types import Group, Likeliest, Rollout, ScoredRollout, View
from vold.core import render
from vold.core.batching import batch_of, rows_of
from vold.core.objective import ALL_WRONG, NO_CREDIT, REFERENCE, TEACHER, WRONG, Estimator, Objective, Partner, Pull, Want
from vold.core.plan import Plan
from vold.core.reading import read
from vold.core.zoo import METHODS, ZOO
from vold.stages.joint import scored

GROUPS = r.spoken(r.groups_of("RWWw", "RRR", "WwW", "RUW", "UU", "W", inserted=True))
WORDS = st.lists(st.text("RWUrwu", min_size=1, max_size=4), min_size=1, max_size=4)
READERS = [name for name, objective in ZOO.items() if any(objective.wants(partner) for partner in Partner)]


def silent(member: ScoredRollout, partner: Partner, value: float = math.nan) -> ScoredRollout:
    """The same rollout, and every number the partner would have given is NaN."""
    logprobs = (value,) * len(member.rollout.response_ids)
    hidden_TH = torch.full((len(logprobs), PARTNER_WIDTH), value, dtype=torch.float64)
    likeliest = getattr(member, f"{partner}_likeliest")
    likeliest = Likeliest(ids=likeliest.ids, logprobs=torch.full_like(likeliest.logprobs, value))
    return replace(member, **{f"{partner}_logprobs": logprobs, f"{partner}_hidden": hidden_TH, f"{partner}_likeliest": likeliest})


def without(groups: Sequence[Group], plan: Plan) -> list[Group]:
    """NaN wherever a partner is not asked."""

    def heard(member: ScoredRollout, group: Group) -> ScoredRollout:
        out = member
        for partner in Partner:
            out = out if plan.wants(partner, member, group) else silent(out, partner)
        return out

    return [replace(g, members=tuple(heard(x, g) for x in g.members)) for g in groups]


def told(student: Bigram, plan: Plan, groups: Sequence[Group], *, several: bool) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The gradient, and the sums for the journal."""
    learner = student.learner()
    learner.behaviour = student.moved_from(groups) if several else None
    sums = learner.accumulate(groups, plan, plan.counts(groups))
    return student.taken(), sums


def assert_unread(plan: Plan, groups: Sequence[Group], *, several: bool) -> None:
    """What is not asked for reaches neither the gradient nor the sums."""
    student = Bigram()
    gradient, sums = told(student, plan, groups, several=several)
    found, found_sums = told(student, plan, without(groups, plan), several=several)
    assert all(torch.equal(found[name], gradient[name]) for name in gradient)
    assert all(math.isfinite(value) for value in sums.values())
    assert found_sums == sums


@pytest.mark.parametrize("several", [False, True], ids=["only update", "later update"])
@pytest.mark.parametrize("objective", [ZOO[name] for name in READERS] + list(STATED.values()), ids=[*READERS, *STATED])
def test_who_is_not_asked_is_not_read(objective: Objective, several: bool) -> None:
    assert_unread(plan_for(objective, step=3), GROUPS, several=several)


@settings(max_examples=40)
@given(objective=objectives(), words=WORDS, longest=st.integers(1, 9), inserted=st.booleans(), step=st.integers(0, 10), several=st.booleans())
def test_nobody_is_read_who_is_not_asked(objective: Objective, words: list[str], longest: int, inserted: bool, step: int, several: bool) -> None:
    groups = r.spoken(r.groups_of(*words, longest=longest, inserted=inserted))
    assert_unread(plan_for(objective, step=step), groups, several=several)


@pytest.mark.parametrize("how", ["nan", "missing"])
@pytest.mark.parametrize("name", [*READERS, "partner-top-k"])
def test_who_is_asked_is_read(name: str, how: str) -> None:
    """One answer less, and the step cannot be made: nobody is asked in vain, and no silence passes for agreement."""
    student, plan = Bigram(), plan_for((ZOO | STATED)[name], step=3)
    asked = [(partner, g, x) for partner in Partner for g in GROUPS for x in g.members if plan.wants(partner, x, g)]
    assert asked
    for partner, group, member in asked:
        gone = {f"{partner}_{what}": None for what in ("logprobs", "hidden", "likeliest")}
        dumb = silent(member, partner) if how == "nan" else replace(member, **gone)
        with pytest.raises((Diverged, ValueError, AssertionError), match=r"the loss is nan|hidden states|likeliest ids|has scored"):
            told(student, plan, [replace(group, members=tuple(dumb if x is member else x for x in group.members))], several=False)
        student.taken()


@dataclass
class Scorer:
    """Answers with what `records.spoken` wrote, and keeps who was asked what."""

    partner: Partner
    gives: Want = Want.HIDDEN
    asked: list[Rollout] = field(default_factory=list)
    wanted: set[Want] = field(default_factory=set)
    tops: set[int] = field(default_factory=set)

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View]:
        self.asked += rollouts
        self.wanted.add(want)
        self.tops.add(top)
        members = {id(x.rollout): x for g in GROUPS for x in g.members}
        return [self._view(members[id(rollout)], want, top) for rollout in rollouts]

    def _view(self, member: ScoredRollout, want: Want, top: int) -> View:
        teacher = self.partner is Partner.TEACHER
        logprobs = member.teacher_logprobs if teacher else member.reference_logprobs
        hidden = member.teacher_hidden if teacher else member.reference_hidden
        likeliest = member.teacher_likeliest if teacher else member.reference_likeliest
        assert logprobs is not None
        return View(logprobs=logprobs, hidden=hidden if want is Want.HIDDEN else None, likeliest=likeliest if top else None)


SEVERAL_WANTS = Objective(
    NO_CREDIT,
    None,
    pulls=(
        Pull(TEACHER, 0.1, Estimator.PARTNER_TOP_K, top=2),
        Pull(TEACHER, 0.1, Estimator.PARTNER_TOP_K, WRONG, top=5),
        Pull(TEACHER, 0.1, Estimator.JSD, mix=0.5),
        Pull(REFERENCE, 0.1, Estimator.PARTNER_TOP_K, top=3),
    ),
)
ASKING = {**ZOO, "likeliest ids": STATED["partner-top-k"], "several wants": SEVERAL_WANTS}


@pytest.mark.parametrize("name", ASKING)
def test_the_stage_asks_once_what_is_wanted_and_gets_it_to_the_right_rollout(name: str) -> None:
    plan = plan_for(ASKING[name], step=3)
    unasked = [replace(g, members=tuple(ScoredRollout(rollout=x.rollout, verdict=x.verdict) for x in g.members)) for g in GROUPS]
    scorers = {partner: Scorer(partner) for partner in Partner}
    found = scored(unasked, plan, scorers[Partner.TEACHER], scorers[Partner.REFERENCE])
    for partner, scorer in scorers.items():
        expected = [x.rollout for g in unasked for x in g.members if plan.wants(partner, x, g)]
        assert [id(x) for x in scorer.asked] == [id(x) for x in expected]
        assert scorer.wanted == ({ASKING[name].wants(partner)} if expected else set())
        assert scorer.tops == ({plan.top(partner)} if expected else set())
    for group, told_group in zip(GROUPS, found, strict=True):
        for member, back in zip(group.members, told_group.members, strict=True):
            assert back.teacher_logprobs in (None, member.teacher_logprobs)
            assert back.reference_logprobs in (None, member.reference_logprobs)
            assert back.teacher_hidden is None or back.teacher_hidden is member.teacher_hidden
            assert back.teacher_likeliest is (member.teacher_likeliest if plan.top(TEACHER) and plan.wants_teacher(member, group) else None)
            assert back.reference_likeliest is (member.reference_likeliest if plan.top(REFERENCE) and plan.wants(REFERENCE, member, group) else None)
            assert (back.teacher_logprobs is not None) == plan.wants_teacher(member, group)
    gradient, _ = told(Bigram(), plan, GROUPS, several=False)
    again, _ = told(Bigram(), plan, found, several=False)
    assert all(torch.equal(again[key], gradient[key]) for key in gradient)


MASKED = [name for name, objective in ZOO.items() if objective.pulls and all(pull.on in (WRONG, ALL_WRONG) for pull in objective.pulls)]


@pytest.mark.parametrize("several", [False, True], ids=["only update", "later update"])
@pytest.mark.parametrize("name", [*MASKED, "likeliest ids"])
def test_a_right_rollout_ignores_what_the_teacher_says(name: str, several: bool) -> None:
    """NaN for a right answer: in its numbers, in its hidden states and its likeliest ids, in every group's."""
    student, plan = Bigram(), plan_for(ASKING[name])
    blinded = [replace(g, members=tuple(silent(x, Partner.TEACHER) if x.right else x for x in g.members)) for g in GROUPS]
    gradient, sums = told(student, plan, GROUPS, several=several)
    found, found_sums = told(student, plan, blinded, several=several)
    assert m.size_of(gradient) > 0
    assert all(torch.equal(found[key], gradient[key]) for key in gradient)
    assert found_sums == sums


# -- a pull of strength 0 --------------------------------------------------------------------------------------------------------------

PULLED = [name for name, objective in ZOO.items() if objective.pulls and objective.credit.present]


def weakened(objective: Objective) -> Objective:
    return replace(objective, pulls=tuple(replace(pull, beta=0.0) for pull in objective.pulls))


@pytest.mark.parametrize("name", PULLED)
def test_without_strength_it_is_the_method_without_its_pull(world: m.World, name: str) -> None:
    """To the bit, gradient and sums and Z, on groups no partner ever saw, at the only update and at a later one."""
    zero, alone = weakened(ZOO[name]), replace(ZOO[name], pulls=())
    groups = [replace(g, members=tuple(ScoredRollout(rollout=x.rollout, verdict=x.verdict) for x in g.members)) for g in GROUPS]
    learner = m.learner_of(world.student64, token_budget=60)
    for several in (False, True):
        if several:
            learner.freeze_behaviour(groups)
            learner.behaviour = {key: tuple(v - 0.3 * (-1) ** t for t, v in enumerate(row)) for key, row in (learner.behaviour or {}).items()}
        gradients, sums = [], []
        for objective in (zero, alone):
            plan = plan_for(objective)
            told_sums = learner.accumulate(groups, plan, plan.counts(groups))
            gradients.append(m.taken(world.student64.model))
            sums.append({key: value for key, value in told_sums.items() if "/" not in key})  # those of one pull are only there with it
        assert m.size_of(gradients[1]) > 1e-6
        assert all(torch.equal(gradients[0][key], gradients[1][key]) for key in gradients[1])
        assert sums[0] == sums[1]
    assert z_of(groups, zero) == z_of(groups, alone)


@pytest.mark.parametrize("name", PULLED)
def test_without_strength_both_renderings_are_the_same_to_the_bit(name: str) -> None:
    """The value of the loss too."""
    student, zero, alone = Bigram(), weakened(ZOO[name]), replace(ZOO[name], pulls=())
    for rendering in [render.loss] if zero.no_coefficient else [render.loss, render.by_coefficient]:
        values = [rendered(student, objective, rendering) for objective in (zero, alone)]
        assert torch.equal(values[0][0], values[1][0])
        assert torch.equal(values[0][1], values[1][1])


def rendered(student: Bigram, objective: Objective, rendering: Rendering, *, step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of the only update, and its gradient by the student's hidden states."""
    plan = plan_for(objective, step=step)
    rows = rows_of(GROUPS, plan, plan.counts(GROUPS))
    if not rows:
        return torch.zeros(()), torch.zeros(1)
    batch = batch_of(rows, pulls=len(objective.pulls), dtype=torch.float64)
    hidden_NH = student.packed(batch.ids_T, batch.spans)[batch.before_N].detach().requires_grad_()
    reading = read(plan, batch, hidden_NH, student.head, heads=student.heads, banned_V=student.banned, temperature=student.temperature)
    loss = rendering(plan, batch, reading).loss
    return loss.detach(), torch.autograd.grad(loss, hidden_NH)[0]


def test_the_named_methods_without_their_pulls_are_one_another() -> None:
    """VOLD without its teacher is VOLD_RL; every pull of the zoo belongs to a method that stays one without it, or has no credit."""
    for name in ("VOLD", "VOLD_UNMASKED", "VOLD_FULL"):
        assert replace(ZOO[name], pulls=()) == ZOO["VOLD_RL"]
    assert replace(ZOO["VOLD_GSPO"], pulls=()) == ZOO["GSPO"]
    assert replace(ZOO["GRPO"], pulls=()) == replace(ZOO["VLAA_THINKER"], pulls=()) == replace(ZOO["VLM_R1"], pulls=())
    assert {name for name, method in METHODS.items() if method.objective.pulls} - set(PULLED) == {"OPD", "OPD_ADVANTAGE", "QWEN3_OPD", "GKD"}


# -- two renderings --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_two_renderings_of_one_update(name: str) -> None:
    """Equal to 1e-12 through the student's hidden states where a coefficient exists, refused where it does not."""
    student, objective = Bigram(), ZOO[name]
    _, by_loss = rendered(student, objective, render.loss)
    assert by_loss.abs().max() > 1e-6
    if objective.no_coefficient is None:
        torch.testing.assert_close(rendered(student, objective, render.by_coefficient)[1], by_loss, rtol=1e-12, atol=1e-12)
        return
    with pytest.raises(ValueError, match=r"at every entry of the vocabulary.*use loss\(\)"):
        rendered(student, objective, render.by_coefficient)


@settings(max_examples=60)
@given(objective=objectives(), step=st.integers(0, 10))
def test_two_renderings_of_any_objective(objective: Objective, step: int) -> None:
    student = Bigram()
    if objective.no_coefficient is None:
        (_, by_loss), (_, by_coefficient) = (rendered(student, objective, each, step=step) for each in (render.loss, render.by_coefficient))
        torch.testing.assert_close(by_coefficient, by_loss, rtol=1e-12, atol=1e-12)


def test_which_named_methods_have_no_coefficient() -> None:
    assert {name for name, objective in ZOO.items() if objective.no_coefficient} == {"VOLD_FULL", "QWEN3_OPD", "GKD"}
    plans = {name: plan_for(objective) for name, objective in ZOO.items()}
    assert {name for name, plan in plans.items() if render.rendering(plan, only_update=True) is render.loss} == {"VOLD_FULL", "QWEN3_OPD", "GKD"}
    assert {render.rendering(plan, only_update=False) for plan in plans.values()} == {render.loss}
