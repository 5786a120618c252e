"""Published data as they are: what is read of them, what is left out, and why."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from support.real import DATA, needs

from vold.adapters.problems.files import ProblemFile, problem_file
from vold.adapters.ready_made import ReadyMadeTraces
from vold.base.errors import DataError
from vold.core.answers import last_boxed

pytestmark = needs("orz57k")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def read(path: str, kind: str, **how: Any) -> ProblemFile:
    return problem_file(DATA / path, kind=kind, source="s", **how)


def rows_of(path: str) -> list[dict[str, Any]]:
    data = (DATA / path).read_bytes()
    text = gzip.decompress(data) if path.endswith(".gz") else data
    return [json.loads(line) for line in text.decode().split("\n") if line.strip()]


COUNTS = {  # rows, used, repeated, of them with another answer, bad
    ("orz57k/orz57k_original_format_60.json", "orz"): (60, 60, 0, 0, 0),
    ("orz57k/orz57k_prefix.jsonl.gz", "orz"): (1400, 1398, 2, 0, 0),
    ("orz57k/orz72k_extended_prefix.jsonl.gz", "orz"): (2200, 2174, 26, 0, 0),
    ("dapo17k/dapo17k.jsonl.gz", "dapo"): (13000, 12640, 360, 8, 0),
    ("gsm8k/train.jsonl.gz", "gsm8k"): (2000, 2000, 0, 0, 0),
    ("gsm8k/test.jsonl.gz", "gsm8k"): (1000, 1000, 0, 0, 0),
    ("math500/test.jsonl.gz", "math"): (400, 400, 0, 0, 0),
    ("math500/aime2024.jsonl", "orz"): (24, 24, 0, 0, 0),
    ("math_train/math_train.jsonl.gz", "math"): (5500, 5495, 1, 0, 4),
    ("bench/geometry3k/sample.parquet", "geometry3k"): (14, 14, 0, 0, 0),
}


@pytest.mark.parametrize(("path", "kind"), COUNTS)
def test_what_is_read_and_what_is_left_out(path: str, kind: str) -> None:
    found = read(path, kind, on_bad_row="drop")
    facts = found.facts
    assert (facts.rows, facts.kept, facts.duplicates, facts.conflicting, len(facts.bad)) == COUNTS[path, kind]
    assert len(found.problems) == facts.kept
    assert len({problem.id for problem in found.problems}) == facts.kept
    assert all(problem.answer == (problem.answer or "").strip() != "" for problem in found.problems)
    whole = read(path, kind, on_bad_row="drop", distinct=False).facts
    assert (whole.kept, whole.duplicates) == (facts.kept + facts.duplicates, 0)


def test_both_files_of_orz_say_the_same() -> None:
    nested, flat = read("orz57k/orz57k_original_format_60.json", "orz").problems, read("orz57k/orz57k_prefix.jsonl.gz", "orz", limit=60).problems
    assert nested == flat
    rows = rows_of("orz57k/orz57k_prefix.jsonl.gz")
    found = read("orz57k/orz57k_prefix.jsonl.gz", "orz")
    for problem in found.problems:
        row = rows[int(problem.id.removeprefix("s/"))]
        assert (problem.prompt, problem.answer) == (row["prompt"], row["answer"].strip())
    assert sum(row["answer"] != row["answer"].strip() for row in rows) == 240
    assert sum(problem.instructed for problem in found.problems) == 3


def test_the_wrapped_prompts_of_dapo_are_the_bare_ones(tmp_path: Path) -> None:
    before, after = (
        "Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer (without quotes) "
        "where $Answer is the answer to the problem.\n\n",
        '\n\nRemember to put your answer on its own line after "Answer:".',
    )
    rows = rows_of("dapo17k/dapo17k.jsonl.gz")[:200]
    wrapped = [
        {"prompt": [{"role": "user", "content": before + row["prompt"] + after}], "reward_model": {"ground_truth": row["answer"], "style": "rule"}}
        for row in rows
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wrapped))
    assert problem_file(tmp_path / "d.jsonl", kind="dapo", source="s").problems == read("dapo17k/dapo17k.jsonl.gz", "dapo", limit=200).problems


def test_answers_of_gsm8k_are_numbers() -> None:
    rows = rows_of("gsm8k/test.jsonl.gz")
    for problem in read("gsm8k/test.jsonl.gz", "gsm8k").problems:
        row = rows[int(problem.id.removeprefix("s/"))]
        assert problem.prompt == row["question"]
        assert float(problem.answer or "") == float(row["answer"].split("\n#### ")[1].replace(",", ""))
        assert "," not in (problem.answer or "")


def test_answers_of_math500_are_what_the_solutions_box(tmp_path: Path) -> None:
    rows = rows_of("math500/test.jsonl.gz")
    bare = [{name: value for name, value in row.items() if name != "answer"} for row in rows]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))
    found = problem_file(tmp_path / "m.jsonl", kind="math", source="s", distinct=False).problems
    assert [x.answer for x in found] == [(last_boxed(row["solution"]) or "").strip() for row in rows]
    given = read("math500/test.jsonl.gz", "math").problems
    assert [(x.prompt, x.difficulty) for x in found] == [(x.prompt, x.difficulty) for x in given]
    assert sum(a.answer == b.answer for a, b in zip(found, given, strict=True)) >= 395  # a few of the published answers were cleaned by hand
    assert Counter(x.difficulty for x in given).keys() == {1, 2, 3, 4, 5}


def test_problems_of_math_without_answer_are_refused_by_number() -> None:
    with pytest.raises(DataError, match=r"4 of 5500 rows cannot be used: s/645: no answer; s/730: no answer; s/3930: the answer is empty; s/3932: "):
        _ = read("math_train/math_train.jsonl.gz", "math").problems
    assert read("math_train/math_train.jsonl.gz", "math", needs_answers=False).facts.bad == ()


@pytest.mark.parametrize("folder", [False, True])
def test_geometry3k_shows_its_drawings(tmp_path: Path, folder: bool) -> None:
    stored = pq.read_table(DATA / "bench/geometry3k/sample.parquet")
    if folder:  # as on the hub
        (tmp_path / "data").mkdir()
        pq.write_table(stored, tmp_path / "data" / "train-00000-of-00001.parquet")
        (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n")
    place = tmp_path if folder else DATA / "bench/geometry3k/sample.parquet"
    problems = problem_file(place, kind="geometry3k", source="s").problems
    rows = stored.to_pylist()
    assert [x.images for x in problems] == [(row["images"][0]["bytes"],) for row in rows]
    assert [x.prompt for x in problems] == [row["problem"].removeprefix("<image>").strip() for row in rows]
    assert [x.answer for x in problems] == [row["answer"] for row in rows]
    assert problems[0].images[0].startswith(b"\x89PNG")


TRACES = {  # rows, used, unfit, bad
    ("qwen3_traces.jsonl", "mot"): (15, 10, {}, 5),
    ("r1_and_qwen3_notebook_traces.jsonl", "mot"): (7, 7, {}, 0),
    ("r1_and_qwen3_notebook_traces.jsonl", "messages"): (7, 7, {}, 0),
}


@pytest.mark.parametrize(("name", "kind"), TRACES)
def test_traces_kept_and_dropped_by_reason(name: str, kind: str) -> None:
    ready = ReadyMadeTraces(DATA / "mot_sample" / name, "s", kind=kind, on_bad_row="drop")
    assert (ready.facts.rows, ready.facts.kept, ready.facts.unfit, len(ready.facts.bad)) == TRACES[name, kind]
    assert all(why.startswith("turns of user, assistant, user, assistant, …") for _, why in ready.facts.bad)
    rows = rows_of(f"mot_sample/{name}")
    for trace in ready.traces:
        row = rows[int(trace.problem.id.removeprefix("s/"))]
        assert trace.response == row["messages"][-1]["content"]
        assert trace.problem.origin == row["source"]


def test_conversations_are_refused_unless_dropped() -> None:
    with pytest.raises(DataError, match=r"qwen3_traces\.jsonl, line 1: .*5 of 15 rows cannot be used: s/0: turns of user, assistant, user"):
        _ = ReadyMadeTraces(DATA / "mot_sample" / "qwen3_traces.jsonl", "s").traces


def test_damaged_traces_are_dropped_with_their_reasons(tmp_path: Path) -> None:
    """The real traces, each damaged in one way that generation goes wrong."""
    rows = rows_of("mot_sample/r1_and_qwen3_notebook_traces.jsonl")
    damage = [
        lambda text: text[: text.index("</think>")],  # cut off while reasoning
        lambda text: text[: text.index("</think>") + len("</think>")],  # cut off before the answer
        lambda text: text.removeprefix("<think>"),
        lambda text: f"Sure! {text}",
        lambda text: text + text,
        lambda text: text,
    ]
    for row, spoil in zip(rows, damage, strict=False):
        row["messages"][-1]["content"] = spoil(row["messages"][-1]["content"])
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    survey = ReadyMadeTraces(tmp_path / "t.jsonl", "s", kind="mot").survey
    reasons = {"no closed think block": 2, "no answer after the reasoning": 1, "words before the reasoning": 1, "two think blocks": 1}
    assert (survey.facts.kept, survey.facts.unfit) == (2, reasons)


def test_rollouts_of_a_small_model_are_no_thoughts_to_learn_from_as_they_are(tmp_path: Path) -> None:
    rows = rows_of("mot_sample/qwen25_3b_rl_think_gsm8k.jsonl.gz")
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps({"prompt": row["question"], "response": row["response"], "answer": row["gold"]}) + "\n" for row in rows)
    )
    survey = ReadyMadeTraces(tmp_path / "t.jsonl", "s", kind="mot").survey
    assert survey.facts.rows == 300
    assert survey.facts.kept + sum(survey.facts.unfit.values()) == 300
    assert survey.answered == survey.facts.kept
    expected = Counter(
        "kept" if r.count("<think>") == r.count("</think>") == 1 and r.startswith("<think>") and r.split("</think>")[1].strip() else "unfit"
        for r in (row["response"] for row in rows)
    )
    assert survey.facts.kept == expected["kept"]
