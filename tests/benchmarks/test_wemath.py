"""We-Math: rows and their option lists, the answer template, the authors' extraction, near misses, and the four-dimensional metric."""

import io
import time
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.benchmarks.wemath import SPEC, extract, item_of, mastery, measures
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling


def picture() -> dict[str, Any]:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(data, "PNG")
    return {"bytes": data.getvalue(), "path": "2steps/image/76-1.png"}


def row(**changes: Any) -> dict[str, Any]:
    return {
        "ID": "2steps_76",
        "split": "testmini",
        "knowledge concept": "Division of Plane Figures",
        "question": "How long is it?",
        "option": "A. 6; B. 10;C. 16 cm; D. No correct answer",
        "answer": "C",
        "image_path": picture(),
        "key": "2steps_1",
        **changes,
    }


ITEM = item_of(row(), "", None)


# -- rows and questions -------------------------------------------------------------------------------------------------------------


def test_a_row_becomes_an_item() -> None:
    assert (ITEM.id, ITEM.cluster, ITEM.answer) == ("wemath/2steps_76/2steps_1", "2steps_76", "C")
    assert ITEM.options == ("6", "10", "16 cm", "No correct answer")
    assert ITEM.parts == {"steps": "2", "key": "2steps_1", "concept": "Division of Plane Figures"}


@pytest.mark.parametrize(
    ("option", "texts"),
    [
        ("A. ①;B．②;C. ③", ("①", "②", "③")),
        ("A. 3, 50.; B. 30, 50.; C. 4", ("3, 50.", "30, 50.", "4")),
        (
            "A. to get Shape ;C.; B. down to get Shape ;C.; C. up to get Shape ;C.",
            ("to get Shape ;C.", "down to get Shape ;C.", "up to get Shape ;C."),
        ),
        ("A. obtain ;B.; B. first, ;B.; C. none", ("obtain ;B.", "first, ;B.", "none")),
        ("A. 6 B. 10 C. 16", ("6", "10", "16")),
        ("A. AB. B is; B. 1;C. 2", ("AB. B is", "1", "2")),
    ],
)
def test_options_of_all_spellings(option: str, texts: tuple[str, ...]) -> None:
    assert item_of(row(option=option), "", None).options == texts


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image_path": None}, "no path"),
        ({"image_path": "2steps/image/76-1.png"}, "not stored in the row"),
        ({"image_path": {"bytes": b"", "path": None}}, "cannot be read"),
        ({"option": ""}, "option is empty"),
        ({"option": None}, "no option"),
        ({"option": "6, 10 or 16"}, "empty options"),
        ({"option": "A. ; B. ; C. "}, "empty options"),
        ({"answer": "E"}, "answer 'E' is none of the 4 options"),
        ({"answer": None}, "no answer"),
        ({"key": "4steps_1"}, "'4steps_1' is no key"),
        ({"key": "3steps_1"}, "'3steps_1' is no key of a problem like 2steps_76"),
        ({"ID": "76"}, "begins neither with 2steps nor with 3steps"),
        ({"question": None}, "no question"),
    ],
)
def test_broken_rows_say_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        item_of(row(**changes), "", None)


def test_prompts() -> None:
    listed = "Question: How long is it?\nOptions:\nA. 6\nB. 10\nC. 16 cm\nD. No correct answer\n"
    assert SPEC.ask(ITEM, Style.DIRECT) == listed
    assert SPEC.ask(ITEM, Style.OFFICIAL) == (
        listed + "\nRegarding the format, please answer following the template below, and be sure to include two <> symbols:\n"
        "<Thought process>: <<your thought process>> <Answer>: <<your option>>"
    )
    assert SPEC.ask(ITEM, Style.REASONING) == "How long is it?\nA. 6\nB. 10\nC. 16 cm\nD. No correct answer"


# -- rules --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("<Thought process>: <<Answer A looks right>> <Answer>: <<C>>", "C"),
        ("<Answer>:\n<<C. 16 cm>>", "C"),
        ("C", "C"),
        (" .: C is it", "C"),
        ("Answer : Both", "B"),  # the first letter, of whatever word
        ("Answer: (C)", None),
        ("**Answer:** **C**", None),
        ("answer: C", None),
        ("\\boxed{C}", None),
        ("The answer is C.", None),
        ("Cannot be told", "C"),
        ("Answer: I", None),
        ("Answer:", None),
        ("", None),
    ],
)
def test_extraction(response: str, found: str | None) -> None:
    assert extract(ITEM, response) == found
    assert official(SPEC, ITEM, response).ruling is (Ruling.RIGHT if found == "C" else Ruling.WRONG)


RIGHT = [
    "\\boxed{C}",
    "\\boxed{(C)}",
    "\\boxed{16 cm}",
    "\\boxed{C. 16 cm}",
    "The answer is C.",
    "**Answer:** C",
    "<Thought process>: <<A looks right>> <Answer>: <<C>>",
    "<Thought process>: <<so it is>>\n<Answer>: <<C. 16 cm>>",
    "<Answer>: C",
    "<think>\\boxed{A}</think>\n<answer>C</answer>",
    "C",
]
NEAR_MISSES = [
    "\\boxed{B}",
    "\\boxed{B or C}",
    "\\boxed{BC}",
    "\\boxed{A, C}",
    "\\boxed{C. 10}",
    "\\boxed{16 m}",
    "\\boxed{16.0 cm^2}",
    "\\boxed{160 cm}",
    "\\boxed{Cannot be determined}",
    "\\boxed{No correct answer}",
    "The answer is not C.",
    "The answer is clear",
    "Could be anything.\nC is likely.",
    "Answer: B, because C is wrong",
    "<Thought process>: <<C>> <Answer>: <<B>>",
    "<Thought process>: <<Answer: C>> <Answer>: <<>>",
    "<Answer>: <<C or D>>",
    "<Answer>: <<neither C nor D>>",
    "<think>\\boxed{C}</think>\nI do not know.\nSorry.",
    "\\boxed{C} was wrong, so \\boxed{A}",
    "Correct is what is written there.\nCertainly.",
    "",
]


