"""AIME: whole numbers from 0 to 999."""

import time

import pytest

from vold.adapters.benchmarks.aime import SPEC
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

ITEM = Item(id="a", question="Find $m+n$.", answer="73")


@pytest.mark.parametrize("column", ["problem", "prompt", "question"])
@pytest.mark.parametrize(("answer", "kept"), [("73", "73"), ("073", "73"), (73, "73"), ("000", "0"), (0, "0"), ("999", "999"), (" 5 ", "5")])
def test_a_row(column: str, answer: object, kept: str) -> None:
    found = SPEC.item({column: "Find $m+n$.", "answer": answer}, "train", None)
    assert (found.question, found.answer) == ("Find $m+n$.", kept)
    assert found.id.startswith("aime/")


@pytest.mark.parametrize(
    ("row", "reason"),
    [({"answer": "7"}, "no problem"), ({"problem": "", "answer": "7"}, "problem is empty"), ({"problem": "x"}, "no whole number from 0 to 999: None"),
     ({"problem": "x", "answer": "1000"}, "no whole number"), ({"problem": "x", "answer": "-1"}, "no whole number"), ({"problem": "x",
     "answer": "7.0"}, "no whole"),
     ({"problem": "x", "answer": "7/2"}, "no whole number"), ({"problem": "x", "answer": ""}, "no whole number")],
)  # fmt: skip
def test_broken_rows(row: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        SPEC.item(row, "train", None)


def test_how_it_is_asked() -> None:
    assert SPEC.ask(ITEM, Style.REASONING) == "Find $m+n$."
    assert SPEC.ask(ITEM, Style.OFFICIAL) == "Find $m+n$.\n\nThink step by step and put the final answer in \\boxed{}."
    assert SPEC.ask(ITEM, Style.DIRECT) == "Find $m+n$.\n\nAnswer with \\boxed{} around the final answer and nothing else."


@pytest.mark.parametrize(
    ("response", "extracted", "right"),
    [
        ("so \\boxed{73}", "73", True),
        ("\\boxed{073}", "073", True),
        ("\\boxed{$73$}", "$73$", True),
        ("\\boxed{72} \\boxed{73}", "73", True),
        ("73", "73", True),
        ("\\boxed{0073}", "0073", False),
        ("\\boxed{73.0}", "73.0", False),
        ("\\boxed{m+n=73}", "m+n=73", False),
        ("\\boxed{73^\\circ}", "73^\\circ", True),
        ("\\boxed{73.}", "73.", True),
        ("\\boxed{\\text{73}}", "\\text{73}", True),
        ("\\boxed{73 \\text{ cm}}", "73 \\text{ cm}", True),
        ("\\boxed{73\\%}", "73\\%", False),
        ("\\boxed{73n}", "73n", False),
        ("\\boxed{73!}", "73!", False),
        ("\\boxed{73 \\text{ or } 74}", "73 \\text{ or } 74", False),
        ("\\boxed{146/2}", "146/2", False),
        ("\\boxed{-73}", "-73", False),
        ("\\boxed{٧٣}", "٧٣", False),
        ("\\boxed{73", None, False),
        ("so\n73", None, False),
        ("", None, False),
    ],
)
def test_the_official_rule(response: str, extracted: str | None, right: bool) -> None:
    verdict = official(SPEC, ITEM, response)
    assert (verdict.extracted, verdict.ruling is Ruling.RIGHT) == (extracted, right)


@pytest.mark.parametrize(
    "response", ["\\boxed{73}", "\\boxed{073}", "The answer is 73.", "Answer: 073", "73", "\\boxed{x=73}", "<think>5</think>**Answer:** $73$"]
)
def test_strictly_right(response: str) -> None:
    assert SPEC.strict(ITEM, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize(
    "response",
    ["\\boxed{74}", "\\boxed{37}", "\\boxed{730}", "\\boxed{173}", "\\boxed{7.3}", "\\boxed{-73}", "\\boxed{73/2}", "\\boxed{73.5}", "\\boxed{7,3}",
    "\\boxed{73, 74}",
     "\\boxed{73 or 74}", "\\boxed{73n}", "\\boxed{73!}", "\\boxed{73} hence \\boxed{74}", "\\boxed{73", "\\boxed{}", "", "The answer is 73?",
     "If the answer is 73,",
     "The answer is not 73.", "so m+n is 73\nand that is it", "<think>\\boxed{73}</think>I give up.", "\\boxed{\\frac{7}{3}}", "\\boxed{7\\cdot 3}",
     "\\boxed{m=7, n=3}",
     "\\boxed{73 \\pmod{1000}}", "\\boxed{0.73}", "\\boxed{73^2}"],
)  # fmt: skip
def test_near_misses(response: str) -> None:
    assert SPEC.strict(ITEM, response).ruling is Ruling.WRONG


def test_its_table() -> None:
    (found,) = SPEC.measures([Graded(item=ITEM, sample=s, right=s < 3, extracted="73") for s in range(4)])
    assert [unit.value for unit in found.units] == [0.75]


@pytest.mark.parametrize("response", ["\\boxed{" * 14_000, "\\boxed{" + "7" * 99_000 + "}", "9" * 100_000, "\\boxed{" + "{" * 50_000 + "}" * 50_001])
def test_whatever_a_model_writes(response: str) -> None:
    start = time.monotonic()
    assert official(SPEC, ITEM, response).ruling is Ruling.WRONG
    assert SPEC.strict(ITEM, response).ruling is Ruling.WRONG
    assert time.monotonic() - start < 1
