"""MathVista: rows, queries, quick steps and finders, the authors' normalisation with its quirks, and answers that only look right."""

import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks import strict
from vold.adapters.benchmarks.mathvista import SPEC, normalised
from vold.adapters.benchmarks.reads import read_part
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

QUERY = (
    "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
    "Question: How wide is it? (Unit: cm)\nChoices:\n(A) 12\n(B) 15 \n(C) no, wider"
)
TOLD = {
    "category": "math-targeted-vqa",
    "context": "geometry diagram",
    "grade": "high school",
    "img_height": 4,
    "img_width": 4,
    "language": "english",
    "skills": ["geometry reasoning", "algebraic reasoning"],
    "source": "Geometry3K",
    "split": "testmini",
    "task": "geometry problem solving",
}


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
        "pid": "17",
        "question": "How wide is it?",
        "image": "images/17.jpg",
        "decoded_image": {"bytes": png(), "path": "17.jpg"},
        "choices": ["12", "15 ", "no, wider"],
        "unit": "cm",
        "precision": None,
        "answer": "15 ",
        "question_type": "multi_choice",
        "answer_type": "text",
        "metadata": TOLD,
        "query": QUERY,
        **given,
    }


def item(**given: Any) -> Item:
    return SPEC.item(row(**given), "testmini", None)


def free(kind: str, answer: str, precision: float | None = None) -> Item:
    return item(question_type="free_form", answer_type=kind, answer=answer, precision=precision, choices=None, unit=None)


WHOLE, ONE, TWO, LIST = free("integer", "12"), free("float", "10.4", 1.0), free("float", "0.24", 2), free("list", "[2014, 2016]")


def verdict(of: Item, response: str) -> bool:
    return official(SPEC, of, response).ruling is Ruling.RIGHT


# -- rows and prompts ---------------------------------------------------------------------------------------------------------------


def test_a_row() -> None:
    one = item()
    assert (one.id, one.answer, one.options, one.cluster) == ("mathvista/17", "15 ", ("12", "15 ", "no, wider"), "")
    assert one.parts == {
        "answer_type": "text",
        "question_type": "multi_choice",
        "task": "geometry problem solving",
        "source": "Geometry3K",
        "category": "math-targeted-vqa",
        "context": "geometry diagram",
        "grade": "high school",
        "language": "english",
    }
    assert one.facts["skills"] == ("geometry reasoning", "algebraic reasoning")
    assert (ONE.facts["precision"], TWO.facts["precision"], WHOLE.options) == (1, 2, ())
    assert item(metadata=None).parts == {"answer_type": "text", "question_type": "multi_choice"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"pid": None}, "no pid"),
        ({"answer": ""}, "no answer"),  # as in the split whose answers are hidden
        ({"answer": None}, "no answer"),
        ({"question_type": "essay"}, "unknown question type 'essay'"),
        ({"answer_type": "picture"}, "unknown answer type 'picture'"),
        ({"choices": None}, "no choices"),
        ({"choices": []}, "no choices"),
        ({"choices": ["15 ", " "]}, "a choice is empty"),
        ({"answer": "B"}, "answer 'B' is none of the 3 choices"),
        ({"question_type": "free_form", "answer_type": "float", "answer": "1.2"}, "a float with precision None"),
        ({"question_type": "free_form", "answer_type": "float", "answer": "1.2", "precision": float("nan")}, "a float with precision nan"),
        ({"query": None}, "no query"),
        ({"question": ""}, "question is empty"),
        ({"decoded_image": None}, "images/17.jpg is not stored in the row"),
        ({"decoded_image": {"bytes": png()[:40], "path": None}}, "cannot be read"),
    ],
)
def test_a_broken_row_is_named(given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRow, match=why):
        item(**given)


def test_prompts() -> None:
    assert SPEC.ask(item(), Style.OFFICIAL) == SPEC.ask(item(), Style.DIRECT) == QUERY
    assert SPEC.ask(item(), Style.REASONING) == "How wide is it? (Unit: cm)\nChoices:\n(A) 12\n(B) 15 \n(C) no, wider"
    assert SPEC.ask(WHOLE, Style.REASONING) == "How wide is it?"


