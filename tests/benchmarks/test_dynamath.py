"""DynaMath: rows and variants, the JSON prompt, the authors' verdict with its quirks, near misses, and average, worst and best case."""

import io
import json
import time
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks.dynamath import SPEC, accepts, extract, item_of, measures
from vold.adapters.benchmarks.reads import read_part
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

YES_NO = "Is it continuous? Choices: (A) Yes (B) No"


def picture() -> dict[str, Any]:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(data, "PNG")
    return {"bytes": data.getvalue(), "path": "image66.png"}


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "66",
        "question": "What is the value of x?",
        "image": "image/image66.png",
        "decoded_image": picture(),
        "ground_truth": "13",
        "answer_type": "float",
        "subject": "plane geometry",
        "knowledge_level": "high school",
        **changes,
    }


def item(answer: str, kind: str = "float", question: str = "What is it?") -> Item:
    return item_of(row(ground_truth=answer, answer_type=kind, question=question), "sample_variant1", None)


def choice(answer: str = "B", question: str = YES_NO) -> Item:
    return item(answer, "multiple choice", question)


def text(answer: str) -> Item:
    return item(answer, "text")


def replied(short: Any, solution: str = "so it is") -> str:
    return json.dumps({"solution": solution, "short answer": short}, ensure_ascii=False)


# -- rows ---------------------------------------------------------------------------------------------------------------------------


def test_the_variant_is_that_of_the_split_or_of_the_row() -> None:
    by_split = item_of(row(), "sample_variant10", None)
    assert (by_split.id, by_split.cluster, by_split.facts["variant"]) == ("dynamath/66-10", "66", 10)
    by_column = item_of(row(variant=3), "sample_variant10", None)
    assert (by_column.id, by_column.parts["variant"]) == ("dynamath/66-3", "3")
    assert (by_column.parts["subject"], by_column.parts["level"]) == ("plane geometry", "high school")


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (YES_NO, ("Yes", "No")),
        ("choice: (A) f(x)=g(x)-5 (B) f(x)=-g(x - 5) (C) both (A) and (B)", ("f(x)=g(x)-5", "f(x)=-g(x - 5)", "both (A) and (B)")),
        ("Which is it?\nA: [2, 13]\nB: [9]\n", ("[2, 13]", "[9]")),
        ("Which point is it?", ()),
    ],
)
def test_options_are_read_from_the_question(question: str, options: tuple[str, ...]) -> None:
    assert choice("B", question).options == options


@pytest.mark.parametrize(
    ("changes", "subset", "reason"),
    [
        ({"decoded_image": None, "image": None}, "sample_variant1", "no path"),
        ({"decoded_image": None}, "sample_variant1", "not stored in the row"),
        ({"decoded_image": {"bytes": b"GIF8broken", "path": None}}, "sample_variant1", "cannot be read"),
        ({"ground_truth": None}, "sample_variant1", "no answer"),
        ({"ground_truth": "thirteen"}, "sample_variant1", "is no number"),
        ({"answer_type": "essay"}, "sample_variant1", "unknown answer type 'essay'"),
        ({"answer_type": None}, "sample_variant1", "unknown answer type None"),
        ({"answer_type": "multiple choice", "question": YES_NO, "ground_truth": "C"}, "sample_variant1", "none of the options A to B"),
        ({"question": ""}, "sample_variant1", "question is empty"),
        ({"id": None}, "sample_variant1", "no id"),
        ({"variant": 11}, "sample_variant1", "variant '11' is none of the ten variants"),
        ({}, "test", "split 'test' is none of the ten variants: give a variant column"),
        ({}, "sample_variant1+sample_variant2", "is none of the ten variants"),
        ({}, "sample_variant0", "is none of the ten variants"),
    ],
)
def test_broken_rows_say_why(changes: dict[str, Any], subset: str, reason: str) -> None:
    with pytest.raises(BadRow, match=reason.replace("+", r"\+")):
        item_of(row(**changes), subset, None)


# -- questions ----------------------------------------------------------------------------------------------------------------------

ASKED = (
    "\n## Answer Instruction Please provide an answer to the question outlined above. Your response should adhere \nto the following JSON format, "
    "which includes two keys: 'solution' and 'short answer'. The 'solution' key can contain \ndetailed steps needed to solve the question, and the "
    "'short answer' key should provide a concise response. If the problem is a multiple choice problem, just provide the corresponing choice "
    "option, \nsuch as 'A', 'B', 'C', or 'D'. If the answer is a numerical value, format it as a three-digit floating-point number.\n\nExample of "
    'expected JSON response format:\n\n{\n    "solution": "[Detailed step-by-step explanation]",\n    "short answer": "[Concise Answer]"\n}'
)


