"""Published benchmarks as a run meets them: broken rows are named, subsets are the same for every model, rules read what they should."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vold.adapters.benchmarks.asked import PublishedBenchmark, Rows, RuleJudge
from vold.adapters.benchmarks.reads import read_part
from vold.adapters.benchmarks.registry import named
from vold.adapters.benchmarks.spec import Mode, Style
from vold.adapters.fields import BadRow, picture_of
from vold.adapters.rows import DataSet
from vold.base.errors import DataError
from vold.base.types import Finish, Rollout, Ruling
from vold.wiring.scoring import scored


def gsm8k(folder: Path, rows: list[Any], **changes: Any) -> Rows:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" if isinstance(row, dict) else row + "\n" for row in rows))
    return Rows(spec=named("gsm8k"), data=DataSet(path=str(path), split="test"), **changes)


def row(n: int) -> dict[str, str]:
    return {"question": f"How much is {n} + 1?", "answer": f"It is {n + 1}.\n#### {n + 1}"}


def said(benchmark: PublishedBenchmark, *texts: str) -> list[Rollout]:
    return [
        Rollout(problem=p, sample=0, prompt_ids=(), response_ids=(), logprobs=(), sampled=(), policy_version=0, finish=Finish.STOP, text=text)
        for p, text in zip(benchmark.problems(), texts, strict=True)
    ]


def test_broken_rows_are_named_and_counted(tmp_path: Path) -> None:
    found = gsm8k(tmp_path, [row(1), {"question": "Q?"}, "{not json", {"question": "", "answer": "#### 1"}, row(2), row(2)])
    benchmark = PublishedBenchmark(name="g", rows=found)
    assert [item.answer for item in benchmark.items.values()] == ["2", "3"]
    assert benchmark.seen == 6
    assert [name for name, _ in benchmark.broken] == ["gsm8k/test/1", "gsm8k/test/2", "gsm8k/test/3", "gsm8k/test/5"]
    assert "a second row is called" in benchmark.broken[-1][1]


def test_what_a_model_cannot_be_asked_is_broken_too(tmp_path: Path) -> None:
    found = gsm8k(tmp_path, [row(1), row(2)], fits=lambda item: "too long" if "2 +" in item.question else None)
    assert found.read[1] == (("gsm8k/test/1", "too long"),)


def test_nothing_to_ask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"of 1 rows none can be asked as GSM8K \(1 are broken.*The first: gsm8k/test/0.*openai/gsm8k"):
        _ = gsm8k(tmp_path, [{"question": "Q?"}]).read


def test_a_subset_is_the_same_whatever_is_asked_and_keeps_seed_questions_whole(tmp_path: Path) -> None:
    rows = gsm8k(tmp_path, [row(n) for n in range(50)], size=7)
    few = [item.id for item in rows.read[0]]
    assert len(few) == 7
    assert few == [item.id for item in gsm8k(tmp_path, [row(n) for n in range(50)], size=7).read[0]]
    every = [item.id for item in replace(rows, size=0).read[0]]
    assert few == [name for name in every if name in set(few)]  # in their own order
    assert few != every[:7]
    spec = replace(rows.spec, item=lambda value, subset, folder: replace(named("gsm8k").item(value, subset, folder), cluster=value["question"][12]))
    families = [item.cluster for item in replace(rows, spec=spec, size=12).read[0]]
    assert {family: families.count(family) for family in families} == {
        family: [item.cluster for item in replace(rows, spec=spec, size=0).read[0]].count(family) for family in set(families)
    }


def test_each_split_of_several_is_read_by_itself_and_known_by_its_name(tmp_path: Path) -> None:
    """DynaMath's variants are splits, and no column says which."""
    stored = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stored, "PNG")
    row = {"id": "1", "question": "x?", "ground_truth": "3", "answer_type": "float", "subject": "algebra", "knowledge_level": "high school"}
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for split in ("sample_variant1", "sample_variant2"):
        table = pa.Table.from_pylist([row | {"decoded_image": {"bytes": stored.getvalue(), "path": "1.png"}}])
        pq.write_table(table, tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    data = DataSet(path=str(tmp_path / "hub"), split="sample_variant1+sample_variant2")
    items, broken, seen = Rows(spec=named("dynamath"), data=data).read
    assert (broken, seen) == ((), 2)
    assert [item.parts["variant"] for item in items] == ["1", "2"]
    assert {item.cluster for item in items} == {items[0].cluster}


def test_only_some_parts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    levels = [
        {"problem": f"p{n}", "solution": f"\\boxed{{{n}}}", "answer": str(n), "subject": "Algebra", "level": n, "unique_id": str(n)} for n in (1, 2)
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in levels))
    rows = Rows(spec=named("math500"), data=DataSet(path=str(path)), only={"level": "2"})
    assert [item.answer for item in rows.read[0]] == ["2"]
    with pytest.raises(DataError, match=r"only = \{'level': '7'\} keeps none"):
        _ = replace(rows, only={"level": "7"}).read


