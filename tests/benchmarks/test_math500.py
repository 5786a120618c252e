r"""MATH-500: the last box, by PRM800K's grader in the official rule and as the same value in the strict one."""

import time

import pytest

from vold.adapters.benchmarks.math500 import SPEC
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

ROW = {
    "problem": "Simplify $\\frac{2}{4}$.", "solution": "It is $\\boxed{\\frac{1}{2}}$.", "answer": "\\frac{1}{2}", "subject": "Prealgebra",
    "level": 2,
    "unique_id": "test/prealgebra/7.json",
}  # fmt: skip
HALF = SPEC.item(ROW, "test", None)


def item(answer: str) -> Item:
    return Item(id=answer, question="?", answer=answer)


def test_a_row() -> None:
    assert HALF.id == "math500/test/prealgebra/7"
    assert (HALF.question, HALF.answer) == (ROW["problem"], ROW["answer"])
    assert HALF.parts == {"subject": "Prealgebra", "level": "2"}
    assert SPEC.item({**ROW, "level": "Level 5"}, "test", None).parts["level"] == "5"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"problem": ""}, "problem is empty"), ({"answer": None}, "no answer"), ({"answer": " "}, "no answer"), ({"level": 6}, "level is not 1 to 5"),
     ({"level": None}, "level is not 1 to 5"), ({"level": "hard"}, "difficulty must be a whole number"), ({"subject": None}, "no subject"),
     ({"unique_id": None}, "no unique_id")],
)  # fmt: skip
def test_broken_rows(change: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        SPEC.item({**ROW, **change}, "test", None)


def test_how_it_is_asked() -> None:
    assert SPEC.ask(HALF, Style.REASONING) == ROW["problem"]
    assert SPEC.ask(HALF, Style.OFFICIAL) == "Simplify $\\frac{2}{4}$.\n\nThink step by step and put the final answer in \\boxed{}."
    assert SPEC.ask(HALF, Style.DIRECT) == "Simplify $\\frac{2}{4}$.\n\nAnswer with \\boxed{} around the final answer and nothing else."


@pytest.mark.parametrize(
    ("gold", "response", "extracted", "right"),
    [
        ("\\frac{1}{2}", "so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}", True),
        ("\\frac{1}{2}", "\\boxed{\\dfrac12}", "\\dfrac12", True),
        ("\\frac{1}{2}", "\\boxed{0.5}", "0.5", True),
        ("\\frac{1}{2}", "\\boxed{\\frac{2}{4}}", "\\frac{2}{4}", False),  # fractions must be reduced
        ("\\frac{1}{2}", "\\boxed{1/3} or \\boxed{1/2}", "1/2", True),  # the last box
        ("\\frac{1}{2}", "\\boxed{1/2} or \\boxed{1/3", None, False),  # which must be closed
        ("5", "\\boxed{5 \\text{ cm}}", "5 \\text{ cm}", True),
        ("5", "\\boxed{5\\%}", "5\\%", True),
        ("(1,2)", "\\boxed{(1, 2)}", "(1, 2)", True),
        ("(1,2)", "\\boxed{[1, 2]}", "[1, 2]", False),
        ("(1,2)", "\\boxed{(2, 1)}", "(2, 1)", False),
        ("2\\sqrt{3}", "\\boxed{\\sqrt{12}}", "\\sqrt{12}", True),
        ("5", "5", "5", True),  # the content of a box that was read before
        ("5", "The answer is 5", "The answer is 5", False),
        ("5", "so\n5", None, False),
        ("5", "\\boxed 5$", None, False),
        ("5", "\\boxed{}", "", False),
        ("5", "", None, False),
    ],
)
def test_the_official_rule(gold: str, response: str, extracted: str | None, right: bool) -> None:
    verdict = official(SPEC, item(gold), response)
    assert (verdict.extracted, verdict.ruling is Ruling.RIGHT) == (extracted, right)


def test_an_answer_that_nobody_extracted() -> None:
    assert not SPEC.accepts(HALF, None)


NEAR = {
    "\\frac{1}{2}": ["\\frac{1}{3}", "\\frac{2}{1}", "-\\frac{1}{2}", "0.49", "0.50001", "12", "1:3", "\\frac{1}{2}x", "\\frac12 or \\frac13", "50"],
    "(1,2)": ["(2,1)", "[1,2]", "(1,2,3)", "\\{1,2\\}", "1.2", "(1,-2)"],
    "2\\sqrt{3}": ["3\\sqrt{2}", "2\\sqrt{3}+1", "23", "\\sqrt{6}", "3.46", "2\\sqrt[3]{3}"],
    "x^2+1": ["x^2-1", "x^2", "(x+1)^2", "2x+1", "y^2+1"],
    "\\text{Yes}": ["No", "\\text{Yes and no}", "Y"],
    "10^{6}": ["10^5", "106", "1000000.1", "10 \\cdot 6"],
}
SAME = {
    "\\frac{1}{2}": ["0.5", "\\dfrac{1}{2}", "\\frac{2}{4}", "1/2", "\\frac12", ".5", "x=\\frac{1}{2}", "50\\%"],
    "(1,2)": ["(1, 2)", "\\left(1,2\\right)", "(1,\\frac{4}{2})"],
    "2\\sqrt{3}": ["\\sqrt{12}", "\\sqrt3\\cdot2", "\\frac{6}{\\sqrt{3}}"],
    "x^2+1": ["1+x^2", "x^{2}+1", "(x+1)^2-2x"],
    "\\text{Yes}": ["Yes", "yes", "\\text{yes}"],
    "10^{6}": ["1000000", "1,000,000"],
}


@pytest.mark.parametrize(("gold", "given"), [(gold, given) for gold, others in NEAR.items() for given in others])
def test_near_misses(gold: str, given: str) -> None:
    assert SPEC.strict(item(gold), f"so it is $\\boxed{{{given}}}$.").ruling is Ruling.WRONG


@pytest.mark.parametrize(("gold", "given"), [(gold, given) for gold, others in SAME.items() for given in others])
def test_strictly_right(gold: str, given: str) -> None:
    assert SPEC.strict(item(gold), f"so it is $\\boxed{{{given}}}$.").ruling is Ruling.RIGHT


def test_what_is_not_declared_is_wrong() -> None:
    for response in ("so it is \\frac{1}{2}\n", "<think>\\boxed{\\frac{1}{2}}</think>\nHm.", "half\nof it", "\\boxed{\\frac{1}{2}"):
        assert SPEC.strict(HALF, response).ruling is Ruling.WRONG, response


def test_its_table() -> None:
    other = SPEC.item({**ROW, "unique_id": "test/algebra/1.json", "subject": "Algebra", "level": 5}, "test", None)
    answers = [Graded(item=HALF, sample=s, right=s == 0, extracted="") for s in (0, 1)] + [Graded(item=other, sample=0, right=True, extracted="")]
    found = SPEC.measures(answers)
    assert [(measure.part, [unit.value for unit in measure.units]) for measure in found] == [
        ("", [0.5, 1.0]), ("subject: Algebra", [1.0]), ("subject: Prealgebra", [0.5]), ("level: 2", [0.5]), ("level: 5", [1.0]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "response",
    ["\\boxed{" * 14_000, "\\boxed{" + "(1," * 30_000 + "}", "\\boxed{" + "\\frac" * 15_000 + "}", "\\boxed{" + "\\sqrt" * 15_000 + "}",
    "\\boxed{" + " " * 99_000 + "}",
     "\\boxed{" + "1/" * 40_000 + "2}", "\\boxed{" + "\\text{ " * 12_000 + "}" * 12_001, "\\boxed{__import__('os').system('true')}",
     "{" * 100_000, "x" * 100_000],
)  # fmt: skip
def test_whatever_a_model_writes(response: str) -> None:
    start = time.monotonic()
    assert official(SPEC, item("7"), response).ruling is Ruling.WRONG
    assert SPEC.strict(item("7"), response).ruling is Ruling.WRONG
    assert time.monotonic() - start < 2
