"""HallusionBench: questions, figures, and questions over all figures."""

import io
import time

import pytest
from PIL import Image

from vold.adapters.benchmarks.hallusionbench import SPEC
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling
from vold.core.measures import Measure, estimate


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    return file.getvalue()


ROW = {
    "category": "VS", "subcategory": "map", "visual_input": "1", "set_id": "3", "figure_id": "1", "question_id": "2",
    "question": "Is China to the north of India?", "gt_answer": "1", "image": {"bytes": picture(), "path": None},
}  # fmt: skip
ITEM = SPEC.item(ROW, "image", None)
YES = Item(id="y", question="?", answer="Yes")
NO = Item(id="n", question="?", answer="No")


def test_a_row() -> None:
    assert ITEM.id == "hallusionbench/VS/map/3/1/2"
    assert (ITEM.question, ITEM.answer, ITEM.cluster) == (ROW["question"], "Yes", "VS/map/3")
    assert ITEM.images == (picture(),)
    assert ITEM.parts == {"category": "VS", "subcategory": "VS map"}
    assert SPEC.item({**ROW, "gt_answer": 0}, "image", None).answer == "No"
    assert SPEC.split == "image"


def test_a_question_without_a_figure() -> None:
    found = SPEC.item({**ROW, "image": None, "visual_input": "0", "figure_id": "0"}, "non_image", None)
    assert found.images == ()
    assert found.facts["figure"] == ""
    assert found.facts["question"] == ITEM.facts["question"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"image": None}, "no image"), ({"image": {"bytes": b"x", "path": None}}, "cannot be read"), ({"gt_answer": "2"}, "neither 0 nor 1: '2'"),
     ({"gt_answer": None}, "no gt_answer"), ({"question": " "}, "question is empty"), ({"category": None}, "no category"),
     ({"set_id": None}, "no set_id"),
     ({"figure_id": ""}, "no figure_id"), ({"question_id": None}, "no question_id")],
)  # fmt: skip
def test_broken_rows(change: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        SPEC.item({**ROW, **change}, "image", None)


def test_how_it_is_asked() -> None:
    assert SPEC.ask(ITEM, Style.OFFICIAL) == SPEC.ask(ITEM, Style.REASONING) == "Is China to the north of India?"
    assert SPEC.ask(ITEM, Style.DIRECT) == "Is China to the north of India?\nPlease answer yes or no."


@pytest.mark.parametrize(
    ("response", "extracted"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("Yes, it is.", "yes"),
        ("I would say yes!", "yes"),
        ("The answer is 'no'.", None),  # signs that the rule does not know stay with the word
        ("**Yes**", None),
        ("Answer: yes", "yes"),
        ("Answer:yes", None),
        ("(yes)", "yes"),
        ("yes/no", None),
        ("Yes and no", None),
        ("Yes, there is no doubt.", None),
        ("nothing", None),
        ("yesterday", None),
        ("No, no, no.", "no"),
        ("It costs 1,000,no", None),  # digits grouped by commas glue what commas separate
        ("yes,sir", "yes"),
        ("yes,sir , please", None),  # one comma beside a blank glues at all others
        ("", None),
        ("." * 40 + "yes", None),  # only so many full stops go
        ("." * 30 + "yes", "yes"),
        ("yes.5", None),
        ("NO", "no"),
    ],
)
def test_the_rule_of_leaderboards(response: str, extracted: str | None) -> None:
    for item in (YES, NO):
        verdict = official(SPEC, item, response)
        assert verdict.extracted == extracted
        assert (verdict.ruling is Ruling.RIGHT) == (extracted == item.answer.lower())


def test_an_answer_that_somebody_else_extracted() -> None:
    assert SPEC.accepts(YES, "Yes")
    assert not SPEC.accepts(YES, "No")
    assert not SPEC.accepts(YES, None)


@pytest.mark.parametrize(
    "response", ["No", "no.", r"\boxed{No}", "Answer: No", "No, it is south of it.", "The answer is no.", "<think>Yes</think>No", "**No**"]
)
def test_strictly_right(response: str) -> None:
    assert SPEC.strict(NO, response).ruling is Ruling.RIGHT
    assert SPEC.strict(YES, response).ruling is Ruling.WRONG


@pytest.mark.parametrize(
    "response",
    ["Yes and no", "yes/no", "Not", "None", "nothing", "No-one", "yesterday", "eyes", "know", "Yes, there is no doubt.", "No. Actually yes.",
    "I see no figure.\nYes.",
     "Is it? No?", "", "0", "1", "false", "There is no map.", "I would not say no", "maybe no", "Neither", "No or yes", r"\boxed{No} \boxed{Unclear}",
     "The answer is not no.", "If the answer is no,", "<think>no</think>"],
)  # fmt: skip
def test_near_misses(response: str) -> None:
    assert SPEC.strict(NO, response).ruling is Ruling.WRONG
    assert SPEC.strict(YES, response).ruling is Ruling.WRONG


def asked(figure: int, number: int, *, family: str = "0", category: str = "VS", seen: bool = True) -> Item:
    row = {**ROW, "category": category, "set_id": family, "figure_id": str(figure), "question_id": str(number)}
    return SPEC.item(row if seen else {**row, "image": None, "visual_input": "0"}, "image", None)


def graded(*answers: tuple[Item, bool | None], sample: int = 0) -> list[Graded]:
    return [Graded(item=item, sample=sample, right=right, extracted="") for item, right in answers]


def table(answers: list[Graded]) -> dict[tuple[str, str], Measure]:
    return {(measure.metric, measure.part): measure for measure in SPEC.measures(answers)}


def numbers(answers: list[Graded]) -> dict[str, float]:
    return {metric: estimate(measure).value for (metric, part), measure in table(answers).items() if not part}


def test_its_table() -> None:
    """By hand. Two figures with two questions each, right but for one: 3/4 of questions, 1/2 of figures, 1/2 of questions over their figures."""
    answers = graded((asked(0, 0), True), (asked(0, 1), True), (asked(1, 0), True), (asked(1, 1), False))
    found = numbers(answers)
    assert found == pytest.approx({"mean of aAcc, fAcc, qAcc": (0.75 + 0.5 + 0.5) / 3, "aAcc": 0.75, "fAcc": 0.5, "qAcc": 0.5})
    assert next(iter(found)) == "mean of aAcc, fAcc, qAcc"
    measures = table(answers)
    assert [(unit.stratum, unit.value) for unit in measures["fAcc", ""].units] == [("fAcc", 1.0), ("fAcc", 0.0)]
    assert [unit.id for unit in measures["qAcc", ""].units] == ["qAcc/VS/map/0/0", "qAcc/VS/map/0/1"]
    assert {unit.cluster for unit in measures["mean of aAcc, fAcc, qAcc", ""].units} == {"VS/map/0"}
    assert estimate(measures["accuracy", "category: VS"]).value == 0.75
    assert estimate(measures["accuracy", "subcategory: VS map"]).value == 0.75


def test_sets_and_categories_are_kept_apart() -> None:
    answers = graded((asked(0, 0), True), (asked(0, 0, family="1"), False), (asked(0, 0, category="VD"), False))
    assert numbers(answers) == pytest.approx({"mean of aAcc, fAcc, qAcc": 1 / 3, "aAcc": 1 / 3, "fAcc": 1 / 3, "qAcc": 1 / 3})


def test_questions_without_a_figure_are_no_figure() -> None:
    answers = graded((asked(0, 0, seen=False), False), (asked(1, 0), True))
    found = numbers(answers)
    assert (found["aAcc"], found["fAcc"], found["qAcc"]) == (0.5, 1.0, 0.0)


def test_several_samples_are_wholes_of_their_own() -> None:
    """Each question right in one of two samples, never together: no figure is right, though every question is half the time."""
    answers = graded((asked(0, 0), True), (asked(0, 1), False)) + graded((asked(0, 0), False), (asked(0, 1), True), sample=1)
    found = numbers(answers)
    assert (found["aAcc"], found["fAcc"], found["qAcc"]) == (0.5, 0.0, 0.5)


def test_what_was_not_judged() -> None:
    """A figure with a wrong answer is wrong whatever else it has; one with right and open answers is left out."""
    answers = graded((asked(0, 0), None), (asked(0, 1), False), (asked(1, 0), None), (asked(1, 1), True))
    measures = table(answers)
    assert [(unit.id, unit.value) for unit in measures["fAcc", ""].units] == [("fAcc/VS/map/0/0", 0.0)]
    assert [unit.value for unit in measures["aAcc", ""].units] == [0.0, 1.0]
    assert [(unit.id, unit.value) for unit in measures["qAcc", ""].units] == [("qAcc/VS/map/0/1", 0.0)]


@pytest.mark.parametrize("response", ["yes no " * 15_000, "." * 100_000, ", " * 50_000, "1,2" * 33_000, "-" * 100_000, "y" * 100_000])
def test_whatever_a_model_writes(response: str) -> None:
    start = time.monotonic()
    assert official(SPEC, YES, response).extracted is None
    assert SPEC.strict(YES, response).ruling is Ruling.WRONG
    assert time.monotonic() - start < 1
