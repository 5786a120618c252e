"""MMStar: the official rule of the first letter, options inside questions, capabilities and halves."""

import io
import time
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks.mmstar import HALVES, SPEC, options_in
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

QUESTION = "What lies left of the cup?\nOptions: A: a red, round plate, B: a spoon., C: the book, D: 12"
IN_LINES = "Hint: Please answer the question.\nQuestion: What is the sum?\nChoices:\n(A) 40.7\n(B) 74\n(C) 70.4\n(D) 70.0"


def row(**given: Any) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "PNG")
    plain = {"index": 17, "question": QUESTION, "answer": "B", "category": "coarse perception", "l2_category": "image scene and topic"}
    return {**plain, "image": {"bytes": stream.getvalue(), "path": None}, **given}


def item(**given: Any) -> Item:
    return SPEC.item(row(**given), "val", None)


def test_a_row() -> None:
    assert item().id == "mmstar/17"
    assert item().parts == {"half": "perception", "category": "coarse perception", "l2_category": "image scene and topic"}
    assert item().options == ("a red, round plate", "a spoon.", "the book", "12")
    assert (item().answer, len(item().images), item().cluster) == ("B", 1, "")
    assert sorted(HALVES.values()) == ["perception"] * 3 + ["reasoning"] * 3


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (IN_LINES, ("40.7", "74", "70.4", "70.0")),
        ("How?\n(A) up\n(B) down", ("up", "down")),
        ("Is it?\nOptions: A: Yes, B: No, C: nan, D: nan", ("Yes", "No")),
        ("How many?\nOptions: A: nan, B: Two, C: One, D: nan", ("nan", "Two", "One")),
        ("Which?\nChoices:\n(A) x\n(B) y\n(C) nan\n(D) nan", ("x", "y")),
        ("Which of A, B, C and D?", ()),
    ],
)
def test_options_in_a_question(question: str, options: tuple[str, ...]) -> None:
    assert options_in(question) == options


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"index": None}, "index is no whole number"),
        ({"index": "3"}, "index is no whole number"),
        ({"question": ""}, "question is empty"),
        ({"answer": "E"}, "no option letter: 'E'"),
        ({"answer": "AB"}, "no option letter"),
        ({"answer": None}, "no answer"),
        ({"answer": "D", "question": "Is it?\nOptions: A: Yes, B: No, C: nan, D: nan"}, "answer D is none of 2 options"),
        ({"category": "logic"}, "unknown category 'logic'"),
        ({"l2_category": None}, "no l2_category"),
        ({"image": None}, "image is no path"),
        ({"image": {"bytes": b"no picture", "path": None}}, "cannot be read"),
    ],
)
def test_a_broken_row_says_why(given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRow, match=why):
        item(**given)


def test_prompts_byte_for_byte() -> None:
    assert SPEC.ask(item(), Style.OFFICIAL) == QUESTION
    assert SPEC.ask(item(), Style.REASONING) == QUESTION
    assert SPEC.ask(item(), Style.DIRECT) == QUESTION + "\nAnswer with the option's letter from the given choices directly"


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("B", "B"), ("b", "B"), (" \n B", "B"), ("B: a spoon.", "B"), ("B\na spoon", "B"), ("(B)", "B"), ("(b) a spoon", "B"), ("Option B", "B"),
        ("The answer is B", "B"), ("THE ANSWER\nIS b", "B"), ("Because it is A", "B"), ("A", "A"), ("(A) or (B)", "A"), ("a spoon", "A"),
        ("option  B", None), ("Answer: B", "A"), ("the answer is (B)", None), ("The answer is: B", None), ("**B**", None), ("\\boxed{B}", None),
        ("<think>\nB", None), ("[B]", None), ("", None), ("(", None), ("option ", None), ("the answer is", None), ("Option", None), ("E", None),
        ("Cup", "C"), ("Done", "D"), ("ｂ", None),
    ],
)  # fmt: skip
def test_the_official_rule_reads_how_a_response_begins(response: str, found: str | None) -> None:
    assert SPEC.extract(item(), response) == found
    assert official(SPEC, item(), response).ruling is (Ruling.RIGHT if found == "B" else Ruling.WRONG)


def test_a_verdict_on_what_others_extracted() -> None:
    assert SPEC.accepts(item(), "B")
    assert SPEC.accepts(item(), " b ")
    assert not any(SPEC.accepts(item(), said) for said in (None, "", "A", "BB", "a spoon."))