@pytest.mark.parametrize("response", RIGHT)
def test_right_answers(response: str) -> None:
    assert SPEC.strict(ITEM, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize("response", NEAR_MISSES)
def test_near_misses_are_wrong(response: str) -> None:
    assert SPEC.strict(ITEM, response).ruling is Ruling.WRONG


# -- the metric ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "strictly", "loosely"),
    [
        ("ttt", "complete mastery", "complete mastery"),
        ("ttf", "inadequate generalisation", "inadequate generalisation"),
        ("tft", "rote memorisation", "complete mastery"),
        ("ftt", "rote memorisation", "complete mastery"),
        ("fft", "rote memorisation", "rote memorisation"),
        ("tff", "insufficient knowledge", "insufficient knowledge"),
        ("fff", "insufficient knowledge", "insufficient knowledge"),
    ],
)
def test_the_four_kinds(verdicts: str, strictly: str, loosely: str) -> None:
    told = dict(zip(("2steps_1", "2steps_2", "2steps_multi"), [one == "t" for one in verdicts], strict=True))
    assert mastery("2steps", told, loose=False) == strictly
    assert mastery("2steps", told, loose=True) == loosely


def graded(problem: str, verdicts: str, *, sample: int = 0) -> list[Graded]:
    """t right, f wrong, ? not judged, - missing; the last is that of the whole."""
    length = problem[:6]
    keys = [*(f"{length}_{number}" for number in range(1, len(verdicts))), f"{length}_multi"]
    return [
        Graded(
            item=Item(id=f"wemath/{problem}/{key}", question="q", answer="A", facts={"key": key}, cluster=problem),
            sample=sample,
            right={"t": True, "f": False, "?": None}[verdict],
            extracted=None,
        )
        for key, verdict in zip(keys, verdicts, strict=True)
        if verdict != "-"
    ]


def table(answers: list[Graded]) -> dict[str, float | None]:
    found = {one.metric + (f", {one.part}" if one.part else ""): [unit.value for unit in one.units] for one in measures(answers)}
    return {name: sum(values) / len(values) if values else None for name, values in found.items()}


def test_scores_and_rates_of_a_handful_of_problems() -> None:
    answers = [one for number, verdicts in enumerate(["ttt", "ttf", "tft", "fft", "fff"]) for one in graded(f"2steps_{number}", verdicts)]
    answers += [one for number, verdicts in enumerate(["tttt", "ttft", "tttf"]) for one in graded(f"3steps_{number}", verdicts)]
    assert table(answers) == {
        "strict score": (1 + 0.5 + 0 + 0 + 0 + 1 + 0 + 0.5) / 8,
        "loose score": (1 + 0.5 + 1 + 0 + 0 + 1 + 1 + 0.5) / 8,
        "insufficient knowledge": 1 / 8,
        "inadequate generalisation": 2 / 8,
        "complete mastery (strict)": 2 / 8,
        "rote memorisation (strict)": 3 / 5,
        "complete mastery (loose)": 4 / 8,
        "rote memorisation (loose)": 1 / 5,
        "accuracy, S1: single steps": (2 + 2 + 1 + 0 + 0 + 3 + 2 + 3) / (5 * 2 + 3 * 3),
        "accuracy, S2: problems of two steps": 3 / 5,
        "accuracy, S3: problems of three steps": 2 / 3,
        "accuracy": (13 + 3 + 2) / 27,
    }
    assert next(iter(table(answers))) == "strict score"


def test_a_missing_question_makes_the_comparison_false_and_is_told() -> None:
    answers = graded("2steps_1", "t-t") + graded("2steps_2", "tt-") + graded("3steps_1", "tttt")
    found = table(answers)
    assert found["strict score"] == pytest.approx((0 + 0.5 + 1) / 3)
    assert found["rote memorisation (strict)"] == 0.5
    assert found["loose score"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["strict score, the 1 of 3 problems with all questions"] == 1


def test_a_problem_with_an_unjudged_question_is_left_out() -> None:
    answers = graded("2steps_1", "t?t") + graded("2steps_2", "ttt")
    assert [(unit.id, unit.value) for unit in measures(answers)[0].units] == [("wemath/2steps_2", 1)]


def test_several_samples_are_problems_of_their_own_and_then_averaged() -> None:
    answers = graded("2steps_1", "ttt") + graded("2steps_1", "ttf", sample=1) + graded("2steps_1", "tft", sample=2) + graded("2steps_2", "fff")
    found = table(answers)
    assert found["strict score"] == pytest.approx((1 + 0.5 + 0) / 3 / 2)
    assert found["rote memorisation (strict)"] == 0.5  # one of the two samples answered right as a whole
    assert found["insufficient knowledge"] == 0.5


HOSTILE = ["Answer", "<Answer>: <<", "<", ">", ".", " ", "\n", "A", "C ", "\\boxed{", "answer is ", ":"]


@pytest.mark.parametrize("sign", HOSTILE)
def test_no_response_raises_or_takes_long(sign: str) -> None:
    response = sign * (100_000 // len(sign))
    start = time.perf_counter()
    assert official(SPEC, ITEM, response).ruling is Ruling.WRONG or sign == "C "
    assert SPEC.strict(ITEM, response).ruling is Ruling.WRONG
    assert time.perf_counter() - start < 2
