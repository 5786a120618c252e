r"""How models write final answers: each form with what it must not be mistaken for."""

import re
import time

import pytest

from vold.adapters.benchmarks import finding, strict
from vold.base.types import Item, Ruling, Verdict

OPTIONS = Item(id="o", question="How long?", answer="C", options=("6", "10", "16", "20", "4πcm"))
TWELVE = Item(id="v", question="How many?", answer="12")
YES, NO = Item(id="y", question="Is there?", answer="Yes"), Item(id="n", question="Is there?", answer="No")


def several(response: str, gold: str) -> Verdict:
    return strict.options(Item(id="s", question="Which?", answer=", ".join(gold)), response, gold=frozenset(gold))


# -- letters among other letters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        "It is not B.", "It isn't B.", "It isn’t B.", "We can rule out B.", "Rule out B.", "B is ruled out.", "Eliminate B.", "We excluded B.",
        "Except B.", "All but B.",
        "I cannot tell between A and B.", "Both A and B.", "Both A and B are correct.", "Answer: A, not B.", "Answer: A rather than B.",
        "Answer: A instead of B.", "Answer: B, not A.", "The answer is B or A.", "The answer is anything without B.", "Either B.",
        "B, unless it turns",
        "B. This is wrong.", "B) is not correct", "B. Rather than A", "(B) or A", "Select B from the options A, B, C, and D.", "B (A)", "B. Not A.",
    ],
)  # fmt: skip
def test_a_letter_that_is_refused_or_beside_others_is_not_chosen(response: str) -> None:
    assert several(response, "B").ruling is Ruling.WRONG


@pytest.mark.parametrize(
    ("response", "named"),
    [
        ("The answers are B and D.", "BD"), ("Both B and D.", "BD"), ("Both (B) and (D) are correct.", "BD"),
        ("The correct options are B and D", "BD"),
        ("Options B, D", "BD"), ("Answer: B, D.", "BD"), ("答案：B、D", "BD"), ("答案是B和D", None), ("B.", "B"), ("(B) Clockwise", "B"),
        ("B. False", "B"),
        ("B: It turns.", "B"), ("B. A square", "B"), ("B (Clockwise)", "B"), (r"\boxed{B \text{ (Clockwise)}}", "B"),
        ("D) None of the above.", "D"),
        ("C. Cannot be determined", "C"), ("Answer: E. Not enough information", "E"), ("Select A from the options A, B, C, and D.", None),
    ],
)  # fmt: skip
def test_all_the_letters_that_are_chosen(response: str, named: str | None) -> None:
    for gold in ("B", "D", "BD", "C", "E", "A"):
        assert several(response, gold).ruling is (Ruling.RIGHT if gold == named else Ruling.WRONG), gold


# -- nothing is no answer -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", [r"\boxed{}", r"\boxed{\text{}}", r"\boxed{ }", "<answer></answer>", "<answer> </answer>", r"\boxed{$$}"])
def test_an_empty_answer_is_none_even_where_an_option_is_empty(response: str) -> None:
    empty = Item(id="e", question="Which?", answer="B", options=("5", "", "7"))
    for verdict in (strict.option(empty, response), strict.value(TWELVE, response), several(response, "B"), strict.yes_no(YES, response)):
        assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, None)
    assert strict.option(empty, r"\boxed{B}").ruling is Ruling.RIGHT
    assert strict.option(empty, r"\boxed{'}").ruling is Ruling.WRONG


@pytest.mark.parametrize(
    ("response", "named"), [("a", "D"), (r"\boxed{a}", "D"), ("d", "A"), ("(a)", None), ("A", "A"), ("(A)", "A"), ("The answer is a.", "D")]
)
def test_a_small_letter_that_is_an_options_text_is_that_option(response: str, named: str | None) -> None:
    for gold in "ABCD":
        verdict = strict.option(Item(id="l", question="Which?", answer=gold, options=("d", "b", "c", "a")), response)
        assert verdict.ruling is (Ruling.RIGHT if gold == named else Ruling.WRONG), gold


REFUSALS = [
    "I'm sorry, I can't comply with that request.", "I'm sorry, but I cannot see the picture.", "Sorry.", "I cannot answer.", "I can’t tell.",
    "I do not know", "I am unable to determine this.", "Unfortunately there is no image.", "Cannot tell.", "As an AI, I see no images.",
    "The picture shows a long red line.", "There is not enough information to say.", "抱歉，我无法回答。", "图中有一条红色的线",
]  # fmt: skip


