"""Data sets in their publishers' layouts go through stage 0 and out again, ready to be published."""

import json
from pathlib import Path
from random import Random
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.runs import run_here

from vold.adapters.corpora import ShardedCorpus
from vold.base.errors import Refusal
from vold.tiny.grammar import chain_a, draw_question

SHORT = ("corpus.batch=4", "corpus.sampling.max_new_tokens=24", "joint.arms=['vold']", "sft.max_tokens=160")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows_of(subset: str, count: int) -> list[dict[str, Any]]:
    questions = [draw_question(Random(f"{subset} {place}"), 2) for place in range(count)]
    return [
        {
            "messages": [
                {"role": "user", "content": f"{q.text_facts} find {q.expression} ?"},
                {"role": "assistant", "content": chain_a(q, q.results)},
            ],
            "num_tokens": 7 * place,
            "source": f"open-r1/{subset}",
        }
        for place, q in enumerate(questions)
    ]


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """Mixture-of-Thoughts as it lies on the hub, in the words of the laptop world; one question of math is asked twice."""
    home, entries = tmp_path / "mixture", ""
    for subset, count in (("math", 5), ("code", 3)):
        (home / subset).mkdir(parents=True)
        rows = rows_of(subset, count)
        pq.write_table(pa.Table.from_pylist(rows + rows[:1] if subset == "math" else rows), home / subset / "train-00000-of-00001.parquet")
        entries += f"- config_name: {subset}\n  data_files:\n  - split: train\n    path: {subset}/train-*\n"
    (home / "README.md").write_text(f"---\nconfigs:\n{entries}---\n")
    return home


def corpus_of(root: Path, *settings: str) -> dict[str, Any]:
    run_here("tiny", root, *SHORT, *settings, only="corpus")
    found: dict[str, Any] = json.loads((root / "corpus" / "manifest.json").read_text())
    return found


def from_teacher(path: Path | str) -> list[str]:
    return ["corpus.problems.kind=mot", f"corpus.problems.path={path}", "corpus.problems.count=0"]


def from_dataset(path: Path | str, *more: str) -> list[str]:
    return ["corpus.from=dataset", f"corpus.path={path}", "corpus.problems.source=again", *more]


def test_prompts_of_a_data_set_are_answered_published_and_read_again(mixture: Path, tmp_path: Path) -> None:
    manifest = corpus_of(tmp_path / "run", *from_teacher(mixture))
    assert (manifest["asked"], manifest["problems"]["rows"], manifest["problems"]["duplicates"]) == (8, 9, 1)
    store = ShardedCorpus(folder=tmp_path / "run" / "corpus")
    assert store.done() == {*(f"corpus/math/{n}" for n in range(5)), *(f"corpus/code/{n}" for n in range(3))}
    traces = store.traces()
    assert [t.problem.instructed for t in traces] == [t.problem.id.startswith("corpus/code") for t in traces]

    published = tmp_path / "run" / "corpus" / "publish"
    rows = list(datasets.load_dataset(str(published), split="train"))
    assert [row["problem_id"] for row in rows] == [t.problem.id for t in traces]
    assert [row["num_tokens"] for row in rows] == [len(t.response_ids or ()) for t in traces]
    assert {row["source"] for row in rows} == {"open-r1/math", "open-r1/code"}
    card = (published / "README.md").read_text()
    assert "| teacher | `tiny:teacher-a` |" in card
    assert "| prompting: suffix | ` reason` |" in card
    assert "| duplicates | 1 |" in card
    assert str(tmp_path) not in card

    again = corpus_of(tmp_path / "again", *from_dataset(published))
    assert again["kept"] == len(traces)
    back = ShardedCorpus(folder=tmp_path / "again" / "corpus").traces()
    assert [(t.problem.prompt, t.response, t.num_tokens) for t in back] == [(t.problem.prompt, t.response, len(t.response_ids or ())) for t in traces]


