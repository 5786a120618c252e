r"""MathVision: rows, three prompts, the authors' string rules, numbers to two decimals, and answers that only look right."""

import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks import strict
from vold.adapters.benchmarks.mathvision import SPEC, is_equal
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

AREAS = ["$6(\\sqrt{2}-1)$", "$\\frac{1}{2}$", "$45 \\mathrm{~cm}^{2}$", "$9: 4$", "red"]
DRAWN = ["A", "B", "C", "D", "E"]


@pytest.fixture(scope="module", autouse=True)
def _judge() -> Iterator[None]:
    yield
    strict.close()


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "PNG")
    return stream.getvalue()


def row(**given: Any) -> dict[str, Any]:
    return {
        "id": "17",
        "question": "How large is it?\n<image1>",
        "options": AREAS,
        "image": "images/17.jpg",
        "decoded_image": {"bytes": png(), "path": "17.jpg"},
        "answer": "B",
        "solution": None,
        "level": 3,
        "subject": "metric geometry - area",
        **given,
    }


def item(**given: Any) -> Item:
    return SPEC.item(row(**given), "test", None)


def free(answer: str) -> Item:
    return item(options=[], answer=answer)


def verdict(of: Item, response: str) -> bool:
    return official(SPEC, of, response).ruling is Ruling.RIGHT


# -- rows and prompts ---------------------------------------------------------------------------------------------------------------


def test_a_row() -> None:
    one = item()
    assert (one.id, one.answer, one.options, one.cluster) == ("mathvision/17", "B", tuple(AREAS), "")
    assert one.parts == {"subject": "metric geometry - area", "level": "3"}
    assert one.images == (png(),)
    assert free("6\\sqrt{2}").options == ()
    assert free("\x0crac{1}{2}").answer == "\x0crac{1}{2}"  # as published, a lost \\f included
    assert item(options=None, answer="7").options == ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"id": None}, "no id"),
        ({"answer": ""}, "no answer"),
        ({"answer": None}, "no answer"),
        ({"answer": " "}, "answer is empty"),
        ({"answer": "F"}, "none of the 5 options"),
        ({"answer": "b"}, "none of the 5 options"),
        ({"level": None}, "no level"),
        ({"level": "hard"}, "difficulty must be a whole number"),
        ({"subject": None}, "no subject"),
        ({"question": " "}, "question is empty"),
        ({"options": ["A", "B", "C", "D"]}, "4 options where there should be 5"),
        ({"options": ["A", "B", "", "D", "E"]}, "an option is empty"),
        ({"options": "ABCDE"}, "options are no list of texts"),
        ({"options": [1, 2, 3, 4, 5]}, "options are no list of texts"),
        ({"decoded_image": None}, "images/17.jpg is not stored in the row"),
        ({"decoded_image": None, "image": None}, "image is no path"),
        ({"decoded_image": {"bytes": b"no picture", "path": None}}, "cannot be read"),
        ({"decoded_image": {"bytes": png()[:40], "path": None}}, "cannot be read"),
    ],
)
def test_a_broken_row_is_named(given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRow, match=why):
        item(**given)


STEPS = (
    'Please solve the problem step by step and put your answer in one "\\boxed{}". '
    'If it is a multiple choice question, only one letter is allowed in the "\\boxed{}".\n'
)
LISTED = "(A) $6(\\sqrt{2}-1)$\n(B) $\\frac{1}{2}$\n(C) $45 \\mathrm{~cm}^{2}$\n(D) $9: 4$\n(E) red\n"


@pytest.mark.parametrize(
    ("style", "asked"),
    [
        (Style.OFFICIAL, f"{STEPS}How large is it?\n<image1>\n{LISTED}"),
        (Style.DIRECT, f"How large is it?\n<image1>\n{LISTED}\nAnswer the question using a single word or phrase."),
        (Style.REASONING, f"How large is it?\n<image1>\n{LISTED}".rstrip()),
    ],
)
def test_prompts(style: Style, asked: str) -> None:
    assert SPEC.ask(item(), style) == asked


def test_options_that_are_drawn_are_not_written() -> None:
    assert SPEC.ask(item(options=DRAWN), Style.OFFICIAL) == f"{STEPS}How large is it?\n<image1>\n"
    direct = "How large is it?\n<image1>\n\nAnswer the question using a single word or phrase."
    assert SPEC.ask(item(options=DRAWN), Style.DIRECT) == SPEC.ask(free("7"), Style.DIRECT) == direct
    assert SPEC.ask(free("7"), Style.REASONING) == "How large is it?\n<image1>"


