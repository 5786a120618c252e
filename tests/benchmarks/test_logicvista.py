"""LogicVista: sets of letters, one number, one empty row, and the official equality of sorted lists."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks.logicvista import SPEC
from vold.adapters.benchmarks.reads import read_part
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "PNG")
    return stream.getvalue()


def row(**given: Any) -> dict[str, Any]:
    plain = {"id": "v1_2", "imagename": "v1_2.png", "question": "Which two of A, B, C or D fit?", "answer": "B, D", "skill": ["inductive"]}
    return {**plain, "image": {"bytes": picture(), "path": None}, **given}


def item(answer: str = "B, D", **given: Any) -> Item:
    return SPEC.item(row(answer=answer, **given), "test", None)


def test_a_row() -> None:
    assert (item().id, item().answer, item().parts, item().images) == ("logicvista/v1_2", "B, D", {"skill": "inductive"}, (picture(),))
    assert item(skill="inductive").parts == {"skill": "inductive"}
    assert item(skill=["spatial", "numerical"]).parts == {"skill": "spatial, numerical"}
    assert item(skill=None).parts == {}


def test_a_row_without_a_name_is_called_by_its_picture_and_question(tmp_path: Path) -> None:
    assert item(id=None).id == "logicvista/v1_2"
    bare = {"question": "Which?", "answer": "A", "image": {"bytes": picture(), "path": None}}
    assert SPEC.item(bare, "test", None).id == SPEC.item(bare, "test", None).id != SPEC.item({**bare, "question": "Why?"}, "test", None).id
    (tmp_path / "v1_3.png").write_bytes(picture())
    assert SPEC.item({"question": "Which?", "answer": "A", "imagename": "v1_3.png"}, "test", tmp_path).id == "logicvista/v1_3"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"id": "v1_382", "question": "", "answer": ""}, "question is empty"),
        ({"answer": ""}, "answer is empty"),
        ({"answer": None}, "no answer"),
        ({"question": None}, "no question"),
        ({"image": None}, "image v1_2.png is not stored in the row"),
        ({"image": None, "imagename": None}, "image is no path"),
        ({"image": {"bytes": picture()[:40], "path": None}}, "cannot be read"),
    ],
)
def test_a_broken_row_says_why(given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRow, match=why):
        SPEC.item(row(**given), "test", None)


def test_the_prompt_is_the_question() -> None:
    assert {SPEC.ask(item(), style) for style in Style} == {"Which two of A, B, C or D fit?"}


@pytest.mark.parametrize(
    ("gold", "extracted", "right"),
    [
        ("B, D", "b, d", True), ("B, D", "D, B", True), ("B, D", "b", False), ("B, D", "b, d, a", False), ("B, D", "b, d, d", False),
        ("B, D", "b,d", False), ("B,D", "B, D", True), ("B,D", "d, b", True), ("B,D", "B", False),
        ("B,D", "A, B, D", False), ("B", "b, b", False), ("B", "B", True), ("B", "zzzzz", False), ("B", None, False), ("B", "", False),
        ("3", "3", True), ("3", "c", False), ("G", "g", True), ("A", "a, b, c, d", False), ("B", "4d", False),
    ],
)  # fmt: skip
def test_lists_are_compared_sorted(gold: str, extracted: str | None, right: bool) -> None:
    assert SPEC.accepts(item(gold), extracted) is right


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("B, D", "B, D"), ("The answer is A and C.", "A, C"), ("(A) Clockwise", "A"), ("The answer is (B] False.", "B"), ("Answer: B.", "B"),
        ("G", "G"), ("e", "E"), (r"\boxed{B, D}", "B, D"), (r"\boxed{\text{D and B}}", "B, D"), (r"\boxed{BD}", "B, D"),
        ("A or B?\n\\boxed{(B)}", "B"), (r"\boxed{B} and \boxed{D}", "D"), ("The answer is A 21,822.", "A"),
        ("Therefore, the correct answer is Image C.", "C"), ("The answer is B or C.", None), ("The answer is C, because A is heavier.", "C"),
        ("The answer is options A, B, and D", "A, B, D"), ("Answer: C) 37", "C"), ("<think>The answer is B</think>The answer is C", "C"),
        ("<answer>A and B</answer>", "A, B"), ("3", "3"), ("The answer is 3.", "3"), ("Answer: option 3", "3"), (r"\boxed{3}", "3"), ("(12)", "12"),
        ("The answer is 3 cubes", None), ("1) Under the towers", None), ("1) (A) (B) (C) (D)", None),
        ("I'm sorry, I can't provide information based on images.", None), ("The answer is X.", None), ("The answer is True.", None), ("", None),
        (r"\boxed{}", None), ("The answer is a car", None), ("1. ABCD2. ABCD3. ABCD4. BCAD", None), ("There is no answer. " * 40, None),
        ("The option is C (both are equal)", "C"), ("Option C is right", "C"), ("Option C is wrong", None),
        ("Option C beats option D", None), ("From A, B and C I take C", None), ("(A) is too short and (B) too long", None),
        (r"\boxed{B \text{ and } D}", "B, D"), (r"\boxed{\text{B}, \text{D}}", "B, D"), (r"\boxed{B \text{ or } D}", None), (r"\boxed{b, d}", "B, D"),
        (r"\boxed{\text{B is correct}}", "B"), ("\\boxed{B (Clockwise)}", "B"), ("The answers are B and D.", "B, D"),
        ("A is too long.\n\nThe correct options are (B) and (D).", "B, D"), ("The answers are not B and D.", None), ("b, d", "B, D"), ("B D", "B, D"),
        ("both (B) and (D) are correct", "B, D"), ("B is correct.", "B"), ("B is correct for A but not here", None), ("Answer: b and d", "B, D"),
        ("b d", None), ("a car, a dog", None), ("either B or D", None), ("B or D", None), ("b or d", None),
        ("B, D, or A", None), ("B and not D", None),
        ("It is not option B.", None), ("Not (B)", None), ("We can rule out B.", None), ("Except B.", None), ("It can't be (B).", None),
        ("We can rule out the others, which leaves (B).", "B"), ("I cannot tell between A and B.", None),
        ("It turns left.\n\n**B**", "B"), ("A is short, C is long.\n**(B)**\n", "B"), ("It turns.\n**B, D**", "B, D"), ("So:\n**B.**", "B"),
        ("It turns left.\n\n**Because**", None), ("It turns.\n**B or D**", None), ("It turns.\n**B?**\nOr C?", None),
        ("A is short\nC is long\nB", None),
        ("It turns.\n**not B**", None), ("The answer is D.\n**B**", "D"),
        ("The figure is like (D) here", "D"), ("A picture of a car\nB is not in it", None),
    ],
)  # fmt: skip
def test_the_choices_of_a_response(response: str, found: str | None) -> None:
    assert SPEC.extract(item(), response) == found
    if "boxed" in response:
        assert SPEC.extract(item(), read_part(response, "auto", asked_for_box=True)) == found


def test_the_rule_end_to_end() -> None:
    assert official(SPEC, item(), "The answer is D and B.").ruling is Ruling.RIGHT
    assert official(SPEC, item(), "The answer is D.").ruling is Ruling.WRONG
    assert official(SPEC, item("3"), "The answer is 3.").ruling is Ruling.RIGHT
    assert official(SPEC, item("3"), "The answer is C.").ruling is Ruling.WRONG
    assert official(SPEC, item("B"), "?").note == "nothing extracted"


NEAR_MISSES = [
    ("B, D", r"\boxed{B}"), ("B, D", r"\boxed{D}"), ("B, D", r"\boxed{B, C, D}"), ("B, D", "Answer: B or D"), ("B, D", r"\boxed{A, C}"),
    ("B, D", "Answer: B, not D"), ("B, D", "The answer is not B, D."), ("B, D", "<think>B, D</think>\nAnswer: B"), ("B, D", "Bad"),
    ("B, D", "B\nand later D, as I said before"), ("B, D", r"\boxed{B}\boxed{D}"), ("B, D", "From A, B, C, D I take B."), ("B", r"\boxed{B, D}"),
    ("B", r"\boxed{8}"), ("B", "Answer: B or C"), ("B", "The answer is not B."), ("B", "B is wrong.\nAnswer: A"),
    ("B", "Answer: A\n(B) comes close."), ("B", "Because of that"), ("B", "<think>The answer is B</think>"), ("B", "It could be B.\nOr not."),
    ("B", "Is the answer B?"), ("B", ""), ("A", "Answer: a car"), ("A", r"\boxed{A car}"), ("3", r"\boxed{C}"), ("3", r"\boxed{13}"),
    ("3", r"\boxed{3.5}"), ("3", r"\boxed{-3}"), ("3", "Answer: 3 or 4"), ("3", "I count 3.\nAnswer: 2"),
]  # fmt: skip
RIGHT = [
    ("B, D", r"\boxed{B, D}"), ("B, D", r"\boxed{D, B}"), ("B, D", "Answer: B and D"), ("B, D", "The answer is (B), (D)."), ("B, D", r"\boxed{BD}"),
    ("B, D", "B, D"), ("B", r"\boxed{B}"), ("B", "The answer is (B)."), ("B", "<think>A?</think>\nAnswer: B"), ("B", "b"), ("A", "A"),
    ("G", r"\boxed{G}"), ("3", r"\boxed{3}"), ("3", "The answer is 3."), ("3", "Answer: 3"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "response"), NEAR_MISSES)
def test_a_near_miss_is_wrong(gold: str, response: str) -> None:
    assert SPEC.strict(item(gold), response).ruling is Ruling.WRONG


@pytest.mark.parametrize(("gold", "response"), RIGHT)
def test_the_right_answer_is_right(gold: str, response: str) -> None:
    assert SPEC.strict(item(gold), response).ruling is Ruling.RIGHT


HOSTILE = [
    "(" * 100_000, "A, " * 33_000, "the answer is " * 7_000, "The answer is " + "A, " * 33_000, "The answer is " + "the " * 25_000, "AB" * 50_000,
    "\n" * 100_000, r"\boxed{" * 14_000, "{" * 100_000, "Answer:" * 14_000, "\ud800", "\x00B", "1" * 100_000, r"\boxed{" + "(" * 400 + "}",
    r"\boxed{" + "\\text{" * 70 + "}" * 71,
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_hostile_text_is_read_quickly(place: int) -> None:
    start = time.perf_counter()
    for one in (item("B, D"), item("3")):
        assert official(SPEC, one, HOSTILE[place]).ruling is Ruling.WRONG
        assert SPEC.strict(one, HOSTILE[place]).ruling is Ruling.WRONG
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("listed", ["A and " * 80, "A , " * 120, "A,  and " * 60, "(A) " * 120, "A  " * 160])
def test_an_endless_list_is_read_quickly(listed: str) -> None:
    start = time.perf_counter()
    for response in (listed, rf"\boxed{{{listed}x}}", f"The answer is {listed}"):
        assert official(SPEC, item(), response).ruling is Ruling.WRONG
        assert SPEC.strict(item(), response).ruling is Ruling.WRONG
    assert time.perf_counter() - start < 1


def test_the_judge_is_asked_for_a_list() -> None:
    extraction = SPEC.extraction
    assert extraction is not None
    asked = extraction.prompt(item(), "<think>hm</think>B, D")
    assert asked.endswith("Question: Which two of A, B, C or D fit?\nAnswer: B, D\nChosen:")
    assert "ZZZZZ" in asked
    replies = ["B, D", "['b', 'd']", "B and D.", "Chosen: B", "3", "ZZZZZ", "", "I think B", "A" * 1000]
    assert [extraction.read(item(), reply) for reply in replies] == ["B, D", "b, d", "B, D", "B", "3", None, None, None, None]
    assert SPEC.accepts(item(), extraction.read(item(), "['b', 'd']"))
    declared = ["Answer: B", "The answer is B", "**B**", "**Chosen:** B, D", "The answer is B and D.", "Chosen: none of them", "<think>A?</think>B"]
    assert [extraction.read(item(), reply) for reply in declared] == ["B", "B", "B", "B, D", "B, D", None, "B"]
    bold = ["It takes the second.\n\n**B**", "Both:\n**B, D**", "It takes none.\n\n**ZZZZZ**", "It takes the second.\n\n**the second**"]
    assert [extraction.read(item(), reply) for reply in bold] == ["B", "B, D", None, None]
    assert extraction.nothing == "ZZZZZ"


def test_a_row_counts_for_every_skill_its_text_names() -> None:
    items = [item(id="a", skill=["spatial", "numerical"]), item(id="b", skill="spatial"), item(id="c", skill=["inductive"]), item(id="d", skill=None)]
    graded = [Graded(item=one, sample=0, right=right, extracted=None) for one, right in zip(items, (True, False, None, True), strict=True)]
    graded.append(Graded(item=items[1], sample=1, right=True, extracted=None))
    found = {measure.part: [unit.value for unit in measure.units] for measure in SPEC.measures(graded)}
    assert found == {"": [1, 0.5, 1], "skill: numerical": [1], "skill: spatial": [1, 0.5]}
