"""Ports that keep time do what those inside them do, and say what it had to cost; the machine is measured without moving anybody's draws."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import models as m
from support import stage as s
from support.records import problem

from vold.adapters.engines.scripted import ScriptedEngine
from vold.adapters.journals.jsonl import JsonlJournal
from vold.adapters.metering import Meter, MeteredEngine, MeteredJudge, MeteredLearner, MeteredScorer, bubble_of, measured, shape_in
from vold.adapters.templates import Template
from vold.base.types import Problem, Rollout, StepStats
from vold.core import roofline
from vold.core.roofline import Machine
from vold.stages.joint import Ports, Validation, joint
from vold.stages.joint_run import JointRun

CPU = torch.device("cpu")


@pytest.fixture
def asked() -> Sequence[Problem]:
    return [problem(f"p{place}", "3 + 4 = ?") for place in range(2)]


def metered(at: Ports, meter: Meter, world: m.World) -> Ports:
    shape = shape_in(world.student32)
    assert at.teacher is not None
    return replace(
        at,
        engine=MeteredEngine(at.engine, meter, shape),
        judge=MeteredJudge(at.judge, meter),
        teacher=MeteredScorer(at.teacher, meter, shape),
        learner=MeteredLearner(at.learner, meter, shape),
    )


def test_a_stage_does_the_same_with_and_without_a_meter(world: m.World, asked: Sequence[Problem]) -> None:
    run: JointRun = s.run_of(steps=2, validate_every=1)
    sums = {"tokens": 1.0}
    validation = Validation(name="held-out", problems=asked, sampling=m.sampling(8))
    plain, timed = s.Recorder(asked, sums=sums), s.Recorder(asked, sums=sums)
    joint(run, s.ports_of(world, plain, s.some_teacher(), validation=validation))
    meter = Meter(Machine(flops=1e9, bandwidth=1e9), CPU)
    joint(run, metered(s.ports_of(world, timed, s.some_teacher(), validation=validation), meter, world))
    assert repr(plain.said) == repr(timed.said)
    found = meter.close()
    assert set(found.seconds) == {"rollouts", "judge", "teacher", "update", "validation"}
    assert set(found.costs) == set(found.seconds) - {"judge"}
    assert all(ratio > 0 for ratio in found.of_ideal(meter.machine).values())
    assert meter.close().seconds == {}


def test_a_journal_holds_the_costs_and_the_times_beside_it(world: m.World, asked: Sequence[Problem], tmp_path: Path) -> None:
    lines = []
    for name in ("one", "two"):
        meter = Meter(Machine(flops=1e9, bandwidth=1e9), CPU)
        recorder = s.Recorder(asked, sums={"tokens": 1.0})
        journal = JsonlJournal(folder=tmp_path / name, meter=meter)
        joint(s.run_of(steps=2), replace(metered(s.ports_of(world, recorder, s.some_teacher()), meter, world), journal=journal))
        lines.append((tmp_path / name / "journal.jsonl").read_bytes())
    assert lines[0] == lines[1]
    values = json.loads(lines[0].splitlines()[1])["values"]
    [times, later] = [json.loads(line) for line in (tmp_path / "two" / "timing.jsonl").read_text().splitlines()]
    assert set(times["phases"]) == {"rollouts", "judge", "teacher", "update"}
    assert set(times["of_ideal"]) == {"rollouts", "teacher", "update"}
    assert sum(later["phases"].values()) <= later["seconds"] + 1e-3
    assert {name for name in values if name.startswith("flops/")} == {"flops/rollouts", "flops/teacher", "flops/update"}
    unmetered, shape = s.Recorder(asked, sums={"tokens": 1.0}), shape_in(world.student32)
    joint(s.run_of(steps=2), s.ports_of(world, unmetered, s.some_teacher()))
    groups = unmetered.of("write")[1][3]
    plan = s.run_of().plan_at(1, {})
    assert values["flops/teacher"] == shape.reading(roofline.scored_in(groups, plan)).flops > 0
    assert values["flops/update"] == shape.training(roofline.trained_in(groups, plan)).flops > 0


def test_costs_are_those_of_what_was_asked(world: m.World, asked: Sequence[Problem]) -> None:
    meter, recorder = Meter(Machine(flops=1e9, bandwidth=1e9), CPU), s.Recorder(asked, sums={"tokens": 1.0})
    at = metered(s.ports_of(world, recorder, s.some_teacher()), meter, world)
    run, shape = s.run_of(), shape_in(world.student32)
    rollouts = at.engine.sample(asked, per_problem=3, sampling=run.sampling, place=("joint", 0))
    spans = [roofline.span_of(rollout) for rollout in rollouts]
    assert meter.close().costs["rollouts"].flops == shape.decoding([spans[:3], spans[3:]]).flops
    assert at.teacher is not None
    at.teacher.score(rollouts[:2])
    assert meter.close().flops() == {"flops/teacher": shape.reading(spans[:2]).flops}


def test_the_bubble_is_what_the_two_sides_do_not_share() -> None:
    """Half a second of rollouts beside learning, one alone; and a quarter of learning alone."""
    worked = {"engine": [(0.0, 1.0), (1.0, 1.5)], "learner": [(1.0, 1.25), (1.25, 1.75)]}
    assert bubble_of(worked) == {"learner": 1.0, "engine": 0.25}
    assert bubble_of({"engine": [(0.0, 1.0)], "learner": [(1.0, 3.0)]}) == {"learner": 1.0, "engine": 2.0}
    assert bubble_of({"learner": [(0.0, 1.0)]}) == {}


def test_streaming_takes_some_of_the_bubble(world: m.World, tmp_path: Path) -> None:
    """Generation and learning take as long as each other, on purpose: in one part each waits for all of the other, in four they share time."""
    asked = [problem(f"p{place}", "3 + 4 = ?") for place in range(4)]

    class Slow(ScriptedEngine):
        def sample(self, problems: Any, **given: Any) -> list[Rollout]:
            time.sleep(0.05 * len(problems))
            return super().sample(problems, **given)

    class SlowRecorder(s.Recorder):
        def accumulate(self, groups: Any, *given: Any) -> dict[str, float]:
            time.sleep(0.05 * len(groups))
            return super().accumulate(groups, *given)

    found = {}
    for stream in (0, 1):
        meter = Meter(Machine(flops=1e9, bandwidth=1e9), CPU)
        recorder = SlowRecorder(asked, sums={"tokens": 1.0})
        engine = Slow(template=Template(of=world.student32), script=lambda _, sample: ("\\boxed{ 7 }", "\\boxed{ 6 }", "1")[sample])
        journal = JsonlJournal(folder=tmp_path / str(stream), meter=meter)
        joint(
            s.run_of(steps=2, stream=stream),
            replace(metered(s.ports_of(world, recorder, s.some_teacher(), engine=engine), meter, world), journal=journal),
        )
        found[stream] = json.loads((tmp_path / str(stream) / "timing.jsonl").read_text().splitlines()[1])["bubble"]
    assert found[0]["learner"] >= 0.2
    assert found[0]["engine"] >= 0.2
    assert found[1]["learner"] < 0.7 * found[0]["learner"]
    assert found[1]["engine"] < 0.7 * found[0]["engine"]


def test_notes_stand_beside_the_times(tmp_path: Path) -> None:
    meter = Meter(Machine(flops=1e9, bandwidth=1e9), CPU)
    journal = JsonlJournal(folder=tmp_path, meter=meter)
    meter.note("engine/gap", 2e-6)
    meter.note("engine/gap", 1e-6)
    for step in range(2):
        journal.write(StepStats(step=step, values={}))
    first, second = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert first["engine/gap"] == 2e-6
    assert "engine/gap" not in second
    assert "gap" not in (tmp_path / "journal.jsonl").read_text()


def test_measuring_the_machine_draws_nothing_and_is_done_once() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    found = measured(CPU, torch.float32)
    assert torch.equal(before, torch.random.get_rng_state())
    assert found.flops > 1e8
    assert found.bandwidth > 1e8
    assert measured(CPU, torch.float32) is found