@pytest.mark.parametrize("style", [Style.OFFICIAL, Style.DIRECT])
def test_the_official_prompt(style: Style) -> None:
    assert SPEC.ask(item("13"), style) == "## Question\nWhat is it?Please answer in a floating-point number." + ASKED
    assert SPEC.ask(choice(), style) == f"## Question\n{YES_NO}" + ASKED
    assert SPEC.ask(text("Jul"), style) == "## Question\nWhat is it?" + ASKED


def test_the_question_alone() -> None:
    assert SPEC.ask(item("13"), Style.REASONING) == "What is it?"


# -- the authors' rule --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "found"),
    [
        (replied("B"), "B"),
        (f"```json\n{replied('B')}\n```", "B"),
        (replied(13.0), "13.0"),
        (replied(None), "None"),
        ('{"solution": "B"}', "None"),
        ('{"solution": "\\frac{1}{2} so \\(x\\)", "short answer": "0.5"}', "0.5"),  # backslashes go before it is read
        ('{"solution": "a", "short answer": "B"', '{"solution": "a", "short answer": "B'),  # the last line without its end
        ("I think so.\nB.", "B"),
        ("B", None),  # its end is cut off, and nothing is left
        ("", None),
        ("13", None),  # JSON, but no object
        ("[1, 2]", None),
        ("} {", "} "),
        ("see {x} and {y}", "{x} and {y"),
    ],
)
def test_extraction(response: str, found: str | None) -> None:
    assert extract(choice(), response) == found


@pytest.mark.parametrize(
    ("asked", "box", "found", "right"),
    [
        (choice("B"), "B", "B", True),
        (choice("B"), "\\text{(B)}", "B", True),
        (choice("B"), "\\textbf{B}. No", "B", True),
        (choice("B"), "No", "B", True),
        (choice("B"), "A", "A", False),
        (choice("B"), "Yes", "A", False),
        (choice("B"), "", None, False),
        (item("7.5"), "7.5", "7.5", True),
        (item("7.5"), "x = 7.500 \\text{ cm}", "7.500", True),
        (item("7.5"), "\\frac{15}{2}", "7.5", True),
        (item("7.5"), "\\$7.50", "7.50", True),
        (item("7.5"), "7.6", "7.6", False),
        (item("7.5"), "7.5 \\text{ or } 8", "7.5 \\text{ or } 8", True),  # what stands before the first blank, as in JSON
        (item("6.2832"), "2\\pi", "6.283185307179586", True),
        (item("50"), "0.5", "0.5", False),
        (text("Jul"), "\\text{July}", "July", True),
        (text("Jul"), "\\text{June}", "June", False),
    ],
)
def test_a_box_that_was_asked_for_is_the_short_answer(asked: Item, box: str, found: str | None, right: bool) -> None:
    verdict = official(SPEC, asked, read_part(f"So it is \\boxed{{{box}}}.", "auto", asked_for_box=True))
    assert verdict.extracted == found
    assert (verdict.ruling is Ruling.RIGHT) is right


@pytest.mark.parametrize(
    ("asked", "extracted", "right"),
    [
        (item("0.6667"), "0.667", True),
        (item("0.6667"), "0.667 cm", True),
        (item("0.6667"), "0.67", False),
        (item("10"), "10.001", True),  # 0.001 apart counts as near enough
        (item("10"), "10.0011", False),
        (item("19.7"), "6.2707π", True),
        (item("12"), "x = 12.000", False),  # only what stands before the first blank
        (item("12"), "12,000", False),
        (item("12"), "", False),
        (item("12"), "nan", False),
        (item("1000"), "1_000", True),  # as Python reads numbers
        (item("2"), "²", False),
        (choice("B"), "B", True),
        (choice("B"), "b", False),
        (choice("B"), "(B)", True),
        (choice("B"), "B or A", True),
        (choice("B"), "A, B", False),
        (choice("B"), "AB", True),  # among the first three signs
        (text("Jul"), "July", True),
        (text("Jul"), "july", False),
        (text("Jul"), "", False),
        (text("Jul"), None, False),
    ],
)
def test_the_official_verdict(asked: Item, extracted: str | None, right: bool) -> None:
    assert accepts(asked, extracted) is right


# -- the strict rule ----------------------------------------------------------------------------------------------------------------

