"""MMMU: both question types, the official parser of letters and that of short answers with their quirks."""

import io
import json
import time
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks.mmmu import SPEC, SUBJECTS, is_text, key_pieces, normal_forms
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling


def picture(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


def row(**given: Any) -> dict[str, Any]:
    plain = {
        "id": "validation_Accounting_2", "question": "Which account of <image 1>?", "options": "['$194,815', '$182,815', '$12,000', '$9,000']",
        "answer": "C", "question_type": "multiple-choice", "image_1": {"bytes": picture(1), "path": None}, "image_2": None,
    }  # fmt: skip
    return {**plain, **given}


def item(subset: str = "Accounting", **given: Any) -> Item:
    return SPEC.item(row(**given), subset, None)


def short(answer: Any, **given: Any) -> Item:
    return item(question_type="open", options="[]", answer=answer, **given)


def test_rows_of_both_types() -> None:
    assert item().id == "mmmu/validation_Accounting_2"
    assert item().parts == {"subject": "Accounting", "question type": "multiple-choice"}
    assert item("validation", id="validation_Basic_Medical_Science_10").parts["subject"] == "Basic_Medical_Science"  # a merged copy
    assert (item().options, item().answer) == (("$194,815", "$182,815", "$12,000", "$9,000"), "C")
    assert (short(" 1/64 ").options, short(" 1/64 ").answer) == ((), "1/64")
    assert item(question_type="short-answer", answer="360").parts["question type"] == "open"
    assert len(SPEC.subsets) == len(set(SPEC.subsets)) == 30
    assert SPEC.usual == SUBJECTS
    assert SPEC.split == "validation"


@pytest.mark.parametrize(
    ("published", "kept"),
    [
        (["24/7", "3.429"], '["24/7", "3.429"]'),
        ("['24/7', '3.429']", '["24/7", "3.429"]'),
        ("['$MgS$', 'MgS']", '["$MgS$", "MgS"]'),
        (["Köln", "Cologne"], '["Köln", "Cologne"]'),
        ("['alone']", "alone"),
        ("[1, 2]", "[1, 2]"),
        ("[0, 1)", "[0, 1)"),
        (5, "5"),
    ],
)
def test_alternatives(published: Any, kept: str) -> None:
    assert short(published).answer == kept


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"question_type": "essay"}, "unknown question_type 'essay'"),
        ({"question_type": None}, "unknown question_type 'None'"),
        ({"options": "[]"}, "options are empty"),
        ({"options": "[1, "}, "no Python literal"),
        ({"answer": "?"}, "no option letter"),
        ({"question_type": "open", "answer": "?"}, "no answer"),
        ({"question_type": "open", "answer": ""}, "no answer"),
        ({"question_type": "open", "answer": None}, "no answer"),
        ({"image_1": None}, "no image for the mark <image 1>"),
        ({"image_1": {"bytes": b"GIF89a", "path": None}}, "cannot be read"),
        ({"question": ""}, "question is empty"),
    ],
)
def test_a_broken_row_says_why(given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRow, match=why):
        item(**given)


def test_prompts_byte_for_byte() -> None:
    two = item(options="['<image 2>', 'none']", answer="A", image_2={"bytes": picture(2), "path": None})
    text = "Which account of <image>?\n\n(A) <image>\n(B) none"
    assert SPEC.ask(two, Style.OFFICIAL) == SPEC.ask(two, Style.DIRECT)
    assert SPEC.ask(two, Style.DIRECT) == text + "\n\nAnswer with the option's letter from the given choices directly."
    assert SPEC.ask(two, Style.REASONING) == text
    assert two.images == (picture(1), picture(2))
    assert SPEC.ask(short("1"), Style.DIRECT) == "Which account of <image>?\n\nAnswer the question using a single word or phrase."
    assert SPEC.ask(short("1"), Style.REASONING) == "Which account of <image>?"
    assert SPEC.ask(short("1", question="How many?"), Style.REASONING) == "<image>How many?"


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("(C) $12,000", "C"),
        ("C", "C"),
        ("C.", "C"),
        ("Answer: C", "C"),  # by its blank: what stands before it does not matter here
        ("The answer is C. I am sure", None),  # a full stop behind the letter is no form here, and there are six words but no option text
        ("(A) or rather (B)", "B"),
        ("A and C", "C"),
        ("A car", "A"),
        ("DNA is it", None),
        ("I would say that it is $9,000 or so", "D"),
        ("it is $9,000", None),
        ("$182,815 - $9,000 and then $12,000 are left", "C"),
        ("The three of them: (D), A and B", "D"),  # brackets come before blanks
        ("", None),
    ],
)
def test_the_official_parser_of_letters(response: str, found: str | None) -> None:
    assert SPEC.extract(item(), response) == found
    assert official(SPEC, item(), response).ruling is (Ruling.RIGHT if found == "C" else Ruling.WRONG)


