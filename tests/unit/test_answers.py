"""Finding the boxed answer, and near misses of equality."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import problem, rollout

from vold.adapters.judges.boxed import BoxedJudge
from vold.base.types import Ruling
from vold.core.answers import as_number, last_boxed, same_answer

BOXES = [
    (r"so \boxed{7}", "7"),
    (r"\boxed{ 7 } .", "7"),
    (r"\boxed {7}", "7"),
    (r"first \boxed{1}, no: \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\sqrt{\frac{a}{b+{c}}}} and more }", r"\sqrt{\frac{a}{b+{c}}}"),
    (r"\boxed{1} then \boxed{2", "1"),
    (r"\boxed{1} then \boxed{\frac{2}{3}", "1"),
    (r"\boxed{a \boxed{b}}", "b"),
    (r"\boxed{}", ""),
    (r"\boxed{7", None),
    (r"\boxed 7", None),
    (r"boxed{7}", None),
    (r"\fbox{7}", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "found"), BOXES, ids=[text or "nothing" for text, _ in BOXES])
def test_last_balanced_box(text: str, found: str | None) -> None:
    assert last_boxed(text) == found


@given(before=st.text("ab{} 7", max_size=9), inner=st.text("ab 7", max_size=9), after=st.text("ab} 7", max_size=9))
def test_a_box_is_found_whatever_surrounds_it(before: str, inner: str, after: str) -> None:
    assert last_boxed(f"{before}\\boxed{{{inner}}}{after}") == inner.strip()


SAME = [("7", "7"), ("1,000", "1000"), ("1,234,567.5", "1234567.50"), ("0.5", ".50"), ("7.", "7"), ("-0", "0"), ("+3", "3"), ("007", "7")]
SAME += [("$5$", "5"), (r"1\,000", "1000"), ("x + 1", "x+1"), (r"\frac{1}{2}", r"\frac{ 1 }{ 2 }"), (" B ", "B")]
DIFFERENT = [("25", "5"), ("5", "25"), ("-5", "5"), ("7 cm", "7"), ("0.5", "5"), ("0.50001", "0.5"), ("1,00", "100"), ("10,00", "1000")]
DIFFERENT += [("b", "B"), ("", "0"), ("7%", "7"), ("1/2", "0.5"), ("1e3", "1000"), ("x", "y"), ("nan", "7"), ("7, 8", "78"), ("inf", "Infinity")]
DIFFERENT += [("0.3000000000000000000000001", "0.3"), ("12345678901234567890123456789012345", "12345678901234567890123456789012346")]


@pytest.mark.parametrize(("answer", "gold"), SAME)
def test_equal(answer: str, gold: str) -> None:
    assert same_answer(answer, gold)
    assert same_answer(gold, answer)


@pytest.mark.parametrize(("answer", "gold"), DIFFERENT)
def test_near_misses(answer: str, gold: str) -> None:
    assert not same_answer(answer, gold)
    assert not same_answer(gold, answer)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=3, allow_nan=False))
def test_numbers_are_read_exactly_however_they_are_grouped(number: Decimal) -> None:
    assert as_number(str(number)) == as_number(f"{number:,}") == number
    assert not same_answer(str(number), str(number + Decimal("0.001")))


@pytest.mark.parametrize(("text", "gold", "exact", "ruling"), [
    (r"\boxed{1,000}", "1000", False, Ruling.RIGHT),
    (r"\boxed{1,000}", "1000", True, Ruling.WRONG),
    (r"\boxed{1000}", "1000", True, Ruling.RIGHT),
    (r"\boxed{25}", "5", False, Ruling.WRONG),
    ("the answer is 5", "5", False, Ruling.WRONG),
    (r"\boxed{5", "5", False, Ruling.WRONG),
    (r"\boxed{5}", None, False, Ruling.UNJUDGED),
])  # fmt: skip
def test_verdicts(text: str, gold: str | None, exact: bool, ruling: Ruling) -> None:
    """No answer is wrong; no reference is unjudged."""
    (verdict,) = BoxedJudge(exact=exact).judge([rollout(replace(problem(), answer=gold), 0, [1], [2], text=text)])
    assert verdict.ruling is ruling
    assert verdict.extracted == last_boxed(text)
