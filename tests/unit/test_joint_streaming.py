"""A step taken by parts: what a part waits for, in which order things happen, and that nothing else changes."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import models as m
from support.records import problem
from support.runs import SMALL, journal_of, results_of, run_here, unlike
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.adapters.engines.scripted import ScriptedEngine
from vold.adapters.templates import Template
from vold.base.errors import DataError, NothingJudged, ObjectiveError, SettingsError
from vold.base.types import Rollout
from vold.core.objective import Over
from vold.core.zoo import VOLD
from vold.stages.joint import joint

ASKED = [problem(name) for name in "abcde"]


def test_a_step_by_parts_is_the_same_step(world: m.World) -> None:
    whole, parts = Recorder(asked=ASKED), Recorder(asked=ASKED)
    for recorder, stream in ((whole, 0), (parts, 2)):
        joint(run_of(stream=stream), ports_of(world, recorder, some_teacher()))
    assert [entry[1] for entry in parts.of("accumulate")[:3]] == [("a/0", "b/0"), ("c/0", "d/0"), ("e/0",)]
    assert [entry if isinstance(entry, str) else entry[0] for entry in parts.said] == [
        "rewind", *["accumulate"] * 3, "apply", "write", "after", *["accumulate"] * 3, "apply", "write", "after", "verify", "finish",
    ]  # fmt: skip
    assert parts.of("apply") == whole.of("apply")
    for ours, theirs in zip(parts.of("write"), whole.of("write"), strict=True):
        assert ours[2] == pytest.approx(theirs[2], nan_ok=True)
        assert [[x.verdict for x in g.members] for g in ours[3]] == [[x.verdict for x in g.members] for g in theirs[3]]


def test_the_next_part_is_generated_while_this_one_is_learned_from(world: m.World) -> None:
    """The first gradient waits here until somebody has begun to answer the second part; one thread would wait for ever."""
    begun = threading.Event()

    class Watched(ScriptedEngine):
        def sample(self, problems: Any, **asked: Any) -> list[Rollout]:
            if problems[0].id.startswith("c"):
                begun.set()
            return super().sample(problems, **asked)

    class Waiting(Recorder):
        def accumulate(self, *given: Any) -> dict[str, float]:
            assert begun.wait(timeout=30)
            return super().accumulate(*given)

    recorder = Waiting(asked=ASKED)
    engine = Watched(template=Template(of=world.student32), script=lambda _, sample: ("\\boxed{ 7 }", "\\boxed{ 6 }", "1")[sample])
    joint(run_of(steps=1, stream=2), ports_of(world, recorder, some_teacher(), engine=engine))
    assert len(recorder.of("accumulate")) == 3


def test_what_an_engine_raises_ends_the_step_before_any_update(world: m.World) -> None:
    class Failing(ScriptedEngine):
        def sample(self, problems: Any, **asked: Any) -> list[Rollout]:
            if problems[0].id.startswith("c"):
                raise DataError("no more")
            return super().sample(problems, **asked)

    recorder = Recorder(asked=ASKED)
    engine = Failing(template=Template(of=world.student32), script=lambda *_: "\\boxed{ 7 }")
    with pytest.raises(DataError, match="no more"):
        joint(run_of(stream=2), ports_of(world, recorder, some_teacher(), engine=engine))
    assert not recorder.of("apply")
    assert not recorder.of("write")


def test_a_part_without_a_verdict_is_no_reason_to_stop_and_a_step_without_one_is(world: m.World) -> None:
    recorder = Recorder(asked=[replace(p, answer=None) if p.id == "a" else p for p in ASKED])
    joint(run_of(steps=1, stream=1), ports_of(world, recorder, some_teacher()))
    assert len(recorder.of("apply")) == 1
    nobody = Recorder(asked=[replace(p, answer=None) for p in ASKED])
    with pytest.raises(NothingJudged):
        joint(run_of(steps=1, stream=1), ports_of(world, nobody, some_teacher()))


@pytest.mark.parametrize(
    ("objective", "updates", "why"),
    [
        (replace(VOLD, dynamic=True), 1, "dynamic sampling"),
        (replace(VOLD, pulls=(replace(VOLD.pulls[0], over=Over.PULLED),)), 1, "pulled"),
        (VOLD, 2, "updates_per_batch"),
    ],
)
def test_what_must_see_a_whole_step_is_refused(world: m.World, objective: Any, updates: int, why: str) -> None:
    run = run_of(objective, stream=2, updates_per_batch=updates)
    with pytest.raises(ObjectiveError, match=f"stream = 2 .*{why}.*Set stream = 0"):
        joint(run, ports_of(world, Recorder(asked=ASKED), some_teacher()))


SETTINGS = ("joint.arms=['reward']", "joint.steps=3", "joint.validation.every=2", "eval.samples=0", "sft.steps=2", "corpus.problems.count=16")


@pytest.mark.long
def test_a_run_by_parts_is_the_same_every_time_and_resumes(tmp_path: Path) -> None:
    recipe = tmp_path / "small.toml"
    recipe.write_text(SMALL)
    streamed = (*SETTINGS, "joint.stream=2")
    run_here(recipe, tmp_path / "one", *streamed)
    with pytest.raises(Exception, match="GRPO at 2"):
        run_here(recipe, tmp_path / "two", *streamed, stop=("GRPO", 2))
    run_here(recipe, tmp_path / "two", *streamed)
    assert unlike(results_of(tmp_path / "one"), results_of(tmp_path / "two")) == []
    run_here(recipe, tmp_path / "whole", *SETTINGS)
    parts, whole = (journal_of(tmp_path / name / "joint-reward")[0]["values"] for name in ("one", "whole"))
    assert parts["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-3)
    assert (parts["reward/mean"], parts["z"]) == (whole["reward/mean"], whole["z"])


def test_every_other_problem_needs_parts_of_even_size(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'joint\.stream = 3 .*engine\.scripted = "half".*even'):
        run_here("tiny", tmp_path / "run", "joint.arms=['grpo']", "joint.stream=3", "engine.scripted=half")


def test_settings_that_cannot_stream_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"joint\.stream = 4 .*dynamic sampling.*Set joint\.stream = 0"):
        run_here("tiny", tmp_path / "run", "joint.arms=['vold']", "joint.stream=4", "arms.vold.objective.dynamic=true")
