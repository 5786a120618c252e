"""Pairs whose token tables differ as real ones do, all the way: words only the teacher has, embeddings of other widths, a student that cannot see,
a teacher that could."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import models as m
from support import own, pairs
from support.records import problem, rollout
from support.runs import journal_of, run_here, summary_of
from transformers import AutoTokenizer

from vold.adapters.models import load
from vold.adapters.templates import CHATML, Template
from vold.adapters.vocabulary import banned_ids
from vold.base.types import Problem
from vold.core.vocabulary import speakable


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Traces with think marks and problems, in the folder the run starts from."""
    monkeypatch.chdir(tmp_path)
    own.put_data(tmp_path)
    return tmp_path


def run(data: Path, pair: pairs.Pair, *assignments: str) -> Path:
    run_here(own.put_recipe(data, pair), data / "run", *assignments)
    return data / "run"


def texts(root: Path, arm: str) -> list[dict]:
    return [shown for line in journal_of(root / f"joint-{arm}") for group in line["groups"] for shown in group.get("shown", [])]


PAIRS: dict[str, Callable[[Path], pairs.Pair]] = {
    "the ordinary pair": pairs.saved,
    "a wider student": lambda folder: pairs.saved(folder, student_rows=320),
    "a wider teacher": lambda folder: pairs.saved(folder, teacher_rows=320),
    "a student that cannot see": lambda folder: pairs.Pair(
        student=pairs.save(folder / "student", pairs.text_model(width=32, seed=3), pairs.tokenizer()), teacher=pairs.saved(folder / "x").teacher
    ),
    "a teacher that could see": lambda folder: pairs.Pair(
        student=pairs.saved(folder / "x").student, teacher=pairs.save(folder / "teacher", pairs.vlm(seed=4), pairs.tokenizer(teacher=True))
    ),
    "an untied student": lambda folder: pairs.Pair(
        student=pairs.save(folder / "student", pairs.vlm(tied=False, seed=5), pairs.tokenizer()), teacher=pairs.saved(folder / "x").teacher
    ),
}


LONGER = ("a wider student", "a student that cannot see", "a wider teacher", "an untied student", "a teacher that could see")
"""Run by `make test-long`; the others already go all the way in `make test`."""


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.long] if kind in LONGER else []) for kind in PAIRS])
def test_a_pair_goes_all_the_way(data: Path, kind: str) -> None:
    root = run(data, PAIRS[kind](data / "models"))
    assert AutoTokenizer.from_pretrained(root / "sft" / "model")("<think>").input_ids == [pairs.id_of("<think>")]
    assert {row["row"] for row in summary_of(root)["rows"]} == {"base, direct", "base, reasoning", "SFT", "vold", "whole"}
    for arm in ("vold", "whole"):
        for line in journal_of(root / f"joint-{arm}"):
            assert line["values"]["grad_norm"] > 0
            assert line["values"]["pull/log_ratio"] is not None
            assert line["values"]["pull/scored"] > 0
    rulings = [group["rulings"] for line in journal_of(root / "joint-vold") for group in line["groups"]]
    assert any("r" in letters for letters in rulings)
    assert any(set(letters) == {"w"} for letters in rulings)


@pytest.mark.long
def test_think_marks_are_one_id_or_spelled(data: Path) -> None:
    pair = pairs.saved(data / "models")
    root = run(data, pair)
    spelled = data / "spelled"
    run_here("own.toml", spelled, "student.think_marks='spell-out'")
    assert len(AutoTokenizer.from_pretrained(spelled / "sft" / "model")("<think>").input_ids) == len("<think>")
    longer, shorter = (sum(line["values"]["tokens"] for line in journal_of(r / "sft")) for r in (spelled, root))
    assert longer - shorter == 2 * 4 * (len("<think>") - 1 + len("</think>") - 1)


def test_the_teacher_reads_what_an_extended_student_wrote_as_the_teacher_itself_would(tmp_path: Path) -> None:
    """One id a mark, in the prompt's own template: the score is that of the teacher's own tokenization."""
    pair = pairs.saved(tmp_path, student_rows=320)
    teacher = load(pair.teacher, dtype="float64", attention="sdpa")
    template = Template(of=teacher, layout=CHATML)
    asked = replace(problem("p"), prompt="hm")
    ids = template.ids_of("<think>\nx\n</think>\n\n5")
    banned_V = banned_ids(load(pair.student), None)
    banned_V[list(range(pairs.STUDENT_WORDS, pairs.TEACHER_WORDS))] = False
    [view] = m.teacher_of(teacher, template=template, banned_V=banned_V).score([rollout(asked, 0, (1,), ids)])
    whole = torch.tensor([[*template.ids(asked), *ids]])
    logits = teacher.model(input_ids=whole).logits.detach()[0, len(template.ids(asked)) - 1 : -1]
    said = sorted(speakable([teacher.table]))
    logprobs = logits[:, said].log_softmax(-1)
    expected = [float(logprobs[t, said.index(i)]) for t, i in enumerate(ids)]
    assert list(view.logprobs) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rows", [pairs.ROWS, 400])
def test_placeholders_and_ids_without_a_word_are_never_sampled(tmp_path: Path, rows: int) -> None:
    """The head is made to want them badly."""
    student = load(pairs.save(tmp_path, pairs.vlm(rows, tied=False), pairs.tokenizer()))
    allowed = speakable([student.table])
    unwanted = [i for i in range(rows) if i not in allowed]
    assert len(unwanted) == 5 + rows - pairs.STUDENT_WORDS
    with torch.no_grad():
        student.head[unwanted] *= 50
    engine = m.engine_of(student, template=Template(of=student, layout=CHATML), banned_V=banned_ids(student))
    asked: Sequence[Problem] = [replace(problem(f"p{n}"), prompt="abc"[:n]) for n in range(1, 4)]
    for temperature in (1.0, 0.0):
        answers = engine.sample(asked, per_problem=8, sampling=m.sampling(16, temperature), place=("x",))
        seen = {i for answer in answers for i in answer.response_ids}
        assert seen <= allowed
