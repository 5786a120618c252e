"""A user's mistakes: refused while nothing has been spent, with what was found, expected and to be done; and nothing is lost."""

import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from PIL import Image
from support import own, pairs
from support.runs import Interrupted, run_here

from vold.adapters.models import load
from vold.base.errors import ModelError, Refusal

Spoil = Callable[[Path], list[str]]
"""Does something to the folder, and returns the settings that go with it."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> pairs.Pair:
    return pairs.saved(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(tmp_path: Path, models: pairs.Pair, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data and a recipe that would run; models copied, so that they can be damaged."""
    monkeypatch.chdir(tmp_path)
    own.put_data(tmp_path)
    copy = pairs.Pair(student=tmp_path / "student", teacher=tmp_path / "teacher")
    shutil.copytree(models.student, copy.student)
    shutil.copytree(models.teacher, copy.teacher)
    own.put_recipe(tmp_path, copy)
    return tmp_path


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def with_row(name: str, **row: Any) -> Spoil:
    """One more row at the end of a file."""

    def spoil(folder: Path) -> list[str]:
        own.write(folder / name, [*rows(folder, name), row])
        return []

    return spoil


def file(name: str, content: bytes | str | None, *settings: str) -> Spoil:
    """A file with this content, or without the file."""

    def spoil(folder: Path) -> list[str]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(settings)

    return spoil


def settings(*given: str) -> Spoil:
    return lambda _: list(given)


def edit(name: str, **changes: Any) -> Spoil:
    """A JSON file with other values; None removes one."""

    def spoil(folder: Path) -> list[str]:
        told = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps({key: value for key, value in told.items() if value is not None}))
        return []

    return spoil


def cut(name: str, keep: float) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(len(whole) * keep)])
        return []

    return spoil


def other_teacher(folder: Path) -> list[str]:
    """Two ids far below the added ones mean each other's bytes."""
    pairs.tokenizer(teacher=True, swapped=True).save_pretrained(folder / "teacher")
    return []


def few_rows(folder: Path) -> list[str]:
    shutil.rmtree(folder / "student")
    pairs.save(folder / "student", pairs.vlm(pairs.STUDENT_WORDS), pairs.tokenizer())
    return []


def without_tensor(folder: Path) -> list[str]:
    """Weights of which one is missing: transformers would make it up at random."""
    path = folder / "student" / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    del tensors[next(key for key in tensors if "q_proj.weight" in key)]
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    return []


def sharded(folder: Path) -> list[str]:
    """An index that names a shard which is not there, as after a broken download."""
    (folder / "student" / "model.safetensors").rename(folder / "student" / "model-00001-of-00002.safetensors")
    names = safetensors.torch.load_file(folder / "student" / "model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00002.safetensors") | {"x": "model-00002-of-00002.safetensors"}}
    (folder / "student" / "model.safetensors.index.json").write_text(json.dumps(index))
    return []


def all_answers(answer: str) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        own.write(folder / "problems.jsonl", [row | {"answer": answer} for row in rows(folder, "problems.jsonl")])
        return []

    return spoil


def all_traces(response: str) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        own.write(folder / "traces.jsonl", [{"prompt": row["messages"][0]["content"], "response": response} for row in rows(folder, "traces.jsonl")])
        return []

    return spoil


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (56, 56), "white").save(out, "PNG")
    return out.getvalue()


def with_picture(folder: Path) -> list[str]:
    """A text problem that shows something."""
    (folder / "a.png").write_bytes(png())
    return with_row("problems.jsonl", prompt="x", answer=1, image="a.png")(folder)


def blind_processor(folder: Path) -> list[str]:
    """What AutoProcessor makes of such a folder is a tokenizer, without a word."""
    (folder / "student" / "preprocessor_config.json").unlink()
    (folder / "a.png").write_bytes(png())
    own.write(folder / "seen.jsonl", [{"prompt": "x", "answer": "1", "image": "a.png"}])
    return ["eval.benchmarks=[{name='seen', kind='jsonl', modality='image', path='seen.jsonl'}]"]


def foreign(folder: Path) -> list[str]:
    (folder / "run").mkdir()
    (folder / "run" / "thesis.tex").write_text("years of work")
    return []


