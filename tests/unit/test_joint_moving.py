"""What moves during the stage: a strength that follows the KL, a schedule, and the steps that read the corpus."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import models as m
from support.checks_of_objectives import check_a_strength_follows_the_kl, check_schedules, check_the_share_of_steps_on_the_corpus
from support.records import groups_of, problem
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.base.types import Group
from vold.core.objective import REFERENCE, TEACHER, Adaptive, Objective, Pull
from vold.core.zoo import GKD, OPD, VLAA_THINKER
from vold.stages.joint import Phase, joint

FOLLOWING = Adaptive(0.1, target=0.05, horizon=60)
"""Six rollouts a step move it by at most a fiftieth."""
TOWARD_TEACHER = replace(OPD, pulls=(Pull(TEACHER, FOLLOWING),))


# -- a strength that follows the KL ----------------------------------------------------------------------------------------------------


@given(
    value=st.floats(1e-6, 1e3), kl=st.floats(0, 1e6), target=st.floats(1e-6, 10), rollouts=st.integers(1, 100_000),
    horizon=st.integers(1, 100_000), reach=st.floats(0.01, 0.99),
)  # fmt: skip
def test_it_rises_above_the_target_and_falls_below_it(value: float, kl: float, target: float, rollouts: int, horizon: int, reach: float) -> None:
    """By no more than `reach` allows, and never to nothing: what is 0 could not grow again."""
    found = Adaptive(0.1, target=target, horizon=horizon, reach=reach).after(value, kl=kl, rollouts=rollouts)
    most = reach * min(1.0, rollouts / horizon)
    assert value * (1 - most) * (1 - 1e-12) <= found <= value * (1 + most) * (1 + 1e-12)
    assert found > 0
    assert (found >= value) if kl > target else (found <= value)


def test_a_number_from_the_literature() -> None:
    """Ziegler et al., §2.2, at twice the target: the error is held at 0.2, a batch of 512 in a horizon of 10,000."""
    assert Adaptive(0.2, target=6.0).after(0.2, kl=12.0, rollouts=512) == pytest.approx(0.2 * (1 + 0.2 * 512 / 10_000))
    assert Adaptive(0.2, target=6.0).after(0.2, kl=5.7, rollouts=512) == pytest.approx(0.2 * (1 - 0.05 * 512 / 10_000))


def betas_of(recorder: Recorder, name: str = "pull/beta") -> list[float]:
    return [entry[2][name] for entry in recorder.of("write")]


def stage(world: m.World, recorder: Recorder, objective: Objective = TOWARD_TEACHER, **changes: object) -> Recorder:
    recorder.asked = [problem("a"), problem("b")]
    joint(run_of(objective, **({"steps": 4} | changes)), ports_of(world, recorder, some_teacher(), reference=some_teacher()))
    return recorder


def test_the_stage_moves_it(world: m.World) -> None:
    check_a_strength_follows_the_kl(world)


def test_it_stands_where_the_pull_saw_nothing(world: m.World) -> None:
    assert betas_of(stage(world, Recorder(sums={"pulled_tokens/0": 0.0, "k3/0": 0.0}))) == [0.1] * 4


def test_several_updates_are_measured_together(world: m.World) -> None:
    """Two updates of one batch: their KL is over the tokens of both, and they move the strength once."""
    found = betas_of(stage(world, Recorder(sums={"pulled_tokens/0": 10.0, "k3/0": 5.0}), updates_per_batch=2))
    assert found == pytest.approx([0.1 * 1.02**step for step in range(4)])


def test_each_pull_follows_its_own_partner(world: m.World) -> None:
    objective = replace(OPD, pulls=(Pull(TEACHER, FOLLOWING), Pull(TEACHER, 0.3), Pull(REFERENCE, replace(FOLLOWING, start=0.4))))
    sums = {"pulled_tokens/0": 10.0, "k3/0": 10.0, "pulled_tokens/1": 10.0, "k3/1": 10.0, "pulled_tokens/2": 10.0, "k3/2": 0.0}
    recorder = stage(world, Recorder(sums=sums), objective)
    assert betas_of(recorder, "pull/beta/0") == pytest.approx([0.1 * 1.02**step for step in range(4)])
    assert betas_of(recorder, "pull/beta/1") == [0.3] * 4
    assert betas_of(recorder, "pull/beta/2") == pytest.approx([0.4 * 0.98**step for step in range(4)])


def test_each_phase_starts_its_own(world: m.World) -> None:
    """Also where the second phase is the same objective again."""
    phases = (Phase(objective=TOWARD_TEACHER, until=2), Phase(objective=TOWARD_TEACHER, until=4))
    recorder = stage(world, Recorder(sums={"pulled_tokens/0": 10.0, "k3/0": 10.0}), phases=phases)
    assert betas_of(recorder) == pytest.approx([0.1, 0.102, 0.1, 0.102])


def test_a_resumed_stage_goes_on_with_the_value_that_was_saved(world: m.World) -> None:
    """`kept` is what a checkpoint holds: after two steps, and in a stage that starts there."""
    sums = {"pulled_tokens/0": 10.0, "k3/0": 10.0}
    begun = stage(world, Recorder(sums=sums), steps=2)
    resumed = stage(world, Recorder(sums=sums, begin=2, kept=dict(begun.kept)))
    assert betas_of(begun) + betas_of(resumed) == betas_of(stage(world, Recorder(sums=sums)))
    assert begun.kept != {}


def test_the_value_of_a_step_is_the_one_it_was_made_with(world: m.World) -> None:
    """VLAA-Thinker's first step pulls with its start, and what moved is saved with the checkpoint of that step."""
    recorder = stage(world, Recorder(sums={"pulled_tokens/0": 10.0, "k3/0": 10.0}), VLAA_THINKER, steps=1)
    assert betas_of(recorder) == [1e-3]
    assert list(recorder.kept.values()) == pytest.approx([1e-3 * (1 + 0.2 * 6 / 10_000)])


