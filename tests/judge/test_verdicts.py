"""The tables of verdicts, properties of drawn answers, and mistakes planted to see that the tables catch them."""

from collections.abc import Callable
from fractions import Fraction

import math_verify
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.verdict_tables import ONE_WAY, RIGHT, WRONG, Pairs

from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.base.types import Ruling
from vold.core.answers import as_number

Judged = dict[tuple[str, str], Ruling]


def both_ways(pairs: Pairs) -> Pairs:
    return [pair for answer, gold in pairs for pair in ((answer, gold), (gold, answer))]


@pytest.fixture(scope="module")
def judged(judge: EquivalenceJudge) -> Judged:
    """Everything in one batch."""
    asked = [pair for table in (RIGHT, WRONG) for pairs in table.values() for pair in both_ways(pairs)]
    asked += [pair for pairs in ONE_WAY.values() for pair in pairs]
    return {pair: verdict.ruling for pair, verdict in zip(asked, judge.compare(asked), strict=True)}


@pytest.mark.parametrize("about", RIGHT)
def test_the_same_answer(about: str, judged: Judged) -> None:
    assert [pair for pair in both_ways(RIGHT[about]) if judged[pair] is not Ruling.RIGHT] == []


@pytest.mark.parametrize("about", WRONG)
def test_another_answer(about: str, judged: Judged) -> None:
    """Never right; where the reference is a notation nobody reads, unjudged is as good."""
    found = {pair: judged[pair] for pair in both_ways(WRONG[about])}
    assert [pair for pair, ruling in found.items() if ruling is Ruling.RIGHT] == []


@pytest.mark.parametrize("about", ONE_WAY)
def test_no_answer_at_all(about: str, judged: Judged) -> None:
    assert [pair for pair in ONE_WAY[about] if judged[pair] is not Ruling.WRONG] == []


def test_nearly_every_near_miss_is_wrong_and_not_unjudged(judged: Judged) -> None:
    every = [pair for pairs in WRONG.values() for pair in both_ways(pairs)]
    assert len(every) > 800
    assert sum(judged[pair] is Ruling.UNJUDGED for pair in every) <= 12
    assert not [pair for pair in both_ways(WRONG["polynomials"]) if judged[pair] is Ruling.UNJUDGED and pair[1] != "x2"]


def _by_string(answer: str, gold: str) -> bool:
    return answer.strip() == gold.strip()


def _by_rounding(answer: str, gold: str) -> bool:
    """math-verify as it comes: floats to six digits, percent signs and units dropped."""
    golds, answers = (math_verify.parse(f"${text}$", parsing_timeout=None) for text in (gold, answer))
    return bool(math_verify.verify(golds, answers, timeout_seconds=None))


def _by_number(answer: str, gold: str) -> bool:
    found = [as_number(text.replace("%", "").replace("\\", "").strip("()[]")) for text in (answer, gold)]
    return found[0] is not None and found[0] == found[1]


MISTAKES: dict[str, tuple[Callable[[str, str], bool], dict[str, Pairs], bool, list[str]]] = {
    "equal strings": (_by_string, RIGHT, True, ["fractions", "sets", "roots", "equations"]),
    "rounded floats": (_by_rounding, WRONG, False, ["fractions", "pi", "units"]),
    "signs left out": (_by_number, WRONG, False, ["percent"]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_tables_catch(mistake: str) -> None:
    judge, table, expected, where = MISTAKES[mistake]
    for about in where:
        assert any(judge(*pair) is not expected for pair in table[about]), about


NUMBERS = st.fractions(-10_000, 10_000, max_denominator=400)
NOTATIONS: list[Callable[[int, int, str], str]] = [
    lambda p, q, s: rf"{s}\frac{{{p}}}{{{q}}}",
    lambda p, q, s: f"{s}{p}/{q}",
    lambda p, q, s: rf"\dfrac{{{s}{3 * p}}}{{{3 * q}}}",
    lambda p, q, s: rf"x = {s}\tfrac{{{p}}}{{{q}}}",
    lambda p, q, s: rf"${s}\frac{{{p}}}{{{q}}}$.",
    lambda p, q, s: rf"{s}\left(\frac{{{p}}}{{{q}}}\right)",
    lambda p, q, s: rf"{s}\frac{{{p}}}{{{q}}} \text{{ cm}}",
]


def _ruling(judge: EquivalenceJudge, answer: str, gold: str) -> Ruling:
    return judge.compare([(answer, gold)])[0].ruling


@given(number=NUMBERS, one=st.sampled_from(NOTATIONS), other=st.sampled_from(NOTATIONS))
def test_a_number_in_two_notations_and_its_neighbours(judge: EquivalenceJudge, number: Fraction, one: object, other: object) -> None:
    assert callable(one)
    assert callable(other)
    p, q, sign = abs(number.numerator), number.denominator, "-" if number < 0 else ""
    gold = other(p, q, sign)
    assert _ruling(judge, one(p, q, sign), gold) is Ruling.RIGHT
    assert _ruling(judge, one(p + 1, q, sign), gold) is Ruling.WRONG
    assert number == 0 or _ruling(judge, one(p, q, "" if sign else "-"), gold) is Ruling.WRONG


@given(low=st.integers(-99, 99), width=st.integers(1, 50), opens=st.sampled_from("(["), closes=st.sampled_from(")]"))
def test_an_interval_has_its_own_brackets(judge: EquivalenceJudge, low: int, width: int, opens: str, closes: str) -> None:
    gold = f"{opens}{low}, {low + width}{closes}"
    verdicts = {o + c: _ruling(judge, rf"\left{o}{low},{low + width}\right{c}", gold) for o in "([" for c in ")]"}
    assert verdicts == {b: Ruling.RIGHT if b == opens + closes else Ruling.WRONG for b in verdicts}


LEAVES = st.sampled_from(["x", "y", "2", "3", "7", r"\pi", r"\sqrt{2}", r"\frac{1}{2}"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]}+{two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]})({two[1]})"),
        inner.map(lambda one: f"({one})^{{2}}"),
        st.tuples(inner, inner).map(lambda two: rf"\frac{{{two[0]}}}{{{two[1]}}}"),
        inner.map(lambda one: rf"\left|{one}\right|"),
    ),
    max_leaves=5,
)


@settings(max_examples=40)
@given(st.lists(EXPRESSIONS, min_size=4, max_size=4))
def test_an_expression_is_itself_and_not_itself_plus_one(judge: EquivalenceJudge, drawn: list[str]) -> None:
    """All leaves are positive, so no expression is zero, and none is its negative."""
    asked = [(f"{e}+0", e) for e in drawn] + [(f"{e}+1", e) for e in drawn] + [(f"-({e})", e) for e in drawn if not set("xy") & set(e)]
    found = [v.ruling for v in judge.compare(asked)]
    assert found == [Ruling.RIGHT] * 4 + [Ruling.WRONG] * (len(asked) - 4)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=5, unique=True))
def test_sets_have_no_order_and_tuples_have_one(judge: EquivalenceJudge, items: list[int]) -> None:
    turned = items[1:] + items[:1]
    inner, other = (", ".join(map(str, order)) for order in (items, turned))
    assert _ruling(judge, rf"\{{{other}\}}", rf"\{{{inner}\}}") is Ruling.RIGHT
    assert _ruling(judge, other, inner) is Ruling.RIGHT
    assert _ruling(judge, f"({other})", f"({inner})") is Ruling.WRONG
    assert _ruling(judge, rf"\{{{other}, 51\}}", rf"\{{{inner}\}}") is Ruling.WRONG
