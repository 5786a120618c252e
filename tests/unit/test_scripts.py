"""Answers made from the reference, and two engines in the place of one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from support.records import problem, rollout

from vold.adapters.engines.mixed import MixedEngine
from vold.adapters.engines.scripts import KINDS, near_miss, rights, scripted
from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.base.types import Problem, Rollout, Ruling
from vold.core.answers import last_boxed
from vold.ports import Place, Sampling

GOLDS = ["42", "-7", "0", "123456", r"\frac{3}{4}", "n = 4", r"\text{No}", r"2\sqrt{3}", "(0, 1]", " 65 ", "$12$"]


@pytest.fixture(scope="module")
def judge():  # type: ignore[no-untyped-def]
    with EquivalenceJudge(workers=1) as found:
        yield found


@pytest.mark.parametrize("gold", GOLDS)
def test_right_answers_are_right_and_near_misses_are_not(judge: EquivalenceJudge, gold: str) -> None:
    pairs = [*((one, gold) for one in rights(gold)), (near_miss(gold), gold)]
    assert [verdict.ruling for verdict in judge.compare(pairs)] == [Ruling.RIGHT, Ruling.RIGHT, Ruling.WRONG]


def test_a_right_answer_in_another_notation_takes_algebra(judge: EquivalenceJudge) -> None:
    [verdict] = judge.compare([(rights("42")[1], "42")])
    assert verdict.note.startswith("math-verify")


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_what_they_are_called(judge: EquivalenceJudge, kind: str) -> None:
    asked = replace(problem(), answer="42")
    said = [rollout(asked, n, (1,), (2,), text=scripted(asked, n, kind=kind)) for n in range(4)]
    rulings = [verdict.ruling for verdict in judge.judge(said)]
    assert {"right": {Ruling.RIGHT}, "wrong": {Ruling.WRONG}, "mixed": {Ruling.RIGHT, Ruling.WRONG}}[kind] == set(rulings)
    assert (None in [last_boxed(one.text) for one in said]) == (kind != "right")


@dataclass
class Named:
    """An engine that says its name."""

    name: str
    asked: list[list[str]] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def adopt(self, weights: Any, *, version: int) -> None:
        del weights
        self.versions.append(version)

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        del sampling, place
        self.asked.append([p.id for p in problems])
        return [rollout(p, n, (1,), (2,), text=self.name) for p in problems for n in range(per_problem)]


def test_every_second_problem_of_a_step_is_answered_from_the_script() -> None:
    model, script = Named("model"), Named("script")
    engine = MixedEngine(model=model, script=script, takes=lambda number, place: place[0] == "joint" and number % 2 == 0)
    asked = [problem(f"p{n}") for n in range(5)]
    sampling = Sampling(max_new_tokens=4)
    found = engine.sample(asked, per_problem=2, sampling=sampling, place=("joint", 3))
    assert [(r.problem.id, r.sample, r.text) for r in found] == [(f"p{n}", s, "model" if n % 2 else "script") for n in range(5) for s in range(2)]
    assert {r.text for r in engine.sample(asked, per_problem=1, sampling=sampling, place=("validation",))} == {"model"}
    assert script.asked == [["p0", "p2", "p4"]]  # nobody is asked about nothing
    engine.adopt({}, version=7)
    assert model.versions == script.versions == [7]
