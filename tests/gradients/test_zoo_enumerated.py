"""Every named method on policies whose every answer can be listed: the program's expected gradient equals its paper's equation, enumerated.

The program goes its whole way: records, scoring, plan, counts, rows, batch, reading, rendering, one division. The other side is written in
plain numpy from the equations, numbers included (`support/oracle.py`).
"""

import random
from functools import cache

import numpy as np
import pytest
import torch
from support import oracle
from support.enumeration import Answer, World, expected, one_step, plan_in
from support.truths import Truth

from vold.base.types import Ruling
from vold.core import render
from vold.core.zoo import ZOO

EXACT = 1e-10
PART_WAY = 40
"""The number of the step: half-way through KDRL's annealing, so that a schedule that stands still shows."""


def _odd(problem: int, answer: Answer) -> Ruling:
    return Ruling.RIGHT if (sum(answer) + problem) % 2 else Ruling.WRONG


def _with_unjudged(problem: int, answer: Answer) -> Ruling:
    return Ruling.UNJUDGED if answer == (3, 0) else _odd(problem, answer)


WORLDS = {
    "two problems, groups of 2 and 3": World(sizes=(2, 3), words=(1,), cap=3, seed=1),
    "many lengths, colder": World(sizes=(2,), words=(1, 3), cap=3, temperature=0.7, seed=2),
    "groups of 4": World(sizes=(4,), words=(3,), cap=3, temperature=1.3, seed=3, judge=_odd),
    "some cannot be judged": World(sizes=(3,), words=(1, 3), cap=2, seed=4, judge=_with_unjudged),
}


@cache
def truth_of(world: str) -> Truth:
    return Truth(WORLDS[world])


def test_every_method_has_an_equation() -> None:
    assert oracle.METHODS.keys() == ZOO.keys()


@pytest.mark.parametrize("world", WORLDS)
def test_the_worlds_are_worth_it(world: str) -> None:
    """Right and wrong, ended and cut, several lengths; and all steps together have probability 1."""
    truth = truth_of(world)
    told = truth.told.values()
    assert {o.right for o in told} >= {True, False}
    assert {o.cut for o in told} == {True, False}
    assert len({o.length for o in told}) >= 2
    assert sum(truth.weight(step) for step in truth.steps) == pytest.approx(1.0, abs=1e-12)
    assert sum(probability for _, probability in WORLDS[world].steps()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", ZOO)
def test_expected_gradient(name: str, world: str) -> None:
    """Both renderings where both exist."""
    objective = ZOO[name]
    renderings = [render.loss] if objective.no_coefficient else [render.loss, render.by_coefficient]
    truth_SV = truth_of(world).expected(name, number=PART_WAY)
    assert abs(truth_SV).max() > 1e-5, "the method would teach nothing here"
    for found_SV in expected(WORLDS[world], plan_in(WORLDS[world], objective, step=PART_WAY), *renderings):
        torch.testing.assert_close(found_SV.numpy(), truth_SV, rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ZOO)
def test_gradient_of_single_steps(name: str) -> None:
    """Step by step, nothing merged, by the rendering the learner would take."""
    for world in WORLDS:
        plan = plan_in(WORLDS[world], ZOO[name], step=PART_WAY)
        for step in random.Random(name).sample(truth_of(world).steps, 12):
            found_SV = one_step(WORLDS[world], plan, step, render.rendering(plan, only_update=True))
            np.testing.assert_allclose(found_SV.numpy(), truth_of(world).of_step(name, step, number=PART_WAY), rtol=0, atol=EXACT)
