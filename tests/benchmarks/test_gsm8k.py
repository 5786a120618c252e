"""GSM8K: the number behind ####, as a string in the official rule and as a number in the strict one."""

import time

import pytest

from vold.adapters.benchmarks.gsm8k import SPEC, verl
from vold.adapters.benchmarks.reads import read_part
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

ROW = {"question": "Ann has 1,000 eggs and buys 234. How many has she?", "answer": "1000+234 = <<1000+234=1234>>1,234 eggs.\n#### 1,234"}
ITEM = SPEC.item(ROW, "main", None)
SMALL = Item(id="s", question="?", answer="18")


def test_a_row() -> None:
    assert ITEM.question == ROW["question"]
    assert ITEM.answer == "1234"
    assert ITEM.id.startswith("gsm8k/")
    assert ITEM.id == SPEC.item({**ROW, "answer": "#### 1"}, "main", None).id  # rows have no id of their own: the question names them
    assert ITEM.id != SPEC.item({**ROW, "question": "Another?"}, "main", None).id
    assert ITEM.images == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"question": None}, "no question"), ({"question": " "}, "question is empty"), ({"answer": None}, "no answer"),
     ({"answer": "1234"}, "no number behind ####"), ({"answer": "#### ,"}, "no number behind ####"), ({"answer": "#### 1.2.3"}, "no number behind"),
     ({"answer": 5}, "answer is no text")],
)  # fmt: skip
def test_broken_rows(change: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        SPEC.item({**ROW, **change}, "main", None)


def test_how_it_is_asked() -> None:
    assert SPEC.ask(ITEM, Style.REASONING) == ROW["question"]
    assert SPEC.ask(ITEM, Style.OFFICIAL) == (
        f"{ROW['question']}\n\nThink step by step. Then write the answer, a number alone, on a last line that begins with ####, as in #### 42."
    )
    assert SPEC.ask(ITEM, Style.DIRECT) == f"{ROW['question']}\n\nAnswer with one line: #### and the number, as in #### 42."


@pytest.mark.parametrize(
    ("response", "extracted", "right"),
    [
        ("so\n#### 18", "18", True),
        ("#### 1,8", "18", True),  # every comma goes
        ("#### 18 eggs", "18", True),
        ("#### 18\n#### 19", "18", True),  # the first one
        ("#### 19\n#### 18", "19", False),
        ("#### 18.", "18.", False),  # strings are compared
        ("#### 18.0", "18.0", False),
        ("#### 018", "018", False),
        ("#### -18", "-18", False),
        ("#### 18/1", "18", True),
        ("##### 18", "18", True),
        ("####18", None, False),
        ("####  18", None, False),
        ("#### $18", None, False),
        ("#### eighteen", None, False),
        ("#### .", ".", False),
        ("#### ,", "", False),
        ("The answer is 18.", None, False),
        ("A: 18", None, False),
        (r"\boxed{18}", None, False),
        ("18", "18", True),  # the content of a box that was asked for
        (" $18$ ", "18", True),
        ("", None, False),
    ],
)
def test_the_official_rule(response: str, extracted: str | None, right: bool) -> None:
    verdict = official(SPEC, SMALL, response)
    assert (verdict.extracted, verdict.ruling is Ruling.RIGHT) == (extracted, right)


@pytest.mark.parametrize(
    ("box", "extracted"),
    [
        ("18", "18"), (r"\$18", "18"), (r"18 \text{ dollars}", "18"), (r"\text{18}", "18"), ("1{,}234", "1234"), ("1,234", "1234"), ("18.00", "18"),
        (r"18\%", "18"), ("18 eggs", "18"), ("x = 18", "18"), (r"\frac{36}{2}", "18"), ("-18", "-18"), ("18.5", "18.5"), ("181", "181"),
        (r"18 \text{ or } 19", None), (r"18 \text{ thousand}", None), ("18x", None), (r"\text{eighteen}", None), ("", None),
    ],
)  # fmt: skip
def test_a_box_that_was_asked_for(box: str, extracted: str | None) -> None:
    assert official(SPEC, SMALL, read_part(f"<think>18</think>So \\boxed{{{box}}}", "auto", asked_for_box=True)).extracted == extracted


def test_an_answer_that_somebody_else_extracted() -> None:
    assert SPEC.accepts(SMALL, "18")
    assert not SPEC.accepts(SMALL, None)
    assert not SPEC.accepts(SMALL, " 18")


@pytest.mark.parametrize(
    ("response", "strict", "flexible"),
    [
        ("#### 5 then #### 1,000", "1000", "1,000"),
        ("#### 5" + " " * 300, None, None),  # out of reach
        ("It costs 1,234. Or not.", None, "1,234."),
        ("a . b", None, None),
        ("a , b", None, ","),
        ("x-3", None, "-3"),
    ],
)
def test_verls_rules(response: str, strict: str | None, flexible: str | None) -> None:
    assert verl(response) == strict
    assert verl(response, flexible=True) == flexible


@pytest.mark.parametrize(
    "response",
    ["#### 18", "so 9 + 9 = 18\n#### 18", "#### $18", "#### 18.0",
     "#### 18 dollars", "**#### 18**", "#### **18**", "#### 18 eggs", "A: 18", r"\boxed{18}", "The answer is 18.", "The answer is $18.",
    "Answer: 18 dollars", "18",
     "<think>17</think>\n<answer>18</answer>", "#### Step 1\n9 + 9\nAnswer: 18", "#### Step 1\n\nThe answer is 18.", r"The answer is \$18.00."],
)  # fmt: skip
def test_strictly_right(response: str) -> None:
    assert SPEC.strict(SMALL, response).ruling is Ruling.RIGHT


@pytest.mark.parametrize(
    "response",
    ["#### 118", "#### 180", "#### 1.8", "#### -18", "#### 18.5", "#### 17\n#### 19", "A: 18\nA: 19", "A: 118", "The answer is 18 or 19.",
    "The answer is not 18.",
     r"\boxed{18} no, \boxed{19}", r"\boxed{1,8}", r"\boxed{18", "Is it 18?", "She sells 18 eggs.\nThen 2 more.", "18 eggs for 2 dollars each is 36",
     "<think>#### 18</think>I do not know.", "#### eighteen or so", "#### 18 - 19", "#### Step 18\nso it is done", "", "18\n19",
     "The answer is 18! = 6402373705728000.",
     "#### 18\n#### 19", "#### 18%%", "about 18", "#### 18 thousand", "**#### 19**", "#### 19 dollars",
     "#### 18 dozen"],
)  # fmt: skip
def test_near_misses(response: str) -> None:
    assert SPEC.strict(SMALL, response).ruling is Ruling.WRONG


def test_numbers_are_compared_as_numbers() -> None:
    for response in ("#### 1234", "#### 1,234", "#### 1234.00", r"\boxed{1,234}", "A: 1234"):
        assert SPEC.strict(ITEM, response).ruling is Ruling.RIGHT, response
    for response in ("#### 1.234", "#### 12,34", "#### 123", "#### 1234.5"):
        assert SPEC.strict(ITEM, response).ruling is Ruling.WRONG, response


def test_a_bare_sentence_is_no_answer() -> None:
    """It counts as not extracted; what is declared, stands behind #### or is no sentence was extracted, however wrong."""
    for sentence in ("I would have to see the whole table.", "She sells many eggs at the market."):
        verdict = SPEC.strict(SMALL, sentence)
        assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, None)
    for said, extracted in (
        ("99", "99"),
        ("99 eggs", "99 eggs"),
        ("The answer is the sum of all eggs.", "the sum of all eggs"),
        ("So\n#### 99", "99"),
    ):
        verdict = SPEC.strict(SMALL, said)
        assert (verdict.ruling, verdict.extracted) == (Ruling.WRONG, extracted)


def test_its_table() -> None:
    answers = [Graded(item=ITEM, sample=0, right=True, extracted="1234"), Graded(item=SMALL, sample=0, right=False, extracted=None)]
    (found,) = SPEC.measures(answers)
    assert (found.metric, found.part, [unit.value for unit in found.units]) == ("accuracy", "", [1.0, 0.0])


@pytest.mark.parametrize(
    "response", ["#### " * 20_000, "#### 1" * 16_000, "1," * 50_000, "#" * 100_000, "A: " * 33_000, "9" * 100_000, "\n####" * 20_000]
)
def test_whatever_a_model_writes(response: str) -> None:
    start = time.monotonic()
    assert official(SPEC, SMALL, response).ruling is Ruling.WRONG
    assert SPEC.strict(SMALL, response).ruling is Ruling.WRONG
    verl(response, flexible=True)
    assert time.monotonic() - start < 1