# -- the authors' rule --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("The answer is \\boxed{B}.", "b"),
        ("\\(\\boxed{ \\text{(E)} }\\)", "e"),
        ("so (C).", "c"),
        ("so C.", "c"),
        ("(C) C\nsince", "c"),
        ("C\nsince it is so", "c"),
        ("So the value is 12.", "12"),
        ("The answer is 5 apples. Or is it", "5apples"),
        ("The answer is: 5\nbecause", "5"),
        ("the final answer is 4 and The answer is x = 3. Surely", "3"),
        ("\\boxed{1} and \\boxed{2}", "2"),
        ("\\boxed{1} so {x}", "1"),  # up to the last brace, cut at the first that closes
        ("$x=\\boxed{6\\sqrt2}$", "6\\sqrt{2}"),
        ("\\boxed{\\frac12}", "\\frac12"),  # braces are added only beside a root
        ("\\boxed{\\frac12\\sqrt3}", "\\frac{1}{2}\\sqrt{3}"),
        ("\\boxed{0.5}", "\\frac{1}{2}"),
        ("\\boxed{.75}", "0.75"),
        ("\\boxed{3/4}", "\\frac{3}{4}"),
        ("\\boxed{45^\\circ}", "45"),
        ("\\boxed{45\\%}", "45"),
        ("\\boxed{12 \\text{ cm}}", "12{cm}"),
        ("\\boxed{12\\text{ units}}", "12"),
        ("\\boxed{3\\text{ km}}", "3"),
        ("\\boxed{x \\approx 3.14}", "3.14"),
        ("\\boxed{10,000}", "10,000"),
        ("I do not know", "idonotknow"),
        ("", None),
        ("  ", None),
        ("\\boxed{}", "\\boxed"),
    ],
)
def test_extraction(response: str, found: str | None) -> None:
    assert SPEC.extract(item(), response) == found


@pytest.mark.parametrize(
    ("of", "extracted", "right"),
    [
        (item(), "b", True),
        (item(), "\\frac{1}{2}", True),  # the text of the option
        (item(), "0.5", True),  # and its value
        (item(), "0.504", True),  # to two decimals
        (item(), "0.51", False),
        (item(), "c", False),
        (item(answer="A"), "2.49", True),
        (item(answer="C"), "45\\mathrm{~cm}^2", False),  # a unit has no value, and the strings differ
        (item(answer="C"), "$45 \\mathrm{~cm}^{2}$", True),
        (item(answer="D"), "9:4", True),
        (item(answer="D"), "\\frac{9}{4}", True),
        (item(answer="D"), "2.25", True),
        (item(answer="E"), "red", True),
        (item(answer="E"), "green", False),
        (free("6\\sqrt{2}"), "6\\sqrt{2}}centimeters.theansweris:6\\sqrt{2", True),  # read up to the first sign that cannot follow
        (free("1"), "1:1", True),
        (free("(3,-4)"), "(3,-4)", True),
        (free("(3,-4)"), "(3, -8/2)", False),  # -4.0 is not -4 as text
        (free("(0.5,2)"), "(\\frac{1}{2},2)", True),
        (free("(0.5,2)"), "[\\frac{1}{2},2]", False),
        (free("(1,\\infty)"), "(1.001,\\infty)", False),  # 1.0 is not 1 as text
        (free("7"), "x", False),
        (free("x"), "x", True),
        (free("x+1"), "1+x", False),
        (free("7"), None, False),
        (free("7"), " ", False),
        (free("7"), "7.004", True),
        (free("7"), "7.01", False),
    ],
)
def test_the_verdict_on_an_extraction(of: Item, extracted: str | None, right: bool) -> None:
    assert SPEC.accepts(of, extracted) is right


@pytest.mark.parametrize(
    ("left", "right"), [("", ""), (" ", "5"), ("\\sqrt{-4}", "\\sqrt{-5}"), ("1/0", "2/0"), ("10^{99999}", "10^{99998}"), ("(", ")")]
)
def test_what_is_blank_or_has_no_number_equals_nothing(left: str, right: str) -> None:
    assert not is_equal(left, right)
    assert not is_equal(right, left)


def test_the_rule_takes_an_option_or_its_text_from_a_whole_response() -> None:
    assert verdict(item(), "We compute … \\boxed{B}")
    assert verdict(item(), "Hence the share is $\\boxed{\\frac{1}{2}}$ of it.")
    assert not verdict(item(), "We compute … \\boxed{C}")
    assert official(SPEC, item(), "").note == "nothing extracted"


# -- strict -------------------------------------------------------------------------------------------------------------------------