@pytest.mark.parametrize("response", REFUSALS)
def test_refusals_and_bare_sentences_give_no_answer(response: str) -> None:
    verdicts = strict.option(OPTIONS, response), strict.value(TWELVE, response), several(response, "C"), strict.yes_no(YES, response)
    assert {(one.ruling, one.extracted) for one in verdicts} == {(Ruling.WRONG, None)}


def test_short_lines_and_declared_answers_are_extracted_though_wrong() -> None:
    assert strict.value(TWELVE, "13 cm").extracted == "13 cm"
    assert strict.value(TWELVE, "The answer is the sum of all sides.").extracted == "the sum of all sides"
    assert strict.option(OPTIONS, "B or D").extracted == "B or D"
    assert strict.option(OPTIONS, "B because it is so").extracted == "B"
    long = Item(id="t", question="Which?", answer="A", options=("the line is long and red", "the line is blue"))
    assert strict.option(long, "The line is long and red.").ruling is Ruling.RIGHT


# -- taken back ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        "Answer: C\n\nWait, that is wrong. It is D.", "Answer: C\nHowever, D is correct.", "The answer is C.\nActually it should be B.",
        "The answer is C. It is actually D.", "The answer is C.\nBut it is D.", "The answer is C.\n\nHowever, upon checking, B is correct.",
        "Answer: C. Wait, it is D.", "C. Wait, it is D.", "C. Actually, D.", "Answer: C\nSorry, D.", "Answer: C\n\nCorrection: D",
        "Answer: C\nNo, it is D.",
        "**Final Answer**\n\nC\n\nHmm, let me recheck.", "\\boxed{C}\n\nWait, that is wrong. It is D.", "<answer>C</answer>\nCorrection: D",
        "\\boxed{C} Sorry, I made a mistake.",
    ],
)  # fmt: skip
def test_what_is_taken_back_does_not_count(response: str) -> None:
    assert strict.option(OPTIONS, response).ruling is Ruling.WRONG
    assert strict.value(TWELVE, re.sub(r"\bC\b", "12", response).replace("D", "13")).ruling is Ruling.WRONG


@pytest.mark.parametrize(
    "response",
    [
        "Answer: C\n\nThe others do not fit.", "Answer: C\n\nHowever, the picture is blurred.", "The answer is C. But note the scale.",
        "\\boxed{C}\n\nHowever, option B is incorrect since it is short.", "Answer: B\nWait, that is wrong.\nAnswer: C",
        "The answer is B. Wait, no. The answer is C.", "\\boxed{B}\nWait, that is wrong. The answer is C.",
        "Answer: C\nThere is actually one line.",
    ],
)  # fmt: skip
def test_what_is_explained_or_said_anew_counts(response: str) -> None:
    assert strict.option(OPTIONS, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize(
    "response", ["<think>\nSo \\boxed{12}? Hmm, no", "<think>Answer: 12", "<think>12", "<think>a</think><think>12", "<think>The answer is 12."]
)
def test_thinking_that_has_not_ended_has_no_answer(response: str) -> None:
    for verdict in (strict.value(TWELVE, response), strict.option(OPTIONS, response.replace("12", "C")), strict.yes_no(YES, "<think>Yes")):
        assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, None)
    assert strict.value(TWELVE, f"{response}</think>\\boxed{{12}}").ruling is Ruling.RIGHT


# -- yes and no ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        "Yes, that is incorrect", "Yes, this is wrong", "Yes, it isn't", "Yes, it isn’t", "Yes it isn't", "Yes, probably not",
        "Yes, which is false",
        "Yes, it is not a dog", "Yes, I doubt it", "Yes, if it were a dog", "Yes; the statement is false",
        "The answer is yes, the statement is false",
        "Yes.\nNo.", "Yes\n\nWait, no.", "Yes\nActually, it should be no.", "Yes\n\nIs there?", "The dog is there.\nYes", "Yes, but no",
        "It is not the case that the answer is yes",
    ],
)  # fmt: skip
def test_a_yes_that_is_denied_is_neither(response: str) -> None:
    assert strict.yes_no(YES, response).ruling is strict.yes_no(NO, response).ruling is Ruling.WRONG


