"""Geometry3K: rows by value and of four choices, the prompt of reinforcement learning, MathRuler's verdict, and near misses."""

import io
import time
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks.geometry3k import SPEC, accepts, extract, item_of, measures
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling


def picture(colour: str = "white") -> dict[str, Any]:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(data, "PNG")
    return {"bytes": data.getvalue(), "path": "1.png"}


def row(**changes: Any) -> dict[str, Any]:
    return {"images": [picture()], "problem": "<image>Find $x$.", "answer": "5\\sqrt{3}", **changes}


CHOICES = ["30", "40", "60", "80"]


def value(answer: str = "5\\sqrt{3}") -> Item:
    return item_of(row(answer=answer), "", None)


def choice(letter: str = "D") -> Item:
    return item_of({"images": [picture()], "problem": "<image>Find $x$.", "choices": CHOICES, "ground_truth": letter}, "", None)


# -- rows and questions -------------------------------------------------------------------------------------------------------------


def test_a_row_becomes_an_item() -> None:
    item = value()
    assert (item.question, item.answer, item.options, item.parts) == ("<image>Find $x$.", "5\\sqrt{3}", (), {"asked": "value"})
    assert item.images == (picture()["bytes"],)


def test_an_item_is_called_by_its_content() -> None:
    rows = [row(), row(problem="<image>Find $y$."), row(answer="6"), row(images=[picture("black")])]
    names = {item_of(one, "test", None).id for one in rows}
    assert len(names) == 4
    assert item_of(row(), "", None).id == item_of(row(split="test"), "other", None).id
    assert all(name.startswith("geometry3k/") for name in names)


def test_a_picture_is_shown_at_its_mark_or_first() -> None:
    assert item_of(row(problem="Find $x$."), "", None).question == "<image>Find $x$."
    assert item_of(row(problem="Find $x$ in <image>."), "", None).question == "Find $x$ in <image>."
    assert SPEC.interleaved


def test_rows_with_both_are_asked_by_value_unless_the_subset_says_otherwise() -> None:
    both = row(choices=CHOICES, answer_letter="D", answer="80")
    assert (item_of(both, "test", None).answer, item_of(both, "test", None).options) == ("80", ())
    lettered = item_of(both, "4 choices", None)
    assert (lettered.answer, lettered.options, lettered.parts) == ("D", tuple(CHOICES), {"asked": "4 choices"})


@pytest.mark.parametrize(
    ("changes", "subset", "reason"),
    [
        ({"images": None}, "", "no image"),
        ({"images": []}, "", "no image"),
        ({"images": [{"bytes": b"broken", "path": "1.png"}]}, "", "cannot be read"),
        ({"images": ["1.png"]}, "", "not stored in the row"),
        ({"problem": "<image>and <image>"}, "", "2 <image> marks for 1 images"),
        ({"problem": ""}, "", "problem is empty"),
        ({"answer": None}, "", "no answer"),
        ({"answer": " "}, "", "no answer"),
        ({"answer_letter": "A", "choices": []}, "4 choices", "empty choices"),
        ({"answer_letter": "A", "choices": ["1", ""]}, "4 choices", "empty choices"),
        ({"answer_letter": "E", "choices": CHOICES}, "4 choices", "answer 'E' is none of the 4 choices"),
        ({"choices": CHOICES}, "4 choices", "answer None is none of the 4 choices"),
    ],
)
def test_broken_rows_say_why(changes: dict[str, Any], subset: str, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        item_of(row(**changes), subset, None)


def test_prompts() -> None:
    instruction = (
        " You FIRST think about the reasoning process as an internal monologue and then provide the final answer. The reasoning process MUST BE "
        "enclosed within <think> </think> tags. The final answer MUST BE put in \\boxed{}."
    )
    assert SPEC.ask(value(), Style.OFFICIAL) == "<image>Find $x$." + instruction
    assert SPEC.ask(value(), Style.REASONING) == SPEC.ask(value(), Style.DIRECT) == "<image>Find $x$."
    assert SPEC.ask(choice(), Style.REASONING) == "<image>Find $x$.\nChoices:\nA. 30\nB. 40\nC. 60\nD. 80"
    assert SPEC.ask(choice(), Style.OFFICIAL) == "<image>Find $x$.\nChoices:\nA. 30\nB. 40\nC. 60\nD. 80" + instruction


# -- rules --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("<think>\\boxed{3}</think> so $\\boxed{\\frac{1}{2}}$", "\\frac{1}{2}"),
        ("\\boxed{1} then\n\\boxed{2", None),  # the last box is the one that counts, closed or not
        ("\\boxed{5} $\\boxed 6$ x", "5"),
        ("\\boxed{a{b}c} tail }", "a{b}c"),
        ("It is 5.\nReally.", None),
        ("5\\sqrt{3}", "5\\sqrt{3}"),  # the content of a box without the box
        ("", None),
    ],
)
def test_extraction_of_a_value(response: str, found: str | None) -> None:
    assert extract(value(), response) == found


