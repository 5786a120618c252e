"""Option letters: what names one, what does not, and sets of them."""

import time
from dataclasses import replace

import pytest
from support.records import problem, rollout

from vold.adapters.judges.choice import ChoiceJudge
from vold.base.types import Ruling
from vold.core.choices import declared_in, gold_letters, letter_in, letters_in

NAMED = {
    "B": "B", "(B)": "B", "[B]": "B", "B.": "B", "B)": "B", "b": "B", "(b)": "B", "{B}": "B", "B) 12": "B", "B. 12 cm": "B", "(B) a triangle": "B",
    "B: 12": "B", r"\text{B}": "B", r"\text{(B)}": "B", r"\textbf{(B)}\ 12": "B", r"\mathrm{B}": "B", r"$\text{(E)}$": "E", "**C**": "C",
    "The answer is B": "B", "The answer is B.": "B", "the answer is (B)": "B", "Answer: C": "C", "The correct option is D.": "D", "option D": "D",
    "The correct answer is **B**: foo": "B", r"The answer is \boxed{B}": "B", "A": "A", "a": "A", "The answer is A": "A", "The answer is A.": "A",
    "A. apples": "A", "(A) apples": "A", "B 12 cm": "B", "It must be C) since x is A": "C",
    "(C) B": "C", "b. 5": "B", "b) 5": "B", "B;": "B", "B!": "B", r"\textsf{B}": "B", r"\operatorname{B}": "B", r"\underline{B}": "B",
    r"\left(B\right)": "B", r"\left(\text{B}\right)": "B", "*B*": "B", "_B_": "B", '"B"': "B", "“B”": "B", "'B'": "B", "`B`": "B",
    "（B）": "B", "Ｂ": "B",
    r"\textcolor{red}{B}": "B", r"{\color{red} B}": "B", r"\fbox{B}": "B", r"\[ B \]": "B", "B\nbecause the rest is too large": "B",
    "The answer is B\nThe reason is simple": "B", "Situation A is the correct answer": "A", "so B must be the only correct choice": "B",
    "The answer is not B; C is correct": "C", "A and B are wrong, so C is correct": "C", "The wrong answer is A, the right answer is B": "B",
}  # fmt: skip

SENTENCES = [
    "X is correct", "X is correct.", "X because Y is wrong", "(X) Y", "X = 5", "X. 5", "X) 5", "X: 5", "X 12 cm", "X;", "(X) a car",
    "The answer is X",
    "The answer is X and not Y.", "The answer is X, not Y", "The answer is X because Y is wrong", "Therefore, X is the correct answer.",
    "Therefore (X) is correct.", "I choose X because Y is wrong", "Option Y is wrong, so Option X is the answer", "The correct option is X.",
    "X is the right choice", "**X** is correct", "Y is not correct; X is the correct option", "Since Y is incorrect, the answer must be X.",
    "X since it is larger", "X is 12", r"\textbf{(X)}\ 12", "X, because nothing else fits", "The answer is (X) since Y is too small",
]  # fmt: skip
"""Each names X and nothing else, whatever letters X and Y are."""

NAMELESS = [
    "X car", "X dog is an animal", "X is wrong", "X is not correct", "X is incorrect, Y too", "X or Y", "X and Y", "X is greater than Y",
    "Neither X nor Y is correct", "If X is correct, then so is Y", "X and Y is correct", "The answer is X or Y", "The answer is X and Y",
    "Option X is wrong", "the answer is either X or Y", "X+Y", "point X", "Is it (X)? No, (Y).", "X is correct or Y is correct", "not X",
    "For option X:",
    "The answer is not X", "I eliminate option X.", "X = Y",
]  # fmt: skip

