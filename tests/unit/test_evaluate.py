"""The stage that tests: what is counted, and what several answers to one problem say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import pytest
from support.records import problem, rollout

from vold.adapters.benchmarks.asked import PlainBenchmark, graded
from vold.adapters.benchmarks.mme import SIDES
from vold.adapters.benchmarks.registry import SPECS
from vold.base.types import Finish, Item, Problem, Rollout, Ruling, Verdict
from vold.core.measures import Measure, estimate
from vold.ports import Place, Sampling
from vold.stages.evaluate import LONGEST, Ports, Result, Way, evaluate, result, said

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
    assert value(found, "pass@4") == 1.0  # of a and c
    assert value(found, "left out of pass@4") == pytest.approx(1 / 3)  # b has three judged answers
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


# -- several answers where a number takes several items together ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grouped:
    """A published benchmark's numbers over a few items of our own."""

    name: str
    items: Mapping[str, Item]
    title: str = "Grouped"
    kind: str = ""
    modality: Literal["text", "image"] = "image"
    broken: Sequence[tuple[str, str]] = ()

    def problems(self) -> Sequence[Problem]:
        return [problem(name) for name in self.items]

    def measures(self, judged: Sequence[tuple[Rollout, Verdict]]) -> Sequence[Measure]:
        return SPECS[self.name].measures(graded(judged, self.items))


def item(name: str, *, cluster: str, parts: Mapping[str, str], facts: Mapping[str, str] | None = None) -> Item:
    return Item(id=name, question="", answer="", parts=parts, facts=facts or {}, cluster=cluster)


def of_each(name: str, items: Sequence[Item], *rulings: Sequence[Ruling]) -> dict[str, float]:
    """The numbers over everything, where the samples of each item got these rulings; an answer says its ruling."""
    benchmark = Grouped(name, {one.id: one for one in items})
    samples = len(rulings[0])
    judged = [
        (rollout(problem(one.id), sample, [], [1]), Verdict(ruling=ruling, extracted=ruling.value))
        for one, own in zip(items, rulings, strict=True)
        for sample, ruling in enumerate(own)
    ]
    found = result(benchmark, Way(name="sampled", sampling=Sampling(max_new_tokens=1), samples=samples), "strict", judged)
    return {measure.metric: estimate(measure).value for measure in found.measures if not measure.part}


VARIANTS = [item(f"dynamath/1-{at}", cluster="1", parts={"subject": "a", "level": "b", "variant": str(at)}) for at in (1, 2)]


def test_a_worst_case_takes_variants_together_whichever_sample_was_right() -> None:
    found = of_each("dynamath", VARIANTS, [R, W, R], [W, R, R])
    assert found["worst case of 2 variants"] == pytest.approx(1 / 3)
    assert found["worst case of 2 variants, pass@3"] == 1.0
    assert found["worst case of 2 variants, majority of 3"] == 1.0
    other = of_each("dynamath", VARIANTS, [R, W, W], [W, W, R])
    assert other["worst case of 2 variants, pass@3"] == 1.0
    assert other["best case of 2 variants, majority of 3"] == 0.0


def test_the_steps_of_a_problem_may_be_right_in_different_samples() -> None:
    keys = ("2steps_1", "2steps_2", "2steps_multi")
    steps = [item(f"wemath/0/{key}", cluster="2steps_0", parts={"steps": "2", "key": key, "concept": ""}, facts={"key": key}) for key in keys]
    found = of_each("wemath", steps, [R, W, R], [W, R, R], [R, R, W])
    assert found["strict score"] == pytest.approx(0.5 / 3)  # in the last sample both steps are right, and the whole is not
    assert found["strict score, pass@3"] == found["strict score, majority of 3"] == 1.0
    assert found["rote memorisation (strict), pass@3"] == 0.0
    assert of_each("wemath", steps, [R, W, W], [W, R, W], [W, W, R])["complete mastery (strict), pass@3"] == 1.0


PICTURES = [
    item(f"mme/{subtask}/{at}", cluster=f"{subtask}/1", parts={"side": side, "subtask": subtask})
    for side, subtasks in SIDES.items()
    for subtask in subtasks
    for at in "ab"
]


def test_both_questions_of_a_picture_may_be_right_in_different_samples() -> None:
    found = of_each("mme", PICTURES, *[[R, W, R], [W, R, R]] * 14)
    assert found["score"] == pytest.approx(14 * (50 + 50 + 200) / 3)
    assert found["score, pass@3"] == found["score, majority of 3"] == 2800.0
    assert of_each("mme", PICTURES, *[[R, W, W], [W, W, R]] * 14)["score, pass@3"] == 2800.0


def test_a_figure_is_right_as_a_whole_whichever_samples_were() -> None:
    facts = ({"figure": "f", "question": at} for at in "ab")
    questions = [item(f"hallusion/{one['question']}", cluster="s", parts={"category": "c", "subcategory": "d"}, facts=one) for one in facts]
    found = of_each("hallusionbench", questions, [R, W, R], [W, R, R])
    assert found["fAcc"] == pytest.approx(1 / 3)
    assert found["fAcc, pass@3"] == found["fAcc, majority of 3"] == 1.0
    assert of_each("hallusionbench", questions, [W, W, R], [W, W, W])["fAcc, pass@3"] == 0.0