def test_styles_and_suffixes(tmp_path: Path) -> None:
    rows = gsm8k(tmp_path, [row(1)])
    (asked,) = PublishedBenchmark(name="g", rows=rows).problems()
    assert (asked.prompt, asked.instructed, asked.answer) == ("How much is 1 + 1?", False, "2")
    (told,) = PublishedBenchmark(name="g", rows=rows, style=Style.OFFICIAL).problems()
    assert told.instructed
    assert told.prompt != asked.prompt


def test_rules_read_the_part_they_were_written_for(tmp_path: Path) -> None:
    benchmark = PublishedBenchmark(name="g", rows=gsm8k(tmp_path, [row(1), row(2), row(3)]), style=Style.OFFICIAL)
    texts = ("<think>#### 9</think>#### 2", "#### 3", "#### 5")
    official = RuleJudge(of=benchmark, mode=Mode.OFFICIAL).judge(said(benchmark, *texts))
    assert [one.ruling for one in official] == [Ruling.RIGHT, Ruling.RIGHT, Ruling.WRONG]
    whole = RuleJudge(of=benchmark, mode=Mode.OFFICIAL, reads="whole").judge(said(benchmark, *texts))
    assert [one.extracted for one in whole] == ["9", "3", "5"]
    strict = RuleJudge(of=benchmark, mode=Mode.STRICT).judge(said(benchmark, r"\boxed{2}", r"\boxed{3.0}", r"\boxed{41}"))
    assert [one.ruling for one in strict] == [Ruling.RIGHT, Ruling.RIGHT, Ruling.WRONG]


@pytest.mark.parametrize(
    ("reads", "box", "part"),
    [
        ("whole", True, r"<think>\boxed{1}</think> So \boxed{2}. <answer>B</answer>"),
        ("after-think", True, r" So \boxed{2}. <answer>B</answer>"),
        ("auto", False, r" So \boxed{2}. <answer>B</answer>"),
        ("auto", True, "2"),
        ("boxed", False, "2"),
        ("answer-tag", True, "B"),
    ],
)
def test_parts_of_a_response(reads: Any, box: bool, part: str) -> None:
    assert read_part(r"<think>\boxed{1}</think> So \boxed{2}. <answer>B</answer>", reads, asked_for_box=box) == part


def test_where_the_part_is_missing_what_follows_the_thinking_is_read() -> None:
    assert read_part("<think>x</think>B", "boxed") == read_part("<think>x</think>B", "answer-tag") == "B"


# -- somebody's responses -------------------------------------------------------------------------------------------------------------


