"""Dynamic sampling in the stage: which groups are kept, how often further problems are drawn, and that a step stays one whatever happens."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from support import models as m
from support.checks_of_objectives import as_named, check_no_problem_twice, check_refills_keep_what_a_pull_needs, check_refills_stop, named
from support.plans import plan_for
from support.records import groups_of
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.base.types import Problem
from vold.core.objective import ALL_WRONG, EVERY, RAW, RIGHT, TEACHER, Objective, Pull, Schedule, Weigh
from vold.core.zoo import DAPO, SCOPE, VOLD, VOLD_RL, ZOO
from vold.stages.joint import joint

DYNAMIC_VOLD = replace(VOLD, dynamic=True)


def step_of(
    world: m.World, objective: Objective, first: Sequence[str], refills: Callable[[int], Sequence[Problem]] | None = None, **changes: Any
) -> Recorder:
    """One step of the stage on problems of these names."""
    recorder = Recorder(asked=named(*first), refills=None if refills is None else lambda _, refill: refills(refill))
    teacher = some_teacher() if objective.needs_teacher else None
    joint(run_of(objective, steps=1, **changes), ports_of(world, recorder, teacher, script=as_named))
    return recorder


def trained(recorder: Recorder) -> list[str]:
    """The groups of the step, by how they were judged."""
    (entry,) = recorder.of("accumulate")
    return [name[:3] for name in entry[1]]


def test_what_a_pull_needs_is_kept() -> None:
    check_refills_keep_what_a_pull_needs()


KEPT = [
    ("VOLD", DYNAMIC_VOLD, "RWW WWW"),
    ("VOLD without its pull", VOLD_RL, "RWW"),
    ("DAPO", DAPO, "RWW"),
    ("a pull where all failed", replace(VOLD, pulls=(Pull(TEACHER, 0.1, on=ALL_WRONG),)), "RWW WWW"),
    ("a pull on right answers", replace(VOLD, pulls=(Pull(TEACHER, 0.1, on=RIGHT),)), "RRR RWW"),
    ("a pull on every answer", replace(VOLD, pulls=(Pull(TEACHER, 0.1, on=EVERY),)), "RRR RWW WWW"),
    ("a pull of no strength", replace(VOLD, pulls=(Pull(TEACHER, 0.0),)), "RWW"),
    ("a pull that starts later", replace(VOLD, pulls=(Pull(TEACHER, Schedule(0.0, 0.1, until=9)),)), "RWW"),
    ("a credit that starts later", replace(DAPO, credit=replace(DAPO.credit, weight=Schedule(0.0, 1.0, until=9))), ""),
    ("raw rewards", Objective(RAW, None), "RRR RWW"),
    ("likelihood and pull", SCOPE, "RRR RWW WWW"),
]


@pytest.mark.parametrize(("objective", "expected"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
def test_what_is_kept_teaches(objective: Objective, expected: str) -> None:
    """Exactly the groups in which somebody has a gradient, lengths and what nobody judged aside."""
    plan = plan_for(objective)
    groups = groups_of("RRR", "RWW", "WWW", "UUU")
    words = dict(zip(["RRR", "RWW", "WWW", "UUU"], groups, strict=True))
    assert " ".join(word for word, group in words.items() if plan.keeps(group) and word != "UUU") == expected
    for word, group in words.items():
        assert plan.keeps(group) == any(plan.touches(group)), word


def test_lengths_alone_keep_no_group() -> None:
    """A soft penalty makes the rewards of an all-right group differ; DAPO asks for right and wrong answers all the same."""
    (group,) = groups_of("RRR")
    plan = plan_for(DAPO, length_cap=4)
    assert any(plan.advantages(group))
    assert not plan.keeps(group)


@pytest.mark.parametrize("name", ZOO)
def test_only_what_declares_it_draws_again(world: m.World, name: str) -> None:
    """A group that taught nothing is trained on as it is, and no further problem is asked for."""
    objective = replace(ZOO[name], dynamic=False)
    if any(pull.by.vocabulary_wide or pull.toward != TEACHER for pull in objective.pulls):
        return
    recorder = step_of(world, objective, ["RRR", "RWW"])
    assert trained(recorder) == ["RRR", "RWW"]
    assert not any(key.startswith("groups/tried") for key in recorder.of("write")[0][2])


def test_refills_until_the_step_is_full(world: m.World) -> None:
    """In the order drawn, and no more of them than a step has."""
    drawn = {1: ["RRR", "RRR", "RRR"], 2: ["RWW", "RRR", "WRW"]}
    recorder = step_of(world, DYNAMIC_VOLD, ["RRR", "WWW", "RRR"], lambda refill: named(*drawn[refill], refill=refill))
    assert trained(recorder) == ["WWW", "RWW", "WRW"]
    assert recorder.of("more") == [("more", 0, 1), ("more", 0, 2)]
    recorder = step_of(world, DAPO, ["RWW", "WWW"], lambda refill: named("RWR", "WRW", refill=refill))
    assert trained(recorder) == ["RWW", "RWR"]
    _, _, values, _ = recorder.of("write")[0]
    assert (values["groups/tried"], values["groups/kept"]) == (4.0, 3.0)
    assert values["reward/tried"] == pytest.approx(4 / 12)
    assert values["reward/mean"] == pytest.approx(3 / 6)


def test_no_refill_where_the_first_draw_is_full(world: m.World) -> None:
    assert trained(step_of(world, DAPO, ["RWW", "WRR"])) == ["RWW", "WRR"]


def test_it_stops_at_the_most_refills(world: m.World) -> None:
    check_refills_stop(world)


@pytest.mark.parametrize("most", [0, 1, 4])
def test_where_nothing_is_kept_the_first_draw_stands(world: m.World, most: int) -> None:
    """And teaches nothing, after as many refills as there may be."""
    recorder = step_of(world, DAPO, ["RRR", "WWW"], lambda refill: named("RRR", refill=refill), max_refills=most)
    assert trained(recorder) == ["RRR", "WWW"]
    assert len(recorder.of("more")) == most
    assert recorder.of("write")[0][2]["groups/kept"] == 0.0


def test_a_problem_is_never_in_a_step_twice(world: m.World) -> None:
    """Refills may offer what the step already had, or what an earlier refill offered: it is not even asked again."""
    check_no_problem_twice(world)


def test_the_teacher_is_asked_about_kept_groups_alone(world: m.World) -> None:
    recorder, teacher = Recorder(asked=named("RRR", "WWW"), refills=lambda _, refill: named("RWW", "WWR", refill=refill)), some_teacher()
    joint(run_of(DYNAMIC_VOLD, steps=2), ports_of(world, recorder, teacher, script=as_named))
    second = [x for x in teacher.asked if x.policy_version == 1]  # the first step's probe reads everything it trains on
    assert sorted((x.problem.id[:3], x.sample) for x in second) == [("RWW", 1), ("RWW", 2), ("WWW", 0), ("WWW", 1), ("WWW", 2)]


def test_a_step_is_the_same_whenever_it_is_taken(world: m.World) -> None:
    """Refills depend on the step and on nothing that came before: a resumed stage draws what the other one drew."""

    def stage(begin: int) -> Recorder:
        words = itertools.cycle(["RRR", "RWW", "WWW", "RRR", "WRW"])
        table = {(step, refill): named(*itertools.islice(words, 2), refill=10 * step + refill) for step in range(4) for refill in range(1, 4)}
        recorder = Recorder(asked=named("RRR", "WWW", "RRR"), begin=begin, refills=lambda step, refill: table[step, refill])
        joint(run_of(DAPO, steps=4, max_refills=3), ports_of(world, recorder, None, script=as_named))
        return recorder

    whole, resumed = stage(0), stage(2)
    assert resumed.of("accumulate") == whole.of("accumulate")[2:]
    assert [entry[2] for entry in resumed.of("write")] == [entry[2] for entry in whole.of("write")][2:]
    assert len(set(map(str, whole.of("accumulate")))) == 4


def test_a_rate_that_is_0_keeps_nothing() -> None:
    """A pull weighed by the pass rate, on wrong answers: where all failed it has no weight."""
    weighed = replace(DYNAMIC_VOLD, pulls=(replace(VOLD.pulls[0], weigh=Weigh.PASS_RATE),))
    assert [plan_for(weighed).keeps(group) for group in groups_of("WWW", "RWW")] == [False, True]