def test_what_was_not_judged_is_missing_from_its_group_too() -> None:
    """A picture has no score where one of its questions has no verdict; with the other alone it would count as wholly right."""
    seeds, pictures = of_each("dynamath", VARIANTS, [R, R], [U, U]), of_each("mme", PICTURES, *[[R, R], [U, U]] * 14)
    for found, number in ((seeds, "worst case of 2 variants"), (pictures, "score")):
        assert all(math.isnan(found[metric]) for metric in (number, f"{number}, pass@2", f"{number}, majority of 2"))


def test_fewer_answers_are_not_taken_for_as_many() -> None:
    """One answer right of the one that was judged says nothing of two; half of all items are left out, and that is said."""
    found = of_each("math500", [item(name, cluster="", parts={"subject": "a", "level": "1"}) for name in "abcd"], [R, U], [W, U], [W, W], [W, R])
    assert found["accuracy"] == pytest.approx((1 + 0 + 0 + 1 / 2) / 4)
    assert found["pass@2"] == pytest.approx(1 / 2)
    assert found["left out of pass@2"] == pytest.approx(1 / 2)
    assert not any(name.startswith("left out") for name in of_each("math500", [item("a", cluster="", parts={"subject": "a", "level": "1"})], [R, W]))


# -- what answers say ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        (r"\frac{1}{2}", "0.5", "1/2", r"$\frac12$", ".50", r"\dfrac{2}{4}"),
        ("1,234", "1234", r"\$1234", "1234.0", r"1{,}234"),
        ("2.5", "2.50", "5/2", "x = 2.5", "2.5 cm"),
        (r"5\sqrt{3}", r"5 \sqrt{3}", r"5\sqrt3"),
        ("Yes", "yes", r"\text{Yes}", "yes."),
        ("B", "(B)", r"\text{B}"),
        ("1, 2", "2,1", "2 and 1.0"),
        (r"\{1, 1/2\}", r"\{0.5, 1\}"),
        ("(1, 2)", "(1,2.0)"),
        (r"50\%", "50"),
        (r"50\%", "0.5", "1/2"),
    ],
)
def test_the_same_answers(answers: Sequence[str]) -> None:
    assert len(set(said(answers))) == 1


@pytest.mark.parametrize(
    "answers",
    [
        ("0.5", "0.51", "5", "50"),
        ("A", "B", "a"),
        ("(1, 2)", "(2, 1)", "[1, 2]", "1, 2"),
        ("yes", "no", "maybe"),
        ("1234", "1, 234", "1.234"),
        (r"\sqrt{3}", r"\sqrt{5}", "3", "x > 3", "x < 3", "-3"),
        (r"0.5\%", "50"),
        ("", "0", "nothing"),
        ("1" * (LONGEST + 1), "1" * LONGEST),
    ],
)
def test_different_answers(answers: Sequence[str]) -> None:
    assert len(set(said(answers))) == len(answers)


def test_what_answers_say_does_not_depend_on_their_order() -> None:
    answers = [r"50\%", "50", "0.5", "1/2", "5 cm", "5", "5 m", "x = 5", "Yes", "yes", "1, 2", "2, 1"]
    parts = {frozenset(a for a, one in zip(answers, said(answers), strict=True) if one == meaning) for meaning in said(answers)}
    random_ = Random(3)
    for _ in range(20):
        random_.shuffle(answers)
        assert {frozenset(a for a, one in zip(answers, said(answers), strict=True) if one == meaning) for meaning in said(answers)} == parts


def voted(*answers: tuple[str | None, Ruling]) -> float:
    """1.0 where the majority's answer is right."""

    class Said(Script):
        def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
            return [Verdict(ruling=answers[one.sample][1], extracted=answers[one.sample][0]) for one in rollouts]

    benchmark = PlainBenchmark(name="x", modality="text", read=lambda: ASKED[:1])
    at = Ports(engine=Said(), benchmarks=[(benchmark, {"equivalence": Said()})], progress=Silent())
    (found,), _ = evaluate([Way(name="sampled", sampling=Sampling(max_new_tokens=4), samples=len(answers))], at)
    return value(found, f"majority of {len(answers)}")


def test_notations_of_one_number_vote_together() -> None:
    assert voted(("3", W), (r"\frac{1}{2}", R), ("0.5", R), ("3", W), ("1/2", R)) == 1.0
    assert voted(("7", R), ("1,234", W), ("1234", W)) == 0.0


def test_a_tie_goes_to_what_was_said_first() -> None:
    assert voted(("2", R), ("3", W), ("3.0", W), ("4/2", R)) == 1.0
    assert voted(("3", W), ("2", R), ("4/2", R), ("3.0", W)) == 0.0
    assert voted((None, W), ("3", W), ("2", R)) == 0.0


def test_nothing_found_votes_only_where_nothing_was() -> None:
    assert voted((None, W), (None, W), ("2", R)) == 1.0
    assert voted((None, W), (None, W)) == 0.0


def test_many_different_answers_are_each_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 answers, none like another: 64 readings, and nothing is compared in pairs."""
    from vold.stages import evaluate as stage

    asked: list[str] = []
    monkeypatch.setattr(stage, "read", lambda answer, read=stage.read: asked.append(answer) or read(answer))
    answers = [f"({at}, x + {at})" for at in range(64)]
    assert len(set(said(answers * 2))) == 64
    assert asked == answers
