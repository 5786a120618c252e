"""Training that shows pictures: reward alone from the student as it is, traces with pictures, and text beside pictures; the tower as asked."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from safetensors.torch import load_file
from support.runs import run_here
from torch import Tensor

from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.tiny_models.shipped import folder_of
from vold.base.errors import SettingsError
from vold.tiny.grammar import chain_a, draw_question

SHORT = (
    "joint.steps=2",
    "joint.arms=['grpo']",
    "joint.prompts_per_step=4",
    "joint.group_size=3",
    "joint.validation.every=0",
    "joint.sampling.max_new_tokens=12",
    "eval.sampling.max_new_tokens=4",
    "eval.samples=0",
    "eval.benchmarks=[{name='seen', modality='image', difficulties=[1], size=2}]",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Problems with pictures, among them two in words alone, and traces about the same pictures."""
    folder = tmp_path / "data"
    folder.mkdir()
    problems, traces = [], []
    for place in range(8):
        problem = tiny_problem(1, "shown", place, 1, image=True)
        (folder / f"{place}.png").write_bytes(problem.images[0])
        shown = {"images": [f"{place}.png"]} if place < 6 else {}
        problems.append({"prompt": problem.prompt, "answer": problem.answer, **shown})
        traces.append({"prompt": problem.prompt, "response": chain_a(question := draw_question(Random(place), 1), question.results), **shown})
    _write(folder / "problems.jsonl", problems)
    _write(folder / "traces.jsonl", traces)
    return folder


def _write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def shown_in_stage_2(data: Path) -> list[str]:
    return [*SHORT, "joint.problems.kind=jsonl", f"joint.problems.path={data}/problems.jsonl"]


def towers(trained: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Base and trained, the vision tower only."""
    found = [load_file(next(folder.glob("*.safetensors"))) for folder in (folder_of("base"), trained)]
    return tuple({name: tensor for name, tensor in weights.items() if "visual" in name} for weights in found)  # type: ignore[return-value]


def journal(stage: Path) -> list[dict[str, float]]:
    return [json.loads(line)["values"] for line in (stage / "journal.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("vision", "moves"), [("frozen", ()), ("merger", ("merger",)), ("trained", ("merger", "blocks", "patch_embed"))])
def test_reward_alone_on_pictures_from_the_student_as_it_is(data: Path, tmp_path: Path, vision: str, moves: tuple[str, ...]) -> None:
    root = tmp_path / "run"
    reference = "arms.grpo.objective={base='VLM_R1'}"
    done = run_here("tiny", root, *shown_in_stage_2(data), "sft.steps=0", f"joint.vision={vision}", reference, "joint.lr=1e-3")
    assert done.ran == ("joint grpo", "eval base, direct", "eval base, reasoning", "eval GRPO")
    base, trained = towers(root / "joint-grpo" / "model")
    moved = {name for name in base if not base[name].equal(trained[name])}
    assert {part for part in ("merger", "blocks", "patch_embed") if any(part in name for name in moved)} == set(moves)
    steps = journal(root / "joint-grpo")
    assert all(0 < step["rows/pictures"] <= 1 for step in steps)
    assert any(step["trained_tokens"] > 0 for step in steps)
    summary = json.loads((root / "summary.json").read_text())
    assert {row["row"] for row in summary["rows"]} == {"base, direct", "base, reasoning", "GRPO"}
    tuned = {path.parent.name: json.loads(path.read_text())["model"]["images_in_tuning"] for path in root.glob("eval/*/scores.json")}
    assert tuned == {"base-direct": "–", "base-reasoning": "–", "joint-grpo": "yes"}


def test_traces_with_pictures_align_the_student(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    settings = ["corpus.from=dataset", f"corpus.path={data}/traces.jsonl", "sft.steps=3", "sft.traces_per_step=8", "sft.vision=trained"]
    run_here("tiny", root, *SHORT, *settings, only="corpus")
    run_here("tiny", root, *SHORT, *settings, only="sft")
    assert [step["rows/pictures"] for step in journal(root / "sft")] == [0.75] * 3
    base, trained = towers(root / "sft" / "model")
    assert any(not base[name].equal(trained[name]) for name in base)


def test_a_stage_that_a_recipe_does_not_have_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no stage sft in this recipe: sft\.steps = 0 .*Its stages: joint, eval"):
        run_here("tiny", tmp_path / "run", *shown_in_stage_2(data), "sft.steps=0", only="sft")