def responses(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "responses.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def test_responses_and_extractions_are_scored_without_a_model(tmp_path: Path) -> None:
    rows = gsm8k(tmp_path, [row(1), row(2)])
    one, two = (item.id for item in rows.read[0])
    given = responses(tmp_path, {"id": one, "response": "#### 2"}, {"id": two.removeprefix("gsm8k/"), "response": "about 3"})
    found, lines = scored("gsm8k", rows.data.path, given, modes=("official-rule", "strict"), reads="after-think", label="x")
    official, strict = found.benchmarks
    assert [unit.value for unit in official.measures[0].units] == [1.0, 0.0]
    assert (official.items, official.unextracted, strict.mode) == (2, 1, "strict")
    assert [line["official-rule"]["ruling"] for line in lines] == ["right", "wrong"]
    extracted = responses(tmp_path, {"id": one, "extraction": "2"}, {"id": two, "extraction": None})
    (only,) = scored("gsm8k", rows.data.path, extracted, modes=("official-rule", "strict"), reads="whole", label="x")[0].benchmarks
    assert (only.mode, [unit.value for unit in only.measures[0].units]) == ("official-rule", [1.0, 0.0])


def test_several_lines_of_one_id_are_samples(tmp_path: Path) -> None:
    rows = gsm8k(tmp_path, [row(1)])
    (name,) = (item.id for item in rows.read[0])
    given = responses(tmp_path, *({"id": name, "response": f"#### {n}"} for n in (2, 3, 2)))
    (found,) = scored("gsm8k", rows.data.path, given, modes=("official-rule",), reads="whole", label="x")[0].benchmarks
    values = {measure.metric: measure.units[0].value for measure in found.measures}
    assert values == {"accuracy": pytest.approx(2 / 3), "pass@3": 1.0, "majority of 3": 1.0}


ITS_OWN = "the row's own"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (({"id": "nobody", "response": "x"},), r"1 responses are to no row of GSM8K.*gsm8k/nobody.*such as gsm8k/"),
        (({"response": "x"},), "no id"),
        (({"id": ITS_OWN, "answer": "2"},), r"row 0: neither a `response` nor an `extraction`, found answer, id"),
        (({"id": ITS_OWN, "response": 5},), r"row 0: its response is 5, expected text"),
        (({"id": ITS_OWN, "extraction": "2"},), r"gives extractions, and the strict mode reads whole responses"),
        ((), "holds no response"),
    ],
)
def test_responses_that_are_to_nothing_are_refused(tmp_path: Path, lines: tuple[dict[str, Any], ...], why: str) -> None:
    rows = gsm8k(tmp_path, [row(1)])
    (name,) = (item.id for item in rows.read[0])
    lines = tuple(line | {"id": name} if line.get("id") == ITS_OWN else line for line in lines)
    with pytest.raises(DataError, match=why):
        scored("gsm8k", rows.data.path, responses(tmp_path, *lines), modes=("strict",), reads="whole", label="x")


@pytest.mark.parametrize("line", ["[1, 2]", '"x"', "null", "5"])
def test_a_line_that_is_no_object_is_broken_and_named(tmp_path: Path, line: str) -> None:
    ((name, why),) = gsm8k(tmp_path, [row(1), line]).read[1]
    assert name == "gsm8k/test/1"
    assert "no object but" in why


def test_where_a_part_is_empty_the_rows_are_not_blamed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="keeps none of the other 2") as found:
        _ = gsm8k(tmp_path, [row(1), row(2)], only={"subject": "algebra"}).read
    assert "Choose another part" in str(found.value)
    assert "openai/gsm8k" not in str(found.value)
    with pytest.raises(DataError) as found:
        _ = gsm8k(tmp_path, [row(1)], fits=lambda _: "too long").read
    assert "only =" not in str(found.value)


def test_a_picture_that_is_none_is_broken_for_the_same_reason_each_time() -> None:
    said = set()
    kept = []
    for _ in range(3):
        with pytest.raises(BadRow, match="its 6 bytes are no picture") as found:
            picture_of({"bytes": b"<html>", "path": None}, None)
        said.add(str(found.value))
        kept.append(found.value)  # so that no address is used twice
    assert len(said) == 1


@pytest.mark.parametrize("skill", [5, 1.5, True])
def test_a_skill_that_is_neither_text_nor_list_breaks_its_row_only(skill: Any) -> None:
    stored = io.BytesIO()
    Image.new("L", (4, 4)).save(stored, "PNG")
    good = {"question": "Which?", "answer": "A", "image": {"bytes": stored.getvalue(), "path": None}}
    assert named("logicvista").item({**good, "skill": ["a", "b"]}, "test", None).parts == {"skill": "a, b"}
    with pytest.raises(BadRow, match="skill is neither"):
        named("logicvista").item({**good, "skill": skill}, "test", None)