RIGHT = [
    (item("13"), "\\boxed{13}"),
    (item("13"), replied("13.000")),
    (item("13"), replied(13.0)),
    (item("13"), '{"solution": "\\frac{26}{2} is it, \\(x\\)", "short answer": "13"}'),
    (item("12"), replied("x = 12.000")),
    (item("0.6667"), "\\boxed{0.667}"),
    (item("0.6667"), "\\boxed{\\frac{2}{3}}"),
    (item("816.8141"), "\\boxed{816.814}"),
    (item("816.8141"), "\\boxed{260\\pi}"),
    (item("816.8141"), replied("816.81409 cm^2")),
    (item("2.0944"), "\\boxed{\\frac{2\\pi}{3}}"),
    (item("1.4142"), "\\boxed{\\sqrt{2}}"),
    (item("-3"), "<think>3?</think>The answer is -3."),
    (choice("B"), replied("(B)")),
    (choice("B"), "\\boxed{No}"),
    (choice("B"), replied("b")),
    (choice("B", "Which point?"), "Answer: B"),
    (text("(1.000, 0.000)"), "\\boxed{(1, 0)}"),
    (text("[3, 2, 3, 3, 6]"), replied("[3,2,3,3,6]")),
    (text("Jul"), "\\boxed{\\text{July}}"),
    (text("8:0"), "\\boxed{8:00}"),
    (text("x = -1"), "\\boxed{-1}"),
    (text("White"), "\\boxed{white}"),
]
NEAR_MISSES = [
    (item("13"), "\\boxed{13.001}"),
    (item("13"), "\\boxed{-13}"),
    (item("13"), "\\boxed{130}"),
    (item("13"), "13 is what one might think.\nBut no."),
    (item("13"), replied("13 or 14")),
    (item("13"), '{"solution": "13"}'),
    (item("13"), "<think>" + replied("13") + "</think>I do not know.\nSorry."),
    (item("0.6667"), "\\boxed{0.67}"),
    (item("0.6667"), "\\boxed{0.6669}"),
    (item("0.6667"), "\\boxed{0.666}"),
    (item("0.6667"), "\\boxed{66.67}"),
    (item("816.8141"), "\\boxed{816.81}"),
    (item("816.8141"), "\\boxed{816.815}"),
    (item("816.8141"), "\\boxed{260}"),
    (item("816.8141"), "\\boxed{816}"),
    (item("2.0944"), "\\boxed{\\frac{2}{3\\pi}}"),
    (item("4"), "\\boxed{1.2732\\pi}"),
    (item("12"), "\\boxed{x > 12}"),
    (choice("B"), replied("A or B")),
    (choice("B"), replied("AB")),
    (choice("B"), "\\boxed{Yes}"),
    (choice("B"), replied("B. Yes")),
    (choice("A", "So?\nA: [2, 13]\nB: [2, 13, 9]"), "\\boxed{[2, 13, 9]}"),
    (text("(5.000, -2.000)"), "\\boxed{(-2, 5)}"),
    (text("(5.000, -2.000)"), "\\boxed{(5, 2)}"),
    (text("16, 88, 66"), "\\boxed{66, 88, 16}"),
    (text("[3, 2, 3]"), "\\boxed{(3, 2, 3)}"),
    (text("Jul"), "\\boxed{Jun}"),
    (text("Jul"), "\\boxed{Jul or Aug}"),
    (text("x = -1"), "\\boxed{y = -1}"),
    (text("x = -1"), "\\boxed{x = 1}"),
    (text("4:45"), "\\boxed{4:54}"),
    (text("11/02/2006"), "\\boxed{02/11/2006}"),
    (text("AC"), "\\boxed{CA}"),
    (text("Q1"), "\\boxed{Q11}"),
]


@pytest.mark.parametrize(("asked", "response"), RIGHT)
def test_right_answers(asked: Item, response: str) -> None:
    assert SPEC.strict(asked, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize(("asked", "response"), NEAR_MISSES)
def test_near_misses_are_wrong(asked: Item, response: str) -> None:
    assert SPEC.strict(asked, response).ruling is Ruling.WRONG


# -- the table ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [item("2.094"), text("[1, 2]"), choice()])
def test_a_bare_sentence_is_no_answer(asked: Item) -> None:
    """It counts as not extracted; what is declared, or is no sentence, was extracted, however wrong."""
    sentence = "The picture shows a long red line."
    verdict = SPEC.strict(asked, sentence)
    assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, None)
    for said, extracted in ((f"The answer is {sentence}", sentence.removesuffix(".")), (replied(sentence), sentence), ("7", "7")):
        verdict = SPEC.strict(asked, said)
        assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, extracted)


