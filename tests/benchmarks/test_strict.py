"""The strict rule: what is declared counts, what merely looks like it does not."""

import time
from dataclasses import replace

import pytest

from vold.adapters.benchmarks import finding, strict
from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.adapters.judges.pool import Reply
from vold.base.types import Item, Ruling

ITEM = Item(id="i", question="Which?", answer="B", options=("$10$", "$12$", r"\frac{1}{2}", "A tree", "13 cm"))
BARE = Item(id="j", question="Which? (A) 10 (B) 12", answer="B")
FIVE = Item(id="k", question="How many?", answer="5")


@pytest.mark.parametrize(
    ("response", "found"),
    [
        (r"so \boxed{5}", "5"),
        (r"\boxed{4} then \boxed{5} and more", "5"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{5} and \boxed{6", "5"),
        (r"\boxed{}", ""),
        ("<answer> 5 </answer>", "5"),
        (r"<answer>\boxed{5}</answer> Answer: 6", "5"),
        ("<answer>4</answer><answer>5</answer>", "5"),
        ("Answer: 5", "5"),
        ("**Answer:** 5", "5"),
        ("**Final Answer**: 5", "5"),
        ("### The final answer: 5\n", "5"),
        ("- Answer: **5**", "5"),
        ("Answer: 4\nAnswer: 5", "5"),
        ("Answer:\n\n5\nbecause", "5"),
        ("Answer:\n$$\n5\n$$", "5"),
        ("ANSWER：5", "5"),
        ("Answer: The answer is 5.", "5"),
        ("The answer is 5.", "5"),
        ("The answer is: 5", "5"),
        ("The answer is 3.5.", "3.5"),
        ("the final answer is therefore 5", "5"),
        ("So the correct option is (B). The others are not.", "(B)"),
        ("The answer is:\n\\[\n5\n\\]", "5"),
        ("The answer is 4. No: the answer is 5.", "5"),
        ("The answer would be **5**.", "5"),
        ("The answer is 5! = 120.", "5! = 120"),
        ("The answer is -5", "-5"),
        ("I think the answer is 5.", "5"),
        ("<think>The answer is 4</think>The answer is 5", "5"),
        # nothing is declared
        ("5", None),
        ("x = 5", None),
        (r"\boxed{5", None),
        ("<answer>5", None),
        ("Is the answer 5?", None),
        ("The answer is 5?", None),
        ("If the answer is 5, then so be it.", None),
        ("I wonder whether the answer is 5.", None),
        ("Suppose that the answer is 5", None),
        ("Perhaps the answer is 5.", None),
        ("I do not think the answer is 5.", None),
        ("Tom says the answer is 5.", None),
        ("It isn't that the answer is 5.", None),
        ("The answer is 5. Wait, that is wrong.", None),
        ("The answer is 5. Hmm, let me recheck.", None),
        ("The answer is 5. Sorry, I made a mistake.", None),
        ("The answer isn't 5", None),
        ("The answers are 5 and 6", None),
        (r"<think>\boxed{5}</think>I cannot say", None),
        (r"\boxed{4}</think>I cannot say", None),
        ("", None),
        ("Answer:", None),
        ("Answering: 5", None),
    ],
)
def test_where_an_answer_is_declared(response: str, found: str | None) -> None:
    assert finding.answer_in(response) == found


def test_what_follows_the_thinking() -> None:
    assert finding.final("<think>a</think>b</think>c") == "c"
    assert finding.final("<think>a") == "<think>a"
    assert finding.final("a") == "a"


def test_a_whole_response_of_one_line_is_an_answer() -> None:
    assert finding.said("<think>6</think>\n 5 \n") == "5"
    assert finding.said(r"5 \boxed{6}") == "6"
    for none in ("5\n6", "Is it 5?", "", "x" * 501, "The answer is 5. Wait, no."):
        assert finding.said(none) is None


OPTION_RIGHT = [
    "B", "(B)", "b", "(b)", "B.", "[B]", "B)", r"\boxed{B}", r"\boxed{\text{B}}", r"\boxed{(B)}", r"\boxed{\mathbf{(B)}\ 12}", r"\boxed{12}",
    r"\boxed{$12$}", "12", "12.0", "$12$.", "B. 12", "(B) 12", "B) $12$", "B: 12", "B - 12", "12 (B)", "B 12", "Option B", "The answer is B.",
    "The answer is (B) 12.", "Answer: B", "**Answer: B**", "**Final Answer:** (B)", "Answer:\nB", "The answer is option B", "I think the answer is B",
    "The correct option is B because it fits.", "<answer>B</answer>", "<answer>12</answer>", "<think>The answer is A</think>B",
    "The answer is:\n\\[\n\\boxed{B}\n\\]", "Answer: The answer is B.", "B. It is larger", "**B**", "$B$", "The answer is\n\nB",
    r"\boxed{A} \boxed{B}", "Ｂ",
]  # fmt: skip
OPTION_WRONG = [
    "A", "C", "a", "(A)", "F", "Z", "10", "120", "-12", "12 cm", "12%", "1.2", "13", "B. 10", "(B) 10", "10 (B)", "A. 12", "12 (A)", "B or C",
    "B and C",
    "(B) or (C)", "either B or C", "B/C", "B, C", "BC", "BB", "AB", "ABCDE", "not B", "Not (B)", "B is wrong", "B. This is wrong.",
    "The answer is not B.",
    "The answer is not (B).", "Is the answer B?", "The answer is B?", "If the answer is B then", "I do not think the answer is B",
    "The answer is B. Wait, let me recheck", r"\boxed{B, C}", r"\boxed{AB}", r"\boxed{}", r"\boxed{B} \boxed{C}", r"\boxed{\text{A or B}}",
    "A tree", "Beta",
    "Because", "Bob", "<think>B", "(A) (B)", "Options: A, B, C", "", " ", "\n", "Answer: A\nAnswer: 10 (B)", "The answer is B or 13 cm.",
    "The answer is either B or C", "I pick B\nor C", "B\nC", "The picture shows B.\nIt is nice.", "<answer>B", "12 or 13", "12, 13 cm", "б",
]  # fmt: skip


@pytest.mark.parametrize("response", OPTION_RIGHT)
def test_an_option_that_is_named(response: str) -> None:
    assert strict.option(ITEM, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize("response", OPTION_WRONG)
def test_an_option_that_is_not(response: str) -> None:
    assert strict.option(ITEM, response).ruling is Ruling.WRONG


@pytest.mark.parametrize("response", ["B", "(B) 12", "B. not enough information", "Answer: (B) False", r"\boxed{B}", "The answer is B: 12"])
def test_options_that_stand_in_the_question(response: str) -> None:
    assert strict.option(BARE, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize("response", ["A", "12", "B or A", "(B) or (A)", "not B", "A car", "(A) 12", "C", "B (A)"])
def test_options_that_stand_in_the_question_and_are_not_named(response: str) -> None:
    assert strict.option(BARE, response).ruling is Ruling.WRONG


def test_what_an_option_is_called() -> None:
    """References as letters or as texts, equal texts, texts that are letters, letters of its own."""
    twice = Item(id="t", question="?", answer="A", options=("3", "4", "3"))
    assert strict.option(twice, "C").ruling is Ruling.RIGHT
    assert strict.option(twice, "3").ruling is Ruling.RIGHT
    assert strict.option(twice, "B").ruling is Ruling.WRONG
    by_text = Item(id="t", question="?", answer="No", options=("Yes", "No"))
    assert [strict.option(by_text, said).ruling for said in ("B", "no", "No.", "A", "yes", "not", "None", "C")] == [Ruling.RIGHT] * 3 + [
        Ruling.WRONG
    ] * 5
    letters = Item(id="t", question="?", answer="B", options=("A", "B", "C"))
    assert strict.option(letters, r"\boxed{B}").ruling is Ruling.RIGHT
    assert strict.option(letters, r"\boxed{A}").ruling is Ruling.WRONG
    own = Item(id="t", question="?", answer="F", options=())
    assert strict.option(own, "F", letters="ABCDEF").ruling is Ruling.RIGHT
    assert strict.option(own, "G", letters="ABCDEF").ruling is Ruling.WRONG
    article = Item(id="t", question="?", answer="A", options=("car", "a tree"))
    assert strict.option(article, "A car").ruling is Ruling.RIGHT
    assert strict.option(article, "A tree").ruling is Ruling.WRONG
    assert strict.option(article, "A house").ruling is Ruling.WRONG


def test_a_reference_that_names_no_option_is_not_the_models_fault() -> None:
    verdict = strict.option(Item(id="u", question="?", answer="G", options=("1", "2")), "A")
    assert verdict.ruling is Ruling.UNJUDGED
    assert "G" in verdict.note


def test_what_a_verdict_carries() -> None:
    assert strict.option(ITEM, r"\boxed{(B)}").extracted == "B"
    assert strict.option(ITEM, r"\boxed{(B)}").exact is False
    assert strict.option(ITEM, r"\boxed{B}").exact is True
    nothing = strict.option(ITEM, "a\nb")
    assert (nothing.ruling, nothing.extracted, nothing.note) == (Ruling.WRONG, None, "no final answer")
    assert strict.value(FIVE, "a\nb").extracted is None
    assert strict.value(FIVE, "Answer: 5.0").extracted == "5.0"


@pytest.mark.parametrize(
    "response", ["B, D", "D, B", "B and D", "BD", "(B)(D)", "(B), (D)", r"\boxed{B, D}", "The answer is B and D.", "Answer: B,D"]
)
def test_several_options(response: str) -> None:
    verdict = strict.options(ITEM, response, gold=frozenset("BD"))
    assert (verdict.ruling, verdict.extracted) == (Ruling.RIGHT, "B, D")


@pytest.mark.parametrize(
    "response",
    [
        "B",
        "D",
        "B, C",
        "B, C, D",
        "A, B, D",
        "B or D",
        "either B or D",
        "neither B nor D",
        "not B, D",
        "",
        "B\nD",
        "bad",
        "12",
        "Answer: B\nAnswer: D",
        "B, D?",
    ],
)
def test_several_options_that_are_not_all_or_too_many(response: str) -> None:
    assert strict.options(ITEM, response, gold=frozenset("BD")).ruling is Ruling.WRONG


def test_one_of_several_options() -> None:
    for right in ("B", "(B) False", "B. Clockwise", "The answer is (B)."):
        assert strict.options(ITEM, right, gold=frozenset("B")).ruling is Ruling.RIGHT
    for wrong in ("B or C", "not (B)", "A, B", "C"):
        assert strict.options(ITEM, wrong, gold=frozenset("B")).ruling is Ruling.WRONG


VALUE_RIGHT = [
    "5", "5.0", "$5$", "5.", r"\boxed{5}", "The answer is 5.", "Answer: 5", "x = 5", r"\boxed{x=5}", r"\boxed{\frac{10}{2}}", r"\boxed{\sqrt{25}}",
    "5 cm",
    "The answer is:\n$$\n5\n$$", "<answer>5</answer>", "+5", "05", r"\boxed{5\text{ apples}}", r"\boxed{2+3}", "<think>6</think>5",
]  # fmt: skip
VALUE_WRONG = [
    "25", "-5", "15", "50", "0.5", "5.1", "5.0001", "5/2", "5^2", "5x", "5 or 6", "5, 6", "(5, 5)", "{5, 6}", "[5]x", "x>5", "x=5 or x=-5", "about 5",
    "5 = 6", "5!", "The answer is 5! = 120.", "The answer is 5?", r"\boxed{5} \boxed{6}", r"\boxed{5", r"\boxed{}", "", "five or so", "<answer>5",
    "5\n6",
    "I got 5 first.\nThen 7.", "<think>5", r"<think>\boxed{5}</think>", "If the answer is 5 then", "The answer is 5. Wait, no.", "[0, 5]",
]  # fmt: skip


@pytest.mark.parametrize("response", VALUE_RIGHT)
def test_the_value(response: str) -> None:
    assert strict.value(FIVE, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize("response", VALUE_WRONG)
def test_near_misses_of_the_value(response: str) -> None:
    assert strict.value(FIVE, response).ruling is Ruling.WRONG


def test_values_that_need_algebra() -> None:
    assert strict.same_value(r"2\sqrt{3}", r"\sqrt{12}") is True
    assert strict.same_value("p - q", "q - p") is False
    assert strict.value(FIVE, r"\boxed{x^2 - 1}", gold="(x-1)(x+1)").ruling is Ruling.RIGHT
    assert strict.same_value("5", "") is None


def test_a_judge_that_fails_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EquivalenceJudge()
    monkeypatch.setattr(broken.pool, "ask", lambda questions: [Reply(None, "lost") for _ in questions])
    monkeypatch.setattr(strict, "_shared", [broken])
    assert strict.value(FIVE, r"\boxed{2\sqrt{3}}", gold=r"\sqrt{12}").ruling is Ruling.UNJUDGED
    assert strict.same_value(r"2\sqrt{3}", r"\sqrt{12}") is None


def test_words() -> None:
    item = Item(id="w", question="?", answer="North Carolina")
    for right in (
        "north  carolina",
        "North Carolina.",
        r"\boxed{\text{North Carolina}}",
        "Answer: **North Carolina**",
        "The answer is North Carolina.",
    ):
        assert strict.words(item, right).ruling is Ruling.RIGHT, right
    for wrong in (
        "North",
        "Carolina",
        "South Carolina",
        "North Carolina or Virginia",
        "NorthCarolina",
        "not North Carolina",
        "",
        "North\nCarolina",
        "NC",
    ):
        assert strict.words(item, wrong).ruling is Ruling.WRONG, wrong
    assert strict.words(item, "virginia", gold="Virginia").ruling is Ruling.RIGHT


def test_yes_and_no() -> None:
    yes, no = Item(id="y", question="?", answer="Yes"), Item(id="n", question="?", answer="No")
    for right in (
        "Yes",
        "yes.",
        "YES!",
        r"\boxed{\text{Yes}}",
        "Answer: Yes",
        "Yes, there is a dog.",
        "Yes there is.",
        "<think>No</think>Yes",
        "The answer is yes.",
    ):
        assert strict.yes_no(yes, right).ruling is Ruling.RIGHT, right
        assert strict.yes_no(no, right).ruling is Ruling.WRONG, right
    for neither in ("Yes and no", "Yes or no", "yesterday", "Yes, but no", "Yes, there is no dog.", "Maybe yes", "Not", "None", "No one is there",
    "Nope",
                    "Nothing", "Yes, or maybe not", "Yes?", "", "The dog is red.", "Yes\nNo", "no-one", "Yes, however", "I cannot say yes", "1",
                    "true"):  # fmt: skip
        assert strict.yes_no(yes, neither).ruling is Ruling.WRONG, neither
        assert strict.yes_no(no, neither).ruling is Ruling.WRONG, neither
    assert strict.yes_no(no, "No, it is not.").ruling is Ruling.RIGHT


HOSTILE = [
    "\\boxed{" * 20_000, "\\boxed{" * 14_000 + "}" * 14_000, "answer is " * 12_000, "Answer:\n" * 15_000, "answer" + " " * 100_000, "\n" * 100_000,
    "<answer>" * 12_000, "A " * 50_000, "(" * 100_000, "answer is if " * 9_000, "*" * 100_000, "\\boxed{" + "A " * 50_000 + "}",
    "\\boxed{A" + " " * 100_000 + "}",
    "the answer is " + "9" * 100_000, "answer is\n" * 10_000, "</think>" * 10_000, "\\boxed{" + "\\text{" * 10_000 + "}" * 10_001,
    "# " * 50_000 + "answer", "- " * 50_000 + "answer is", " " * 100_000 + "answer:", "\\boxed{" + "1," * 500 + "1}",
    "\\boxed{" + "(" * 900 + "1" + ")" * 900 + "}",
    "answer is wait " * 7_000, "not " * 25_000 + "answer is 5", "\\boxed{" + "B or " * 90 + "B}", "Yes, " + "no " * 30_000, "\x00" * 100_000,
    "\\boxed{" + "\\frac{1}{" * 300 + "2" + "}" * 300 + "}", "\ud800answer is \ud800",
    "answer is " + "." * 99_000, "\\boxed{__import__('os').system('true')}",
]  # fmt: skip


@pytest.mark.parametrize("response", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_a_model_writes(response: str) -> None:
    start = time.monotonic()
    rulings = [
        strict.option(ITEM, response).ruling,
        strict.options(ITEM, response, gold=frozenset("AB")).ruling,
        strict.words(ITEM, response).ruling,
        strict.yes_no(ITEM, response).ruling,
        strict.value(Item(id="v", question="?", answer="7"), response).ruling,
    ]
    assert Ruling.RIGHT not in rulings
    assert time.monotonic() - start < 3


CASES = Item(id="x/case", question="Which?", answer="B", options=("rr", "Rr", "RR", "$30,000"))


@pytest.mark.parametrize(
    ("response", "ruling", "named"),
    [
        (r"\boxed{Rr}", Ruling.RIGHT, "B"),
        (r"\boxed{\text{Rr}}", Ruling.RIGHT, "B"),
        (r"\boxed{rr}", Ruling.WRONG, "A"),
        (r"\boxed{RR}", Ruling.WRONG, "C"),
        (r"\boxed{rR}", Ruling.WRONG, r"rR"),
        (r"\boxed{(B) Rr}", Ruling.RIGHT, "B"),
        (r"\boxed{(B) RR}", Ruling.WRONG, r"(B) RR"),
        (r"\boxed{\$30,000}", Ruling.WRONG, "D"),
    ],
)
def test_options_that_differ_in_case_alone_and_amounts_of_money(response: str, ruling: Ruling, named: str) -> None:
    found = strict.option(CASES, response)
    assert (found.ruling, found.extracted) == (ruling, named)
    assert strict.option(replace(CASES, answer="D"), r"\boxed{\$30,000}").ruling is Ruling.RIGHT
