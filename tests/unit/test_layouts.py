"""Problems as their publishers lay them out: in every container, with the rows that go wrong and what is said of them."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vold.adapters.containers import ending_of
from vold.adapters.problems.files import ProblemFile, problem_file
from vold.adapters.problems.layouts import DAPO_AFTER, DAPO_BEFORE, LAYOUTS
from vold.adapters.rows import DataSet
from vold.base.errors import DataError
from vold.base.types import Problem


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(colour: str = "white", kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(out, format=kind)
    return out.getvalue()


def picture(colour: str = "white") -> dict[str, Any]:
    return {"bytes": png(colour), "path": "0.png"}


def said(user: Any, **more: str) -> list[dict[str, Any]]:
    before = [{"role": "system", "content": more["system"]}] if "system" in more else []
    after = [{"role": "assistant", "content": more["assistant"]}] if "assistant" in more else []
    return [*before, {"role": "user", "content": user}, *after]


def orz(prompt: Any, answer: Any, **truth: Any) -> list[dict[str, Any]]:
    return [{"from": "human", "value": prompt}, {"from": "assistant", "ground_truth": {"value": answer, **truth}}]


def truth(answer: Any) -> dict[str, Any]:
    return {"ground_truth": answer, "style": "rule"}


def p(prompt: str, answer: str | None, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "answer": answer, **more}


TASK = "\\boxed{} please"
CASES: dict[str, tuple[str, list[Any], list[dict[str, Any]]]] = {
    "orz, original": (
        "orz",
        [orz("one\u2028 plus one?", "2"), orz("half?", " \\frac{1}{2} ", pass_at_n=0.5)],
        [p("one\u2028 plus one?", "2"), p("half?", "\\frac{1}{2}")],
    ),
    "orz, mirror": ("orz", [{"problem": "q", "answer": "n = 4"}, {"problem": TASK, "answer": "5"}], [p("q", "n = 4"), p(TASK, "5", instructed=True)]),
    "orz, evaluation": ("orz", [{"prompt": [{"from": "user", "value": "q"}], "final_answer": "73"}], [p("q", "73")]),
    "orz, flat": ("orz", [{"index": 0, "prompt": "q", "answer": "7", "pass_at_n": None}], [p("q", "7")]),
    "mot": (
        "mot",
        [
            {"messages": said("find " + TASK, assistant="<think>\n…\n</think>\n\n4"), "num_tokens": 9, "source": "open-r1/OpenR1-Math-220k"},
            {"messages": said("write a program", assistant="x"), "num_tokens": 9, "source": "open-r1/codeforces-cots"},
            {"messages": said("why is the sky blue?", assistant="x"), "num_tokens": 9, "source": "nvidia/Llama-Nemotron-Post-Training-Dataset"},
            {"messages": said("A or B? Answer in the format [X].", assistant="x"), "num_tokens": 1, "source": "nvidia/Llama-Nemotron"},
        ],
        [
            p("find " + TASK, None, instructed=True, origin="open-r1/OpenR1-Math-220k"),
            p("write a program", None, instructed=True, origin="open-r1/codeforces-cots"),
            p("why is the sky blue?", None, origin="nvidia/Llama-Nemotron-Post-Training-Dataset"),
            p("A or B? Answer in the format [X].", None, instructed=True, origin="nvidia/Llama-Nemotron"),
        ],
    ),
    "dapo": (
        "dapo",
        [
            {
                "data_source": "math_dapo",
                "prompt": said(f"{DAPO_BEFORE}Find $m+n$.{DAPO_AFTER}"),
                "ability": "MATH",
                "reward_model": truth("34"),
                "extra_info": {"index": "9a9b"},
            }
        ],
        [p("Find $m+n$.", "34")],
    ),
    "dapo, flat": ("dapo", [{"prompt": "Find $m+n$.", "answer": "113", "uid": "b"}], [p("Find $m+n$.", "113")]),
    "gsm8k": (
        "gsm8k",
        [
            {"question": "How much?", "answer": "16-3 = <<16-3=13>>13\nand so\n#### 1,013"},
            {"question": "How cold?", "answer": "#### 4 is not it\n#### -5"},
        ],
        [p("How much?", "1013"), p("How cold?", "-5")],
    ),
    "math": (
        "math",
        [
            {"problem": "q1", "level": "Level 5", "type": "Algebra", "solution": "so $\\boxed{1}$, no: $\\boxed{\\frac{1}{2}}$."},
            {"problem": "q2", "level": "Level ?", "type": "Geometry", "solution": "$\\boxed{3}$"},
        ],
        [p("q1", "\\frac{1}{2}", difficulty=5), p("q2", "3")],
    ),
    "math, answers given": (
        "math",
        [
            {"problem": "q1", "solution": "\\boxed{8}", "answer": "9", "subject": "Algebra", "level": 2},
            {"problem": "q2", "solution": "\\boxed{8}", "answer": "", "subject": "Algebra", "level": 3},
        ],
        [p("q1", "9", difficulty=2), p("q2", "8", difficulty=3)],
    ),
    "verl": (
        "verl",
        [
            {"data_source": "a/b", "prompt": said("q1", system="be brief"), "reward_model": truth("1"), "extra_info": {"index": 7}},
            {"data_source": "a/b", "prompt": said("q2. Write the answer after ####."), "reward_model": truth("2"), "extra_info": {"index": 8}},
            {"data_source": "a/b", "prompt": said("q3", system="end with Answer: $X"), "reward_model": truth("3"), "extra_info": {"index": 9}},
        ],
        [
            p("q1", "1", system="be brief", origin="a/b"),
            p("q2. Write the answer after ####.", "2", instructed=True, origin="a/b"),
            p("q3", "3", system="end with Answer: $X", instructed=True, origin="a/b"),
        ],
    ),
    "plain": (
        "jsonl",
        [{"prompt": "q1", "answer": "1"}, {"prompt": "q2 " + TASK, "answer": "2"}],
        [p("q1", "1"), p("q2 " + TASK, "2", instructed=True)],
    ),
}
PICTURES: dict[str, tuple[str, list[Any], list[dict[str, Any]]]] = {
    "geometry3k": (
        "geometry3k",
        [
            {"images": [picture()], "problem": "<image>Find $x$.", "answer": "5\\sqrt{3}", "choices": ["1", "2"]},
            {"images": [picture("red")], "problem": "<image>Find $x$.", "answer": "6", "choices": ["1", "2"]},
        ],
        [p("Find $x$.", "5\\sqrt{3}", images=(png(),)), p("Find $x$.", "6", images=(png("red"),))],
    ),
    "verl": (
        "verl",
        [
            {
                "data_source": "geo",
                "prompt": said("<image>\n<image>\nFind x in \\boxed{}."),
                "images": [picture(), picture("red")],
                "reward_model": truth("3"),
            }
        ],
        [p("Find x in \\boxed{}.", "3", images=(png(), png("red")), instructed=True, origin="geo")],
    ),
}


def as_jsonl(rows: list[Any], folder: Path) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def as_json(rows: list[Any], folder: Path) -> Path:
    path = folder / "data.json"
    path.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return path


def zipped(write: Callable[[list[Any], Path], Path]) -> Callable[[list[Any], Path], Path]:
    def inner(rows: list[Any], folder: Path) -> Path:
        path = write(rows, folder)
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        return packed

    return inner


def table_of(rows: list[Any]) -> pa.Table:
    """Pairs of turns become columns 0 and 1, as `datasets` makes them."""
    return pa.Table.from_pylist([dict(zip("01", row, strict=True)) if isinstance(row, list) else row for row in rows])


def as_parquet(rows: list[Any], folder: Path) -> Path:
    path = folder / "data.parquet"
    pq.write_table(table_of(rows), path)
    return path


def as_hub(rows: list[Any], folder: Path) -> Path:
    """Parquet shards below a card that names them: two where there are rows for both."""
    home, table = folder / "home", table_of(rows)
    (home / "data").mkdir(parents=True)
    half = len(rows) // 2
    for place, part in enumerate((table.slice(0, half), table.slice(half)) if half else (table,)):
        pq.write_table(part, home / "data" / f"train-{place:05d}-of-0000{2 if half else 1}.parquet")
    (home / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n# A data set\n"
    )
    return home


def as_bare_folder(rows: list[Any], folder: Path) -> Path:
    home = folder / "bare"
    home.mkdir()
    return as_json(rows, home).parent


CONTAINERS = {
    "jsonl": as_jsonl,
    "json": as_json,
    "parquet": as_parquet,
    "jsonl.gz": zipped(as_jsonl),
    "json.gz": zipped(as_json),
    "parquet.gz": zipped(as_parquet),
    "hub layout": as_hub,
    "folder of JSON": as_bare_folder,
}


def read(path: Path | str, kind: str, **how: Any) -> ProblemFile:
    return problem_file(path, kind=kind, source="s", needs_answers=how.pop("needs_answers", kind != "mot"), **how)


def expected(fields: dict[str, Any], name: str) -> Problem:
    return Problem(id=f"s/{name}", source="s", **fields)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("case", CASES)
def test_every_layout_in_every_container(tmp_path: Path, case: str, container: str) -> None:
    kind, rows, problems = CASES[case]
    path = CONTAINERS[container](rows, tmp_path)
    lines = kind == "jsonl" and container.startswith("jsonl")
    assert list(read(path, kind).problems) == [expected(fields, str(place + lines)) for place, fields in enumerate(problems)]
    assert read(path, kind).facts.rows == len(rows)


@pytest.mark.parametrize("container", ["parquet", "hub layout"])
@pytest.mark.parametrize("case", PICTURES)
def test_pictures_are_the_bytes_that_were_stored(tmp_path: Path, case: str, container: str) -> None:
    kind, rows, problems = PICTURES[case]
    path = CONTAINERS[container](rows, tmp_path)
    assert list(read(path, kind).problems) == [expected(fields, str(place)) for place, fields in enumerate(problems)]


# -- subsets, splits and what is not there --------------------------------------------------------------------------------------------


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    home = tmp_path / "Mixture"
    entries = []
    for subset, count in (("all", 6), ("science", 1), ("code", 2), ("math", 3)):
        (home / subset).mkdir(parents=True)
        rows = [{"messages": said(f"{subset} {n}", assistant="…"), "num_tokens": n, "source": "somewhere"} for n in range(count)]
        as_parquet(rows, tmp_path).rename(home / subset / "train-00000-of-00001.parquet")
        entries.append(f"- config_name: {subset}\n  data_files:\n  - split: train\n    path: {subset}/train-*\n")
    (home / "README.md").write_text("---\nconfigs:\n" + "".join(entries) + "---\n")
    return home


def test_subsets_are_part_of_the_id(mixture: Path) -> None:
    assert [x.id for x in read(mixture, "mot").problems] == ["s/math/0", "s/math/1", "s/math/2", "s/code/0", "s/code/1", "s/science/0"]
    assert [x.instructed for x in read(mixture, "mot").problems] == [False] * 3 + [True] * 2 + [False]
    assert [x.id for x in read(mixture, "mot", subsets=("code", "math"), limit=3).problems] == ["s/code/0", "s/code/1", "s/math/0"]
    assert [x.prompt for x in read(mixture, "mot", subsets=("all",)).problems] == [f"all {n}" for n in range(6)]


def test_a_file_can_be_told_its_subset(mixture: Path) -> None:
    path = mixture / "code" / "train-00000-of-00001.parquet"
    assert [(x.id, x.instructed) for x in read(path, "mot", subsets=("code",)).problems] == [("s/code/0", True), ("s/code/1", True)]
    with pytest.raises(DataError, match="is one file, so it has no subsets code, math"):
        _ = read(path, "mot", subsets=("code", "math")).problems


def test_a_subset_named_twice_is_refused(mixture: Path) -> None:
    with pytest.raises(DataError, match="two problems are called s/math/0"):
        _ = read(mixture, "mot", subsets=("math", "math")).problems


MISSING: dict[str, tuple[dict[str, Any], str]] = {
    "a subset": (
        {"subsets": ("maths",)},
        r"cannot be read: ValueError: .*'maths' not found.*Set subsets to some of all, science, code, math",
    ),
    "a split": ({"split": "test"}, r"Unknown split \"test\".*Expected subset 'math', split 'test'\. Set split to one of train\."),
    "the columns": ({"kind": "gsm8k", "subsets": ("math",)}, r"found columns messages, num_tokens, source, expected some of answer, question"),
    "a choice of subset": ({"kind": "orz"}, r"Config name is missing.*Set subsets to some of all, science, code, math"),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_a_data_set_lacks_is_said(mixture: Path, what: str) -> None:
    how, message = MISSING[what]
    with pytest.raises(DataError, match=message):
        _ = read(mixture, how.get("kind", "mot"), **{name: value for name, value in how.items() if name != "kind"}).problems


def test_gsm8k_is_its_main_subset_unless_told(tmp_path: Path) -> None:
    home = tmp_path / "gsm8k"
    for subset in ("main", "socratic"):
        (home / subset).mkdir(parents=True)
        as_parquet([{"question": subset, "answer": "#### 1"}], tmp_path).rename(home / subset / "test-00000-of-00001.parquet")
    entries = "".join(f"- config_name: {s}\n  data_files:\n  - split: test\n    path: {s}/test-*\n" for s in ("main", "socratic"))
    (home / "README.md").write_text(f"---\nconfigs:\n{entries}---\n")
    assert [(x.id, x.prompt) for x in read(home, "gsm8k", split="test").problems] == [("s/main/0", "main")]
    assert [x.prompt for x in read(home, "gsm8k", split="test", subsets=("socratic",)).problems] == ["socratic"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty.* cannot be read: EmptyDatasetError.*Look into its files"):
        _ = read(tmp_path / "empty", "orz").problems


@pytest.mark.parametrize("path", ["/gone/away", "gone.jsonl", "gone.parquet.gz", "a/b/c", "what?"])
def test_neither_a_path_nor_a_hub_id(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(DataError, match=r"no problem file .*Give the path of a file"):
        _ = read(path, "jsonl").problems


def test_a_hub_id_goes_to_datasets_and_no_code_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(path: str, **how: Any) -> datasets.Dataset:
        asked.append((path, how))
        return datasets.Dataset.from_list([{"question": "q", "answer": "#### 1"}])

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert [x.id for x in read("openai/gsm8k", "gsm8k", subsets=("main",), split="test").problems] == ["s/main/0"]
    assert asked == [("openai/gsm8k", {"name": "main", "split": "test"})]
    assert DataSet(path="openai/gsm8k").on_disk is None


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach 'a/b' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    monkeypatch.setattr(datasets, "get_dataset_config_names", unreachable)
    with pytest.raises(DataError, match=r"a/b is no file here, .*Couldn't reach 'a/b' on the Hub.*Check the id and the network, or download"):
        _ = read("a/b", "mot").problems


def test_columns_of_mixed_types_come_back_as_they_were(tmp_path: Path) -> None:
    home = tmp_path / "mixed"
    home.mkdir()
    as_jsonl([{"prompt": "q1", "answer": 1}, {"prompt": "q2", "answer": "b"}, {"prompt": "q3", "answer": [4]}], home)
    assert [x.answer for x in read(home, "jsonl").problems] == ["1", "b", "4"]


def test_nothing_is_written_beside_the_data(mixture: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in mixture.rglob("*")}
    _ = read(mixture, "mot").problems
    assert {path: path.stat().st_mtime_ns for path in mixture.rglob("*")} == before


def test_the_digest_knows_changed_content(tmp_path: Path) -> None:
    for write in (as_jsonl, as_hub):
        path = write([{"prompt": "q1", "answer": "1"}, {"prompt": "q2", "answer": "2"}], tmp_path)
        first = DataSet(path=str(path)).on_disk
        assert first == DataSet(path=str(path)).on_disk
        file = path if path.is_file() else path / "data" / "train-00001-of-00002.parquet"
        file.write_bytes(file.read_bytes() + b"\n")
        assert DataSet(path=str(path)).on_disk != first


# -- bad rows -------------------------------------------------------------------------------------------------------------------------


BAD: dict[str, dict[str, tuple[Any, str]]] = {
    "jsonl": {
        "not JSON": ("{oops", "not JSON"),
        "not UTF-8": (b'{"prompt": "\xff", "answer": "1"}', "not UTF-8 text"),
        "a list": ([1, 2], "no object"),
        "no prompt": ({"answer": "1"}, "no prompt"),
        "an empty prompt": ({"prompt": " \n", "answer": "1"}, "prompt is empty"),
        "a number for a prompt": ({"prompt": 5, "answer": "1"}, "prompt is no text but 5"),
        "half a character": ('{"prompt": "\\ud800", "answer": "1"}', "half a character"),
        "a null answer": ({"prompt": "x", "answer": None}, "no answer"),
        "a blank answer": ({"prompt": "x", "answer": " "}, "the answer is empty"),
        "NaN": ('{"prompt": "x", "answer": NaN}', "the answer is empty"),
        "an infinite answer": ('{"prompt": "x", "answer": Infinity}', "no finite number"),
        "two answers": ({"prompt": "x", "answer": ["1", "2"]}, "neither text nor number"),
        "an answer of parts": ({"prompt": "x", "answer": {"value": 1}}, "neither text nor number"),
        "a number too long for Python": ('{"prompt": "x", "answer": ' + "9" * 5000 + "}", "not JSON"),
        "a picture that is not there": ({"prompt": "x", "answer": "1", "image": "gone.png"}, "gone.png cannot be read"),
        "a difficulty of 2.5": ({"prompt": "x", "answer": "1", "difficulty": 2.5}, "whole number"),
        "a difficulty of true": ({"prompt": "x", "answer": "1", "difficulty": True}, "whole number"),
    },
    "orz": {
        "one turn": ([{"from": "human", "value": "x"}], "1 turns"),
        "three turns": ([*orz("x", "1"), {"from": "human", "value": "y"}], "3 turns"),
        "no ground truth": ([{"from": "human", "value": "x"}, {"from": "assistant", "value": "1"}], "no answer"),
        "an empty question": (orz("", "1"), "is empty"),
        "the wrong way round": (orz("x", "1")[::-1], "expected one question"),
        "a null truth": (orz("x", None), "no answer"),
    },
    "dapo": {
        "nothing between the sentences": ({"prompt": said(DAPO_BEFORE + DAPO_AFTER), "reward_model": truth("1")}, "prompt is empty"),
        "no truth": ({"prompt": said("x"), "reward_model": None}, "no answer"),
    },
    "gsm8k": {
        "no mark": ({"question": "x", "answer": "18"}, "no number after ####"),
        "nothing after the mark": ({"question": "x", "answer": "#### "}, "the answer is empty"),
    },
    "math": {
        "no box": ({"problem": "x", "solution": "It is 4.", "level": "Level 1"}, "no closed box in the solution"),
        "an open box": ({"problem": "x", "solution": "\\boxed{4", "level": "Level 1"}, "no closed box"),
        "null": ({"problem": "x", "answer": None, "level": 3.0}, "no answer"),
    },
    "verl": {
        "two exchanges": ({"prompt": said("x") + said("y"), "reward_model": truth("1")}, "turns of user, user: expected one question"),
        "no user": ({"prompt": [{"role": "system", "content": "x"}], "reward_model": truth("1")}, "expected one question"),
        "parts instead of text": ({"prompt": said([{"type": "text", "text": "x"}]), "reward_model": truth("1")}, "is no text"),
        "more marks than images": ({"prompt": said("<image>x"), "images": [], "reward_model": truth("1")}, "1 <image> marks for 0 images"),
    },
}
GOOD = {
    "jsonl": {"prompt": "fine", "answer": "1"},
    "orz": orz("fine", "1"),
    "dapo": {"prompt": "fine", "answer": "1"},
    "gsm8k": {"question": "fine", "answer": "#### 1"},
    "math": {"problem": "fine", "answer": "1"},
    "verl": {"prompt": said("fine"), "reward_model": truth("1")},
}


@pytest.mark.parametrize(("kind", "what"), [(kind, what) for kind, rows in BAD.items() for what in rows])
def test_a_bad_row_is_refused_with_its_reason_or_dropped_by_name(tmp_path: Path, kind: str, what: str) -> None:
    row, why = BAD[kind][what]
    raw = row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode()
    good = json.dumps(GOOD[kind]).encode()
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n".join([good.replace(b"fine", b"first"), raw, good, b""]))
    name, last = ("s/2", "s/3") if kind == "jsonl" else ("s/1", "s/2")
    with pytest.raises(DataError) as refused:
        _ = read(path, kind).problems
    assert f"{path}, line 2: found " in str(refused.value)
    assert f"1 of 3 rows cannot be used: {name}: " in str(refused.value)
    assert why in str(refused.value)
    assert 'on_bad_row = "drop"' in str(refused.value)
    assert "\n" not in str(refused.value)
    kept = read(path, kind, on_bad_row="drop")
    assert [x.id for x in kept.problems][-1] == last  # rows keep their numbers
    assert (kept.facts.rows, kept.facts.kept) == (3, 2)
    [(dropped, reason)] = kept.facts.bad
    assert dropped == name
    assert why in reason
    path.write_bytes(raw + b"\n")
    with pytest.raises(DataError, match="Nothing is left"):
        _ = read(path, kind, on_bad_row="drop").problems


def test_many_bad_rows_are_counted_and_the_first_named(tmp_path: Path) -> None:
    path = as_jsonl([{"prompt": "x", "answer": "1"}] + [{"prompt": str(n)} for n in range(40)], tmp_path)
    with pytest.raises(DataError, match=r"40 of 41 rows cannot be used: s/2: no answer; s/3: .*; s/6: no answer; …\. Repair"):
        _ = read(path, "jsonl").problems
    assert len(read(path, "jsonl", on_bad_row="drop").facts.bad) == 40


def test_answers_that_nobody_reads_may_be_anything(tmp_path: Path) -> None:
    rows = [{"prompt": str(n), "answer": answer} for n, answer in enumerate([None, " ", ["1", "2"], {"a": 1}, "5"])]
    assert [x.answer for x in read(as_jsonl(rows, tmp_path), "jsonl", needs_answers=False).problems] == [None, None, None, None, "5"]


def test_answers_of_prompts_without_any_are_missed_where_they_are_read(tmp_path: Path) -> None:
    path = as_jsonl([{"messages": said("x", assistant="y")}], tmp_path)
    with pytest.raises(DataError, match=r"1 of 1 rows cannot be used: s/0: no answer"):
        _ = read(path, "mot", needs_answers=True).problems


ANSWERS = {"18": "18", "3.0": "3.0", "0.10": "0.1", "-7": "-7", "1" + "0" * 40: "1" + "0" * 40, "true": "True", '"1,000"': "1,000", '["8"]': "8"}


@pytest.mark.parametrize("written", ANSWERS)
def test_answers_become_text(tmp_path: Path, written: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"prompt": "x", "answer": {written}}}\n')
    assert read(path, "jsonl").problems[0].answer == ANSWERS[written]


def test_broken_pictures(tmp_path: Path) -> None:
    noise = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(noise, format="JPEG")
    cut = {"bytes": noise.getvalue()[: len(noise.getvalue()) * 3 // 4], "path": "0.jpg"}  # its header is whole
    rows = [
        {"images": [picture()], "problem": "<image>a", "answer": "1"},
        {"images": [cut], "problem": "<image>b", "answer": "1"},
        {"images": [], "problem": "<image>c", "answer": "1"},
        {"images": [picture(), picture()], "problem": "<image>d", "answer": "1"},
        {"images": [{"bytes": None, "path": "gone.png"}], "problem": "<image>e", "answer": "1"},
    ]
    found = read(as_parquet(rows, tmp_path), "geometry3k", on_bad_row="drop")
    assert [x.id for x in found.problems] == ["s/0"]
    assert [(name, why.split(":")[0]) for name, why in found.facts.bad] == [
        ("s/1", "image 0.jpg cannot be read"),
        ("s/2", "no image"),
        ("s/3", "1 <image> marks for 2 images"),
        ("s/4", "image gone.png cannot be read"),
    ]


WHOLE: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ("data.parquet", None, "no problem file"),
    "empty": ("data.jsonl", b"", "holds no problem"),
    "an empty list": ("data.json", b"[]", "holds no problem"),
    "a header only": ("data.csv", b"prompt,answer\n", "holds no problem"),
    "a broken header": ("data.csv", b'"prompt"x,answer\n', "the header of a CSV file"),
    "half a list": ("data.json", b'[{"prompt": "x", "answer": "1"}', "is no JSON list"),
    "no parquet": ("data.parquet", b"PAR1 not", "cannot be read as parquet"),
    "half a gz": ("data.jsonl.gz", gzip.compress(b'{"prompt": "x", "answer": "1"}\n' * 99)[:40], "cannot be read"),
    "no gz": ("data.json.gz", b"[]", "cannot be read"),
    "no UTF-8": ("data.json", b'["\xff"]', "is not UTF-8 text"),
}


@pytest.mark.parametrize("what", WHOLE)
@pytest.mark.parametrize("on_bad_row", ["refuse", "drop"])
def test_a_file_that_is_no_good_as_a_whole_is_always_refused(tmp_path: Path, what: str, on_bad_row: str) -> None:
    name, content, message = WHOLE[what]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}.*{message}|{message}.*{name}"):
        _ = read(tmp_path / name, "jsonl", on_bad_row=on_bad_row).problems


def test_a_name_that_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text('{"prompt": "x", "answer": "1"}\n')
    assert len(read(tmp_path / "data.txt", "jsonl").problems) == 1
    with pytest.raises(DataError, match=r"data\.txt: its name says nothing about its layout"):
        _ = read(tmp_path / "data.txt", "orz").problems
    assert [ending_of(Path(name)) for name in ("a.jsonl", "a.v2.json.gz", "a.gz", "a", "A.PARQUET")] == [".jsonl", ".json", "", "", ".parquet"]


def test_json_lines_under_the_shorter_name_with_a_mark_and_windows_line_ends(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_bytes(b'\xef\xbb\xbf{"prompt": "x\\r\\ny", "answer": "1"}\r\n\r\n{"prompt": "z\xe2\x80\xa8", "answer": 2}\r\n')
    assert [(x.id, x.prompt, x.answer) for x in read(tmp_path / "data.json", "jsonl").problems] == [("s/1", "x\r\ny", "1"), ("s/3", "z\u2028", "2")]


# -- CSV ------------------------------------------------------------------------------------------------------------------------------


def test_csv(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png())
    (tmp_path / "data.csv").write_bytes(
        b"\xef\xbb\xbfprompt,answer,difficulty,image,id,note\r\n"
        b'"one, ""two""\r\nthree?",3.0,2,,,x\r\n'
        b"\r\n"
        b"seen?,4,,p.png,own,\r\n"
        b'"long ' + b"x" * 200_000 + b'",5,,,,\r\n'
    )
    first, second, third = read(tmp_path / "data.csv", "csv").problems
    assert (first.id, first.prompt, first.answer, first.difficulty) == ("s/2", 'one, "two"\r\nthree?', "3.0", 2)
    assert (second.id, second.answer, second.difficulty, second.images) == ("s/own", "4", None, (png(),))
    assert (third.id, len(third.prompt)) == ("s/6", 200_005)  # the first row has two lines, and one is empty


def test_bad_rows_of_csv(tmp_path: Path) -> None:
    lines = [b"prompt,answer", b"a,1", b"b", b"c,1,2", b"\xff,1", b",1", b"d,", b'"e"x,1', b"f,1", b'"never closed,1']
    (tmp_path / "data.csv").write_bytes(b"\n".join(lines) + b"\n")
    found = read(tmp_path / "data.csv", "csv", on_bad_row="drop")
    assert [x.id for x in found.problems] == ["s/2", "s/9"]
    assert [(name, why.split(":")[0]) for name, why in found.facts.bad] == [
        ("s/3", "1 fields under a header of 2"),
        ("s/4", "3 fields under a header of 2"),
        ("s/5", "not UTF-8 text"),
        ("s/6", "prompt is empty"),
        ("s/7", "the answer is empty"),
        ("s/8", "not CSV"),
        ("s/10", "not CSV"),
    ]


def test_csv_of_another_layout(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"question,answer\nq,#### 5\n"))
    assert [(x.id, x.answer) for x in read(tmp_path / "data.csv.gz", "gsm8k").problems] == [("s/0", "5")]


# -- duplicates, ids and limits -------------------------------------------------------------------------------------------------------


def test_repeated_questions_are_dropped_and_counted(tmp_path: Path) -> None:
    said_ = [("a  b", "1"), ("c", "2"), (" a\nb ", "1"), ("c", "3"), ("c", "2 "), ("C", "2")]
    found = read(as_jsonl([{"prompt": q, "answer": a} for q, a in said_], tmp_path), "orz")
    assert [(x.id, x.prompt, x.answer) for x in found.problems] == [("s/0", "a  b", "1"), ("s/1", "c", "2"), ("s/5", "C", "2")]
    facts = found.facts
    assert (facts.rows, facts.kept, facts.duplicates, facts.conflicting, facts.bad) == (6, 3, 3, 1, ())
    assert str(facts) == "6 rows read, 3 used, 3 repeat a question (1 of them with another answer)"


def test_the_same_words_about_another_picture_are_another_question(tmp_path: Path) -> None:
    rows = [{"images": [picture(colour)], "problem": "<image>x", "answer": "1"} for colour in ("white", "red", "white")]
    found = read(as_parquet(rows, tmp_path), "geometry3k")
    assert [x.id for x in found.problems] == ["s/0", "s/1"]
    assert found.facts.duplicates == 1


def test_the_same_words_under_another_system_prompt_are_another_question(tmp_path: Path) -> None:
    rows = [{"prompt": said("x", system=system), "reward_model": truth("1")} for system in ("be brief", "be long", "be  brief")]
    assert [x.id for x in read(as_jsonl(rows, tmp_path), "verl").problems] == ["s/0", "s/1"]


def test_a_bad_row_is_called_by_its_own_id(tmp_path: Path) -> None:
    rows = [{"prompt": "x", "answer": "1"}, {"prompt": "y", "id": "q7"}]
    assert read(as_jsonl(rows, tmp_path), "jsonl", on_bad_row="drop").facts.bad == (("s/q7", "no answer"),)


def test_benchmarks_keep_every_row(tmp_path: Path) -> None:
    path = as_jsonl([{"prompt": "a", "answer": "1"}] * 3, tmp_path)
    assert [x.id for x in read(path, "jsonl", distinct=False).problems] == ["s/1", "s/2", "s/3"]


def test_own_ids_must_differ_even_where_the_question_repeats(tmp_path: Path) -> None:
    for rows in (
        [{"prompt": "a", "answer": "1", "id": "x"}, {"prompt": "a", "answer": "1", "id": "x"}],
        [{"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": "1", "id": 1}],  # a number that is another's line
    ):
        with pytest.raises(DataError, match=r"two problems are called s/"):
            _ = read(as_jsonl(rows, tmp_path), "jsonl", on_bad_row="drop").problems


def test_the_limit_counts_problems_that_are_used(tmp_path: Path) -> None:
    rows = [{"prompt": q, "answer": a} for q, a in [("a", "1"), ("a", "1"), ("b", None), ("c", "1"), ("d", "1")]]
    found = read(as_jsonl(rows, tmp_path), "orz", limit=2, on_bad_row="drop")
    assert [x.id for x in found.problems] == ["s/0", "s/3"]
    assert (found.facts.rows, found.facts.duplicates, len(found.facts.bad)) == (4, 1, 1)  # and the rest is not read


def test_facts_can_be_recorded(tmp_path: Path) -> None:
    rows = [{"prompt": q, "answer": a} for q, a in [("a", "1"), ("b", None), ("c", None), ("a", "2")]]
    facts = read(as_jsonl(rows, tmp_path), "orz", on_bad_row="drop").facts
    assert json.loads(json.dumps(facts.to_json())) == {
        "rows": 4,
        "kept": 1,
        "duplicates": 1,
        "conflicting": 1,
        "bad": {"no answer": 2},
        "bad_rows": {"s/1": "no answer", "s/2": "no answer"},
    }


def test_every_kind_of_the_schema_has_a_layout() -> None:
    from typing import get_args

    from vold.config.schema import Layout

    assert set(get_args(Layout)) == {"tiny", *LAYOUTS}


# Found by reading files as careless users write them


def test_a_csv_in_a_folder_is_read_as_written(tmp_path: Path) -> None:
    """No type is guessed: long integers, leading zeros and words that mean nothing to pandas stay what they are."""
    answers = ["12345678901234567", "007", "None", "NA", "null", "yes", "1e5"]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").write_text("prompt,answer\n" + "".join(f"q{n},{answer}\n" for n, answer in enumerate(answers)) + "nan,4\n")
    expected = [*answers, "4"]
    for path in (folder, folder / "train.csv"):
        found = problem_file(path, kind="csv", source="s")
        assert [problem.answer for problem in found.problems] == expected
        assert found.problems[-1].prompt == "nan"


def test_a_quote_that_is_never_closed_is_not_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,answer\nq,1\n"open,2\n' + "".join(f"p{n},3\n" for n in range(100)))
    with pytest.raises(DataError, match=r"a quote that is opened in line 3 or after it is never closed, so 101 lines"):
        _ = problem_file(path, kind="csv", source="s", on_bad_row="drop").problems


def test_a_folder_of_several_kinds_of_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,answer\nq,1\n")
    (tmp_path / "b.jsonl").write_text('{"prompt": "p", "answer": 2}\n')
    with pytest.raises(DataError, match=r"several kinds \(1 \.csv, 1 \.jsonl\), of which only one would be read"):
        _ = problem_file(tmp_path, kind="jsonl", source="s").problems


def test_one_row_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "0.json"
    path.write_text('{\n  "problem": "How much is 2 + 2?",\n  "level": "Level 1",\n  "solution": "It is \\\\boxed{4}."\n}\n')
    (problem,) = problem_file(path, kind="math", source="s").problems
    assert (problem.prompt, problem.answer, problem.difficulty) == ("How much is 2 + 2?", "4", 1)
    path.write_text('{"data": [{"problem": "p", "answer": "1"}]}')
    with pytest.raises(DataError, match='one object that holds its rows under "data"'):
        _ = problem_file(path, kind="math", source="s").problems


@pytest.mark.parametrize(
    ("own", "why"), [('{"a": 1}', "neither text nor a whole number"), ("1.5", "neither text"), ('"\\ud800"', "half a character")]
)
def test_an_id_is_a_name(tmp_path: Path, own: str, why: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"id": {own}, "prompt": "p", "answer": "1"}}\n{{"id": 7, "prompt": "q", "answer": "1"}}\n')
    found = problem_file(path, kind="jsonl", source="s", on_bad_row="drop")
    assert [problem.id for problem in found.problems] == ["s/7"]
    assert [name for name, _ in found.facts.bad] == ["s/1"]
    assert why in found.facts.bad[0][1]
