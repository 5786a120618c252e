"""Option letters: what names one, what does not, and sets of them."""

from dataclasses import replace

import pytest
from support.records import problem, rollout

from vold.adapters.judges.choice import ChoiceJudge
from vold.base.types import Ruling
from vold.core.choices import gold_letters, letter_in, letters_in

NAMED = {
    "B": "B", "(B)": "B", "[B]": "B", "B.": "B", "B)": "B", "b": "B", "(b)": "B", "{B}": "B", "B) 12": "B", "B. 12 cm": "B", "(B) a triangle": "B",
    "B: 12": "B", r"\text{B}": "B", r"\text{(B)}": "B", r"\textbf{(B)}\ 12": "B", r"\mathrm{B}": "B", r"$\text{(E)}$": "E", "**C**": "C",
    "The answer is B": "B", "The answer is B.": "B", "the answer is (B)": "B", "Answer: C": "C", "The correct option is D.": "D", "option D": "D",
    "The correct answer is **B**: foo": "B", r"The answer is \boxed{B}": "B", "A": "A", "a": "A", "The answer is A": "A", "The answer is A.": "A",
    "A. apples": "A", "(A) apples": "A", "B 12 cm": "B", "It must be C) since x is A": "C",
}  # fmt: skip

NAMES_NONE = [
    "", "A car", "a car", "A dog is an animal", "BANANA", "Apple", "I think so", "12",
    "x=5", "C = 5", "None of these", "A or B", "(A) or (B)", "A, B", "AB",
    "neither A nor B", "not A", "the answer is B or C", "The answer is a triangle", "The answer is A triangle", "Answer: a cat",
    "the answer is either B or C",
    "D'Artagnan",
    "U.S.A", "Answer: Apple", "B+C", "Is it (A)? No, (B).", "answer is B or answer is C", r"\frac{A}{B}", "point A",
]  # fmt: skip


@pytest.mark.parametrize(("answer", "letter"), NAMED.items(), ids=NAMED)
def test_an_option_is_named(answer: str, letter: str) -> None:
    assert letter_in(answer) == letter


@pytest.mark.parametrize("answer", NAMES_NONE, ids=[answer or "nothing" for answer in NAMES_NONE])
def test_no_option_is_named(answer: str) -> None:
    assert letter_in(answer) is None


SETS = {"A, C": "AC", "AC": "AC", "A and C": "AC", "(A), (C)": "AC", "(A)(C)": "AC", "A C": "AC", "C": "C", r"\text{A, C}": "AC", "A, B and D": "ABD"}


@pytest.mark.parametrize(("answer", "letters"), SETS.items(), ids=SETS)
def test_sets_of_options(answer: str, letters: str) -> None:
    assert letters_in(answer, several=True) == frozenset(letters)


@pytest.mark.parametrize("word", ["CAT", "A cat", "BEAD AND", "AA", "12"])
def test_words_are_no_sets(word: str) -> None:
    found = letters_in(word, several=True)
    assert found is None or found == frozenset("CAT")  # three different capitals may be options


@pytest.mark.parametrize(("text", "gold", "ruling"), [
    (r"so \boxed{B}", "B", Ruling.RIGHT),
    (r"so \boxed{\text{(B) } 12}", "B", Ruling.RIGHT),
    (r"so \boxed{B}", "(B)", Ruling.RIGHT),
    (r"so \boxed{C}", "B", Ruling.WRONG),
    (r"so \boxed{12}", "B", Ruling.WRONG),
    (r"so \boxed{A or B}", "B", Ruling.WRONG),
    (r"so \boxed{A, C}", "C, A", Ruling.RIGHT),
    (r"so \boxed{AC}", "A, C", Ruling.RIGHT),
    (r"so \boxed{A}", "A, C", Ruling.WRONG),
    (r"so \boxed{A, C}", "A", Ruling.WRONG),
    ("The answer is B.", "B", Ruling.RIGHT),
    ("We see a car and an Elephant.", "A", Ruling.WRONG),
    ("", "A", Ruling.WRONG),
    (r"\boxed{B}", None, Ruling.UNJUDGED),
    (r"\boxed{B}", "", Ruling.UNJUDGED),
    (r"\boxed{B}", "twelve", Ruling.UNJUDGED),
])  # fmt: skip
def test_verdicts(text: str, gold: str | None, ruling: Ruling) -> None:
    judge = ChoiceJudge()
    (verdict,) = judge.judge([rollout(replace(problem(), answer=gold), 0, [1], [2], text=text)])
    assert verdict.ruling is ruling
    assert (judge.unreadable([gold])[0] is None) == (ruling is not Ruling.UNJUDGED)
    assert gold_letters(gold or "") or ruling is Ruling.UNJUDGED