# -- schedules -------------------------------------------------------------------------------------------------------------------------


def test_schedules() -> None:
    check_schedules()


# -- steps on the corpus ---------------------------------------------------------------------------------------------------------------


def test_the_share_of_steps_on_the_corpus() -> None:
    check_the_share_of_steps_on_the_corpus()


@given(part=st.integers(0, 40), whole=st.integers(1, 40), steps=st.integers(0, 400))
def test_steps_on_the_corpus_are_spread_evenly(part: int, whole: int, steps: int) -> None:
    """Of any first n steps, as many as the share says, rounded down: exactly that share where it comes out even."""
    share = min(1.0, part / whole)
    run = run_of(on_corpus=share)
    assert sum(run.reads_corpus(step) for step in range(steps)) == math.floor(steps * min(part, whole) / whole + 1e-9)


def traces(step: int) -> Sequence[Group]:
    return [replace(g, problem=replace(g.problem, id=f"trace {step}")) for g in groups_of("U", "U", seed=step)]


def test_a_step_on_the_corpus_reads_traces_and_nobody_answers(world: m.World) -> None:
    """GKD's second stream: the teacher reads the traces, no problem is drawn, and nothing is said of rewards."""
    recorder, teacher = Recorder(asked=[problem("a")]), some_teacher()
    joint(run_of(GKD, steps=4, on_corpus=0.5), ports_of(world, recorder, teacher, corpus=traces))
    assert [entry[1] for entry in recorder.of("accumulate")] == [("a/0",), ("trace 1", "trace 1"), ("a/2",), ("trace 3", "trace 3")]
    values = [entry[2] for entry in recorder.of("write")]
    assert ["on_corpus" in line for line in values] == [False, True, False, True]
    assert values[1]["on_corpus"] == 1.0
    assert [math.isnan(line["reward/mean"]) for line in values] == [False, True, False, True]
    read = [x.problem.id for x in teacher.asked]
    assert sorted(set(read)) == ["a/0", "a/2", "p0", "p1"]
    assert "teacher/nll_start" in values[0]


def test_a_stage_on_the_corpus_alone_asks_for_no_answer(world: m.World) -> None:
    """Nor does it probe the teacher with answers at its first step."""
    recorder = Recorder(asked=[problem("a")])
    recorder.for_step = None  # type: ignore[assignment, method-assign]
    joint(run_of(GKD, steps=2, on_corpus=1.0), ports_of(world, recorder, some_teacher(), corpus=traces))
    values = [entry[2] for entry in recorder.of("write")]
    assert len(values) == 2
    assert all("teacher/nll_start" not in line for line in values)