@pytest.mark.parametrize(
    ("response", "pieces"),
    [
        ("The answer is 12.", ["12"]),
        ("12", ["12"]),
        ("Thus, x = 5", ["5"]),
        ("x = 5\nso there", ["there"]),  # an equals sign counts in the last line only
        ("x = 5\n\nThe result is y = 7", ["7"]),
        ("It is blue\nand therefore heavy", ["blue", "heavy"]),
        ("the final answer is !", ["the final answer is !"]),  # nothing but punctuation
        ("This is so so-so", ["so-so"]),  # the shortest
        ("so x is \nand 7", ["so x is \nand 7"]),  # nothing after `is ` makes nothing of the line, and no other line has a key
        ("so x is \nit could be 7", ["7"]),
        ("It is big. The sum is 3", ["3"]),  # a sentence's end parts nothing: capitals are gone before
        ("...", [""]),
        ("NO KEY.", ["no key"]),
    ],
)
def test_pieces_that_may_hold_the_answer(response: str, pieces: list[str]) -> None:
    assert key_pieces(response) == pieces
    found = SPEC.extract(short("1"), response)
    assert found == (pieces[0] if len(pieces) == 1 else json.dumps(pieces))


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        ("360", "The AFN is $360.", True),
        ("360", "360.004", True),  # two decimals
        ("360", "360.006", False),
        ("0.963", "0.956", True),  # both are 0.96
        ("2000000", "It is 2,000,000 dollars", True),
        ("2000000", "It is 2e6", True),
        ("2000000", "2,00,000", False),
        ("-141", "The phase is -141 degrees", True),
        ("141", "The phase is -141 degrees", False),
        ("10", "It is 5, 10 or 20", True),  # any number of the piece
        ("10", "It is 5 of 10\nTherefore it is 5", True),  # and of any piece
        ("0.5", "the value is .5", True),
        ("5", "it is 5.0 V", True),
        ("5", "it is 5V", False),  # a number that runs into a letter is none
        ("5", "it is 2.5", False),
        ("1/64", "The probability is 1/64.", True),
        ("1/64", "The probability is 0.015625", False),  # a fraction is a text here
        ("Transformation", "The process is bacterial transformation", True),
        ("Transformation", "It is a TRANSFORMATION.", True),
        ("art", "It is a cartoon", True),  # contained in a word
        ("A", "Point A", True),  # the whole response, with a blank before the letter
        ("A", "Panama", False),
        ("A", "it is a pity", True),  # the letter with a blank behind it
        ("C", "C", True),
        ("C", "It is B", False),
        ('["24/7", "3.429"]', "so 3.43", True),
        ('["24/7", "3.429"]', "so 24/7", True),
        ('["24/7", "3.429"]', "so 24", False),
        ('["Tampa", "Florida"]', "It is in tampa bay", True),
        ("7", "", False),
        ("nothing", "", False),
        ("12", '["12"]', True),  # a response that looks like our own list
        ("inf", "nan", False),
        ("1000", "1_000", True),  # as Python reads numbers
    ],
)
def test_the_official_verdict_on_short_answers(gold: str, response: str, right: bool) -> None:
    one = short(json.loads(gold) if gold.startswith("[") else gold)
    assert official(SPEC, one, response).ruling is (Ruling.RIGHT if right else Ruling.WRONG)


def test_normal_forms() -> None:
    assert normal_forms(" 1,234.567 ") == [1234.57]
    assert normal_forms("-2E3") == [-2000.0]
    assert normal_forms("B") == [" b", "b "]
    assert normal_forms("Yes ") == ["yes"]
    assert normal_forms("1" * 400) == [float("inf")]


def test_a_verdict_on_what_others_extracted() -> None:
    assert SPEC.accepts(item(), "C")
    assert not SPEC.accepts(item(), "c")
    assert not SPEC.accepts(short("5"), None)
    assert SPEC.accepts(short("5"), "5.00")
    assert not SPEC.accepts(short("5"), "six")


def test_which_references_are_words() -> None:
    assert all(map(is_text, ["Transformation", "$MgS$", "C", "trans-1-Chloro-4-methylcyclohexane", "Tampa", r"\text{No}", "red, blue"]))
    assert not any(map(is_text, ["1/64", "-141", "0.10", "24/7", r"\frac{1}{2}", "$5$", "10 cm", "(1, 2)", "x=3", ".5", r"$\pi/2$"]))


