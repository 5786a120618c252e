"""The joint stage with a recorder in the place of everything that learns or is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from support import models as m

from vold.adapters.engines.scripted import Script, ScriptedEngine
from vold.adapters.judges.boxed import BoxedJudge
from vold.adapters.teachers.tabular import TabularTeacher
from vold.adapters.templates import Template
from vold.base.types import Group, Problem, StepStats
from vold.core.objective import Objective
from vold.core.plan import Counts, Plan
from vold.core.zoo import VOLD
from vold.stages.joint import JointRun, Phase, Ports


def run_of(objective: Objective = VOLD, **changes: Any) -> JointRun:
    made = {"steps": 2, "group_size": 3, "lr": 0.1, "warmup": 0, "sampling": m.sampling(8), "phases": (Phase(objective=objective, until=9),)}
    return JointRun(**(made | changes))


@dataclass
class Recorder:
    """Stands for learner, journal, checkpoints, problems and progress, and writes down what it is asked to do."""

    asked: Sequence[Problem] = ()
    begin: int = 0
    sums: Mapping[str, float] = field(default_factory=dict)
    """What each accumulate reports."""
    refills: Callable[[int, int], Sequence[Problem]] | None = None
    """Further problems of a step and refill."""
    said: list[Any] = field(default_factory=list)
    step: int = 0
    kept: dict[str, float] = field(default_factory=dict)

    def for_step(self, step: int) -> Sequence[Problem]:
        return [replace(p, id=f"{p.id}/{step}") for p in self.asked]

    def more(self, step: int, refill: int) -> Sequence[Problem]:
        assert self.refills is not None, "nobody should draw further problems"
        self.said.append(("more", step, refill))
        return self.refills(step, refill)

    def weights(self) -> dict[str, torch.Tensor]:
        return {}

    def freeze_behaviour(self, groups: Sequence[Group]) -> None:
        self.said.append(("freeze", len(groups)))

    def accumulate(self, groups: Sequence[Group], plan: Plan, counts: Counts) -> dict[str, float]:
        self.said.append(("accumulate", tuple(g.problem.id for g in groups), plan.objective, plan.step, counts.z))
        return dict(self.sums)

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


def ports_of(world: m.World, recorder: Recorder, teacher: TabularTeacher | None, *, script: Script | None = None, **more: Any) -> Ports:
    """Unless a script says otherwise sample 0 is right, the others are wrong, the last one is too long."""
    words = {0: "\\boxed{ 7 }", 1: "\\boxed{ 6 }", 2: "1 2 3 4 5 6 7 8 9"}
    engine = ScriptedEngine(template=Template(of=world.student32), script=script or (lambda _, sample: words[sample]))
    other: Any = recorder
    made = {"problems": other, "learner": other, "journal": other, "checkpoints": other, "progress": other}
    return Ports(**({**made, "engine": engine, "judge": BoxedJudge(), "teacher": teacher} | more))


def some_teacher() -> TabularTeacher:
    return TabularTeacher(logprobs_VV=torch.full((64, 64), -4.0))
