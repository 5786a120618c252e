"""Where an answer stands, and what a verdict says of it."""

import time
from dataclasses import replace

import pytest
from support.records import problem, rollout

from vold.adapters.judges.boxed import BoxedJudge
from vold.adapters.judges.choice import ChoiceJudge
from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.adapters.judges.exact import ExactJudge
from vold.base.types import Ruling
from vold.core.answers import FORMATS, find_answer, last_boxed, not_found

FOUND = [
    ("answer-tag", "<answer>5</answer>", "5"),
    ("answer-tag", "<answer> 5 </answer> no, <answer>6</answer>", "6"),
    ("answer-tag", r"<think>\boxed{1}</think><answer>so \boxed{7}.</answer>", "7"),
    ("answer-tag", "<answer>5</answer> and <answer>6", "5"),
    ("answer-tag", "<answer>5</answer></answer>", "5"),
    ("answer-tag", "<answer>4 <answer>5</answer>", "5"),
    ("answer-tag", "5</answer>", None),
    ("answer-tag", "the answer 5", None),
    ("answer-line", "Answer: 18", "18"),
    ("answer-line", "so 9*2=18\nA: 18", "18"),
    ("answer-line", "Answer: 3\nwait\nAnswer: 4 \n", "4"),
    ("answer-line", "**Answer:** 12", "12"),
    ("answer-line", "The final answer: 12", "12"),
    ("answer-line", r"Answer: $\boxed{5}$", "5"),
    ("answer-line", "Answer:\n5", None),
    ("answer-line", "an Answer: 5", None),
    ("answer-line", "BA: 5", None),
    ("hashes", "so\n#### 18", "18"),
    ("hashes", "#### 18\n#### 1,900", "1,900"),
    ("hashes", "#### 18\n####", "18"),
    ("hashes", "### 18", None),
    ("hashes", "##### 18", None),
    ("boxed", r"\boxed{1\\{2}}", r"1\\{2}"),
    ("boxed", r"\\boxed{7}", "7"),
]


@pytest.mark.parametrize(("name", "text", "found"), FOUND, ids=[f"{name}: {text}" for name, text, _ in FOUND])
def test_formats(name: str, text: str, found: str | None) -> None:
    assert FORMATS[name](text) == found


def test_the_first_format_that_finds_one_is_taken() -> None:
    text = r"\boxed{1} <answer>2</answer>"
    assert find_answer(text, ("boxed", "answer-tag")) == "1"
    assert find_answer(text, ("answer-tag", "boxed")) == "2"
    assert find_answer(text, ("hashes", "answer-tag")) == "2"
    assert find_answer("nothing", tuple(FORMATS)) is None
    assert not_found(("boxed",)) == "no boxed answer"
    assert not_found(("boxed", "hashes")) == "no boxed answer and no answer after ####"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "piece", ["{", "}", r"\boxed{", r"\boxed ", "<answer>", "</answer>", "Answer:", "Answer: \n", "A:\t", "####", "# ", "\n", " ", "\\", "*_"]
)
def test_finding_an_answer_takes_time_linear_in_the_response(name: str, piece: str) -> None:
    begun = time.perf_counter()
    FORMATS[name](piece * 100_000)
    assert time.perf_counter() - begun < 2


def test_deeply_nested_braces() -> None:
    n = 100_000
    assert last_boxed(r"\boxed{" + "{" * n + "}" * n + "}") == "{" * n + "}" * n
    assert last_boxed(r"\boxed{" * n + "5" + "}" * n) == "5"


@pytest.mark.parametrize(("text", "gold", "equivalence", "exact", "same"), [
    (r"\boxed{0.5}", r"\frac{1}{2}", Ruling.RIGHT, Ruling.WRONG, False),
    (r"\boxed{\frac{1}{2}}", r" \frac{1}{2} ", Ruling.RIGHT, Ruling.RIGHT, True),
    (r"\boxed{ 5 }", "5", Ruling.RIGHT, Ruling.RIGHT, True),
    (r"\boxed{6}", "5", Ruling.WRONG, Ruling.WRONG, False),
    ("no box", "5", Ruling.WRONG, Ruling.WRONG, False),
    (r"\boxed{}", "5", Ruling.WRONG, Ruling.WRONG, False),
    (r"\boxed{5}", None, Ruling.UNJUDGED, Ruling.UNJUDGED, None),
    (r"\boxed{5}", "  ", Ruling.UNJUDGED, Ruling.UNJUDGED, None),
    (r"\boxed{5}", r"\frac{1}{", Ruling.UNJUDGED, Ruling.WRONG, False),
])  # fmt: skip
def test_three_verdicts_and_the_letter(text: str, gold: str | None, equivalence: Ruling, exact: Ruling, same: bool | None) -> None:
    """`exact` on every verdict in which something was compared: the rate at which the two ways of judging disagree can be counted."""
    rolled = [rollout(replace(problem(), answer=gold), 0, [1], [2], text=text)]
    judge = EquivalenceJudge()
    (one,), (two,) = judge.judge(rolled), ExactJudge().judge(rolled)
    assert (one.ruling, two.ruling) == (equivalence, exact)
    assert two.exact == same
    assert one.exact == same or gold == r"\frac{1}{"
    assert (ExactJudge().unreadable([gold]) == [None]) == (gold is not None and bool(gold.strip()))
    assert judge.pool.keeper_pid is None


def test_notes() -> None:
    judge = EquivalenceJudge(formats=("boxed", "answer-tag"))
    rolled = [rollout(problem(), 0, [1], [2], text=text) for text in (r"\boxed{7}", "7", r"\boxed{8}", r"\boxed{" + "7" * 3000 + "}")]
    notes = [(v.extracted and v.extracted[:3], v.note) for v in judge.judge(rolled)]
    assert notes == [("7", ""), (None, "no boxed answer and no answer tag"), ("8", ""), ("777", "longer than 2000 characters")]


def test_every_judge_can_be_closed_and_used_in_a_with_block() -> None:
    BoxedJudge().close()
    assert BoxedJudge().unreadable(["7", "", None])[0] is None
    for judge in (ExactJudge(), ChoiceJudge(), EquivalenceJudge()):
        with judge as same:
            assert same is judge
            assert judge.judge([]) == []
