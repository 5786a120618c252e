"""The joint stage around its update: verdicts, who is asked, what is divided by what, and in which order things happen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support import models as m
from support.plans import plan_for, z_of
from support.records import groups_of, problem, rollout
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.adapters.engines.scripted import ScriptedEngine
from vold.adapters.templates import Template
from vold.base.types import Finish, Rollout, Ruling, Verdict
from vold.core.objective import Schedule
from vold.core.zoo import OPD, VOLD, VOLD_RL
from vold.stages.joint import Phase, joint, judged, parts_of, updated


@pytest.mark.parametrize(
    ("cap", "finish", "text"), [(5, Finish.STOP, "1 2 3"), (4, Finish.STOP, "1 2 3"), (3, Finish.LENGTH, "1 2 3"), (2, Finish.LENGTH, "1 2")]
)
def test_a_script_ends_at_its_end_token_or_at_the_cap(world: m.World, cap: int, finish: Finish, text: str) -> None:
    """Three words and the end token: a cap of four holds them, a cap of three cuts the end token off."""
    engine = ScriptedEngine(template=Template(of=world.student32), script=lambda *_: "1 2 3")
    (answer,) = engine.sample([problem()], per_problem=1, sampling=m.sampling(cap), place=())
    assert (answer.finish, answer.text) == (finish, text)
    assert answer.response_ids == (10, 11, 12, 2)[:cap]


def test_a_run_from_prompts_to_journal(world: m.World) -> None:
    recorder, teacher = Recorder(asked=[problem("a"), problem("b")]), some_teacher()
    joint(run_of(), ports_of(world, recorder, teacher))
    assert [entry if isinstance(entry, str) else entry[0] for entry in recorder.said] == [
        "rewind", *["accumulate", "apply", "write", "after"] * 2, "verify", "finish",
    ]  # fmt: skip
    _, step, values, groups = recorder.of("write")[0]
    assert step == 0
    assert [[x.verdict.ruling for x in g.members] for g in groups] == [[Ruling.RIGHT, Ruling.WRONG, Ruling.WRONG]] * 2
    assert [[x.teacher_logprobs is None for x in g.members] for g in groups] == [[True, False, False]] * 2
    assert [x.rollout.finish for x in groups[0].members] == [Finish.STOP, Finish.STOP, Finish.LENGTH]
    assert values["reward/mean"] == pytest.approx(1 / 3)
    assert values["teacher/nll_start"] == 4.0
    assert "teacher/nll_start" not in recorder.of("write")[1][2]
    assert [entry[1] for entry in recorder.of("apply")] == [2 * (4 + 4 + 8)] * 2
    # the probe of the first step reads everything, after it the teacher is asked about wrong answers only
    assert [x.sample for x in teacher.asked] == [0, 1, 2] * 2 + [1, 2] * 2 + [1, 2] * 2
    assert [x.policy_version for x in teacher.asked] == [0] * 10 + [1] * 4


def test_without_a_teacher_nothing_is_asked(world: m.World) -> None:
    recorder = Recorder(asked=[problem("a")])
    joint(run_of(VOLD_RL), ports_of(world, recorder, None))
    assert all("teacher/nll_start" not in entry[2] for entry in recorder.of("write"))
    assert len(recorder.of("apply")) == 2


def test_resuming_goes_on_where_it_stopped(world: m.World) -> None:
    recorder = Recorder(asked=[problem("a")], begin=1)
    joint(run_of(steps=3), ports_of(world, recorder, some_teacher()))
    assert recorder.said[0] == ("rewind", 1)
    assert [entry[1] for entry in recorder.of("write")] == [1, 2]
    assert [entry[1] for entry in recorder.of("accumulate")] == [("a/1",), ("a/2",)]


def test_phases_follow_each_other(world: m.World) -> None:
    recorder = Recorder(asked=[problem("a")])
    phases = (Phase(objective=OPD, until=1), Phase(objective=VOLD_RL, until=3))
    joint(run_of(steps=3, phases=phases), ports_of(world, recorder, some_teacher()))
    assert [entry[2] for entry in recorder.of("accumulate")] == [OPD, VOLD_RL, VOLD_RL]


def test_learning_rate() -> None:
    assert [run_of(warmup=4).lr_at(step) for step in (0, 1, 3, 4, 99)] == pytest.approx([0.025, 0.05, 0.1, 0.1, 0.1])
    assert [run_of(lr=Schedule(0.1, 0.0, until=10)).lr_at(step) for step in (0, 5, 10)] == pytest.approx([0.1, 0.05, 0.0])


def test_updates_share_out_the_groups_each_with_its_own_z() -> None:
    recorder, groups = Recorder(), groups_of("RW", "WWW", "RRW", "UW")
    learner: Any = recorder
    updated(run_of(updates_per_batch=2), learner, groups, plan_for(VOLD, step=5))
    first, second = parts_of(groups, 2, step=5)
    assert recorder.said == [
        ("freeze", 4),
        ("accumulate", tuple(group.problem.id for group in first), VOLD, 5, z_of(first, VOLD)),
        ("apply", z_of(first, VOLD), 0.1),
        ("accumulate", tuple(group.problem.id for group in second), VOLD, 5, z_of(second, VOLD)),
        ("apply", z_of(second, VOLD), 0.1),
    ]


def test_a_part_nobody_could_judge_is_passed_over() -> None:
    """With several updates one part may be all unjudged; the others are learned from."""
    recorder, groups = Recorder(), groups_of("UU", "RW", "WW", "RR")
    learner: Any = recorder
    updated(run_of(updates_per_batch=4), learner, groups, plan_for(VOLD))
    assert len(recorder.of("apply")) == 3


def test_more_updates_than_groups_are_as_many_as_there_are_groups() -> None:
    recorder = Recorder()
    learner: Any = recorder
    updated(run_of(updates_per_batch=4), learner, groups_of("RW", "WW"), plan_for(VOLD))
    assert len(recorder.of("apply")) == 2


@dataclass
class FixedJudge:
    """Rules by sample index."""

    rulings: Sequence[Ruling]

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [Verdict(ruling=self.rulings[x.sample], extracted=None, note="seen") for x in rollouts]


@pytest.mark.parametrize(("setting", "expected"), [("wrong", "WWU"), ("judge", "RWU"), ("unjudged", "UUU")])
def test_what_a_truncated_rollout_is(setting: str, expected: str) -> None:
    """Wrong by default, however it was judged; a failed judge stays a failed judge."""
    asked = problem()
    rulings = [Ruling.RIGHT, Ruling.WRONG, Ruling.UNJUDGED]
    cut = [rollout(asked, i, [9], [10], finish=Finish.LENGTH) for i in range(3)]
    (group,) = judged([asked], cut, FixedJudge(rulings), truncated_reward=setting)
    assert "".join(x.verdict.ruling.value[0].upper() for x in group.members) == expected
    whole = [replace(x, finish=Finish.STOP) for x in cut]
    (group,) = judged([asked], whole, FixedJudge(rulings), truncated_reward=setting)
    assert [x.verdict.ruling for x in group.members] == rulings


def test_groups_come_in_problem_order_whatever_the_order_of_rollouts() -> None:
    asked = [problem("b"), problem("a")]
    rollouts = [rollout(asked[i], s, [9], [10]) for s in range(2) for i in (1, 0)]
    groups = judged(asked, rollouts, FixedJudge([Ruling.RIGHT, Ruling.WRONG]), truncated_reward="wrong")
    assert [g.problem.id for g in groups] == ["b", "a"]
    assert all(x.rollout.problem is g.problem for g in groups for x in g.members)
    assert [[x.right for x in g.members] for g in groups] == [[True, False]] * 2
