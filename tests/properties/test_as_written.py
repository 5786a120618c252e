"""Any objective at all: the learner's gradient is that of its declaration, read one rollout and one token at a time."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import models as m
from support import records as r
from support.bigram import Bigram
from support.checks_of_objectives import check_is_as_written
from support.objectives import STATED, objectives

from vold.base.types import ScoredRollout
from vold.core.objective import Objective
from vold.core.selfcheck import self_check
from vold.core.zoo import ZOO

WORDS = st.lists(st.text("RWUrwu", min_size=1, max_size=4), min_size=2, max_size=4)


@pytest.mark.parametrize("name", STATED)
def test_stated_objectives(name: str) -> None:
    check_is_as_written(STATED[name])


@pytest.mark.parametrize("name", ZOO)
def test_named_methods(name: str) -> None:
    check_is_as_written(ZOO[name], temperature=1.0)


@pytest.mark.parametrize("objective", list(STATED.values()))
def test_the_self_check_has_nothing_against_it(objective: Objective) -> None:
    """A run begins with it, and a valid objective must not be refused by its own rounding."""
    self_check(objective, temperature=0.7)


@settings(max_examples=200)
@given(
    objective=objectives(), words=WORDS, longest=st.integers(1, 9), inserted=st.booleans(), step=st.integers(0, 10), updates=st.integers(1, 2),
    budget=st.integers(1, 200), seed=st.integers(0, 9),
)  # fmt: skip
def test_any_objective(objective: Objective, words: list[str], longest: int, inserted: bool, step: int, updates: int, budget: int, seed: int) -> None:
    student = Bigram()
    groups = r.spoken(r.groups_of(*words, seed=seed, longest=longest, inserted=inserted), seed=seed)
    old = student.moved_from(groups, seed=seed) if updates > 1 else None
    found = student.by_the_program(student.plan(objective, step=step), groups, old, token_budget=budget)
    m.assert_same_gradient(found, student.as_written(objective, groups, old, step=step), within=1e-12)


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize("name", ["VOLD", "VOLD_FULL", "GRPO", "KDRL", "SCOPE", "RLSD"])
def test_a_rollout_of_which_nothing_was_sampled(name: str, updates: int) -> None:
    """It is read, alone in its micro-batch too, and trains nothing; a place among rollouts and a verdict it has."""
    student, groups = Bigram(), r.spoken(r.groups_of("RWW", "W", "RW"))
    groups = [replace(g, members=(*g.members[:-1], unsampled(g.members[-1]))) for g in groups]
    old = student.moved_from(groups) if updates > 1 else None
    for budget in (1, 200):
        found = student.by_the_program(student.plan(ZOO[name]), groups, old, token_budget=budget)
        m.assert_same_gradient(found, student.as_written(ZOO[name], groups, old), within=1e-12)


def unsampled(member: ScoredRollout) -> ScoredRollout:
    return replace(member, rollout=replace(member.rollout, sampled=(False,) * len(member.rollout.sampled)))