NEAR_MISSES = [
    "Because it is round", "B or C", "(B) or (C)", "Answer: A and B", "The answer is not B.", "B is wrong.\nAnswer: C", "Answer: B: the book",
    "Answer: B, the book", r"\boxed{A}", r"\boxed{a spoon and a book}", r"\boxed{spoon}", r"\boxed{a red spoon}", r"\boxed{E}", r"\boxed{B, D}",
    r"\boxed{BB}", r"\boxed{2}", r"\boxed{12}", r"\boxed{}", "<think>The answer is B.</think>\nThe answer is C.", "<think>B</think>",
    "It might be B.\nIt might not.", "Answer: Book", "Bravo, what a picture!", "A, B, C, D", "Is it B?\nI would rather say that the answer is D.",
    "I see a spoon.\nI see a book.", "The answer is B if the cup is blue.\nIt is red.\n\\boxed{A}", "",
]  # fmt: skip
RIGHT = [
    "B",
    "(B)",
    "b.",
    "B: a spoon.",
    r"\boxed{B}",
    r"\boxed{a spoon}",
    "A first thought was C.\nAnswer: B",
    "<think>A</think>The answer is B.",
    "**Answer: B**",
]


@pytest.mark.parametrize("response", NEAR_MISSES)
def test_a_near_miss_is_wrong(response: str) -> None:
    assert SPEC.strict(item(), response).ruling is Ruling.WRONG


@pytest.mark.parametrize("response", RIGHT)
def test_the_right_answer_is_right(response: str) -> None:
    assert SPEC.strict(item(), response).ruling is Ruling.RIGHT
    assert SPEC.strict(item(answer="C"), response).ruling is Ruling.WRONG


def test_only_options_that_there_are() -> None:
    two = item(question="Is it?\nOptions: A: Yes, B: No, C: nan, D: nan")
    assert SPEC.strict(two, r"\boxed{No}").ruling is Ruling.RIGHT
    assert SPEC.strict(two, r"\boxed{D}").ruling is Ruling.WRONG
    unseen = item(question="Which of them?")
    assert SPEC.strict(unseen, "Answer: B").ruling is Ruling.RIGHT
    assert SPEC.strict(unseen, "Answer: E").ruling is Ruling.WRONG


HOSTILE = [
    "(" * 100_000, "option " * 14_000, "the answer is " * 7_000, "A" * 100_000, "\n" * 100_000, r"\boxed{" * 14_000, "{" * 100_000,
    "Answer:" * 14_000, "\ud800", "\x00B", "İ" * 50_000, "(B) " * 25_000, "a spoon " * 12_000,
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_hostile_text_is_read_quickly(place: int) -> None:
    start = time.perf_counter()
    assert official(SPEC, item(answer="C"), HOSTILE[place]).ruling is Ruling.WRONG
    assert SPEC.strict(item(answer="C"), HOSTILE[place]).ruling is Ruling.WRONG
    assert time.perf_counter() - start < 2


def test_the_judge_is_asked_for_a_letter() -> None:
    extraction = SPEC.extraction
    assert extraction is not None
    asked = extraction.prompt(item(), "<think>hm</think> The spoon.")
    assert asked.endswith(f"Question: {QUESTION}\nResponse: The spoon.\nLetter:")
    assert asked.count("Options:") == 3  # two examples and the question's own
    assert [extraction.read(item(), reply) for reply in ("B", "Letter: B", "Z", "?")] == ["B", "B", None, None]


def test_measures_are_means_over_items_and_not_over_categories() -> None:
    drawn = [
        ("math", "geometry", True),
        ("math", "geometry", True),
        ("math", "statistical reasoning", False),
        ("instance reasoning", "single-instance reasoning", False),
    ]
    items = [item(index=place, category=category, l2_category=within) for place, (category, within, _) in enumerate(drawn)]
    graded = [Graded(item=one, sample=0, right=right, extracted=None) for one, (_, _, right) in zip(items, drawn, strict=True)]
    graded += [Graded(item=items[3], sample=1, right=True, extracted=None), Graded(item=items[3], sample=2, right=None, extracted=None)]
    found = {measure.part: [unit.value for unit in measure.units] for measure in SPEC.measures(graded)}
    assert found == {
        "": [1, 1, 0, 0.5],
        "half: perception": [0.5],
        "half: reasoning": [1, 1, 0],
        "category: instance reasoning": [0.5],
        "category: math": [1, 1, 0],
        "l2_category: geometry": [1, 1],
        "l2_category: single-instance reasoning": [0.5],
        "l2_category: statistical reasoning": [0],
    }
    assert all(measure.weights == {"": 1.0} and measure.metric == "accuracy" for measure in SPEC.measures(graded))