def test_the_prompt_for_a_model_that_extracts() -> None:
    assert SPEC.extraction is not None
    prompt = SPEC.extraction.prompt(item(), "It is 15 wide.")
    assert prompt.count("Extracted answer: ") == 6
    assert prompt.endswith(f"\n\n{QUERY}\n\nModel response: It is 15 wide.\n\nExtracted answer: ")
    assert [line for line in prompt.split("\n") if line.startswith("Extracted answer: ")] == [
        "Extracted answer: 3",
        "Extracted answer: 1.5",
        "Extracted answer: 0.33",
        "Extracted answer: [2011, 2013]",
        "Extracted answer: B",
        "Extracted answer: ",
    ]
    assert SPEC.extraction.read(item(), " B\n") == "B"
    assert SPEC.extraction.read(item(), " \n") is None
    assert SPEC.extraction.read(item(), "**Extracted answer:** 12\n") == "12"
    assert SPEC.extraction.read(item(), "Extracted answer: ") is None
    assert SPEC.extraction.prompt(item(), "<think>It is 12.</think>\nIt is 15 wide.") == prompt


# -- what is found in a response ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "response", "found"),
    [
        (item(choices=["12", "15", "16"], answer="15"), " 15\n", "15"),  # a choice to the letter
        (item(), 'So it is. The answer is "15".', "15"),
        (item(), "I measure and find (B)", "B"),
        (item(), "It seems to be no, wider", "C"),
        (item(), "\\boxed{B} as I said of it before all this", "B"),  # in the declared answer first
        (item(), "The correct answer is (B), as one can see from where I am.", "(B), as one can see from where I am"),  # its letter is read later
        (item(), "Answer: fifteen", "fifteen"),  # short and declared: the most similar option
        (item(), "I cannot see what this picture is to show, which is a pity, so let us go on to another one", None),
        (item(), "Cannot determine the answer", None),
        (item(), "", None),
        (WHOLE, "12", "12"),
        (WHOLE, " -12 ", "-12"),
        (WHOLE, "There are 3 rows of 4, so 12 in all.", "12"),
        (WHOLE, "It is 1,234 in all", "1234"),
        (WHOLE, "from 2017-2020", "2020"),
        (WHOLE, "at −5 degrees", "-5"),
        (WHOLE, "\\boxed{\\frac{24}{2}} and 7 more", "12"),
        (WHOLE, "\\boxed{12} is above 7", "12"),
        (WHOLE, "<think>12</think> it is 13", "13"),
        (WHOLE, "12.5", "12.5"),
        (WHOLE, "no number", None),
        (ONE, "10.4", "10.4"),
        (ONE, "1e1", "10.0"),
        (ONE, "Colton will spend $10.4.", "10.4"),
        (ONE, ".5", "0.5"),
        (LIST, "the years [2014, 2016]", "[2014, 2016]"),
        (LIST, "the years [2014,2016.5] ", "[2014, 2016.5]"),
        (LIST, "the years 2014 and 2016", None),
    ],
)
def test_extraction(of: Item, response: str, found: str | None) -> None:
    assert SPEC.extract(of, response) == found


@pytest.mark.parametrize(
    ("of", "declared", "found"),
    [
        (WHOLE, "12 \\text{ cm}^2", "12"),
        (WHOLE, "12\\,\\mathrm{cm}^{2}", "12"),
        (WHOLE, "12 cm^2", "12"),
        (WHOLE, "12 m²", "12"),
        (WHOLE, "24/2", "12"),
        (WHOLE, "\\frac{24}{2}", "12"),
        (WHOLE, "1.2e1", "12"),
        (WHOLE, "1.2 \\times 10^1", "12"),
        (WHOLE, "12\\%", "12"),
        (WHOLE, "x = 12", "12"),
        (WHOLE, "12 (see step 2)", "12"),
        (WHOLE, "12 out of 100", "12"),
        (WHOLE, "12, since 10 + 2 = 12", "12"),
        (WHOLE, "12, because 3 rows of 4 are not 13", "12"),
        (WHOLE, "3 rows of 4 = 12 apples", "12"),
        (WHOLE, "2^3", "8"),
        (WHOLE, "13 cm^2", "13"),
        (WHOLE, "-12 cm^2", "-12"),
        (ONE, "10.4 \\text{ m/s}^2", "10.4"),
        (ONE, "52/5", "10.4"),
        (ONE, "approximately 10.4, rounded to 1 decimal place", "10.4"),
        (TWO, "\\frac{6}{25}", "0.24"),
        (TWO, "24\\%", "0.24"),  # of a float it is a share
        (item(choices=["6", "10", "16", "20"], answer="16"), "16 \\text{ cm}", "16 \\text{ cm}"),
    ],
)
def test_a_declared_answer_is_the_same_in_a_box_that_was_asked_for(of: Item, declared: str, found: str | None) -> None:
    box = f"It takes 2 steps.\nSo \\boxed{{{declared}}}"
    assert SPEC.extract(of, box) == SPEC.extract(of, read_part(box, "auto", asked_for_box=True)) == found
    if "\\" not in declared:
        assert SPEC.extract(of, f"It takes 2 steps.\nThe answer is {declared}.") == found


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("12 cm^2", "12"),
        ("The area is 12 cm^2.", "12"),
        ("It is 12 in all (rounded to 2 digits).", "12"),
        ("Of 30 there remain 12 m/s^2", "12"),
        ("It is 2^12", "12"),  # a power of a number is none of a unit
    ],
)
def test_the_last_number_is_no_power_of_a_unit(response: str, found: str) -> None:
    assert SPEC.extract(WHOLE, response) == found


