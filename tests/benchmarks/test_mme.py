"""MME: two questions a picture, points by subtask."""

import io
import math
import time

import pytest
from PIL import Image

from vold.adapters.benchmarks.mme import SIDES, SPEC
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling
from vold.core.measures import Measure, bounds, estimate, is_share


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    return file.getvalue()


ROW = {
    "question_id": "code_reasoning/0020.png",
    "image": {"bytes": picture(), "path": "0020.png"},
    "question": "The image shows a python code. Is the output of the code 'Hello'? Please answer yes or no.",
    "answer": "Yes",
    "category": "code_reasoning",
}
ITEM = SPEC.item(ROW, "test", None)
NO = Item(id="n", question="?", answer="No")
YES = Item(id="y", question="?", answer="Yes")


def test_a_row() -> None:
    assert ITEM.id.startswith("mme/code_reasoning/0020.png/")
    assert (ITEM.question, ITEM.answer, ITEM.cluster) == (ROW["question"], "Yes", "code_reasoning/0020.png")
    assert ITEM.parts == {"side": "cognition", "subtask": "code_reasoning"}
    assert ITEM.images == (picture(),)
    other = SPEC.item({**ROW, "question": "Is it 'Bye'? Please answer yes or no.", "answer": "No"}, "test", None)
    assert other.cluster == ITEM.cluster
    assert other.id != ITEM.id