def test_a_completed_card_does_not_make_the_corpus_look_damaged(mixture: Path, tmp_path: Path) -> None:
    corpus_of(tmp_path / "run", *from_teacher(mixture))
    card = tmp_path / "run" / "corpus" / "publish" / "README.md"
    card.write_text(card.read_text().replace("license: other", "license: apache-2.0"))
    assert run_here("tiny", tmp_path / "run", *SHORT, *from_teacher(mixture), only="corpus").ran == ()
    assert "apache-2.0" in card.read_text()


@pytest.mark.parametrize("made", ["teacher", "dataset"])
def test_changed_data_is_noticed(mixture: Path, tmp_path: Path, made: str) -> None:
    settings = from_teacher(mixture) if made == "teacher" else from_dataset(mixture, "corpus.subsets=['math']")
    corpus_of(tmp_path / "run", *settings)
    assert run_here("tiny", tmp_path / "run", *SHORT, *settings, only="corpus").ran == ()
    pq.write_table(pa.Table.from_pylist(rows_of("other", 5)), mixture / "math" / "train-00000-of-00001.parquet")
    with pytest.raises(Refusal, match=rf"stage corpus .*inputs\.{'problems' if made == 'teacher' else 'traces'}: "):
        run_here("tiny", tmp_path / "run", *SHORT, *settings, only="corpus")


@pytest.mark.parametrize("made", ["teacher", "dataset"])
def test_changed_data_on_the_hub_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    rows = rows_of("math", 5)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.Dataset.from_list(rows))
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda *_: ["default"])
    settings = from_teacher("somebody/mixture") if made == "teacher" else from_dataset("somebody/mixture")
    assert corpus_of(tmp_path / "run", *settings)["asked"] == 5
    assert run_here("tiny", tmp_path / "run", *SHORT, *settings, only="corpus").ran == ()
    rows[2]["messages"][0]["content"] = rows_of("other", 1)[0]["messages"][0]["content"]
    with pytest.raises(Refusal, match=r"stage corpus .*inputs\."):
        run_here("tiny", tmp_path / "run", *SHORT, *settings, only="corpus")


def test_thoughts_that_are_none_are_counted_in_the_manifest(tmp_path: Path) -> None:
    rows = rows_of("math", 6)
    rows[1]["messages"][1]["content"] = "ok"
    rows[2]["messages"] = rows[2]["messages"] * 2
    rows[3]["messages"][1]["content"] = ""
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = from_dataset(tmp_path / "t.jsonl", "corpus.kind=mot")
    with pytest.raises(Refusal, match=r"line 3: .*2 of 6 rows cannot be used: again/2: .*; again/3: the assistant turn is empty"):
        corpus_of(tmp_path / "run", *settings)
    assert not (tmp_path / "run").exists()
    manifest = corpus_of(tmp_path / "run", *settings, "corpus.on_bad_row=drop")
    assert (manifest["asked"], manifest["kept"], manifest["dropped"]) == (4, 3, {"no closed think block": 1})
    assert sorted(manifest["read"]["bad_rows"]) == ["again/2", "again/3"]
    card = (tmp_path / "run" / "corpus" / "publish" / "README.md").read_text()
    assert "| no closed think block | 1 |" in card
    assert "| rows left out: the assistant turn is empty | 1 |" in card
    assert "written by others" in card


REFUSED = {
    "a split": (["corpus.problems.split=test"], r"mixture: as a data set .*Set split to one of train"),
    "a subset": (["corpus.problems.subsets=['science']"], r"mixture: as a data set .*Set subsets to some of math, code"),
    "answers": (["corpus.filter=correct"], r"mixture, row 0 of subset math: .*9 of 9 rows cannot be used: corpus/math/0: no answer"),
    "another layout": (["corpus.problems.kind=geometry3k"], r"mixture: .*Set subsets to some of math, code"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_data_set_lacks_is_refused_before_anything_starts(mixture: Path, tmp_path: Path, what: str) -> None:
    settings, message = REFUSED[what]
    with pytest.raises(Refusal, match=message):
        corpus_of(tmp_path / "run", *from_teacher(mixture), *settings)
    assert not (tmp_path / "run").exists()