ORZ = json.dumps([[{"from": "human", "value": "1+1?"}]])
CASES: dict[str, tuple[Spoil, str]] = {
    # data
    "no problem file": (file("problems.jsonl", None), r"problems\.jsonl"),
    "an empty problem file": (file("problems.jsonl", ""), r"problems\.jsonl holds no problem"),
    "a line that is no JSON": (
        file("problems.jsonl", '{"prompt": "x", "answer": 1}\n{oops\n'),
        r"problems\.jsonl, line 2: found '\{oops",
    ),
    "a line that is no object": (file("problems.jsonl", '["x"]\n'), r"problems\.jsonl, line 1"),
    "text that is not UTF-8": (file("problems.jsonl", b'{"prompt": "\xff", "answer": 1}\n'), r"problems\.jsonl.*UTF-8"),
    "a problem without an answer": (with_row("problems.jsonl", prompt="x"), r"line 9: .*joint/9|problems/9"),
    "a blank answer": (with_row("problems.jsonl", prompt="x", answer="  "), r"line 9.*answer"),
    "a prompt that is no text": (with_row("problems.jsonl", prompt=["x"], answer="1"), r"line 9.*prompt"),
    "an empty prompt": (with_row("problems.jsonl", prompt=" ", answer="1"), r"line 9.*prompt"),
    "no row with an answer": (
        lambda f: own.write(f / "problems.jsonl", [{"prompt": str(n)} for n in range(8)]) or ["joint.problems.on_bad_row='drop'"],
        r"answer",
    ),
    "two rows of one id": (
        lambda f: own.write(f / "problems.jsonl", [{"id": "a", "prompt": str(n), "answer": 1} for n in range(8)]) or [],
        r"two problems are called .*/a",
    ),
    "too few different questions": (
        lambda f: own.write(f / "problems.jsonl", [{"prompt": "same", "answer": 1}] * 8) or [],
        r"holds 1 problems, but a step reads 4 different ones",
    ),
    "a CSV without the column": (
        file("p.csv", "question,answer\n1+1?,2\n", "joint.problems.kind='csv'", "joint.problems.path='p.csv'"),
        r"p\.csv.*prompt",
    ),
    "orz rows of one turn": (file("o.json", ORZ, "joint.problems.kind='orz'", "joint.problems.path='o.json'"), r"o\.json.*row 0"),
    "a list where JSON is broken": (file("o.json", "[[{", "joint.problems.kind='orz'", "joint.problems.path='o.json'"), r"o\.json"),
    "parquet that is cut off": (
        file("p.parquet", b"PAR1....", "joint.problems.kind='verl'", "joint.problems.path='p.parquet'"),
        r"p\.parquet",
    ),
    "gzip that is cut off": (
        file("p.jsonl.gz", gzip.compress(b'{"prompt": "x", "answer": "1"}\n' * 99)[:40], "joint.problems.path='p.jsonl.gz'"),
        r"p\.jsonl\.gz",
    ),
    "a folder without a data set": (settings("joint.problems.kind='gsm8k'", "joint.problems.path='student'"), r"student"),
    "a question that is longer than the context": (
        with_row("problems.jsonl", prompt="long " * 200, answer="1"),
        r"line 9.*its prompt is 1\d\d\d tokens for the student.*context of 512",
    ),
    "nothing but questions longer than the context": (
        settings("joint.sampling.max_new_tokens=500", "joint.problems.on_bad_row='drop'"),
        r"context of 512",
    ),
    "a control token in a question": (
        with_row("problems.jsonl", prompt="see <|image_pad|>", answer="1"),
        r"line 9.*'<\|image_pad\|>'.*control token",
    ),
    "a picture in a text problem": (with_picture, r"line 9.*it shows an image, and the teacher in .* cannot see"),
    "references no judge can read": (all_answers(r"\frac{1}{"), r"not one of the 8 references.*judge\.kind = \"exact\""),
    # traces
    "no trace file": (file("traces.jsonl", None), r"traces\.jsonl"),
    "an empty trace file": (file("traces.jsonl", "\n"), r"traces\.jsonl holds no trace"),
    "a conversation of four turns": (
        with_row("traces.jsonl", messages=[{"role": r, "content": "x"} for r in ("user", "assistant", "user", "assistant")]),
        r"traces\.jsonl, line 9",
    ),
    "an answer without a word": (with_row("traces.jsonl", prompt="x", response=""), r"traces\.jsonl, line 9"),
    "a filter that has nothing to judge by": (settings("corpus.filter='correct'"), r"8 traces have no answer.*corpus\.filter"),
    # models
    "no student": (settings("student.path='gone/away/far'"), r"no model folder|cannot be had"),
    "a config that is gone": (file("student/config.json", None), r"student"),
    "a config of nothing known": (edit("student/config.json", model_type="qwen9000"), r"student"),
    "a config that is cut off": (cut("student/config.json", 0.5), r"student"),
    "a tokenizer that is cut off": (cut("teacher/tokenizer.json", 0.5), r"tokenizer of .*teacher"),
    "weights that are gone": (file("teacher/model.safetensors", None), r"teacher holds no weights"),
    "weights that are cut off": (cut("student/model.safetensors", 0.9), r"model\.safetensors.*(cut|damaged|incomplete)"),
    "a shard that is gone": (sharded, r"model-00002-of-00002\.safetensors"),
    "weights of which a part is missing": (without_tensor, r"student holds [\d,]+ parameters, but its config\.json asks for"),
    "a student without its image processor": (blind_processor, r"no preprocessor_config\.json"),
    "tables that disagree far below the added ids": (other_teacher, r"disagree on 2 token ids, the first is 0"),
    "no rows for the teacher's words": (few_rows, rf"embedding has {pairs.STUDENT_WORDS} rows.*spell-out"),
    "no chat template of its own": (settings("student.template='own'"), r"no chat template of its own"),
    "a template file that is not there": (settings("teacher.template='mine.jinja'"), r"mine\.jinja.*neither chatml nor own"),
    # settings
    "a group of one": (settings("joint.group_size=1"), r"group"),
    "a script where the sampler is corrected": (
        settings('arms.vold.objective.correction={by="truncated", cap=2.0}'),
        r"engine\.scripted = 'half'.*corrects|correction",
    ),
    "a format nobody knows": (settings("judge.formats=['circled']"), r"judge\.formats.*'circled' is not one of"),
    "no format at all": (settings("judge.formats=[]"), r"judge\.formats"),
    "a layout nobody knows": (settings("joint.problems.kind='orzz'"), r"joint\.problems\.kind = 'orzz' is not one of"),
    "bad rows to be ignored": (settings("joint.problems.on_bad_row='ignore'"), r"'ignore' is not one of: 'refuse', 'drop'"),
    "how traces are read, where none are": (
        settings("corpus.from='teacher'", "corpus.path=''", "corpus.problems.count=4", "corpus.subsets=['math']"),
        r"corpus\.subsets is set, but",
    ),
    "how rows are read, where problems are drawn": (
        settings("joint.problems.kind='tiny'", "joint.problems.path=''", "joint.problems.on_bad_row='drop'"),
        r'joint\.problems\.on_bad_row is set, but kind = "tiny" draws',
    ),
    # the run's folder
    "somebody else's folder": (foreign, r"run is not a run's folder: it holds thesis\.tex"),
    "a file where the folder should be": (file("run", "x"), r"run folder .*run cannot be written"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_before_anything_is_spent(folder: Path, case: str) -> None:
    spoil, said = CASES[case]
    given = spoil(folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(Refusal, match=said) as refused:
        run_here("own.toml", folder / "run", *given)
    assert refused.value.exit_code == 2
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before  # nothing was lost, nothing was made


def test_at_least_forty_mistakes_are_known() -> None:
    assert len(CASES) >= 40


def test_weights_under_another_name_are_refused_when_they_are_loaded(folder: Path) -> None:
    """As many parameters as there should be; only loading tells that one of them is nobody's."""
    path = folder / "student" / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["stray.weight"] = tensors.pop(next(key for key in tensors if "q_proj.weight" in key))
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"student lacks 1 tensors that its config asks for, the first is .*q_proj\.weight"):
        load(folder / "student")


def test_a_recipe_changed_between_attempts_names_the_keys(folder: Path) -> None:
    with pytest.raises(Interrupted):
        run_here("own.toml", folder / "run", stop=("SFT", 1))
    before = {p: p.read_bytes() for p in (folder / "run").rglob("*") if p.is_file()}
    with pytest.raises(Refusal, match=r"settings\.sft\.lr: 0\.001 -> 0\.002") as refused:
        run_here("own.toml", folder / "run", "sft.lr=2e-3")
    assert "joint" not in str(refused.value)
    assert {p: p.read_bytes() for p in (folder / "run").rglob("*") if p.is_file()} == before


def test_bad_rows_are_left_out_counted_and_named(folder: Path) -> None:
    """What cannot be used is dropped for every reason at once, and the run says so before it trains."""
    bad = [{"prompt": "x"}, {"prompt": "a " * 400, "answer": 1}, {"prompt": "<|im_end|>", "answer": 1}, {"prompt": "What is 0 + 3?", "answer": 4}]
    own.write(folder / "problems.jsonl", [*rows(folder, "problems.jsonl"), *bad])
    said: list[str] = []
    run_here("own.toml", folder / "run", "joint.problems.on_bad_row='drop'", "joint.arms=['vold']", "sft.steps=1", "joint.steps=1", said=said)
    told = json.loads((folder / "run" / "references.json").read_text())
    assert told["read"]["kept"] == 8
    assert told["read"]["duplicates"] == told["read"]["conflicting"] == 1
    assert set(told["read"]["bad_rows"]) == {"problems/9", "problems/10", "problems/11"}
    assert any("12 rows read, 8 used, 1 repeat a question (1 of them with another answer), 3 left out" in line for line in said)
