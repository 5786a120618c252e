"""Published training prompts against published questions: how many repeat one, by letters and digits alone and by everything that is compared.

The publishers' whole files hold 7 rows of DAPO that repeat a problem of MATH-500, 1,732 problems of MATH's train split in DAPO, 25 rows of ORZ that
repeat one, and none of ORZ in MATH-500. The counts here are those of the rows at hand.
"""

import gzip
import json
import re
import unicodedata
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from support.real import DATA, needs

from vold.adapters.contamination import check
from vold.base.types import Problem
from vold.core.overlap import Findings, Kind
from vold.core.wording import wording

pytestmark = needs("dapo17k")
PROMPTS = {"dapo": ("dapo17k/dapo17k.jsonl.gz", "prompt"), "orz": ("orz57k/orz57k_prefix.jsonl.gz", "prompt")}
QUESTIONS = {
    "math500": ("math500/test.jsonl.gz", "problem"),
    "gsm8k": ("gsm8k/test.jsonl.gz", "question"),
    "math_train": ("math_train/math_train.jsonl.gz", "problem"),
}
LETTERS_AND_DIGITS = {  # rows of prompts that repeat a question
    ("dapo", "math500"): 5,
    ("dapo", "math_train"): 1151,
    ("dapo", "gsm8k"): 0,
    ("orz", "math500"): 0,
    ("orz", "math_train"): 11,
    ("orz", "gsm8k"): 0,
}
NEAR_MATH500 = {  # row of DAPO, row of MATH-500
    (16906, 239),
    (17728, 497),
    (17828, 239),
}


@cache
def problems(of: str) -> tuple[Problem, ...]:
    path, field = {**PROMPTS, **QUESTIONS}[of]
    rows: list[dict[str, Any]] = [json.loads(line) for line in gzip.decompress((DATA / path).read_bytes()).decode().split("\n") if line.strip()]
    return tuple(Problem(id=f"{of}/{row['index']}", prompt=row[field], answer=None, source=of) for row in rows)


@cache
def findings(*questions: str) -> Findings:
    return check((*problems("dapo"), *problems("orz")), {name: problems(name) for name in questions})


def bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


@pytest.mark.parametrize(("prompts", "questions"), LETTERS_AND_DIGITS)
def test_letters_and_digits_alone(prompts: str, questions: str) -> None:
    asked = {bare(one.prompt) for one in problems(questions)}
    assert sum(bare(one.prompt) in asked for one in problems(prompts)) == LETTERS_AND_DIGITS[prompts, questions]


def test_the_problems_of_math_train_in_dapo_are_about_the_share_that_is_at_hand() -> None:
    """1,016 of 1,732: 5,500 of 7,474 problems, and 13,000 of 17,917 rows, some of which say the same."""
    said = {bare(one.prompt) for one in problems("dapo")}
    assert len({bare(one.prompt) for one in problems("math_train")} & said) == 1016


def test_nothing_that_letters_and_digits_find_is_lost() -> None:
    asked = {bare(one.prompt): wording(one.prompt).letters for name in QUESTIONS for one in problems(name)}
    for one in (*problems("dapo"), *problems("orz")):
        if (letters := asked.get(bare(one.prompt))) is not None:
            assert wording(one.prompt).letters == letters


def test_prompts_that_repeat_questions_of_the_text_benchmarks() -> None:
    found = findings("math500", "gsm8k")
    assert found.prompts == 14_400
    assert found.asked["math500"].questions == 400
    counted = Counter((one.prompt_id.split("/")[0], one.benchmark, one.kind) for one in found.overlaps)
    assert counted == {("dapo", "math500", Kind.EXACT): 9, ("dapo", "math500", Kind.NEAR): 3, ("dapo", "math500", Kind.TEMPLATE): 33}
    assert len(found.repeated) == 12
    assert [found.trained_on(name) for name in ("math500", "gsm8k")] == [9, 0]


def test_near_duplicates_of_math500_are_these() -> None:
    """The same problem reworded or misspelt. Row 7147 asks for the sine where MATH-500 asks for the cosine, which is another problem."""
    near = [one for one in findings("math500", "gsm8k").overlaps if one.kind is Kind.NEAR]
    assert {(int(one.prompt_id.split("/")[1]), int(one.question_id.split("/")[1])) for one in near} == NEAR_MATH500
    assert [one.prompt_id for one in findings("math500", "gsm8k").overlaps if one.why == "other words"] == ["dapo/7147"]