@pytest.mark.parametrize(
    "response",
    [
        "Yes\n\nThe picture shows a dog.",
        "Yes.\nIt is on the left.",
        "Yes, it is on the left. It is not large.",
        "**Yes**\n\nA dog.",
        "Ｙｅｓ",
        "“Yes”",
    ],
)
def test_a_yes_that_is_explained(response: str) -> None:
    assert strict.yes_no(YES, response).ruling is Ruling.RIGHT
    assert strict.yes_no(NO, response).ruling is Ruling.WRONG


def test_a_no_that_is_explained_or_denied() -> None:
    for no in ("No, it isn't there.", "No\n\nThe picture shows a cat.", "No, that is not correct."):
        assert strict.yes_no(NO, no).ruling is Ruling.RIGHT, no
    for neither in ("No, that is correct", "No\nYes", "No, it's true"):
        assert strict.yes_no(NO, neither).ruling is strict.yes_no(YES, neither).ruling is Ruling.WRONG, neither


# -- letters beside texts, headings, typesetting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "named"),
    [
        ("C (16)", "C"), ("The answer is C (16).", "C"), ("E (4πcm)", "E"), ("The answer is E (4πcm).", "E"), (r"\boxed{\text{C (16)}}", "C"),
        (r"\boxed{C \text{ (16)}}", "C"), ("(C) (16)", "C"), ("C (10)", None), ("The answer is C (20).", None), ("C (4πcm)", None),
        ("C (about 16)", None),
        ("C (D)", None), ("(c) 16", "C"), ("c) 16", "C"), ("c. 16", "C"), ("(c) 10", None), ("(c) about it", None), ("c 16", None), ("C; 16", "C"),
        ("C. 20", None), ("C. It is D", None),
    ],
)  # fmt: skip
def test_a_letter_with_a_text_in_brackets_or_a_small_letter_with_its_text(response: str, named: str | None) -> None:
    for gold in "ABCDE":
        verdict = strict.option(Item(id="o", question="?", answer=gold, options=OPTIONS.options), response)
        assert verdict.ruling is (Ruling.RIGHT if gold == named else Ruling.WRONG), gold


@pytest.mark.parametrize(
    ("response", "named"),
    [
        ("16 cm", "C"), (r"\boxed{16\text{ cm}}", "C"), ("16.0 cm", "C"), ("20 apples", "D"), ("x = 16", "C"), ("$x=16$", "C"),
        (r"\boxed{AB = 16}", "C"),
        ("x = 16 cm", "C"), (r"\angle A = 16^\circ", "C"), ("x_1 = 20", "D"), ("C. 16 cm", "C"), ("(C) x = 16", "C"), ("16 cm (C)", "C"),
        ("C = 16", "C"),
        ("c = 16", "C"),
        ("B. 16 cm", None), ("(B) x = 16", None), ("16 cm (B)", None), ("B = 16", None), ("b = 16", None), ("17 cm", None), ("16%", None),
        ("-16 cm", None),
        ("16 million", None), ("16 or more", None), ("about 16 cm", None), ("not 16 cm", None), ("16 cm or 20 cm", None), ("x = 16 or x = 20", None),
        ("x > 16", None), ("x^2 = 16", None), ("5 = 16", None), ("2x = 16", None), ("x = y = 16", None), ("x = 16, y = 2", None), ("160 cm", None),
        (r"x \approx 16", None),
    ],
)  # fmt: skip
def test_the_number_of_an_option_with_a_unit_or_a_name(response: str, named: str | None) -> None:
    for gold in "ABCDE":
        verdict = strict.option(Item(id="o", question="?", answer=gold, options=OPTIONS.options), response)
        assert verdict.ruling is (Ruling.RIGHT if gold == named else Ruling.WRONG), gold


CENTIMETRES, MIXED = ("10 cm", r"$16 \mathrm{~cm}$", "20cm"), ("16 cm", "16 m", "16")


