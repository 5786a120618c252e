"""Data of one's own: it goes all the way through, and what cannot be read is refused while nothing has been spent."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from support.runs import run_here, summary_of

from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.tiny_models.shipped import folder_of
from vold.base.errors import Refusal
from vold.tiny.grammar import chain_a, draw_question

SHORT = (
    "sft.steps=3",
    "sft.traces_per_step=4",
    "joint.steps=2",
    "joint.prompts_per_step=3",
    "joint.group_size=2",
    "joint.arms=['vold']",
    "joint.sampling.max_new_tokens=16",
    "eval.sampling.max_new_tokens=16",
    "eval.samples=0",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ready-made traces, problems, and a benchmark with and without pictures, as somebody else would write them."""
    folder = tmp_path / "data"
    folder.mkdir()
    questions = [draw_question(Random(place), 2) for place in range(12)]
    asked = [f"{q.text_facts} find {q.expression} ?" for q in questions]
    write(folder / "traces.jsonl", [{"prompt": p, "response": chain_a(q, q.results)} for p, q in zip(asked, questions, strict=True)])
    write(folder / "problems.jsonl", [{"prompt": p, "answer": q.answer} for p, q in zip(asked, questions, strict=True)])
    pictures = [tiny_problem(1, "own", place, 1, image=True) for place in range(4)]
    for place, problem in enumerate(pictures):
        (folder / f"{place}.png").write_bytes(problem.images[0])
    write(folder / "pictures.jsonl", [{"prompt": p.prompt, "answer": p.answer, "image": f"{n}.png"} for n, p in enumerate(pictures)])
    return folder


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def settings(data: Path) -> list[str]:
    benchmarks = [
        f"{{name='own', kind='jsonl', path='{data}/problems.jsonl', size=5}}",
        f"{{name='seen', kind='jsonl', modality='image', path='{data}/pictures.jsonl'}}",
    ]
    return [
        *SHORT,
        "corpus.from=dataset",
        f"corpus.path={data}/traces.jsonl",
        "joint.problems.kind=jsonl",
        f"joint.problems.path={data}/problems.jsonl",
        "joint.validation.every=2",
        f"joint.validation.benchmark={benchmarks[1]}",
        f"eval.benchmarks=[{', '.join(benchmarks)}]",
    ]


def test_own_traces_problems_and_pictures_go_all_the_way(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    run_here("tiny", root, *settings(data))
    rows = summary_of(root)["rows"]
    assert {(r["benchmark"], r["modality"], r["difficulty"], r["n"]) for r in rows} == {("own", "text", None, 5), ("seen", "image", None, 4)}
    assert [r["row"] for r in rows[::2]] == ["base, direct", "base, reasoning", "SFT", "VOLD"]
    assert summary_of(root)["floors"] == {"constant": None, "shortcuts": []}  # nobody knows what shortcuts score here
    manifest = json.loads((root / "corpus" / "manifest.json").read_text())
    assert (manifest["kept"], manifest["from"]) == (12, "dataset")

    assert run_here("tiny", root, *settings(data)).ran == ()
    (data / "3.png").write_bytes((data / "2.png").read_bytes())  # a file of the same name, with something else in it
    with pytest.raises(Refusal, match=r"stage joint vold .*inputs\.benchmark seen: "):
        run_here("tiny", root, *settings(data))
    with (data / "traces.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "find a ?", "response": "ok"}) + "\n")
    with pytest.raises(Refusal, match=r"stage corpus .*inputs\.traces: "):
        run_here("tiny", root, *settings(data))


# -- refused before anything is spent -------------------------------------------------------------------------------------------------


def append(name: str, line: str) -> Callable[[Path], object]:
    return lambda data: (data / name).write_text((data / name).read_text() + line + "\n")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no traces": (lambda data: (data / "traces.jsonl").unlink(), r"no corpus file .*traces\.jsonl"),
    "empty traces": (lambda data: (data / "traces.jsonl").write_text(""), r"traces\.jsonl holds no trace"),
    "a broken trace": (append("traces.jsonl", "{oops"), r"traces\.jsonl, line 13: "),
    "no problems": (lambda data: (data / "problems.jsonl").unlink(), r"no problem file .*problems\.jsonl"),
    "empty problems": (lambda data: (data / "problems.jsonl").write_text("\n"), r"problems\.jsonl holds no problem"),
    "a problem without answer": (append("problems.jsonl", '{"prompt": "x"}'), r"problems\.jsonl, line 13: "),
    "too few problems": (
        lambda data: (data / "problems.jsonl").write_text('{"prompt": "x", "answer": "1"}\n'),
        r"problems\.jsonl holds 1 problems, but a step reads 3",
    ),
    "a problem with a picture": (
        append("problems.jsonl", '{"prompt": "a ?", "answer": "1", "image": "0.png"}'),
        r"problems\.jsonl, line 13: .*it shows an image, and the teacher in .* cannot see",
    ),
    "no benchmark": (lambda data: (data / "pictures.jsonl").unlink(), r"no problem file .*pictures\.jsonl"),
    "a lost picture": (lambda data: (data / "2.png").unlink(), r"pictures\.jsonl, line 3: .*2\.png"),
    "a broken picture": (lambda data: (data / "2.png").write_bytes(b"\x89PNG"), r"pictures\.jsonl, line 3: "),
    "a benchmark row without picture": (append("pictures.jsonl", '{"prompt": "x", "answer": "1"}'), r"1 problems show no image, .*seen/5"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_unreadable_data_is_refused_by_name_before_anything_starts(data: Path, tmp_path: Path, kind: str) -> None:
    spoil, said = SPOILT[kind]
    spoil(data)
    with pytest.raises(Refusal, match=said) as refused:
        run_here("tiny", tmp_path / "run", *settings(data))
    assert refused.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def copied(name: str, folder: Path, *, without: str = "") -> Path:
    shutil.copytree(folder_of(name), folder / name)
    if without:
        (folder / name / without).unlink()
    return folder / name


def relabelled(folder: Path) -> Path:
    """A teacher to whom two ids mean each other's words."""
    teacher = copied("teacher-a", folder)
    tokenizer = json.loads((teacher / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    (teacher / "tokenizer.json").write_text(json.dumps(tokenizer))
    return teacher


MODELS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no student": ("student", lambda folder: folder / "gone", r"no model folder .*gone\. Give a folder in Hugging Face layout"),
    "no config": ("student", lambda folder: copied("base", folder, without="config.json"), r"base holds no config\.json"),
    "no tokenizer": ("teacher", lambda folder: copied("teacher-a", folder, without="tokenizer.json"), r"tokenizer of .*teacher-a could not be"),
    "no weights": ("teacher", lambda folder: copied("teacher-a", folder, without="model.safetensors"), r"teacher-a holds no weights"),
    "a student that is blind": ("student", lambda _: folder_of("teacher-b"), r"benchmark .* shows images, but the student .* no vision tower"),
    "a teacher of another tongue": ("teacher", relabelled, r"student and teacher disagree on 2 token ids, the first is 19: 'a' against 'b'"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_models_that_cannot_work_are_refused_before_anything_starts(tmp_path: Path, kind: str) -> None:
    role, build, said = MODELS[kind]
    with pytest.raises(Refusal, match=said):
        run_here("tiny", tmp_path / "run", *SHORT, f"{role}.path={build(tmp_path)}")
    assert not (tmp_path / "run").exists()