# -- the authors' normalisation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "extracted", "form"),
    [
        (item(), "B", "15 "),
        (item(), "b", "12"),  # small letters are no options: the most similar one, the first of equal ones
        (item(), "(b) or (a)", "15 "),  # the first letter in brackets, whatever its case
        (item(), "(D) none", "12"),  # no such option: the text D, and its nearest
        (item(), "D", "12"),
        (item(), "15 cm", "15 "),
        (item(), "wider", "no, wider"),
        (item(), "", "12"),
        (WHOLE, "12.9", "12"),  # cut, not rounded
        (WHOLE, "-0.5", "0"),
        (WHOLE, "5.0", "5"),
        (WHOLE, "twelve", None),
        (WHOLE, "nan", None),
        (WHOLE, "inf", None),
        (WHOLE, "1,200", None),
        (ONE, "10.44", "10.4"),
        (ONE, "10.45", "10.4"),  # as floats are
        (ONE, "10", "10.0"),
        (ONE, "10.4 cm", None),
        (TWO, "0.2449", "0.24"),
        (TWO, "0.2", "0.2"),
        (LIST, "[2014, 2016]", "[2014, 2016]"),
        (LIST, "2014, 2016", "2014, 2016"),
    ],
)
def test_the_form_of_the_answer(of: Item, extracted: str, form: str | None) -> None:
    assert normalised(of, extracted) == form


@pytest.mark.parametrize(
    ("of", "extracted", "right"),
    [
        (item(), "B", True),
        (item(), "N/A", False),
        (WHOLE, "12.9", True),
        (WHOLE, "13", False),
        (WHOLE, None, False),
        (ONE, "10.36", True),
        (ONE, "10.5", False),
        (TWO, "0.2", False),
        (LIST, "[2014, 2016]", True),
        (LIST, "[2014,2016]", False),  # as text
    ],
)
def test_the_verdict_on_an_extraction(of: Item, extracted: str | None, right: bool) -> None:
    assert SPEC.accepts(of, extracted) is right


def test_whole_responses_by_the_official_rule() -> None:
    assert verdict(item(), "The width follows from the height.\n\nThe answer is (B) 15.")
    assert verdict(item(), "The correct answer is (b), as one can see from where I am.")
    assert not verdict(item(), "The correct answer is (c), as one can see from where I am.")
    assert verdict(WHOLE, "3 times 4 is 12")
    assert verdict(WHOLE, "3 times 4 is 12.7")
    assert not verdict(WHOLE, "12 is 3 times 4")
    assert not verdict(item(), "I cannot tell")
    assert official(SPEC, item(), "").note == "nothing extracted"


# -- strict -------------------------------------------------------------------------------------------------------------------------

