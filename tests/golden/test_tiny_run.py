"""The whole method in a few steps of the `tiny` recipe: what must hold of every such run, whatever the numbers."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from support.runs import journal_of, run_here, summary_of

from vold.adapters.tiny_models.shipped import folder_of

STEPS, PROMPTS, GROUP, SFT_STEPS, SIZE = 4, 12, 5, 30, 8
SHORT = (
    "corpus.problems.count=160",
    f"sft.steps={SFT_STEPS}",
    "sft.traces_per_step=32",
    f"joint.steps={STEPS}",
    f"joint.prompts_per_step={PROMPTS}",
    f"joint.group_size={GROUP}",
    "joint.validation.every=2",
    "joint.validation.benchmark={name='held-out', modality='image', split='validation', difficulties=[1], size=6}",
    "arms={}",
    "joint.arms=[]",
    "arms.grpo={label='GRPO', objective={base='VOLD_RL'}}",
    "arms.opd={label='OPD only', objective={base='OPD'}}",
    "arms.then={label='OPD, then GRPO', phases=[{steps=2, objective={base='OPD'}}, {steps=2, objective={base='VOLD_RL'}}]}",
    "arms.vold={label='VOLD', objective={base='VOLD', pull={beta=0.5}}}",
    f"eval.benchmarks=[{{name='t', difficulties=[1, 3], size={SIZE}}}, {{name='i', modality='image', difficulties=[1, 3], size={SIZE}}}]",
    "eval.samples=2",
    "eval.examples=2",
)
ARMS = {"grpo": "GRPO", "opd": "OPD only", "then": "OPD, then GRPO", "vold": "VOLD"}
PULLING = {"opd", "then", "vold"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "tiny"
    run_here("tiny", folder, *SHORT)
    return folder


@pytest.fixture(scope="module")
def journals(root: Path) -> dict[str, list[dict[str, Any]]]:
    return {arm: journal_of(root / f"joint-{arm}") for arm in ARMS}


# -- the table ------------------------------------------------------------------------------------------------------------------------


def test_every_row_of_the_table_is_there(root: Path) -> None:
    found = [(r["row"], r["benchmark"], r["modality"], r["way"], r["difficulty"]) for r in summary_of(root)["rows"] if r["metric"] == "accuracy"]
    assert found == [
        (row, benchmark, modality, way, difficulty)
        for row in ("base, direct", "base, reasoning", "SFT", *ARMS.values())
        for benchmark, modality in (("t", "text"), ("i", "image"))
        for way in ("greedy", "sampled")
        for difficulty in (None, 1, 3)
    ]


def test_every_number_carries_its_interval_and_its_count(root: Path) -> None:
    for row in summary_of(root)["rows"]:
        problems = SIZE * (1 if row["difficulty"] else 2)
        assert row["metric"] in ("accuracy", *(("pass@2", "majority of 2") if row["way"] == "sampled" else ()))
        assert row["mode"] == "equivalence"
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
        assert row["low"] < row["high"]
        assert (row["n"], row["seeds"], row["unjudged"]) == (problems, [0], 0)
        assert row["answers"] == problems * (2 if row["way"] == "sampled" else 1)
        assert 0 <= row["truncated"] <= row["answers"]
        right = row["value"] * row["answers"]
        assert right == pytest.approx(round(right))


def test_the_summary_says_where_it_comes_from(root: Path) -> None:
    found = summary_of(root)
    assert (found["schema"], found["recipe"]["name"], found["seed"]) == (1, "tiny", 0)
    assert len(found["recipe"]["hash"]) == 16
    assert {"vold", "torch", "transformers", "python"} <= set(found["versions"])
    assert found["hardware"]["threads"] == 1
    assert found["floors"]["constant"] == pytest.approx(0.10, abs=0.02)
    assert {shortcut["difficulty"] for shortcut in found["floors"]["shortcuts"]} == {1, 3, None}
    assert [(arm["label"], (root / arm["folder"]).is_dir()) for arm in found["arms"]] == [(label, True) for label in ARMS.values()]


def test_the_run_folder_holds_settings_with_their_sources(root: Path) -> None:
    settings = json.loads((root / "settings.json").read_text())
    assert settings["values"]["joint"]["steps"] == STEPS
    assert settings["sources"]["joint.steps"] == "command line"
    assert settings["sources"]["student.path"] == "recipe tiny"
    assert "<html" in (root / "report.html").read_text()


def test_answers_can_be_read_and_judged_again(root: Path) -> None:
    for row in ("base-direct", "sft", "joint-vold"):
        answers = [json.loads(line) for line in (root / "eval" / row / "answers.jsonl").read_text().splitlines()]
        assert len(answers) == 2 * 2 * SIZE * (1 + 2)  # benchmarks, difficulties, problems, one greedy and two sampled
        assert all((a["extracted"] == a["answer"]) == (a["ruling"] == "right") for a in answers)
        examples = [json.loads(line) for line in (root / "eval" / row / "examples.jsonl").read_text().splitlines()]
        assert len(examples) == 2 * 2 * 2  # benchmarks, ways, two of each
        assert {bool(e["problem"]["image"]) for e in examples if e["benchmark"] == "i"} == {True}


# -- the journals ---------------------------------------------------------------------------------------------------------------------


def test_alignment_lowers_the_loss(root: Path) -> None:
    journal = journal_of(root / "sft")
    assert [line["step"] for line in journal] == list(range(SFT_STEPS))
    losses = [line["values"]["loss"] for line in journal]
    assert all(map(math.isfinite, losses))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert all(set(line["values"]) == {"loss", "tokens", "lr", "grad_norm", "flops/update"} for line in journal)


@pytest.mark.parametrize("arm", ARMS)
def test_every_step_is_told_in_full(journals: dict[str, list[dict[str, Any]]], arm: str) -> None:
    assert [line["step"] for line in journals[arm]] == list(range(STEPS))
    for line in journals[arm]:
        values = line["values"]
        asked = {"reward/mean", "groups/all_right", "groups/mixed", "groups/all_wrong", "pull/rate", "pull/scored", "pull/kl", "pull_share"}
        asked |= {"pull/log_ratio_max", "rollouts/truncated", "rollouts/unjudged", "length/mean", "entropy/sampled", "z", "lr", "grad_norm"}
        asked |= {"work/never_scored", "work/never_trained", "flops/rollouts", "flops/update"}
        assert asked <= set(values)
        without = {name for name, value in values.items() if value is None}
        assert without <= {"pull_share"}  # which has no credit to be a share of where nothing but the teacher acts
        assert all(math.isfinite(value) for value in values.values() if value is not None)
        assert values["groups/all_right"] + values["groups/mixed"] + values["groups/all_wrong"] == pytest.approx(1)
        rulings = "".join(group["rulings"] for group in line["groups"])
        assert len(line["groups"]) == PROMPTS
        assert len(rulings) == PROMPTS * GROUP
        assert values["reward/mean"] == pytest.approx(rulings.count("r") / len(rulings))
        assert values["rollouts/unjudged"] == 0
        assert "clip/low" not in values  # one update a batch: the ratio is 1


def test_the_teacher_speaks_where_each_objective_says(journals: dict[str, list[dict[str, Any]]]) -> None:
    rollouts = PROMPTS * GROUP
    for arm, journal in journals.items():
        for line in journal:
            values = line["values"]
            wrong = sum(group["rulings"].count("w") for group in line["groups"])
            listens = {"grpo": 0, "opd": rollouts, "then": rollouts if line["step"] < 2 else 0, "vold": wrong}[arm]
            assert values["pull/scored"] == listens
            assert values["pull/rate"] == pytest.approx(listens / rollouts)
            assert (values["pull/kl"] > 0) == (listens > 0)
            if arm == "vold" and any({"r", "w"} <= set(group["rulings"]) for group in line["groups"]):
                assert values["pull_share"] > 0


def test_the_distance_to_the_teacher_is_taken_once_at_the_start(journals: dict[str, list[dict[str, Any]]]) -> None:
    for arm, journal in journals.items():
        told = [line["step"] for line in journal if "teacher/log_ratio_start" in line["values"]]
        assert told == ([0] if arm in PULLING else [])
    starts = {journals[arm][0]["values"]["teacher/log_ratio_start"] for arm in PULLING}
    assert len(starts) == 1  # all arms start from the same student, on the same rollouts
    assert len({json.dumps([group["rulings"] for group in journal[0]["groups"]]) for journal in journals.values()}) == 1
    assert len({json.dumps([group["rulings"] for group in journal[-1]["groups"]]) for journal in journals.values()}) > 1


def test_validation_is_told_when_it_is_due(journals: dict[str, list[dict[str, Any]]]) -> None:
    for journal in journals.values():
        due = [line["step"] for line in journal if "validation/held-out" in line["values"]]
        assert due == [1, 3]
        assert all(0 <= line["values"].get("validation/held-out", 0) <= 1 for line in journal)


# -- the models -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["sft", *(f"joint-{arm}" for arm in ARMS)])
def test_the_vision_tower_keeps_every_byte_and_the_language_part_learns(root: Path, stage: str) -> None:
    before = load_file(folder_of("base") / "model.safetensors")
    after = load_file(root / stage / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    tower = {name for name in before if "visual" in name}
    assert len(tower) > 10
    moved = {name for name in before if before[name].numpy().tobytes() != after[name].numpy().tobytes()}
    assert not moved & tower
    assert moved == set(before) - tower


# -- several updates a batch ----------------------------------------------------------------------------------------------------------


def test_with_four_updates_a_batch_the_clip_acts_on_both_sides(root: Path, tmp_path: Path) -> None:
    for done in ("corpus", "sft"):
        shutil.copytree(root / done, tmp_path / "run" / done)
    alone = [setting for setting in SHORT if not setting.startswith(("arms.grpo", "arms.opd", "arms.then"))]
    run_here("tiny-clip", tmp_path / "run", *alone, "joint.arms=['vold']", "joint.lr=3e-3", only="joint")
    values = [line["values"] for line in journal_of(tmp_path / "run" / "joint-vold")]
    assert all({"clip/low", "clip/high"} <= set(line) for line in values)
    assert all(0 <= line[side] < 1 for line in values for side in ("clip/low", "clip/high"))
    assert max(line["clip/low"] for line in values) > 0
    assert max(line["clip/high"] for line in values) > 0


# -- the teacher's likeliest ids ------------------------------------------------------------------------------------------------------


def test_a_pull_toward_the_teachers_likeliest_ids_is_the_same_by_parts(root: Path, tmp_path: Path) -> None:
    """From its settings to its journal, with no head of the teacher at hand; as a whole step and as a streamed one."""
    objective = "arms.vold.objective={base='VOLD', pull={beta=0.5, by='partner-top-k', top=8}}"
    alone = [setting for setting in SHORT if not setting.startswith("arms.")]
    journals = []
    for stream in (0, 5):
        for done in ("corpus", "sft"):
            shutil.copytree(root / done, tmp_path / str(stream) / done)
        said = ["arms.vold.label='VOLD'", objective, "joint.arms=['vold']", "joint.steps=2", f"joint.stream={stream}"]
        run_here("tiny", tmp_path / str(stream), *alone, *said, only="joint")
        journals.append([line["values"] for line in journal_of(tmp_path / str(stream) / "joint-vold")])
    for whole, parts in zip(*journals, strict=True):
        assert whole["pull/scored"] > 0
        assert 0 < whole["grad_norm"] < math.inf
        for name in ("grad_norm", "pull/kl", "pull/scored", "trained_tokens"):
            assert parts[name] == pytest.approx(whole[name], rel=1e-3)
