"""MathVerse: rows and versions, the published queries, declared answers and near misses, and the mean over versions."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks.mathverse import SPEC, TEXT_ONLY, WITH_IMAGE, accepts, extract, item_of, measures
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

QUESTION = "In triangle ABC, angle A = 80, then angle B is ()\nChoices:\nA:40°\nB:60°\nC:120°\nD:140°"


def picture() -> dict[str, Any]:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(data, "PNG")
    return {"bytes": data.getvalue(), "path": "1.png"}


def row(**changes: Any) -> dict[str, Any]:
    return {
        "sample_index": "6",
        "problem_index": "2",
        "problem_version": "Text Dominant",
        "question": QUESTION,
        "image": picture(),
        "answer": "D",
        "question_type": "multi-choice",
        "metadata": {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", "subfield": "Angle"},
        **changes,
    }


def choice(answer: str = "D", **changes: Any) -> Item:
    return item_of(row(answer=answer, **changes), "testmini", None)


def free(answer: str) -> Item:
    return item_of(row(answer=answer, question_type="free-form", question="Find it."), "testmini", None)


def test_a_row_becomes_an_item() -> None:
    item = item_of(row(), "testmini", None)
    assert (item.id, item.cluster, item.answer) == ("mathverse/6", "2", "D")
    assert item.options == ("40°", "60°", "120°", "140°")
    assert item.parts == {"problem_version": "Text Dominant", "subject": "Plane Geometry", "subfield": "Plane Geometry, Angle"}
    assert item.images == (row()["image"]["bytes"],)


@pytest.mark.parametrize("image", ["", None, {"bytes": None, "path": None}])
def test_text_only_has_no_picture_and_an_id_of_its_own(image: Any) -> None:
    item = item_of(row(problem_version=TEXT_ONLY, image=image), "testmini_text_only", None)
    assert (item.id, item.images) == ("mathverse/text-only-6", ())


def test_options_are_read_in_all_spellings_and_from_the_question_for_evaluation() -> None:
    dotted = "True or false?\nChoice:\nA. True\nB. False"
    assert choice("False", question=dotted).options == ("True", "False")
    assert choice("B", question="Which?\nChoices:\nA.one\nB: two\nC:three").options == ("one", "two", "three")
    unseen = choice("B", question="", problem_version="Vision Only", question_for_eval=dotted)
    assert (unseen.question, unseen.options) == ("", ("True", "False"))
    assert choice("B", question="Which is it?").options == ()
    assert len(choice("B", question="Which?\n" + "\n".join(f"{letter}: text" for letter in "ABCDEFGHH")).options) == 8


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": None}, "no path"),
        ({"image": ""}, "no path"),
        ({"image": {"bytes": b"\x89PNG broken", "path": "1.png"}}, "cannot be read"),
        ({"answer": None}, "no answer"),
        ({"answer": "  "}, "no answer"),
        ({"problem_version": "Audio Only"}, "unknown problem version 'Audio Only'"),
        ({"problem_version": None}, "unknown problem version None"),
        ({"question_type": "essay"}, "unknown question type 'essay'"),
        ({"question_type": []}, "unknown question type"),
        ({"question": ""}, "question is empty"),
        ({"question": None}, "no question"),
        ({"sample_index": None}, "no sample_index"),
        ({"problem_index": ""}, "no problem_index"),
    ],
)
def test_broken_rows_say_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        item_of(row(**changes), "testmini", None)


def test_a_picture_may_lie_beside_the_rows(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(picture()["bytes"])
    assert item_of(row(image="images/1.png"), "", tmp_path).images == (picture()["bytes"],)


def test_queries_are_the_published_ones() -> None:
    item = item_of(row(query_cot="cot as published\n", query_wo="wo as published"), "", None)
    assert [SPEC.ask(item, style) for style in Style] == ["cot as published\n", "wo as published", QUESTION]


def test_queries_are_built_where_rows_do_not_bring_them() -> None:
    assert SPEC.ask(choice(), Style.OFFICIAL) == (
        "Please first conduct reasoning, and then answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
        f"Question: {QUESTION}"
    )
    assert SPEC.ask(choice(), Style.DIRECT) == (
        f"Please directly answer the question and provide the correct option letter, e.g., A, B, C, D.\nQuestion: {QUESTION}"
    )
    assert SPEC.ask(free("5"), Style.OFFICIAL) == (
        "Please first conduct reasoning, and then answer the question and provide the final value, e.g., 1, 2.5, 300, at the end.\nQuestion: Find it."
    )
    unseen = item_of(row(question="", problem_version="Vision Only", question_type="free-form", answer="5"), "", None)
    assert SPEC.ask(unseen, Style.OFFICIAL) == (
        "According to the question shown in the image, please first conduct reasoning, and then answer the question and provide the final value, "
        "e.g., 1, 2.5, 300, at the end."
    )
    assert SPEC.ask(unseen, Style.DIRECT) == (
        "According to the question shown in the image, please directly answer the question and provide the final value, e.g., 1, 2.5, 300."
    )
    assert SPEC.ask(unseen, Style.REASONING) == "Answer the question shown in the image."


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("<think>It is \\boxed{A}.</think>So \\boxed{D}", "D"),
        ("I looked at it for a long time.\nThe angles are known, so it must be D.", "D"),
        ("D. 140° is what remains of it.\n" + "word " * 40 + "\nand nothing else", None),
        ("A or B, I cannot say.\nNobody can.", None),
        ("In my view it must be D.", "D"),
        ("140°", "140°"),
        ("60°", "B"),
        ("not D", None),
        ("It is not D.", None),
        ("It isn't option (D)", None),
        ("We can rule out D.", None),
        ("D is wrong.", None),
        ("D isn't it", None),
        ("It is not clear, yet I take D.", "D"),
        ("As I cannot see it I go with D.", "D"),
        ("Not 60°, so D is right.", "D"),
        ("", None),
    ],
)
def test_extraction_of_an_option(response: str, found: str | None) -> None:
    assert extract(choice(), response) == found


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("We get\nL = \\sqrt{205}\n\nso the straw is 14 cm.", "14"),
        ("We get 13.5.\n\nFinal answer: 14", "14"),
        ("It costs\n\n$1,234.50 in total.", "1,234.50"),
        ("There is\nno number.", None),
        ("The straw is 14 cm", "14 cm"),
        ("x^2 + y^2 = 49", "x^2 + y^2 = 49"),
        ("first 7\n" + "word " * 40, None),
        ("Step 1: 7 * 2\nThe area is 14 cm^2.", "14"),
        ("Step 1\nThe area is 14 square units (rounded to 2 decimals).", "14"),
        ("The answer is 14 (see step 2).", "14"),
        ("The answer is x (sin y).", "x (sin y)"),
    ],
)
def test_extraction_of_a_value(response: str, found: str | None) -> None:
    assert extract(free("14"), response) == found


@pytest.mark.parametrize(
    ("item", "extracted", "right"),
    [
        (choice(), "D", True),
        (choice(), "(D)", True),
        (choice(), "D. 140°", True),
        (choice(), "140°", True),
        (choice(), "C", False),
        (choice(), "40°", False),
        (choice(), "D: 60°", True),  # the authors' second example takes the letter from beside whatever text
        (choice(), "not D", False),
        (choice(), "It is not D.", False),
        (choice(), "D is wrong", False),
        (choice("(D)"), "D", True),
        (choice("C\nD"), "C and D", True),
        (choice("C\nD"), "C", False),
        (choice("120°"), "C", True),
        (choice("False", question="So?\nChoice:\nA. True\nB. False"), "B", True),
        (free("14"), "14.0", True),
        (free("Volume $=904.78 \\mathrm{~cm}^{3}$"), "904.78", True),
        (free("Volume $=904.78 \\mathrm{~cm}^{3}$"), "904.87", False),
        (free("14"), None, False),
    ],
)
def test_the_verdict_on_an_extracted_answer(item: Item, extracted: str | None, right: bool) -> None:
    assert accepts(item, extracted) is right


def test_the_official_rule_never_takes_a_missing_answer() -> None:
    verdict = official(SPEC, free("14"), "No idea.\nNone at all.")
    assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, None)


RIGHT = [
    (choice(), "\\boxed{D}"),
    (choice(), "\\boxed{\\text{(D)}}"),
    (choice(), "The answer is D."),
    (choice(), "\\boxed{140^\\circ}"),
    (choice("(D)"), "Answer: D"),
    (choice("120°"), "\\boxed{C}"),
    (choice("C\nD"), "\\boxed{D, C}"),
    (free("8.246"), "\\boxed{8.246}"),
    (free("Area $=9.4 \\mathrm{~cm}^{2}$"), "\\boxed{9.4}"),
    (free("Area $=9.4 \\mathrm{~cm}^{2}$"), "\\boxed{\\text{Area} = 9.4\\ \\text{cm}^2}"),
    (free("Surface Area $=603.186$ units $^{2}$"), "\\boxed{603.186}"),
    (free("Volume $=452.389$ cubic units"), "\\boxed{452.389 \\text{ cubic units}}"),
    (free("Slope $=-\\frac{1}{2}$"), "\\boxed{-0.5}"),
    (free("Slope $=-\\frac{1}{2}$"), "\\boxed{m = -0.5}"),
    (free("Surface Area $=603.186$ units $^{2}$"), "\\boxed{\\text{Surface area} = 603.186 \\text{ square units}}"),
    (free("Surface Area $=603.186$ units $^{2}$"), "\\boxed{603.186 \\text{ units}^2}"),
    (free("S.A. $=1209.84$"), "\\boxed{1209.84}"),
    (free("$D=13.37$"), "\\boxed{\\text{Diameter} = 13.37}"),
    (free("$D=13.37$"), "\\boxed{13.37 \\text{ units}}"),
    (free("$y=21.61$"), "\\boxed{\\text{Value of y} = 21.61}"),
    (free("$y_2=(x+2)^3=y_1(x+2)$"), "\\boxed{y_2 = (2+x)^3 = y_1(x+2)}"),
    (free("Center $=(20,10)$"), "\\boxed{(20, 10)}"),
    (free("217 ^\\circ T"), "\\boxed{217^\\circ}"),
    (free("118掳T"), "\\boxed{118^\\circ\\text{T}}"),
    (free("domain: [-4, 0) and range: (-3, 1]"), "\\boxed{\\text{Domain: } [-4,0), \\text{ Range: } (-3,1]}"),
    (free("even"), "\\boxed{\\text{even}}"),
    (free("When x<=3 $f(x)=-x+1$, when x>3, $f(x)=x-5$"), "\\boxed{When x<=3 f(x) = -x+1, when x>3, f(x) = x-5}"),
    (free("\\frac{(x+2)^2}{4}+\\frac{(y-2)^2}{9}=1"), "\\boxed{\\frac{(y-2)^2}{9} + \\frac{(x+2)^2}{4} = 1}"),
]
NEAR_MISSES = [
    (choice(), "\\boxed{C}"),
    (choice(), "\\boxed{D \\text{ or } C}"),
    (choice(), "\\boxed{D. 120^\\circ}"),
    (choice(), "\\boxed{14}"),
    (choice(), "\\boxed{140.5^\\circ}"),
    (choice(), "The answer is not D."),
    (choice(), "D is an interesting option.\nI do not know."),
    (choice(), "\\boxed{D} at first, but finally \\boxed{B}"),
    (choice(), "<think>\\boxed{D}</think>I give up.\nSorry."),
    (choice("120°"), "\\boxed{D}"),
    (choice("(B)"), "\\boxed{40°}"),
    (choice("C\nD"), "\\boxed{D}"),
    (choice("C\nD"), "\\boxed{B, C, D}"),
    (choice("C\nD"), "\\boxed{140°}"),
    (free("8.246"), "\\boxed{8.25}"),
    (free("8.246"), "\\boxed{8.2462}"),
    (free("8.246"), "The number 8.246 occurs here.\nBut I doubt it."),
    (free("Area $=9.4 \\mathrm{~cm}^{2}$"), "\\boxed{94}"),
    (free("Area $=9.4 \\mathrm{~cm}^{2}$"), "\\boxed{9.4 \\text{ m}^2}"),
    (free("Area $=121 \\pi \\mathrm{cm}^{2}$"), "\\boxed{121}"),
    (free("Slope $=-\\frac{1}{2}$"), "\\boxed{\\frac{1}{2}}"),
    (free("Area $=113.097$ units $^{2}$"), "\\boxed{\\text{Perimeter} = 113.097}"),
    (free("Area $=113.097$ units $^{2}$"), "\\boxed{113.097 \\text{ units}^3}"),
    (free("Area $=113.097$ units $^{2}$"), "\\boxed{113.097 \\text{ cubic units}}"),
    (free("Area $=113.097$ units $^{2}$"), "\\boxed{113.097 \\text{ units}}"),
    (free("Volume $=452.389$ cubic units"), "\\boxed{452.389 \\text{ units}^2}"),
    (free("56.55 units $^{3}$"), "\\boxed{56.55 \\text{ units}^4}"),
    (free("$D=13.37$"), "\\boxed{\\text{Radius} = 13.37}"),
    (free("$D=13.37$"), "\\boxed{\\text{Circumference} = 13.37}"),
    (free("$y_2=(x+2)^3=y_1(x+2)$"), "\\boxed{y_2=(x+3)^3=y_1(x+2)}"),
    (free("$y_2=(x+2)^3=y_1(x+2)$"), "\\boxed{y_2=(x+2)^3=y_1(x+3)}"),
    (free("Center $=(20,10)$"), "\\boxed{(10, 20)}"),
    (free("Center $=(20,10)$"), "\\boxed{20}"),
    (free("217 ^\\circ T"), "\\boxed{37^\\circ T}"),
    (free("domain: [-4, 0) and range: (-3, 1]"), "\\boxed{\\text{Domain: } [-4,0], \\text{ Range: } (-3,1]}"),
    (free("domain: [-4, 0) and range: (-3, 1]"), "\\boxed{\\text{Domain: } (-3,1], \\text{ Range: } [-4,0)}"),
    (free("domain: [-4, 0) and range: (-3, 1]"), "\\boxed{[-4,0)}"),
    (free("(-\\infty, 4]"), "\\boxed{(-\\infty, 4)}"),
    (free("even"), "\\boxed{uneven}"),
    (free("$y<2 x+6$"), "\\boxed{y \\leq 2x+6}"),
    (free("When x<=3 $f(x)=-x+1$, when x>3, $f(x)=x-5$"), "\\boxed{f(x) = -x+1}"),
    (free("\\frac{(x+2)^2}{4}+\\frac{(y-2)^2}{9}=1"), "\\boxed{\\frac{(x+2)^2}{9}+\\frac{(y-2)^2}{4}=1}"),
]


@pytest.mark.parametrize(("item", "response"), RIGHT)
def test_right_answers(item: Item, response: str) -> None:
    assert SPEC.strict(item, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize(("item", "response"), NEAR_MISSES)
def test_near_misses_are_wrong(item: Item, response: str) -> None:
    assert SPEC.strict(item, response).ruling is Ruling.WRONG


@pytest.mark.parametrize("item", [free("14"), choice("D")])
def test_a_bare_sentence_is_no_answer(item: Item) -> None:
    """It counts as not extracted; what is declared, or is no sentence, was extracted, however wrong."""
    sentence = "The picture shows a long red line."
    verdict = SPEC.strict(item, sentence)
    assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, None)
    for said, extracted in ((f"The answer is {sentence}", sentence.removesuffix(".")), ("7", "7")):
        verdict = SPEC.strict(item, said)
        assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, extracted)


def graded(version: str, problem: int, right: bool | None, *, sample: int = 0, subject: str = "Functions", subfield: str = "Property") -> Graded:
    item = Item(
        id=f"mathverse/{version} {problem}",
        question="q",
        answer="1",
        parts={"problem_version": version, "subject": subject, "subfield": f"{subject}, {subfield}"},
        cluster=str(problem),
    )
    return Graded(item=item, sample=sample, right=right, extracted=None)


def number(graded: list[Graded], part: str = "") -> float:
    measure = next(one for one in measures(graded) if one.part == part)
    total = 0.0
    for stratum, weight in measure.weights.items():
        values = [unit.value for unit in measure.units if unit.stratum == stratum]
        total += weight * sum(values) / len(values)
    return total


def test_the_main_number_is_the_mean_over_the_five_versions() -> None:
    answers = [graded(version, 1, version == "Text Lite") for version in WITH_IMAGE] + [graded("Text Lite", 2, False), graded(TEXT_ONLY, 1, True)]
    assert number(answers) == pytest.approx((0 + 0.5 + 0 + 0 + 0) / 5)
    assert number(answers, "problem_version: Text Lite") == 0.5
    assert number(answers, "problem_version: Text Only") == 1
    assert number(answers, "problem_version: Vision Only") == 0
    assert number(answers, "subject: Functions") == pytest.approx(1 / 6)
    assert {unit.cluster for unit in measures(answers)[0].units} == {"1", "2"}


def test_fewer_versions_are_named() -> None:
    answers = [graded("Text Lite", 1, True), graded("Vision Only", 1, False), graded("Vision Only", 2, True), graded(TEXT_ONLY, 1, False)]
    assert [one.part for one in measures(answers)][:4] == [
        "problem_version: Text Lite, Vision Only",
        "problem_version: Text Lite",
        "problem_version: Vision Only",
        "problem_version: Text Only",
    ]
    assert number(answers, "problem_version: Text Lite, Vision Only") == 0.75
    alone = [graded("Vision Only", 1, True), graded("Vision Only", 2, False, subfield="Applied")]
    assert [(one.part, len(one.units)) for one in measures(alone)] == [
        ("problem_version: Vision Only", 2),
        ("subject: Functions", 2),
        ("subfield: Functions, Applied", 1),
        ("subfield: Functions, Property", 1),
    ]
    assert measures([graded(TEXT_ONLY, 1, True)])[0].part == "problem_version: Text Only"


def test_several_samples_count_by_their_mean_and_unjudged_ones_not_at_all() -> None:
    answers = [graded("Vision Only", 1, right, sample=sample) for sample, right in enumerate([True, False, None, True])]
    answers.append(graded("Vision Only", 2, None))
    assert [(unit.id, unit.value) for unit in measures(answers)[0].units] == [("mathverse/Vision Only 1", pytest.approx(2 / 3))]


def test_the_judge_mode_asks_in_two_steps() -> None:
    found, item = SPEC.extraction, choice(question_for_eval="for eval")
    assert found is not None
    assert found.ruling is not None
    assert found.decide is not None
    asked = found.prompt(item, "<think>long</think>" + "word " * 50 + "so it is D.")
    assert asked.startswith("I am providing you a response from a model to a math problem, termed 'Model Response'. You should extract the answer")
    assert asked.endswith(f"\n\n7.\n\nModel response: '{'word ' * 26}so it is D.'\nExtracted Answer: ")
    assert [found.read(item, reply) for reply in ("Extracted Answer: D", " 5 cm\n", "null", "")] == ["D", "5 cm", None, None]
    nothing = ("Null", "null.", "NULL", "`null`", "'null'", "Extracted Answer: **null**", "**")
    assert {found.read(item, reply) for reply in nothing} == {None}
    assert found.read(item, "nullity 2") == "nullity 2"
    compared = found.ruling(item, "140°")
    assert compared.endswith("\n\n[Question]: for eval\n[Standard Answer]: D\n[Model_answer] : 140°\nJudgement: ")
    assert [found.decide(reply) for reply in ("1", "Judgement: 0", "yes", "10")] == [True, False, None, None]
    assert [found.decide(reply) for reply in ("**1**", "1.", "Judgement: **0**", "**Judgement:** 1", "`0`\n")] == [True, True, False, True, False]
    assert {found.decide(reply) for reply in ("1.0", "1 or 0", "**2**", "", ".", "-1")} == {None}


HOSTILE = ["\\boxed{", "{", "}", " ", "\n", "A ", "(A", "answer is ", "Answer:", "$", "9", "9,999", "domain: [", "\\text{", "°T", "a\n", "-1 "]


@pytest.mark.parametrize("sign", HOSTILE)
def test_no_response_raises_or_takes_long(sign: str) -> None:
    response = sign * (100_000 // len(sign))
    start = time.perf_counter()
    for item in (choice(), free("Area $=9.4 \\mathrm{~cm}^{2}$"), free("domain: [-4, 0) and range: (-3, 1]")):
        assert official(SPEC, item, response).ruling is Ruling.WRONG or sign == "A "
        SPEC.strict(item, response)
        accepts(item, response)
    assert time.perf_counter() - start < 3