RIGHT = [
    (item(), "\\boxed{B}"),
    (item(), "\\boxed{\\text{(B)}}"),
    (item(), "The answer is (B)."),
    (item(), "\\boxed{\\frac{1}{2}}"),
    (item(), "<think>\\boxed{A}</think> \\boxed{B}"),
    (item(options=DRAWN, answer="D"), "\\boxed{D}"),
    (free("6\\sqrt{2}"), "\\boxed{6\\sqrt{2}}"),
    (free("6\\sqrt{2}"), "\\boxed{\\sqrt{72}}"),
    (free("6\\sqrt{2}"), "\\boxed{6\\sqrt{2}\\text{ cm}}"),
    (free("$\\boxed{\\frac{144}{49}}$"), "\\boxed{\\frac{144}{49}}"),
    (free("\x0crac{36}{13}"), "\\boxed{\\frac{36}{13}}"),  # \f of \frac lost to JSON in the published file
    (free("\\frac{3}{4}\\pi{inches}"), "\\boxed{\\frac{3\\pi}{4}}"),
    (free("\\frac{3}{4}\\pi{inches}"), "\\boxed{\\frac{3}{4}\\pi{inches}}"),  # the reference to the letter
    (free("(3,-4)"), "\\boxed{(3, -4)}"),
    (free("62.8"), "\\boxed{62.80}"),
    (free("2\\pi"), "Answer: $2\\pi$"),
    (free("45"), "\\boxed{45^\\circ}"),
]
WRONG = [
    (item(), "\\boxed{C}"),
    (item(), "\\boxed{A or B}"),
    (item(), "\\boxed{not B}"),
    (item(), "\\boxed{0.504}"),  # right to two decimals
    (item(), "B or not, one cannot say. There is more to find out.\nSo what?"),
    (item(), "It is B, I think, but let me look again.\n" * 3),
    (item(), "<think>\\boxed{B}</think> \\boxed{C}"),
    (item(), "<think>\\boxed{B}</think>"),
    (item(), "\\boxed{B} no, wait, \\boxed{E}"),
    (item(), "\\boxed{B, C}"),
    (item(answer="A"), "\\boxed{A car}"),
    (item(answer="E"), "\\boxed{redder}"),
    (free("6\\sqrt{2}"), "\\boxed{8.49}"),  # the same to two decimals
    (free("6\\sqrt{2}"), "\\boxed{8.485281374238571}"),
    (free("6\\sqrt{2}"), "\\boxed{6\\sqrt{3}}"),
    (free("7"), "\\boxed{7.004}"),
    (free("7"), "\\boxed{70}"),
    (free("7"), "\\boxed{-7}"),
    (free("7"), "\\boxed{7 or 8}"),
    (free("7"), "\\boxed{x=7, y=8}"),
    (free("1"), "\\boxed{1:2}"),
    (free("(3,-4)"), "\\boxed{(-4,3)}"),
    (free("(3,-4)"), "\\boxed{3,-4}"),
    (free("2\\pi"), "\\boxed{6.28}"),
    (free("\\frac{4}{3}"), "\\boxed{1.33}"),
    (free("\x0crac{36}{13}"), "\\boxed{\\frac{36}{31}}"),
    (free("62.8"), "\\boxed{62.83}"),
    (free("7"), "The sum is 3 + 4, that is 7 or thereabouts, which concludes this.\nThank you."),
    (free("7"), ""),
]


@pytest.mark.parametrize(("of", "response"), RIGHT)
def test_strict_right(of: Item, response: str) -> None:
    assert SPEC.strict(of, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize(("of", "response"), WRONG)
def test_strict_near_misses(of: Item, response: str) -> None:
    assert SPEC.strict(of, response).ruling is Ruling.WRONG


def test_there_are_enough_near_misses() -> None:
    assert len(WRONG) >= 20


# -- the table ----------------------------------------------------------------------------------------------------------------------


def test_measures() -> None:
    items = [
        item(id="1", subject="algebra", level=1),
        item(id="2", subject="algebra", level=5),
        item(id="3", subject="logic", level=5),
        item(id="4", subject="logic", level=10),
    ]
    rights = [(True, True), (True, False), (False, None), (None, None)]
    graded = [
        Graded(item=one, sample=k, right=right, extracted=None) for one, pair in zip(items, rights, strict=True) for k, right in enumerate(pair)
    ]
    found = {one.part: [unit.value for unit in one.units] for one in SPEC.measures(graded)}
    assert found == {
        "": [1.0, 0.5, 0.0],  # the fourth item was not judged
        "subject: algebra": [1.0, 0.5],
        "subject: logic": [0.0],
        "level: 1": [1.0],
        "level: 5": [0.5, 0.0],
        "level: 10": [],
    }
    assert list(found) == ["", "subject: algebra", "subject: logic", "level: 1", "level: 5", "level: 10"]
    assert {one.metric for one in SPEC.measures(graded)} == {"accuracy"}


# -- hostile text -------------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "boxes": "\\boxed{" * 14_000,
    "broken boxes": "oxe{}d{" * 14_000,
    "closing": "}" * 100_000,
    "is": "is " * 33_000,
    "phrases": "the answer is The answer is " * 3_500,
    "roots": "\\boxed{" + "\\sqrt" * 20_000 + "}",
    "tuple": "\\boxed{(" + ",".join(["9^{9}"] * 15_000) + ")}",
    "equals": "=" * 100_000,
    "digits": "\\boxed{" + "9" * 100_000 + "}",
    "power": "\\boxed{9^{9^{9^{9}}}}",
    "deep": "\\boxed{" + "(" * 50_000 + "}",
    "code": "\\boxed{__import__('os').abort()}",
    "surrogate": "\\boxed{\ud800}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_response_is_wrong_and_soon(name: str) -> None:
    start = time.perf_counter()
    assert not verdict(item(), HOSTILE[name])
    assert not verdict(free("(1,2)"), HOSTILE[name])
    assert SPEC.strict(item(), HOSTILE[name]).ruling is Ruling.WRONG
    assert time.perf_counter() - start < 2.0