def test_every_letter_and_digit_repeat_is_exact() -> None:
    asked = {bare(one.prompt) for one in problems("math500")}
    plain = {one.id for one in problems("dapo") if bare(one.prompt) in asked}
    assert plain <= {one.prompt_id for one in findings("math500", "gsm8k").overlaps if one.kind is Kind.EXACT}


@pytest.mark.long
def test_prompts_that_repeat_problems_of_math_train() -> None:
    found = findings("math_train")
    by_source = {
        source: Counter(one.kind for one in found.overlaps if one.prompt_id.startswith(f"{source}/") and one.kind is not Kind.TEMPLATE)
        for source in PROMPTS
    }
    assert by_source == {"dapo": {Kind.EXACT: 1469, Kind.NEAR: 70}, "orz": {Kind.EXACT: 18, Kind.NEAR: 12}}
    assert (len(found.repeated), found.trained_on("math_train")) == (1562, 1325)


@pytest.mark.long
def test_the_same_letters_and_digits_are_exact_but_for_one_pair() -> None:
    """ORZ writes a hyphen after a formula where MATH writes a blank: `$r$ -gon`."""
    said = {one.id: wording(one.prompt) for name in (*PROMPTS, "math_train") for one in problems(name)}
    same = [one for one in findings("math_train").overlaps if said[one.prompt_id].letters == said[one.question_id].letters]
    assert [(one.prompt_id, one.question_id, one.why) for one in same if one.kind is not Kind.EXACT] == [
        ("orz/1026", "math_train/2923", "other signs")
    ]


PLANTED = problems("gsm8k")[:300:10] if (DATA / "gsm8k").is_dir() else ()
REWORDED = {"How many": "What number of", "how many": "what number of", "each": "every", "How old": "What age", "How much": "What"}


@pytest.mark.parametrize(
    "wrapped", ["{}", "Question: {}\nThink it over at leisure, then tell me what comes out and why it does.", "{} Express your answer as an integer."]
)
def test_planted_copies_are_exact(wrapped: str) -> None:
    prompts = [replace(one, id=f"planted/{one.id}", prompt=wrapped.format(one.prompt)) for one in PLANTED]
    found = check(prompts, {"gsm8k": problems("gsm8k")})
    assert [(one.prompt_id, one.question_id, one.kind) for one in found.overlaps] == [(f"planted/{one.id}", one.id, Kind.EXACT) for one in PLANTED]


@pytest.mark.parametrize(("threshold", "seen"), [(0.8, 27), (0.7, 29)])
def test_planted_rewordings_are_near(threshold: float, seen: int) -> None:
    """One phrase changed: at the usual threshold three of the shortest questions are missed, which lose much by it; at 0.7 one is."""
    prompts = []
    for one in PLANTED:
        text = next((one.prompt.replace(old, new, 1) for old, new in REWORDED.items() if old in one.prompt), one.prompt.replace("the ", "this ", 1))
        assert text != one.prompt
        prompts.append(replace(one, id=f"planted/{one.id}", prompt=text))
    found = check(prompts, {"gsm8k": problems("gsm8k")}, threshold=threshold)
    pairs = {(one.prompt_id, one.question_id, one.kind) for one in found.overlaps}
    assert pairs <= {(f"planted/{one.id}", one.id, Kind.NEAR) for one in PLANTED}
    assert len(pairs) == seen


def test_planted_renumberings_are_templates_and_nothing_else() -> None:
    prompts = []
    for one in PLANTED:
        text = re.sub(r"\d+", lambda number: str(int(number[0]) + 1), one.prompt, count=1)
        assert text != one.prompt
        prompts.append(replace(one, id=f"planted/{one.id}", prompt=text))
    found = check(prompts, {"gsm8k": problems("gsm8k")})
    assert {(one.prompt_id, one.question_id, one.kind) for one in found.overlaps} == {(f"planted/{one.id}", one.id, Kind.TEMPLATE) for one in PLANTED}
    assert found.repeated == frozenset()