def graded(seed: int, variant: int, right: bool | None, *, sample: int = 0, subject: str = "algebra", level: str = "high school") -> Graded:
    asked = Item(
        id=f"dynamath/{seed}-{variant}",
        question="q",
        answer="1",
        parts={"subject": subject, "level": level, "variant": str(variant)},
        cluster=str(seed),
    )
    return Graded(item=asked, sample=sample, right=right, extracted=None)


def table(answers: list[Graded]) -> dict[tuple[str, str], float | None]:
    found = {(one.metric, one.part): [unit.value for unit in one.units] for one in measures(answers)}
    return {name: sum(values) / len(values) if values else None for name, values in found.items()}


def test_average_worst_and_best_case() -> None:
    rights = {1: [True] * 10, 2: [True] * 9 + [False], 3: [False] * 10, 4: [False] * 9 + [True]}
    answers = [
        graded(seed, variant, right, subject="algebra" if seed < 3 else "statistics", level="high school" if seed == 1 else "undergraduate")
        for seed, row in rights.items()
        for variant, right in enumerate(row, start=1)
    ]
    found = table(answers)
    assert found["accuracy", ""] == 0.5
    assert found["worst case", ""] == 0.25
    assert found["best case", ""] == 0.75
    assert found["accuracy", "subject: algebra"] == 0.95
    assert found["worst case", "subject: algebra"] == 0.5
    assert found["best case", "subject: statistics"] == 0.5
    assert found["worst case", "level: undergraduate"] == 0
    assert next(iter(found)) == ("accuracy", "")
    assert not [part for _, part in found if "not in" in part]
    worst = next(one for one in measures(answers) if one.metric == "worst case")
    assert [(unit.id, unit.cluster) for unit in worst.units][:2] == [("dynamath/1", "1"), ("dynamath/2", "2")]


def test_a_seed_without_all_loaded_variants_is_named_and_not_counted() -> None:
    answers = [graded(seed, variant, True) for seed in (1, 2, 12) for variant in (1, 2) if (seed, variant) not in [(12, 2), (2, 1)]]
    answers += [graded(3, 1, True), graded(3, 2, False)]
    found = table(answers)
    assert found["worst case of 2 variants", ""] == 0.5  # seeds 1 and 3
    assert found["accuracy", "seeds not in worst and best case: 2, 12"] == 1
    assert found["accuracy", ""] == pytest.approx(5 / 6)


def test_many_left_out_seeds_are_counted() -> None:
    answers = [graded(1, 1, True), graded(1, 2, True)] + [graded(seed, 1, True) for seed in range(2, 15)]
    assert [part for _, part in table(answers) if "not in" in part] == ["seeds not in worst and best case: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more"]


def test_an_unjudged_variant_takes_its_sample_out() -> None:
    answers = [graded(1, variant, right) for variant, right in ((1, True), (2, None))]
    answers += [graded(1, 1, True, sample=1), graded(1, 2, True, sample=1)]
    answers += [graded(2, 1, None), graded(2, 2, False)]
    found = table(answers)
    assert found["worst case of 2 variants", ""] == 1  # seed 1 by its second sample; seed 2 has none
    assert found["accuracy", "seeds not in worst and best case: 2"] == 0
    assert found["accuracy", ""] == pytest.approx((1 + 1 + 0) / 3)  # the unjudged variant of seed 2 is no unit


def test_several_samples_are_worst_cases_of_their_own() -> None:
    answers = [
        graded(1, variant, right, sample=s) for s, rights in enumerate(["tf", "tt", "ff", "ft"]) for variant, right in enumerate(rights_of(rights))
    ]
    found = table(answers)
    assert (found["accuracy", ""], found["worst case of 2 variants", ""], found["best case of 2 variants", ""]) == (0.5, 0.25, 0.75)


def rights_of(letters: str) -> list[bool]:
    return [letter == "t" for letter in letters]


HOSTILE = ["{", "}", '{"short answer":', '{"solution": "', "[", "\\", "\\boxed{", "9", "π", "(A)", " ", "\n", '"', "e9", "-1 "]


@pytest.mark.parametrize("sign", HOSTILE)
def test_no_response_raises_or_takes_long(sign: str) -> None:
    start = time.perf_counter()
    for response in (sign * (100_000 // len(sign)), f'{{"solution": "", "short answer": "{sign * (100_000 // len(sign))}"}}'):
        for asked in (item("816.8141"), item("13"), choice(), text("(1.000, 0.000)")):
            assert official(SPEC, asked, response).ruling is Ruling.WRONG or sign == "(A)"
            assert SPEC.strict(asked, response).ruling is Ruling.WRONG
            accepts(asked, response)
    assert time.perf_counter() - start < 5
