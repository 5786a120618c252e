"""A corpus as a data set: whole, loadable, the same bytes each time, and readable as the corpus of another run."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from vold.adapters import publication
from vold.adapters.corpora import ShardedCorpus
from vold.adapters.publication import publish
from vold.adapters.ready_made import ReadyMadeTraces
from vold.base.types import Problem, Ruling, Trace, Verdict

FACTS: dict[str, Any] = {
    "from": "teacher",
    "teacher": "/home/somebody/models/Qwen3-8B",
    "teacher_digest": "0123456789abcdef",
    "sampling": {"max_new_tokens": 8192, "temperature": 0.6, "top_p": 0.95, "top_k": 20},
    "prompting": {"template": "chatml", "template_options": {}, "system": "", "suffix": " Box | it.\n"},
    "filter": "none",
    "problems": {"kind": "mot", "path": "open-r1/Mixture-of-Thoughts", "rows": 30, "kept": 25, "duplicates": 3, "bad": {"no prompt": 2}},
    "asked": 25,
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def trace(place: int) -> Trace:
    """Every kind of trace: judged or not, with and without answer, system prompt, ids and a length given by its publisher."""
    problem = Problem(
        id=f"corpus/math/{place}",
        prompt=f"q{place}\u2028?",
        answer=str(place) if place % 2 else None,
        source="corpus",
        system="be brief" if place % 5 == 0 else "",
        origin="open-r1/OpenR1-Math-220k" if place % 3 else "",
        instructed=place == 4,
    )
    ruling = (Ruling.RIGHT, Ruling.WRONG, Ruling.UNJUDGED)[place % 3]
    return Trace(
        problem=replace(problem, prompt=problem.prompt + " \\boxed{}") if place == 4 else problem,
        response=f"<think>\nπ {place} \x00\n</think>\n\n{place}",
        response_ids=tuple(range(place + 1)) if place % 4 == 0 else None,
        verdict=Verdict(ruling=ruling, extracted=None) if place % 2 else None,
        num_tokens=1000 + place if place % 4 == 1 else None,
    )


def corpus_of(folder: Path, count: int = 20, **facts: Any) -> Path:
    store = ShardedCorpus(folder=folder / "corpus")
    for start in range(0, count, 6):
        store.append([trace(place) for place in range(start, min(start + 6, count))], {f"corpus/code/{start}": "over the length cap"})
    store.close(FACTS | facts)
    return folder / "corpus"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def header_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    return found


def test_what_is_published_can_be_loaded(tmp_path: Path) -> None:
    folder = publish(corpus_of(tmp_path))
    loaded = datasets.load_dataset(str(folder), split="train")
    assert [*loaded] == [publication.row_of(trace(place)) for place in range(20)]
    assert loaded[5]["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "q5\u2028?"},
        {"role": "assistant", "content": "<think>\nπ 5 \x00\n</think>\n\n5"},
    ]
    rows = [(row["num_tokens"], row["source"], row["problem_id"], row["answer"], row["verdict"]) for row in loaded]
    assert rows[:4] == [
        (1, "corpus", "corpus/math/0", None, None),  # the teacher's own ids, counted
        (1001, "open-r1/OpenR1-Math-220k", "corpus/math/1", "1", "wrong"),  # the length its publisher gave
        (None, "open-r1/OpenR1-Math-220k", "corpus/math/2", None, None),
        (None, "corpus", "corpus/math/3", "3", "right"),
    ]


def test_the_same_traces_come_back_as_the_corpus_of_another_run(tmp_path: Path) -> None:
    folder = publish(corpus_of(tmp_path))
    for path in (folder, folder / "data" / "train-00000-of-00001.parquet"):
        ready = ReadyMadeTraces(path, "again")
        assert ready.facts.bad == ()
        for place, (back, first) in enumerate(zip(ready.traces, ShardedCorpus(folder=tmp_path / "corpus").traces(), strict=True)):
            length = first.num_tokens if first.response_ids is None else len(first.response_ids)
            problem = replace(first.problem, id=f"again/{place}", source="again", origin=first.problem.origin or "corpus")
            assert back == replace(first, problem=problem, response_ids=None, verdict=None, num_tokens=length)


@pytest.mark.parametrize(("count", "rows", "size", "shards"), [(20, 3, 60, 7), (20, 500, 2**20, 1), (6, 3, 60, 2), (3, 3, 1, 1)])
def test_shards_are_cut_by_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, rows: int, size: int, shards: int) -> None:
    monkeypatch.setattr(publication, "ROWS", rows)
    folder = publish(corpus_of(tmp_path, count), shard_bytes=size)
    names = [path.name for path in sorted((folder / "data").iterdir())]
    assert names == [f"train-{place:05d}-of-{shards:05d}.parquet" for place in range(shards)]
    assert all(pq.read_metadata(folder / "data" / name).num_rows for name in names)
    loaded = datasets.load_dataset(str(folder), split="train")
    assert loaded["problem_id"][:] == [f"corpus/math/{place}" for place in range(count)]
    assert header_of(folder)["dataset_info"]["splits"][0]["num_examples"] == count


def test_publishing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "a")
    first = bytes_of(publish(corpus))
    assert bytes_of(publish(corpus)) == first
    assert bytes_of(publish(corpus_of(tmp_path / "b"))) == first


def test_an_interrupted_publication_leaves_nothing_behind_when_it_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path)
    whole = bytes_of(publish(corpus_of(tmp_path / "whole")))

    def struck(_: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as struck_here:
        struck_here.setattr(publication, "digest_of_file", struck)
        with pytest.raises(KeyboardInterrupt):
            publish(corpus)
    assert not (corpus / "publish").exists()
    assert bytes_of(publish(corpus)) == whole
    assert sorted(path.name for path in corpus.iterdir()) == ["manifest.json", "publish", "traces"]


def test_the_header_says_what_is_in_the_shards(tmp_path: Path) -> None:
    folder = publish(corpus_of(tmp_path))
    header = header_of(folder)
    assert header["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}]
    assert (header["license"], header["license_name"]) == ("other", "to-be-set-by-the-publisher")
    assert header["size_categories"] == ["n<1K"]
    bare = datasets.load_dataset("parquet", data_files=str(folder / "data" / "*.parquet"), split="train")
    features = datasets.Features._from_yaml_list(header["dataset_info"]["features"])
    assert features == bare.features


def test_the_card_tells_how_the_corpus_was_made(tmp_path: Path) -> None:
    folder = publish(corpus_of(tmp_path))
    card = (folder / "README.md").read_text()
    told = [
        "20 questions with one reasoning trace each, written by Qwen3-8B.",
        "| digest of its files | `0123456789abcdef` |",
        "| sampling: temperature | 0.6 |",
        "| prompting: template | `chatml` |",
        "| prompting: suffix | ` Box \\| it.↵` |",
        "| path | `open-r1/Mixture-of-Thoughts` |",
        "| duplicates | 3 |",
        "| rows left out: no prompt | 2 |",
        "| over the length cap | 4 |",
        "| right | 3 |",
        "| wrong | 4 |",
        "| unjudged | 3 |",
        f"| error rate | `{4 / 7:.4f} of those judged right or wrong` |",
        'load_dataset("THIS_FOLDER_OR_HUB_ID", split="train")',
        f"`{hashlib.sha256((folder / 'data' / 'train-00000-of-00001.parquet').read_bytes()).hexdigest()}`",
        ShardedCorpus(folder=tmp_path / "corpus").digest(),
    ]
    assert [words for words in told if words not in card] == []
    assert "somebody" not in card  # no path of this machine


def test_a_corpus_that_nobody_judged_says_so(tmp_path: Path) -> None:
    store = ShardedCorpus(folder=tmp_path / "corpus")
    store.append([replace(trace(1), verdict=None)], {})
    store.close({"from": "dataset", "path": "/data/traces.jsonl", "read": {"rows": 1, "kept": 1}, "asked": 1})
    card = (publish(tmp_path / "corpus") / "README.md").read_text()
    assert "Nobody judged these traces" in card
    assert "| traces of | `traces.jsonl` |" in card
    assert "written by others" in card


@pytest.mark.parametrize(("rows", "category"), [(999, "n<1K"), (1_000, "1K<n<10K"), (349_317, "100K<n<1M"), (20_000_000, "n>10M")])
def test_size_categories(rows: int, category: str) -> None:
    from vold.adapters.card import card_of

    header = yaml.safe_load(card_of({}, digests={}, rows=rows, size=1).split("---\n")[1])
    assert header["size_categories"] == [category]
