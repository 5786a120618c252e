"""The joint stage around its update: verdicts, who is asked, what is divided by what, and in which order things happen."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from support import models as m
from support.records import groups_of, problem, rollout

from vold.adapters.engines.scripted import ScriptedEngine
from vold.adapters.judges.boxed import BoxedJudge
from vold.adapters.models import Template
from vold.adapters.teachers.tabular import TabularTeacher
from vold.base.types import Finish, Group, Problem, Rollout, Ruling, StepStats, Verdict
from vold.core.objective import Objective, Schedule
from vold.core.plan import z_of
from vold.core.zoo import GRPO, OPD, VOLD
from vold.stages.joint import JointRun, Phase, Ports, joint, judged, parts_of, updated


def run_of(objective: Objective = VOLD, **changes: Any) -> JointRun:
    made = {"steps": 2, "group_size": 3, "lr": 0.1, "warmup": 0, "sampling": m.sampling(8), "phases": (Phase(objective=objective, until=9),)}
    return JointRun(**(made | changes))


@dataclass
class Recorder:
    """Stands for learner, journal, checkpoints, problems and progress, and writes down what it is asked to do."""

    asked: Sequence[Problem] = ()
    begin: int = 0
    said: list[Any] = field(default_factory=list)
    step: int = 0

    def for_step(self, step: int) -> Sequence[Problem]:
        return [replace(p, id=f"{p.id}/{step}") for p in self.asked]

    def weights(self) -> dict[str, torch.Tensor]:
        return {}

    def freeze_behaviour(self, groups: Sequence[Group]) -> None:
        self.said.append(("freeze", len(groups)))

    def accumulate(self, groups: Sequence[Group], objective: Objective, *, step: int) -> dict[str, float]:
        self.said.append(("accumulate", tuple(g.problem.id for g in groups), objective, step))
        return {}

    def apply(self, z: float, *, lr: float) -> dict[str, float]:
        self.said.append(("apply", z, lr))
        return {"grad_norm": 1.0}

    def verify_frozen(self) -> None:
        self.said.append("verify")

    def write(self, stats: StepStats, groups: Sequence[Group]) -> None:
        self.said.append(("write", stats.step, dict(stats.values), groups))

    def rewind(self, step: int) -> None:
        self.said.append(("rewind", step))

    def restore(self) -> int:
        return self.begin

    def after(self, step: int) -> None:
        self.said.append(("after", step))

    def finish(self) -> None:
        self.said.append("finish")

    def update(self, done: int, total: int, note: str = "") -> None:
        """Progress is not the point here."""

    def of(self, kind: str) -> list[Any]:
        return [entry for entry in self.said if entry[0] == kind]


def ports_of(world: m.World, recorder: Recorder, teacher: TabularTeacher | None) -> Ports:
    """Sample 0 is right, the others are wrong, the last one is too long."""
    words = {0: "\\boxed{ 7 }", 1: "\\boxed{ 6 }", 2: "1 2 3 4 5 6 7 8 9"}
    engine = ScriptedEngine(template=Template(of=world.student32), script=lambda _, sample: words[sample])
    other: Any = recorder
    return Ports(problems=other, engine=engine, judge=BoxedJudge(), teacher=teacher, learner=other, journal=other, checkpoints=other, progress=other)


def some_teacher() -> TabularTeacher:
    return TabularTeacher(logprobs_VV=torch.full((64, 64), -4.0))


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
    joint(run_of(GRPO), ports_of(world, recorder, None))
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
    phases = (Phase(objective=OPD, until=1), Phase(objective=GRPO, until=3))
    joint(run_of(steps=3, phases=phases), ports_of(world, recorder, some_teacher()))
    assert [entry[2] for entry in recorder.of("accumulate")] == [OPD, GRPO, GRPO]


def test_learning_rate() -> None:
    assert [run_of(warmup=4).lr_at(step) for step in (0, 1, 3, 4, 99)] == pytest.approx([0.025, 0.05, 0.1, 0.1, 0.1])
    assert [run_of(lr=Schedule(0.1, 0.0, until=10)).lr_at(step) for step in (0, 5, 10)] == pytest.approx([0.1, 0.05, 0.0])


def test_updates_share_out_the_groups_each_with_its_own_z() -> None:
    recorder, groups = Recorder(), groups_of("RW", "WWW", "RRW", "UW")
    learner: Any = recorder
    updated(run_of(updates_per_batch=2), learner, groups, VOLD, step=5)
    first, second = parts_of(groups, 2, step=5)
    assert recorder.said == [
        ("freeze", 4),
        ("accumulate", tuple(group.problem.id for group in first), VOLD, 5),
        ("apply", z_of(first, VOLD), 0.1),
        ("accumulate", tuple(group.problem.id for group in second), VOLD, 5),
        ("apply", z_of(second, VOLD), 0.1),
    ]


def test_a_part_nobody_could_judge_is_passed_over() -> None:
    """With several updates one part may be all unjudged; the others are learned from."""
    recorder, groups = Recorder(), groups_of("UU", "RW", "WW", "RR")
    learner: Any = recorder
    updated(run_of(updates_per_batch=4), learner, groups, VOLD, step=0)
    assert len(recorder.of("apply")) == 3


def test_more_updates_than_groups_are_as_many_as_there_are_groups() -> None:
    recorder = Recorder()
    learner: Any = recorder
    updated(run_of(updates_per_batch=4), learner, groups_of("RW", "WW"), VOLD, step=0)
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