NAMES_NONE = [
    "", "A car", "a car", "A dog is an animal", "BANANA", "Apple", "I think so", "12",
    "x=5", "None of these", "TRUE", "FALSE", "CAT", "A or B", "(A) or (B)", "A, B", "AB",
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
SETS |= {
    "A,B": "AB",
    "A/C": "AC",
    "(A) and (C)": "AC",
    "A & C": "AC",
    "A, C.": "AC",
    "ABD": "ABD",
    "(a), (c)": "AC",
    "A\nC": "AC",
    "D, C": "CD",
    "Ａ，Ｃ": "AC",
}


@pytest.mark.parametrize(("answer", "letters"), SETS.items(), ids=SETS)
def test_sets_of_options(answer: str, letters: str) -> None:
    assert letters_in(answer, several=True) == frozenset(letters)


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize(("one", "other"), [("A", "B"), ("B", "A"), ("D", "A"), ("A", "E"), ("C", "B")])
def test_what_names_one_option_names_any(sentence: str, one: str, other: str) -> None:
    text = sentence.replace("X", one).replace("Y", other)
    assert letter_in(text) == one
    assert letters_in(text, several=True) == {one}


@pytest.mark.parametrize("sentence", NAMELESS)
@pytest.mark.parametrize(("one", "other"), [("A", "B"), ("B", "A"), ("D", "A"), ("A", "E"), ("C", "B")])
def test_what_names_no_option_names_none_of_them(sentence: str, one: str, other: str) -> None:
    text = sentence.replace("X", one).replace("Y", other)
    assert letter_in(text) is None
    assert declared_in(f"We see.\n{text}") is None


DECLARED = [
    "Therefore, X is the correct answer.", "Therefore (X) is correct.", "I choose X because Y is wrong", "The answer is X and not Y.",
    "Option Y is wrong, so Option X is the answer", "The answer is X.", "So the correct choice is (X), not (Y).", "Hence **X** is correct.",
    "my choice is X", "Answer: X", "X is the best answer", r"Thus the answer is \textbf{(X)}.", "Y is incorrect, thus option X is correct",
]  # fmt: skip


@pytest.mark.parametrize("sentence", DECLARED)
@pytest.mark.parametrize(("one", "other"), [("A", "B"), ("B", "A"), ("D", "A"), ("A", "E"), ("C", "B")])
def test_what_a_response_declares(sentence: str, one: str, other: str) -> None:
    text = sentence.replace("X", one).replace("Y", other)
    assert declared_in(f"Let us look at both. {other} is too small.\n\n{text}\n") == one


PIECES = [
    "A and ",
    "option ",
    "option A is ",
    "(A) ",
    "the answer is ",
    "A, ",
    "\n",
    "option\n",
    " ",
    "*",
    "_",
    "A is ",
    "I choose ",
    "not ",
    "'",
    "{",
]
PIECES += [r"\text{", r"\color{", "A", "if ", "A;", "A = ", "answer:"]


@pytest.mark.parametrize("piece", PIECES)
def test_looking_for_options_takes_time_linear_in_the_text(piece: str) -> None:
    begun = time.perf_counter()
    text = piece * (100_000 // len(piece))
    letters_in(text, several=True), letter_in(text), declared_in(text)
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize("word", ["CAT", "A cat", "BEAD AND", "AA", "12", "TRUE", "FALSE", "DCBA", "BAD", "NO", "CA", "AB12"])
def test_words_are_no_sets(word: str) -> None:
    assert letters_in(word, several=True) is None


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
    (r"\boxed{T}", "TRUE", Ruling.UNJUDGED),
    ("I choose D because A is wrong", "D", Ruling.RIGHT),
    ("I choose D because A is wrong", "A", Ruling.WRONG),
    ("Option A is wrong, so Option C is the answer", "C", Ruling.RIGHT),
])  # fmt: skip
def test_verdicts(text: str, gold: str | None, ruling: Ruling) -> None:
    judge = ChoiceJudge()
    (verdict,) = judge.judge([rollout(replace(problem(), answer=gold), 0, [1], [2], text=text)])
    assert verdict.ruling is ruling
    assert (judge.unreadable([gold])[0] is None) == (ruling is not Ruling.UNJUDGED)
    assert gold_letters(gold or "") or ruling is Ruling.UNJUDGED
