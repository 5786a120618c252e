"""GSM8K, MATH-500 and AIME on real rows: published verdicts and extractions on all of them, and how often our own extraction agrees."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.real import DATA, needs

from vold.adapters.benchmarks import aime, gsm8k, math500
from vold.adapters.benchmarks.reads import read_part
from vold.adapters.benchmarks.spec import Spec, Style, official
from vold.base.types import Item, Ruling

ROOT = Path(__file__).parents[2]

pytestmark = needs("scorer_vectors")


@cache
def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def items(spec: Spec, name: str) -> list[Item]:
    return [spec.item(row, "test", None) for row in rows(name)]


SETS = [
    (gsm8k.SPEC, "gsm8k/test.jsonl.gz", "question", 1000),
    (gsm8k.SPEC, "gsm8k/train.jsonl.gz", "question", 2000),
    (math500.SPEC, "math500/test.jsonl.gz", "problem", 400),
    (aime.SPEC, "math500/aime2024.jsonl", "prompt", 24),
]


@pytest.mark.parametrize(("spec", "name", "asks", "count"), SETS, ids=[name for _, name, _, _ in SETS])
def test_every_row_loads_and_renders(spec: Spec, name: str, asks: str, count: int) -> None:
    found = items(spec, name)
    assert len(found) == len({item.id for item in found}) == count
    for item, row in zip(found, rows(name), strict=True):
        assert spec.ask(item, Style.REASONING) == row[asks]
        for style in (Style.OFFICIAL, Style.DIRECT):
            assert spec.ask(item, style).startswith(f"{row[asks]}\n\n")


SAME = {"math500/test.jsonl.gz": [("5", "x=5")]}
"""Neighbours whose references are one value in two notations."""


@pytest.mark.parametrize(("spec", "name"), [(spec, name) for spec, name, _, _ in SETS], ids=[name for _, name, _, _ in SETS])
def test_references_are_right_and_those_of_the_row_before_are_not(spec: Spec, name: str) -> None:
    found, same = items(spec, name), []
    for item, other in zip(found, [*found[1:], found[0]], strict=True):
        boxed = f"\\boxed{{{item.answer}}}"
        assert spec.accepts(item, item.answer), item.id
        assert spec.strict(item, boxed).ruling is Ruling.RIGHT, item.id
        if item.answer != other.answer and spec.strict(other, boxed).ruling is not Ruling.WRONG:
            same.append((item.answer, other.answer))
    assert same == SAME.get(name, [])


def test_published_solutions_are_right_by_both_rules() -> None:
    for name in ("gsm8k/test.jsonl.gz", "gsm8k/train.jsonl.gz"):
        for item, row in zip(items(gsm8k.SPEC, name), rows(name), strict=True):
            assert official(gsm8k.SPEC, item, row["answer"]).ruling is gsm8k.SPEC.strict(item, row["answer"]).ruling is Ruling.RIGHT, item.id
    for item, row in zip(items(math500.SPEC, "math500/test.jsonl.gz"), rows("math500/test.jsonl.gz"), strict=True):
        assert official(math500.SPEC, item, row["solution"]).ruling is math500.SPEC.strict(item, row["solution"]).ruling is Ruling.RIGHT, item.id


def test_gsm8k_verdicts_on_published_model_solutions() -> None:
    """400 of 400, by the published number; of the responses themselves the strict rule says the same. Their last line is `A: 18`, so the official
    rule finds no #### in any of them."""
    by_index = {row["index"]: item for row, item in zip(rows("gsm8k/test.jsonl.gz"), items(gsm8k.SPEC, "gsm8k/test.jsonl.gz"), strict=True)}
    published = rows("gsm8k/oracle_model_solutions.jsonl.gz")
    assert len(published) == 400
    for row in published:
        item = by_index[row["index"]]
        assert item.answer == row["gold"].replace(",", "")
        assert gsm8k.SPEC.accepts(item, row["extracted"]) == row["string_equal"] == row["is_correct_in_repo"]
        strictly = gsm8k.SPEC.strict(item, row["response"])
        assert (strictly.ruling is Ruling.RIGHT) == row["number_equal"]
        assert strictly.extracted is not None
        assert strictly.extracted.replace(",", "") == row["extracted"]
        assert gsm8k.SPEC.extract(item, row["response"]) is None
    assert 0 < sum(row["is_correct_in_repo"] for row in published) < 400


def test_gsm8k_extraction_as_verl_has_it() -> None:
    """186 of 186 by verl's rules. The official rule differs from verl's strict one where there are two ####: it takes the first."""
    vectors = rows("scorer_vectors/gsm8k_extraction.jsonl.gz")
    assert len(vectors) == 186
    assert [(gsm8k.verl(row["response"]), gsm8k.verl(row["response"], flexible=True)) for row in vectors] == [
        (row["strict"], row["flexible"]) for row in vectors
    ]
    item = Item(id="i", question="?", answer="7")
    differ = [row["response"] for row in vectors if gsm8k.SPEC.extract(item, row["response"]) != row["strict"]]
    assert differ == ["#### -5 and #### 7"]


def test_gsm8k_answers_of_a_trained_model() -> None:
    """300 of 300 verdicts of its publisher by the strict rule, and as many by the official one where it reads the box that was asked for. In the
    whole response it finds no ####, so that only the 38 wrong answers agree."""
    published = rows("mot_sample/qwen25_3b_rl_think_gsm8k.jsonl.gz")
    assert len(published) == 300
    agree = {"strict": 0, "official, boxed": 0, "official, whole": 0}
    for row in published:
        item = Item(id=str(row["index"]), question=row["question"], answer=str(row["gold"]).replace(",", ""))
        right = {
            "strict": gsm8k.SPEC.strict(item, row["response"]),
            "official, boxed": official(gsm8k.SPEC, item, read_part(row["response"], "boxed")),
            "official, whole": official(gsm8k.SPEC, item, row["response"]),
        }
        for name, verdict in right.items():
            agree[name] += (verdict.ruling is Ruling.RIGHT) == bool(row["verdict"])
    assert agree == {"strict": 300, "official, boxed": 300, "official, whole": 38}