LETTER_MISSES = [
    r"\boxed{A}", r"\boxed{$9,000}", r"\boxed{$12,000.50}", r"\boxed{C, D}", "The answer is not C.", "Answer: C or D", "C is wrong.\nAnswer: A",
    "Answer: A\n(C) is close.", "Answer: C ($9,000)", "<think>C</think>\nAnswer: D", "It could be C.\nWho knows?", "Could the answer be C?",
    "(A) (B) (C) (D)", "", "CC", "Answer: Cash", "The article (C) mentions is false.\n\\boxed{B}",
]  # fmt: skip
SHORT_MISSES = [
    ("1/64", r"\boxed{1/46}"), ("1/64", r"\boxed{0.016}"), ("1/64", r"\boxed{\frac{1}{-64}}"), ("1/64", "It is not 1/64.\nAnswer: 1/32"),
    ("360", "Answer: 3600"), ("360", "Answer: 360.4"), ("360", "Answer: 360 or 350"), ("0.963", r"\boxed{0.956}"), ("-141", r"\boxed{141}"),
    ("2000000", r"\boxed{2,000}"), ("Transformation", "Answer: no transformation"), ("Transformation", r"\boxed{transformations of energy}"),
    ("Tampa", "Answer: Tampa or Miami"), ("A", r"\boxed{a car}"), ("A", "Answer: Panama"), ("10", "x = 10, y = 12\nAnswer: 12"),
    ("10", "I count 10.\nAnswer: 11"), ("4", "<think>4</think>\n\\boxed{2}"), ("art", r"\boxed{cartoon}"), ("5", ""),
]  # fmt: skip
RIGHT = [
    ("1/64", r"\boxed{\frac{1}{64}}"), ("1/64", r"\boxed{0.015625}"), ("360", "Answer: 360.0"), ("2000000", r"\boxed{2{,}000{,}000}"),
    ("-141", "The answer is -141."), ("Transformation", r"\boxed{\text{transformation}}"), ("Transformation", "Answer: Transformation."),
    (["24/7", "3.429"], r"\boxed{\frac{24}{7}}"), (["24/7", "3.429"], r"\boxed{3.429}"), (["Tampa", "Florida"], "Answer: florida"),
    ("A", r"\boxed{A}"), ("0.10", r"\boxed{0.1}"),
]  # fmt: skip


@pytest.mark.parametrize("response", LETTER_MISSES)
def test_a_near_miss_of_a_letter_is_wrong(response: str) -> None:
    assert SPEC.strict(item(), response).ruling is Ruling.WRONG


@pytest.mark.parametrize("response", ["Answer: C", r"\boxed{C}", r"\boxed{$12,000}", "The answer is (C).", "(C) $12,000", "C"])
def test_the_right_letter_is_right(response: str) -> None:
    assert SPEC.strict(item(), response).ruling is Ruling.RIGHT
    assert SPEC.strict(item(answer="D"), response).ruling is Ruling.WRONG


@pytest.mark.parametrize(("gold", "response"), SHORT_MISSES)
def test_a_near_miss_of_a_short_answer_is_wrong(gold: str, response: str) -> None:
    assert SPEC.strict(short(gold), response).ruling is Ruling.WRONG


@pytest.mark.parametrize(("gold", "response"), RIGHT)
def test_the_right_short_answer_is_right(gold: Any, response: str) -> None:
    assert SPEC.strict(short(gold), response).ruling is Ruling.RIGHT


HOSTILE = [
    "1" * 100_000, "1," * 50_000, "1,234" * 20_000, "1." * 50_000, "1.1" * 33_000, "1e" * 50_000, "." * 100_000, "-" * 100_000, "-1" * 50_000,
    "is " * 33_000, "is 1\n" * 20_000, "=" * 100_000, "\n" * 100_000, "[" * 100_000, '["a",' * 20_000, "[1" + "1" * 99_000 + "]", "\ud800 is \ud800",
    "1" * 50_000 + "a", "0." + "1" * 99_000 + "e", "(C) " * 25_000, r"\boxed{" * 14_000, "9" * 5_000, "answer is " * 10_000, "_" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_hostile_text_is_read_quickly(place: int) -> None:
    start = time.perf_counter()
    for one in (item(answer="A"), short("360"), short("Transformation")):
        assert official(SPEC, one, HOSTILE[place]).ruling is Ruling.WRONG
        assert SPEC.strict(one, HOSTILE[place]).ruling is Ruling.WRONG
    assert time.perf_counter() - start < 4


def test_the_judge_is_asked_for_a_letter_or_for_a_short_answer() -> None:
    extraction = SPEC.extraction
    assert extraction is not None
    assert "A. $194,815\nB. $182,815\n" in extraction.prompt(item(), "twelve thousand")
    assert extraction.prompt(short("5"), "<think>4</think> It is five.").endswith(
        "Question: Which account of <image 1>?\nResponse: It is five.\nAnswer:"
    )
    assert [extraction.read(item(), reply) for reply in ("C", "Z", "")] == ["C", None, None]
    assert [extraction.read(short("5"), reply) for reply in ("five", "Answer: 5", "NONE", "none.", " ")] == ["five", "5", None, None, None]


def test_measures() -> None:
    items = [item(), item(id="validation_Accounting_3"), item("Art", id="validation_Art_1"), short("5", id="validation_Accounting_9")]
    rights: list[list[bool | None]] = [[True, False], [True, True], [False], [None]]
    graded = [
        Graded(item=one, sample=s, right=right, extracted=None) for one, said in zip(items, rights, strict=True) for s, right in enumerate(said)
    ]
    found = {measure.part: [unit.value for unit in measure.units] for measure in SPEC.measures(graded)}
    assert found == {
        "": [0.5, 1.0, 0.0],
        "subject: Accounting": [0.5, 1.0],
        "subject: Art": [0.0],
        "question type: multiple-choice": [0.5, 1.0, 0.0],
        "question type: open": [],
    }
