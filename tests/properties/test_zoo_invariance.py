"""Every named method and any objective at all, on a real model: cut, order, padding and ranks change nothing, at the only update and later."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import models as m
from support import records as r
from support.bigram import Bigram
from support.invariance import check_nothing_about_the_batch_matters
from support.objectives import STATED, objectives
from support.plans import plan_for

from vold.core.objective import Objective, Partner
from vold.core.zoo import ZOO

pytestmark = pytest.mark.long

GROUPS = r.spoken(r.groups_of("RWw", "WwW", "RU", "W", "rRR", inserted=True))
WORDS = st.lists(st.text("RWUrwu", min_size=1, max_size=3), min_size=1, max_size=4)
HEADS = {partner: torch.randn(70, 5, generator=torch.Generator().manual_seed(place), dtype=torch.float64) for place, partner in enumerate(Partner)}
"""Partners with more rows than the student, over the hidden states of `records.spoken`."""


@pytest.mark.parametrize("several", [False, True], ids=["only update", "later update"])
@pytest.mark.parametrize("name", ZOO)
def test_named_methods(world: m.World, name: str, several: bool) -> None:
    make = partial(m.learner_of, world.student64, heads=HEADS)
    found = check_nothing_about_the_batch_matters(make, plan_for(ZOO[name], step=3), GROUPS, several=several)
    assert m.size_of(found) > 1e-6, "a gradient of zero would agree with everything"


@settings(max_examples=15)
@given(objective=objectives() | st.sampled_from(list(STATED.values())), words=WORDS, longest=st.integers(1, 9), inserted=st.booleans(),
       step=st.integers(0, 10), several=st.booleans(), seed=st.integers(0, 9))  # fmt: skip
def test_any_objective(
    world: m.World, objective: Objective, words: list[str], longest: int, inserted: bool, step: int, several: bool, seed: int
) -> None:
    groups = r.spoken(r.groups_of(*words, seed=seed, longest=longest, inserted=inserted), seed=seed)
    make = partial(m.learner_of, world.student64, heads=HEADS)
    check_nothing_about_the_batch_matters(make, plan_for(objective, step=step), groups, several=several)


@settings(max_examples=40)
@given(objective=objectives(), words=WORDS, longest=st.integers(1, 9), inserted=st.booleans(), step=st.integers(0, 10), several=st.booleans(),
       seed=st.integers(0, 9))  # fmt: skip
def test_any_objective_on_a_table(objective: Objective, words: list[str], longest: int, inserted: bool, step: int, several: bool, seed: int) -> None:
    """More of them, on a student without attention."""
    groups = r.spoken(r.groups_of(*words, seed=seed, longest=longest, inserted=inserted), seed=seed)
    check_nothing_about_the_batch_matters(Bigram().learner, plan_for(objective, step=step), groups, several=several)
