"""`vold check`: what it finds, what it says of it, and that it goes on after what cannot be had."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from support import own, pairs
from support.runs import vold

from vold.config.load import load
from vold.report.checked import show
from vold.wiring.check import check


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> pairs.Pair:
    return pairs.saved(tmp_path_factory.mktemp("models"), student_rows=320)


@pytest.fixture
def recipe(tmp_path: Path, models: pairs.Pair, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    own.put_data(tmp_path)
    return own.put_recipe(tmp_path, models)


def said(recipe: str, *assignments: str) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        show(check(load(recipe, assignments=assignments), root=Path("run")), console)
        return console.export_text()


def test_what_is_found(recipe: str) -> None:
    found = check(load(recipe), root=Path("run"))
    assert found.refusals == ()
    student, teacher = found.models
    assert (student.rows, student.words, student.context, student.sees) == (320, pairs.STUDENT_WORDS, 512, True)
    assert (teacher.rows, teacher.words, teacher.sees) == (pairs.ROWS, pairs.TEACHER_WORDS, False)
    assert found.tokens is not None
    assert (found.tokens.shared, len(found.tokens.one_sided), found.tokens.student_rows, found.tokens.teacher_rows) == (266, 4, 320, 288)
    assert [(r.word, r.student, r.given) for r in found.roles][3] == ("<think>", pairs.id_of("<think>"), True)
    assert {d.where: d.prompt_tokens.get("measured") for d in found.data} == {"corpus": None, "joint.problems": 8, "benchmark t": 2}
    assert found.references == "all 8 references of joint.problems can be read; all 2 references of benchmark t can be read"
    assert not Path("run").exists()


def test_both_prompts_as_text_and_ids(recipe: str) -> None:
    student, teacher = check(load(recipe, assignments=["teacher.system='Think.'", "student.suffix=' Box it.'"]), root=Path("run")).prompts
    assert student.text == "<|im_start|>user\nWhat is 0 + 3? Box it.<|im_end|>\n<|im_start|>assistant\n"
    assert teacher.text.startswith("<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\nWhat is 0 + 3? Please reason step by step")
    assert "".join(student.pieces) == student.text
    assert len(student.ids) == len(student.pieces)
    page = said(recipe)
    assert " ".join(map(str, student.ids[:8])) in page
    assert page.index("student  ") < page.index("teacher  ")


def test_the_page_tells_decisions(recipe: str) -> None:
    page = said(recipe)
    for words in (
        "given to the student's tokenizer",
        "266 ids mean the same word to both; 4 are on one side; 0 clash",
        "320 and 288 rows",
        "a run can start",
    ):
        assert words in page
    assert "spelled out by the student's own tokens" in said(recipe, "student.think_marks='spell-out'")


def test_it_goes_on_after_what_cannot_be_had(recipe: str) -> None:
    gone = ["teacher.path='gone/away'", "eval.benchmarks=[{name='t', kind='jsonl', path='gone.jsonl'}]"]
    found = check(load(recipe, assignments=gone), root=Path("run"))
    assert [m.role for m in found.models] == ["student"]
    assert [d.where for d in found.data] == ["corpus"]
    assert any("gone/away" in refusal for refusal in found.refusals)
    assert any("gone.jsonl" in refusal for refusal in found.refusals)
    assert len(set(found.refusals)) == len(found.refusals)


def test_clashes_are_shown_and_refused(recipe: str, tmp_path: Path) -> None:
    other = pairs.save(tmp_path / "other", pairs.text_model(), pairs.tokenizer(teacher=True, swapped=True))
    found = check(load(recipe, assignments=[f"teacher.path='{other}'"]), root=Path("run"))
    assert found.tokens is not None
    assert [i for i, _, _ in found.tokens.clashes] == [0, 1]
    assert any("disagree on 2 token ids" in refusal for refusal in found.refusals)


LONG = "Four friends share the shells they found, and everybody gets the same number. How much is {} + 3?"


@pytest.fixture
def repeating(recipe: str, tmp_path: Path) -> tuple[str, str]:
    """A recipe whose joint stage asks a question of its benchmark, and the same with other numbers."""
    own.write(tmp_path / "tested.jsonl", [{"question": LONG.format(n), "answer": f"#### {n + 3}"} for n in (4, 5)])
    own.write(tmp_path / "problems.jsonl", [{"prompt": LONG.format(n), "answer": n + 3} for n in (4, 6, 7, 8, 9)])
    return recipe, "eval.benchmarks=[{name='g', kind='gsm8k', path='tested.jsonl'}]"


def test_repeated_questions_are_shown(repeating: tuple[str, str]) -> None:
    page = said(*repeating)
    assert "training prompts that repeat a benchmark's question" in page
    assert "g: 1 of 2 questions repeated (1 exact)" in page
    assert "exact 1.00  problems/1 and " in page
    assert "a run can start" in page
    assert not Path("run").exists()


def test_repeated_questions_are_left_out_or_refused_as_a_run_would(repeating: tuple[str, str]) -> None:
    dropped = check(load(repeating[0], assignments=[repeating[1], "contamination.found='drop'"]), root=Path("run"))
    assert dropped.overlaps is not None
    assert dropped.overlaps.left_out == {"problems/1"}
    assert [one.prompt_tokens["measured"] for one in dropped.data if one.where == "joint.problems"] == [4]
    assert json.loads(json.dumps(dropped.to_json()))["overlaps"]["left_out"] == ["problems/1"]
    refused = check(load(repeating[0], assignments=[repeating[1], "contamination.found='refuse'"]), root=Path("run"))
    assert any("repeat a benchmark's question, such as problems/1" in refusal for refusal in refused.refusals)


@pytest.mark.long
def test_the_command(recipe: str, tmp_path: Path) -> None:
    ended = vold("check", recipe, "--json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["tokens"]["shared"] == 266
    refused = vold("check", recipe, "joint.group_size=1", cwd=tmp_path)
    assert refused.code == 2
    assert "refused: " in refused.out


def test_the_laptop_world_can_be_checked() -> None:
    found = check(load("tiny"), root=Path("run"))
    assert found.refusals == ()
    assert found.tokens is not None
    assert found.tokens.one_sided == ()
