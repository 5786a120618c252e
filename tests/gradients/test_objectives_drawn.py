"""Objectives nobody has named: every field drawn at random, on steps with right, wrong, unjudged and cut answers, by every rendering there is.

What a field means is read from its declaration a second time (`support/interpreter.py`), so that fields that act on each other are checked too.
"""

from random import Random

import numpy as np
import pytest
from support.enumeration import Answer, World, gradient_of_rows, plan_in, rows_and_z, voice
from support.interpreter import Interpreter

from vold.base.errors import ObjectiveError
from vold.base.types import Ruling
from vold.core import render
from vold.core.objective import (
    Adaptive,
    Baseline,
    Beyond,
    Clamp,
    Clip,
    Correction,
    Credit,
    Estimator,
    How,
    Level,
    Mask,
    Objective,
    Over,
    Overlong,
    Pull,
    Schedule,
    Share,
    TeacherRatio,
    Terms,
    Weigh,
)
from vold.core.pulls import Partner

NUMBER = 3
"""The step's number: part of the way along every schedule."""


def _judge(problem: int, answer: Answer) -> Ruling:
    return (Ruling.RIGHT, Ruling.WRONG, Ruling.UNJUDGED, Ruling.WRONG, Ruling.RIGHT)[(sum(answer) * 3 + len(answer) + problem) % 5]


ON_POLICY = World(sizes=(2, 3), cap=3, seed=51, judge=_judge)
SAMPLED = World(sizes=(3, 2), cap=3, seed=52, judge=_judge, moved=(0.5, 0.2), frozen=False, temperature=0.8)
"""The engine's policy is not the trainer's: corrections act."""
LATER = World(
    sizes=(2, 3), cap=3, seed=53, judge=_judge, moved=(0.6, 0.3),
    models={"behaviour": voice(14, 6, 6, 153, 1.0)},
)  # fmt: skip
"""Sampler, frozen behaviour and student are three policies: corrections and clips act."""
WORLDS = {"on policy": ON_POLICY, "sampled by another": SAMPLED, "later update": LATER}


def draw(r: Random) -> Objective:
    """An objective, or ObjectiveError where the fields contradict each other."""
    by = r.choice(list(Baseline))
    credit = Credit(by)
    if by is not Baseline.NONE:
        credit = Credit(
            by, unbiased=r.random() < 0.7, weight=r.choice([1.0, 0.5, Schedule(0.2, 1.0, until=9)]), on=r.choice(list(Mask)),
            weigh=r.choice([Weigh.EVEN, Weigh.EVEN, Weigh.FAIL_RATE, Weigh.PASS_RATE, Weigh.HIGH_STUDENT_PERPLEXITY]),
            by_teacher=r.choice([None, None, TeacherRatio(1.0, 0.2), TeacherRatio(Schedule(1.0, 0.0, until=6, begin=1), 0.4)]),
        )  # fmt: skip
    clips = [None, Clip(0.2, 0.3), Clip(0.1, 0.1, dual=1.5), Clip(0.05, 0.1, level=Level.SEQUENCE), Clip(0.1, 0.2, dual=1.3, level=Level.SEQUENCE)]
    level, on = r.choice(list(Level)), r.choice(list(Terms))
    correction = r.choice([None, None, Correction(How.TRUNCATED, 1.1, level=level, on=on), Correction(How.MASKED, 1.5, 0.6, level=level, on=on)])
    overlong = r.choice(list(Overlong))
    return Objective(
        credit, r.choice(clips), tuple(_pull(r) for _ in range(r.choice([0, 1, 1, 2, 3]))), share=r.choice(list(Share)),
        pull_truncated=r.random() < 0.7, correction=correction, overlong=overlong, entropy=r.choice([0.0, 0.0, 0.02, Schedule(0.0, 0.1, until=9)]),
        soft_buffer=r.choice([0.2, 0.9]) if overlong is Overlong.SOFT else 0.2,
    )  # fmt: skip


def _pull(r: Random) -> Pull:
    by = r.choice([e for e in Estimator if e is not Estimator.K1])
    clamp = None if by.vocabulary_wide else r.choice([None, Clamp(0.4, Beyond.STOP), Clamp(0.4, Beyond.SATURATE)])
    return Pull(
        r.choice(list(Partner)), r.choice([0.0, 0.3, 1.0, Schedule(0.5, 0.1, until=9), Adaptive(0.2, target=0.1)]), by, r.choice(list(Mask)),
        over=r.choice(list(Over)), weigh=r.choice([Weigh.EVEN, Weigh.EVEN, *Weigh]), clamp=clamp,
        mix=r.choice([0.2, 0.5]) if by is Estimator.JSD else None, top=r.choice([1, 2, 9]) if by.takes_top else None,
    )  # fmt: skip


def drawn(seed: int, count: int) -> list[Objective]:
    r, out = Random(seed), []
    while len(out) < count:
        try:
            out.append(draw(r))
        except ObjectiveError:
            continue
    return out


def test_three_policies() -> None:
    assert LATER.behaviour is not None
    tables = [LATER.logprobs(voice_) for voice_ in (LATER.student, LATER.old, LATER.behaviour)]
    assert all(abs(np.exp(a) - np.exp(b)).max() > 0.1 for i, a in enumerate(tables) for b in tables[:i])
    assert {world.judge(q, y) for world in WORLDS.values() for q in range(2) for y in world.answers} == set(Ruling)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", range(5))
def test_drawn_objectives(world: str, seed: int) -> None:
    here, r = WORLDS[world], Random(1000 + seed)
    moved = 0
    for objective in drawn(seed, 24):
        plan, interpreter = plan_in(here, objective, step=NUMBER), Interpreter(here, objective, NUMBER)
        alone = here.behaviour is not None or objective.no_coefficient is not None
        for _ in range(4):
            step = tuple(tuple(r.choice(here.answers) for _ in range(size)) for size in here.sizes)
            truth_SV, z = interpreter.gradient(step)
            rows, counted = rows_and_z(here, plan, step)
            assert counted == z, f"{objective} on {step}"
            for rendering in [render.loss] if alone else [render.loss, render.by_coefficient]:
                found_SV = gradient_of_rows(here, plan, rows, rendering) / max(1, z)
                np.testing.assert_allclose(found_SV.numpy(), truth_SV, rtol=1e-10, atol=1e-11, err_msg=f"{objective} on {step}")
            moved += abs(truth_SV).max() > 1e-6
    assert moved > 48, "most steps should teach something"