def test_pictures_of_one_name_in_two_subtasks_are_two() -> None:
    found = {SPEC.item({**ROW, "question_id": "0020.png", "category": name}, "test", None).cluster for name in ("count", "color")}
    assert found == {"count/0020.png", "color/0020.png"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"image": None}, "image is no path"), ({"image": {"bytes": b"no picture",
    "path": None}}, "cannot be read"), ({"question": ""}, "question is empty"),
     ({"answer": "Maybe"}, "neither Yes nor No"), ({"answer": None}, "no answer"), ({"category": "smell"}, "unknown category 'smell'"),
     ({"category": None}, "no category"), ({"question_id": None}, "no question_id")],
)  # fmt: skip
def test_broken_rows(change: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        SPEC.item({**ROW, **change}, "test", None)


@pytest.mark.parametrize("style", list(Style))
def test_how_it_is_asked(style: Style) -> None:
    assert SPEC.ask(ITEM, style) == ROW["question"]


@pytest.mark.parametrize(
    ("response", "extracted"),
    [
        ("Yes", "yes"),
        ("no", "no"),
        ("  YES.", "yes"),
        ("No, it is not.", "no"),
        ("Yes, but no", "yes"),
        ("nothing", "no"),  # the rule's own mistakes
        ("not sure", "no"),
        ("I know", None),
        ("eyes", "yes"),
        ("1no2", "no"),
        ("ano", "no"),
        ("yes/no", "yes"),
        ("noyes", "no"),
        ("anoy", "no"),
        ("nyes", "yes"),
        ("It is: yes", None),
        ("The answer is yes.", None),
        ("ye s", None),
        ("", None),
        ("-", None),
    ],
)
def test_the_official_rule(response: str, extracted: str | None) -> None:
    for item in (YES, NO):
        verdict = official(SPEC, item, response)
        assert verdict.extracted == extracted
        assert (verdict.ruling is Ruling.RIGHT) == (extracted == item.answer.lower())


def test_an_answer_that_somebody_else_extracted() -> None:
    assert SPEC.accepts(YES, " Yes")
    assert not SPEC.accepts(YES, "no")
    assert not SPEC.accepts(NO, None)
    assert not SPEC.accepts(NO, "nothing")


@pytest.mark.parametrize(
    "response", ["Yes", "yes.", r"\boxed{Yes}", r"so \boxed{\text{yes}}", "Answer: Yes", "Yes, the output is Hello.", "The answer is yes."]
)
def test_strictly_right(response: str) -> None:
    assert SPEC.strict(YES, response).ruling is Ruling.RIGHT
    assert SPEC.strict(NO, response).ruling is Ruling.WRONG


@pytest.mark.parametrize(
    "response",
    ["nothing", "not sure", "None of them", "No-one", "notable", "eyes", "yesterday", "Yes and no", "Yes or no", "No. Wait: yes.", "Yes, but no",
    "No or yes",
     "Noyes", "I know", "Perhaps no", "No?", "Yes?", "The image shows no dog.\nIt shows a cat.", "", "N", "nope", "There is no 'Hello'.",
     r"\boxed{Yes} or \boxed{none}",
     r"<think>\boxed{No}</think>I cannot say.", "Is the answer no?", "no however", "neither yes nor no"],
)  # fmt: skip
def test_near_misses(response: str) -> None:
    assert SPEC.strict(YES, response).ruling is Ruling.WRONG
    assert SPEC.strict(NO, response).ruling is Ruling.WRONG


def question(subtask: str, image: int, number: int) -> Item:
    side = next(side for side, names in SIDES.items() if subtask in names)
    seed = f"{subtask}/{image}"
    return Item(id=f"mme/{seed}/{number}", question="?", answer="Yes", parts={"side": side, "subtask": subtask}, cluster=seed)


def answers(subtask: str, *rights: tuple[bool | None, bool | None]) -> list[Graded]:
    return [
        Graded(item=question(subtask, image, number), sample=0, right=right, extracted="")
        for image, pair in enumerate(rights)
        for number, right in enumerate(pair)
    ]


def table(graded: list[Graded]) -> dict[tuple[str, str], Measure]:
    return {(measure.metric, measure.part): measure for measure in SPEC.measures(graded)}


def test_fourteen_subtasks() -> None:
    assert {side: len(names) for side, names in SIDES.items()} == {"perception": 10, "cognition": 4}


def test_its_table() -> None:
    """By hand: OCR has three of four questions and one of two pictures, so 75 + 50; count all, so 200; every other subtask nothing."""
    graded = answers("OCR", (True, True), (True, False)) + answers("count", (True, True))
    for name in [*SIDES["perception"], *SIDES["cognition"]]:
        if name not in ("OCR", "count"):
            graded += answers(name, (False, False))
    found = table(graded)
    assert list(found)[:3] == [("score", ""), ("score", "perception"), ("score", "cognition")]
    assert estimate(found["score", ""]).value == pytest.approx(325.0)
    assert estimate(found["score", "perception"]).value == pytest.approx(325.0)
    assert estimate(found["score", "cognition"]).value == pytest.approx(0.0)
    assert estimate(found["score", "subtask: OCR"]).value == pytest.approx(125.0)
    assert [unit.value for unit in found["score", "subtask: OCR"].units] == [200.0, 50.0]
    assert [unit.cluster for unit in found["score", "subtask: OCR"].units] == ["OCR/0", "OCR/1"]
    assert estimate(found["accuracy", ""]).value == pytest.approx(5 / 30)
    assert len(found) == 3 + 14 + 1


def test_everything_right_is_2800() -> None:
    found = table([one for names in SIDES.values() for name in names for one in answers(name, (True, True), (True, True))])
    assert [estimate(found["score", part]).value for part in ("", "perception", "cognition")] == pytest.approx([2800.0, 2000.0, 800.0])


def test_points_have_a_scale_of_their_own() -> None:
    """Whatever was seen: nothing right is no share of 0, and half of everything right may be more than that."""
    for right in (False, True):
        found = table([one for names in SIDES.values() for name in names for one in answers(name, *[(right, False)] * 20)])
        parts = ("", "perception", "cognition", "subtask: OCR")
        assert [bounds(found["score", part]) for part in parts] == [(0.0, 2800.0), (0.0, 2000.0), (0.0, 800.0), (0.0, 200.0)]
        assert not any(is_share(found["score", part]) for part in parts)
        assert is_share(found["accuracy", ""])
    half = estimate(found["score", "subtask: OCR"])
    assert half.low < 45
    assert 55 < half.high < 200


def test_several_samples_and_what_was_not_judged() -> None:
    first, second = question("OCR", 0, 0), question("OCR", 0, 1)
    rights = ((first, [True, True, True, None]), (second, [True, False, None, None]))
    graded = [Graded(item=item, sample=sample, right=right, extracted="") for item, all_ in rights for sample, right in enumerate(all_)]
    (unit,) = table(graded)["score", "subtask: OCR"].units
    assert unit.value == pytest.approx((200.0 + 50.0) / 2)
    assert ("score", "subtask: OCR") not in table([one for one in graded if one.sample == 3])


def test_a_subtask_that_is_missing_leaves_no_total() -> None:
    found = table(answers("OCR", (True, True)))
    assert math.isnan(estimate(found["score", ""]).value)
    assert estimate(found["score", "subtask: OCR"]).value == 200.0


@pytest.mark.parametrize("response", ["yes no " * 15_000, "x" * 100_000, " " * 100_000, "no," * 33_000, "yes " + "," * 99_000])
def test_whatever_a_model_writes(response: str) -> None:
    start = time.monotonic()
    official(SPEC, YES, response)
    assert SPEC.strict(YES, response).ruling is Ruling.WRONG
    assert time.monotonic() - start < 1
