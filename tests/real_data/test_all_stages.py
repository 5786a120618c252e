"""Every stage on real prompts and traces with the real token tables, shorter than `make real-data`."""

import json
from pathlib import Path

import pytest
from support.real import DATA, needs
from support.runs import journal_of, run_here, summary_of
from transformers import AutoTokenizer

from vold.config.load import load
from vold.wiring import real_data
from vold.wiring.check import check

SHORTER = (
    "sft.steps=1",
    "sft.traces_per_step=2",
    "sft.max_tokens=700",
    "joint.steps=1",
    "joint.warmup=0",
    "joint.prompts_per_step=10",
    "joint.arms=['vold']",
    "joint.validation.every=0",
    "threads=1",
    "eval.sampling.max_new_tokens=2",
    "joint.sampling.max_new_tokens=48",
)

pytestmark = needs("orz57k")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return real_data.prepared(DATA, tmp_path_factory.mktemp("real-data"))


@pytest.mark.long
def test_the_real_tables_side_by_side(settings: list[str], tmp_path: Path) -> None:
    found = check(load(real_data.RECIPE, assignments=settings), root=tmp_path / "run")
    assert found.refusals == ()
    assert found.tokens is not None
    assert (found.tokens.shared, found.tokens.student_rows, found.tokens.teacher_rows, found.tokens.clashes) == (151_665, 151_936, 151_936, ())
    assert [(one.id, one.word) for one in found.tokens.one_sided] == [
        (151665, "<tool_response>"), (151666, "</tool_response>"), (151667, "<think>"), (151668, "</think>"),
    ]  # fmt: skip
    assert (found.tokens.student_padded, found.tokens.said) == (267, 151_664)
    student, teacher = found.prompts
    assert student.ids == teacher.ids
    assert student.text.startswith("<|im_start|>user\n$P(x)$ is a polynomial")
    assert student.text.endswith("put your final answer within \\boxed{}.<|im_end|>\n<|im_start|>assistant\n")
    assert {one.where: one.read for one in found.data}["joint.problems"] == "1400 rows read, 1398 used, 2 repeat a question (0 with another answer)"


@pytest.mark.long
def test_all_stages(settings: list[str], tmp_path: Path) -> None:
    root = tmp_path / "run"
    said: list[str] = []
    run_here(real_data.RECIPE, root, *settings, *SHORTER, said=said)
    assert any("1398 used" in line for line in said)
    manifest = json.loads((root / "corpus" / "manifest.json").read_text())
    assert manifest["kept"] > 200
    assert manifest["dropped"]["over the length cap"] > 0
    assert manifest["dropped"]["no closed think block"] == 1
    assert AutoTokenizer.from_pretrained(root / "sft" / "model")("<think></think>").input_ids == [151667, 151668]
    rulings = [group["rulings"] for line in journal_of(root / "joint-vold") for group in line["groups"]]
    assert len(rulings) == 10
    assert sum(set(letters) == {"w"} for letters in rulings[1::2]) == 5  # random weights are never right
    assert any("r" in letters for letters in rulings[::2])
    assert all(line["values"]["grad_norm"] > 0 for line in journal_of(root / "joint-vold"))
    assert all(row["value"] == 0 for row in summary_of(root)["rows"])
    assert "random weights learn nothing" in (root / "report.html").read_text()