@pytest.mark.parametrize(
    ("options", "response", "named"),
    [
        (CENTIMETRES, "16 cm", "B"), (CENTIMETRES, "20 cm", "C"), (CENTIMETRES, "16cm", "B"), (CENTIMETRES, "10 centimeters", "A"),
        (CENTIMETRES, "16", "B"), (CENTIMETRES, "x = 16", "B"), (CENTIMETRES, "16 m", None), (CENTIMETRES, "16 cm^2", None),
        (CENTIMETRES, "160 mm", None),
        (CENTIMETRES, "1.6", None), (CENTIMETRES, "16%", None),
        (MIXED, "16", "C"), (MIXED, "16 m", "B"), (MIXED, "16 meters", "B"), (MIXED, "x = 16 cm", "A"), (MIXED, "x = 16", "C"),
        (MIXED, "16 km", None),
        (("12", "13 cm"), "12 cm", None), (("12", "13 cm"), "13", None),  # a unit that says which option
        (("16", "16.0"), "16 cm", None), (("10%", "16%"), "16", None), (("x = 16", "y = 16"), "y = 16", "B"), (("x = 16", "y = 16"), "z = 16", None),
        ((r"\frac{1}{2}", "0.25"), "x = 0.5", "A"), ((r"\frac{1}{2}", "0.5"), "x = 0.5", None),
    ],
)  # fmt: skip
def test_units_tell_options_apart(options: tuple[str, ...], response: str, named: str | None) -> None:
    assert strict.chosen(response, "ABC", dict(zip("ABC", options, strict=False))) == named


@pytest.mark.parametrize(
    "form",
    [
        "I choose %s.", "I choose (%s)", "I'd choose **%s**.", "I would select option %s", "So I pick %s.",
        "Therefore, I choose the answer %s.", "I choose %s",
        "I choose %s because it is long.", "I choose %s. The others do not fit.", "> I'll pick %s", "My answer: %s", "**My answer:** %s",
        "My final answer: %s",
        "My answer is %s.",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "It is long.\n\n", "I choose B as the centre.\n"])
def test_a_last_line_that_chooses(form: str, before: str) -> None:
    assert strict.option(OPTIONS, before + form % "C").ruling is Ruling.RIGHT
    assert strict.option(OPTIONS, before + form % "D").extracted == "D"
    assert several(before + form % "C", "C").ruling is Ruling.RIGHT
    for wrong in ("C or D", "C and D", "not C", "neither C"):
        assert strict.option(OPTIONS, before + form % wrong).ruling is Ruling.WRONG


@pytest.mark.parametrize(
    "response",
    [
        "I choose C as the centre.", "I choose C?", "If I choose C, it fits.", "I did not choose C.", "I choose C. Wait, no.",
        "I choose C.\nThen again.",
        "You choose C.", "I choose Carol.", "I choose A car.", "I choose C'.", "I choose c.", "Should I choose C.", "I choose C, which is wrong.",
        "I choose C. That is wrong.", "I never choose C.",
    ],
)  # fmt: skip
def test_lines_that_choose_nothing(response: str) -> None:
    assert strict.option(OPTIONS, response).ruling is Ruling.WRONG


@pytest.mark.parametrize(
    "form",
    [
        "### Final Answer\n\n**%s**", "## Answer\n%s", "**Final Answer**\n\n%s", "### **Final Answer**\n%s", "__Answer__\n%s",
        "### Final Answer\n%s",
        "## The Final Answer\n\n$$\n%s\n$$", r"\[ \text{Answer: %s} \]", r"\[ \text{Answer: } %s \]", r"\( \text{Answer: %s} \)",
        r"$\textbf{Answer: %s}$",
        "\\[\n\\text{Answer: %s}\n\\]", "答案：%s", "答案是%s。", "答案为 %s", "正确答案是%s。", "因此，答案是 (%s)。",
        "## Answer\n\n%s\n\nIt is long.",
    ],
)  # fmt: skip
def test_headings_and_lines_that_declare(form: str) -> None:
    assert strict.option(OPTIONS, f"It is long.\n{form % 'C'}").ruling is Ruling.RIGHT
    assert strict.option(OPTIONS, f"It is long.\n{form % 'D'}").extracted == "D"
    assert strict.option(OPTIONS, f"It is long.\n{form % 'C or D'}").ruling is Ruling.WRONG


@pytest.mark.parametrize(
    "response",
    ["### Final Answer\n12", "**Final Answer**\n\n12", "答案：１２", "答案是12。", r"\[ \text{Answer: } \frac{24}{2} \]", r"\[ \text{Answer: 12} \]"],
)
def test_values_below_headings_and_in_lines(response: str) -> None:
    assert strict.value(TWELVE, f"So it is.\n{response}").ruling is Ruling.RIGHT
    assert strict.value(TWELVE, f"So it is.\n{response.replace('2', '3').replace('２', '３')}").ruling is Ruling.WRONG


@pytest.mark.parametrize(
    "response", ["Answer\nC", "Final Answer\n\nC", "## Answers\nC", "## Answering\nC", "## Answer C or not\nC", "## Answer\n", "Answer"]
)
def test_lines_that_are_no_headings(response: str) -> None:
    assert finding.answer_in(f"It is long.\n{response}") is None