TWICE = item(choices=["4", "5", "4"], answer="4")
RIGHT = [
    (item(), "\\boxed{B}"),
    (item(), "\\boxed{15}"),
    (item(), "The correct answer is (B) 15."),
    (TWICE, "\\boxed{A}"),
    (TWICE, "\\boxed{C}"),  # two options with one text
    (TWICE, "\\boxed{4}"),
    (item(choices=["B", "C", "A"], answer="A"), "\\boxed{C}"),  # texts that are letters: the letter of the option counts
    (WHOLE, "\\boxed{12}"),
    (WHOLE, "\\boxed{12.0}"),
    (WHOLE, "\\boxed{12\\text{ cm}}"),
    (WHOLE, "12"),
    (ONE, "\\boxed{10.40}"),
    (ONE, "\\boxed{10.44}"),  # more decimals than are asked for, and no doubt to which they round
    (TWO, "\\boxed{\\frac{6}{25}}"),
    (TWO, "\\boxed{0.2449}"),
    (LIST, "\\boxed{[2014, 2016]}"),
    (LIST, "\\boxed{[2014,2016]}"),
]
WRONG = [
    (item(), "\\boxed{A}"),
    (item(), "\\boxed{b or c}"),
    (item(), "\\boxed{15.5}"),  # the most similar option
    (item(), "\\boxed{wider}"),
    (item(), "\\boxed{not B}"),
    (item(), "I cannot say which of these it is, so any of them will do.\nB"),
    (item(), "\\boxed{B} or rather \\boxed{C}"),
    (TWICE, "\\boxed{B}"),
    (item(choices=["B", "C", "A"], answer="A"), "\\boxed{A}"),
    (WHOLE, "\\boxed{12.9}"),  # cut to 12 by the official rule
    (WHOLE, "\\boxed{12.0001}"),
    (WHOLE, "\\boxed{120}"),
    (WHOLE, "\\boxed{-12}"),
    (WHOLE, "\\boxed{12 or 13}"),
    (WHOLE, "\\boxed{about 12}"),
    (WHOLE, "There are 12 of them, I am fairly sure, though it is hard to count.\nSo much for that."),
    (WHOLE, "<think>\\boxed{12}</think>\\boxed{13}"),
    (ONE, "\\boxed{10.45}"),  # as near to 10.5
    (ONE, "\\boxed{10.35}"),
    (ONE, "\\boxed{10.5}"),
    (ONE, "\\boxed{10}"),
    (ONE, "\\boxed{-10.4}"),
    (ONE, "\\boxed{104}"),
    (TWO, "\\boxed{0.2}"),
    (TWO, "\\boxed{0.25}"),
    (TWO, "\\boxed{24}"),
    (LIST, "\\boxed{2014, 2016}"),
    (LIST, "\\boxed{[2016, 2014]}"),
    (LIST, "\\boxed{[2014, 2015]}"),
    (LIST, "\\boxed{[2014]}"),
    (LIST, ""),
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
        item(pid="1"),
        item(pid="2", metadata={**TOLD, "skills": ["algebraic reasoning"], "source": "CLEVR-Math"}),
        item(pid="3", question_type="free_form", answer_type="integer", answer="3", metadata={**TOLD, "skills": []}),
    ]
    rights = [(True, True), (True, False), (None, None)]
    graded = [
        Graded(item=one, sample=k, right=right, extracted=None) for one, pair in zip(items, rights, strict=True) for k, right in enumerate(pair)
    ]
    found = {one.part: [unit.value for unit in one.units] for one in SPEC.measures(graded)}
    assert found[""] == [1.0, 0.5]
    assert found["answer_type: text"] == found["question_type: multi_choice"] == [1.0, 0.5]
    assert found["answer_type: integer"] == found["question_type: free_form"] == []
    assert (found["source: Geometry3K"], found["source: CLEVR-Math"]) == ([1.0], [0.5])
    assert found["skill: algebraic reasoning"] == [1.0, 0.5]  # a question counts for each of its skills
    assert found["skill: geometry reasoning"] == [1.0]
    assert list(found)[:3] == ["", "answer_type: integer", "answer_type: text"]
    assert {one.metric for one in SPEC.measures(graded)} == {"accuracy"}


# -- hostile text -------------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "quotes": 'The answer is "' * 6_500,
    "quoted": 'The answer is "' + '".' * 49_000 + "x",
    "long": "x" * 100_000,
    "digits": "1" * 100_000,
    "groups": "1,111" * 20_000,
    "brackets": "[1, " * 25_000,
    "power": "\\boxed{10^{4300}}",
    "code": "\\boxed{__import__('os').abort()}",
    "answers": "answer is " * 10_000,
    "surrogate": "\ud800" * 1000,
    "digits of other scripts": "\\boxed{" + "٣" * 50 + "}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_response_is_wrong_and_soon(name: str) -> None:
    start = time.perf_counter()
    for of in (item(), WHOLE, ONE, LIST):
        official(SPEC, of, HOSTILE[name])
        SPEC.accepts(of, HOSTILE[name])
        assert SPEC.strict(of, HOSTILE[name]).ruling is Ruling.WRONG
    assert time.perf_counter() - start < 3.0
