"""The stage that tests: what is counted, and what several answers to one problem say."""

from collections.abc import Mapping, Sequence

import pytest
from support.records import problem, rollout

from vold.adapters.benchmarks.asked import PlainBenchmark
from vold.base.types import Finish, Problem, Rollout, Ruling, Verdict
from vold.ports import Place, Sampling
from vold.stages.evaluate import Ports, Result, Way, evaluate

ASKED = [problem(name) for name in ("a", "b", "c")]
R, W, U = Ruling.RIGHT, Ruling.WRONG, Ruling.UNJUDGED
SAID: Mapping[str, tuple[tuple[Ruling, str | None], ...]] = {
    "a": ((W, "1"), (R, "2"), (W, "1"), (W, None)),
    "b": ((R, "2"), (W, "3"), (R, "2"), (U, "9")),
    "c": ((W, None), (W, None), (R, "4"), (W, None)),
}


class Script:
    """Answers and verdicts by problem and sample."""

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        del sampling, place
        return [rollout(one, n, [], [1]) for one in problems for n in range(per_problem)]

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        said = [SAID[one.problem.id][one.sample] for one in rollouts]
        return [Verdict(ruling=ruling, extracted=extracted) for ruling, extracted in said]


class Silent:
    def update(self, done: int, total: int, note: str = "") -> None:
        del done, total, note


class Strict(Script):
    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [Verdict(ruling=W, extracted=None) for _ in rollouts]


def results(samples: int) -> list[Result]:
    at = Ports(
        engine=Script(),
        benchmarks=[(PlainBenchmark(name="x", modality="text", read=lambda: ASKED), {"equivalence": Script(), "strict": Strict()})],
        progress=Silent(),
    )
    return evaluate([Way(name="sampled", sampling=Sampling(max_new_tokens=4), samples=samples)], at)[0]


def value(result: Result, metric: str) -> float:
    (measure,) = [one for one in result.measures if one.metric == metric and not one.part]
    return sum(unit.value for unit in measure.units) / len(measure.units)


def test_mean_pass_and_majority() -> None:
    found, strict = results(4)
    assert (found.mode, strict.mode) == ("equivalence", "strict")
    assert value(found, "accuracy") == pytest.approx((1 / 4 + 2 / 3 + 1 / 4) / 3)  # what was not judged is left out of b
    assert value(found, "pass@4") == 1.0
    assert value(found, "majority of 4") == pytest.approx(2 / 3)  # a says 1 twice; c says 4 and otherwise nothing
    assert (found.items, found.answers, found.unjudged, found.unextracted) == (3, 12, 1, 4)
    assert value(strict, "pass@4") == 0.0


def test_one_answer_has_neither() -> None:
    assert {one.metric for one in results(1)[0].measures} == {"accuracy"}


def test_answers_carry_every_verdict_and_cut_ones_are_counted() -> None:
    class Cut(Script):
        def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
            del sampling, place, per_problem
            return [rollout(one, 0, [], [1, 2], finish=Finish.LENGTH) for one in problems]

    benchmark = PlainBenchmark(name="x", modality="text", read=lambda: ASKED)
    at = Ports(engine=Cut(), benchmarks=[(benchmark, {"equivalence": Script(), "strict": Strict()})], progress=Silent())
    (one, _), answers = evaluate([Way(name="greedy", sampling=Sampling(max_new_tokens=2, temperature=0.0))], at)
    assert one.truncated == 3
    assert [list(answer.verdicts) for answer in answers] == [["equivalence", "strict"]] * 3


def test_two_modes_agree_where_both_judged() -> None:
    found, strict = results(4)
    assert found.agreement == {"strict": pytest.approx(7 / 11)}  # of eleven judged answers seven are wrong by both
    assert strict.agreement == {"equivalence": pytest.approx(7 / 11)}