def test_a_heading_above_an_explanation_leaves_the_declaration_below() -> None:
    assert finding.answer_in("## Answer\nThe line is as long as it looks.\nSo the answer is 12.") == "12"


@pytest.mark.parametrize(
    "form",
    [
        r"\boxed{\left(%s\right)}", r"\boxed{\Large %s}", r"\boxed{\displaystyle %s}", r"\boxed{\underline{%s}}", r"\boxed{\color{red}{%s}}",
        r"\boxed{\color{red} %s}", r"\boxed{\textcolor{red}{%s}}", r"\boxed{\texttt{%s}}", r"\boxed{\mathcal{%s}}", r"\boxed{\operatorname{%s}}",
        r"\boxed{\text{(%s)}\,}", r"\boxed{\bf %s}", r"\boxed{%s。}", r"\boxed{（%s）}", r"\boxed{答案：%s}", r"\boxed{选%s}", r"\boxed{{%s}}",
        r"\boxed{\text{``%s''}}", '"%s"', "'%s'", "“%s”", "‘%s’", "*%s*", "__%s__", "`%s`", "（%s）", "故选：%s", "故选 %s.", "所以选%s",
        "选%s。", "因此选择%s",
        "（%s） 16", "\\boxed{%s：16}", "选项%s",
    ],
)  # fmt: skip
def test_typesetting_quotes_and_full_width_signs(form: str) -> None:
    for letter, mark in (("C", Ruling.RIGHT), ("B", Ruling.WRONG), ("CD", Ruling.WRONG), ("C, D", Ruling.WRONG), ("not C", Ruling.WRONG)):
        assert strict.option(OPTIONS, form.replace("%s", letter)).ruling is mark, letter


@pytest.mark.parametrize("response", ["Ｃ", "（Ｃ）", "答案：Ｃ", r"\boxed{Ｃ}", "\U0001d402", "故选：Ｃ．"])
def test_full_width_letters(response: str) -> None:
    assert strict.option(OPTIONS, response).extracted == "C"


@pytest.mark.parametrize(
    "response",
    [
        "不选C",
        "不能选C",
        "答案不是C",
        "答案是不是C",
        "如果答案是C",
        "选C还是选D？",
        "选择题C",
        "С",
        "ⅽ",
        "C'",
        "C_1",
        r"\boxed{C'}",
        r"\boxed{\hat{C}}",
    ],
)
def test_what_is_no_chosen_letter(response: str) -> None:
    assert strict.option(OPTIONS, response).ruling is Ruling.WRONG


def test_a_raised_digit_is_not_a_digit() -> None:
    assert strict.option(Item(id="x", question="?", answer="A", options=("x2", "x²", "52")), "x²").extracted == "B"
    assert strict.option(Item(id="x", question="?", answer="B", options=("x2", "52")), "5²").ruling is Ruling.WRONG


HOSTILE = [
    "\\text{" * 20_000 + "answer:", "However " * 14_000, "Answer: 3\n" + "But " * 25_000, "Answer: 3\n" + "actually " * 11_000, "答案" * 50_000,
    "选" * 100_000, "## Answer\n" * 10_000, "**" * 50_000 + "answer",
    "\\color{" * 14_000, "``" * 50_000, "（" * 100_000, "Yes\n" + "it is " * 16_000,
    "that is " * 12_000, "不选" * 50_000, "\\left(" * 16_000 + "C", "both " * 90 + "B and D", "neither " * 60 + "B",
    "<think>" * 14_000, "如果" * 50_000, "I choose " * 11_000, "I choose " + "(" * 90_000, "> " * 50_000 + "I choose B", "I choose B" + "*" * 90_000,
    "x = " * 25_000 + "16", "\\boxed{" + "1" * 490 + " cm}", "\\boxed{" + "x=" * 240 + "16}", "I choose B" + " " * 90_000 + "x",
]  # fmt: skip


@pytest.mark.parametrize("response", HOSTILE, ids=range(len(HOSTILE)))
def test_time_stays_linear(response: str) -> None:
    start = time.monotonic()
    rulings = [
        strict.option(OPTIONS, response).ruling, several(response, "BD").ruling, strict.yes_no(YES, response).ruling,
        strict.value(TWELVE, response).ruling,
    ]  # fmt: skip
    assert Ruling.RIGHT not in rulings
    assert time.monotonic() - start < 3