@pytest.mark.parametrize(
    ("gold", "extracted", "right"),
    [
        ("5\\sqrt{3}", "5\\sqrt3", True),
        ("5\\sqrt{3}", "5 \\sqrt{3}", True),
        ("5\\sqrt{3}", "5\\sqrt{2}", False),
        ("80", "80^\\circ", True),
        ("80", "80 \\text{ cm}", True),
        ("8.5", "8.50", True),
        ("8.5", "8.6", False),
        ("\\frac{1}{2}", "\\frac{2}{4}", False),  # fractions must be reduced
        ("80", None, False),
    ],
)
def test_mathruler_s_verdict(gold: str, extracted: str | None, right: bool) -> None:
    assert accepts(value(gold), extracted) is right


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("Answer: B\nor C)", "B"),
        ("answer = (c) or answer: d", "D"),
        ("A. is wrong, D) is right", "D"),
        ("So it is\n B \nclearly", "B"),
        ("Pick D now or a later", "A"),  # the article counts as a letter
        ("It must be 60 degrees", "C"),
        ("nothing fits", None),
        ("", None),
    ],
)
def test_extraction_of_a_letter(response: str, found: str | None) -> None:
    assert extract(choice(), response) == found
    assert accepts(choice(), found) is (found == "D")


RIGHT = [
    (value(), "\\boxed{5\\sqrt{3}}"),
    (value(), "<think>\\boxed{5}</think>The answer is $5\\sqrt{3}$."),
    (value(), "\\boxed{x = 5\\sqrt{3}}"),
    (value("80"), "\\boxed{80^\\circ}"),
    (value("80"), "\\boxed{80.0}"),
    (value("8.5"), "\\boxed{\\frac{17}{2}}"),
    (value("\\frac{2\\sqrt{2}}{5}"), "\\boxed{\\dfrac{2\\sqrt2}{5}}"),
    (choice(), "\\boxed{D}"),
    (choice(), "\\boxed{80}"),
    (choice(), "The answer is D."),
    (choice(), "Answer: (D) 80"),
]
NEAR_MISSES = [
    (value(), "\\boxed{5\\sqrt{2}}"),
    (value(), "\\boxed{\\sqrt{3}}"),
    (value(), "\\boxed{53}"),
    (value(), "\\boxed{8.66}"),
    (value(), "\\boxed{-5\\sqrt{3}}"),
    (value(), "\\boxed{5\\sqrt{3}, 5}"),
    (value(), "\\boxed{5\\sqrt{3}} or rather \\boxed{5}"),
    (value("80"), "\\boxed{8}"),
    (value("80"), "\\boxed{180}"),
    (value("80"), "\\boxed{80.1}"),
    (value("80"), "\\boxed{-80}"),
    (value("80"), "\\boxed{80^2}"),
    (value("80"), "\\boxed{80, 100}"),
    (value("80"), "\\boxed{x > 80}"),
    (value("80"), "\\boxed{80\\pi}"),
    (value("80"), "80 is in there.\nThat is all."),
    (value("80"), "<think>\\boxed{80}</think>\nI do not know.\nSorry."),
    (value("8.5"), "\\boxed{8}"),
    (value("8.5"), "\\boxed{8,5,1}"),
    (value("\\frac{2\\sqrt{2}}{5}"), "\\boxed{\\frac{2\\sqrt{5}}{2}}"),
    (choice(), "\\boxed{A}"),
    (choice(), "\\boxed{8}"),
    (choice(), "\\boxed{C or D}"),
    (choice(), "\\boxed{D. 60}"),
    (choice(), "\\boxed{A 80}"),
    (choice(), "Not sure.\nD is a letter."),
]


@pytest.mark.parametrize(("item", "response"), RIGHT)
def test_right_answers(item: Item, response: str) -> None:
    assert SPEC.strict(item, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize(("item", "response"), NEAR_MISSES)
def test_near_misses_are_wrong(item: Item, response: str) -> None:
    assert SPEC.strict(item, response).ruling is Ruling.WRONG


# -- the table ----------------------------------------------------------------------------------------------------------------------


def graded(name: int, right: bool | None, *, options: tuple[str, ...] = (), sample: int = 0) -> Graded:
    return Graded(item=Item(id=f"geometry3k/{name}", question="q", answer="1", options=options), sample=sample, right=right, extracted=None)


def test_the_two_ways_of_asking_are_two_numbers() -> None:
    by_value = [graded(1, True), graded(1, False, sample=1), graded(2, True), graded(3, None)]
    lettered = [graded(4, False, options=("1", "2")), graded(5, True, options=("1", "2"))]

    def table(answers: list[Graded]) -> list[tuple[str, list[float]]]:
        return [(one.part, [unit.value for unit in one.units]) for one in measures(answers)]

    assert table(by_value) == [("", [0.5, 1])]
    assert table(by_value + lettered) == [("", [0.5, 1]), ("4 choices", [0, 1])]
    assert table(lettered) == [("4 choices", [0, 1])]


HOSTILE = ["\\boxed{", "{", "}", " ", "\n", "A ", "answer:", "a)", "9", "80 ", "\\sqrt{", "^", "\\frac{", "1,"]


@pytest.mark.parametrize("sign", HOSTILE)
def test_no_response_raises_or_takes_long(sign: str) -> None:
    start = time.perf_counter()
    for response in (sign * (100_000 // len(sign)), f"\\boxed{{{sign * (100_000 // len(sign))}}}"):
        assert official(SPEC, value(), response).ruling is Ruling.WRONG
        assert SPEC.strict(value(), response).ruling is Ruling.WRONG
        assert SPEC.strict(choice(), response).ruling is Ruling.WRONG
        assert official(SPEC, choice(), response).ruling is Ruling.WRONG or sign == "80 "
    assert time.perf_counter() - start < 5
