"""Checkpoints: the newest that is whole is used, what it gives is what was saved, and stock transformers reads the result."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import models as m
from support.runs import Interrupted, lines_in, results_of, run_here, unlike
from transformers import AutoModelForImageTextToText, AutoTokenizer

from vold.adapters.checkpoints import FolderCheckpoints, whole
from vold.adapters.models import load
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.templates import Template
from vold.adapters.tiny_models.shipped import folder_of
from vold.ports import Example

STAGES = {"sft": ("SFT", "sft", 10, (4, 8)), "joint": ("VOLD", "joint-both", 5, (2, 4))}
"""Kind of stage: its bar, its folder, the step after which it is stopped, and the two checkpoints it has left by then."""


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "weights cut short": lambda folder: truncate(folder / "weights.safetensors"),
    "a byte of the optimizer": lambda folder: flip(folder / "optimizer.pt"),
    "no weights": lambda folder: (folder / "weights.safetensors").unlink(),
    "no digests": lambda folder: (folder / "digests.json").unlink(),
    "digests cut short": lambda folder: truncate(folder / "digests.json"),
}


@pytest.fixture
def stopped(uninterrupted: Path, recipe: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Builds a run in which one stage stopped half-way; the stages before it are those of the undisturbed run."""

    def stopped(kind: str) -> Path:
        bar, folder, step, kept = STAGES[kind]
        root = tmp_path / "small"
        for done in ("corpus", "sft") if kind == "joint" else ("corpus",):
            shutil.copytree(uninterrupted / done, root / done)
        with pytest.raises(Interrupted):
            run_here(recipe, root, only=kind, stop=(bar, step))
        assert steps_saved(root / folder) == list(kept)  # the newest two
        return root

    return stopped


def steps_saved(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*"))


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        *(("sft", damage) for damage in ("none", *DAMAGE)),
        *(pytest.param("joint", damage, marks=pytest.mark.long) for damage in ("none", "weights cut short")),
    ],
)
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(
    stopped: Callable[[str], Path], recipe: Path, uninterrupted: Path, kind: str, damage: str
) -> None:
    root = stopped(kind)
    folder = root / STAGES[kind][1]
    older, newest = STAGES[kind][3]
    if damage != "none":
        DAMAGE[damage](folder / "checkpoints" / f"step-{newest:07d}")
    times = (folder / "timing.jsonl").read_bytes().splitlines()
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write('{"step": 99, "val')  # cut off while being written

    run_here(recipe, root, only=kind)
    for name in ("journal.jsonl", "model/model.safetensors"):
        assert (folder / name).read_bytes() == (uninterrupted / STAGES[kind][1] / name).read_bytes(), name
    again = (folder / "timing.jsonl").read_bytes().splitlines()
    first_repeated = next(place for place, (was, now) in enumerate(zip(times, again, strict=False)) if was != now)
    assert first_repeated == (newest if damage == "none" else older)


def test_without_a_whole_checkpoint_the_stage_starts_over(stopped: Callable[[str], Path], recipe: Path, uninterrupted: Path) -> None:
    root = stopped("sft")
    for checkpoint in (root / "sft" / "checkpoints").iterdir():
        truncate(checkpoint / "weights.safetensors")
    run_here(recipe, root, only="sft")
    assert (root / "sft" / "journal.jsonl").read_bytes() == (uninterrupted / "sft" / "journal.jsonl").read_bytes()
    assert lines_in(root / "sft" / "timing.jsonl") == lines_in(root / "sft" / "journal.jsonl")


def test_how_often_a_stage_saves_changes_nothing(recipe: Path, uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(uninterrupted / "corpus", tmp_path / "small" / "corpus")
    run_here(recipe, tmp_path / "small", "sft.checkpoint_every=0", only="sft")
    assert (tmp_path / "small/sft/model/model.safetensors").read_bytes() == (uninterrupted / "sft/model/model.safetensors").read_bytes()


def test_a_damaged_result_is_made_again_and_what_follows_is_kept(uninterrupted: Path, recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "small"
    shutil.copytree(uninterrupted, root)
    flip(root / "joint-both" / "model" / "model.safetensors")
    said: list[str] = []
    done = run_here(recipe, root, said=said)
    assert done.ran == ("joint both",)  # the same weights again, so its evaluation still holds
    assert "joint both: its outputs are damaged, the old folder is now joint-both.old-1" in said
    shutil.rmtree(root / "joint-both.old-1")
    assert unlike(results_of(root), results_of(uninterrupted)) == []


# -- one learner ----------------------------------------------------------------------------------------------------------------------

EXAMPLES = [Example(prompt_ids=(1, 31, 9, 2), response_ids=(12, 13, 2)), Example(prompt_ids=(1, 31, 2), response_ids=(14, 2))]


def trained(steps: int, *, folder: Path, saved_at: int = 0) -> FolderCheckpoints:
    learner = m.learner_of(load(folder_of("base")))
    checkpoints = FolderCheckpoints(folder=folder, learner=learner, every=saved_at)
    for step in range(checkpoints.restore(), steps):
        learner.accumulate_examples(EXAMPLES)
        learner.apply(5.0, lr=1e-3)
        checkpoints.after(step + 1)
    return checkpoints


def test_a_restored_learner_steps_like_the_one_that_was_saved(tmp_path: Path) -> None:
    trained(3, folder=tmp_path, saved_at=3)
    [saved] = (tmp_path / "checkpoints").iterdir()
    assert whole(saved)
    assert set(json.loads((saved / "digests.json").read_text())) == {"weights.safetensors", "optimizer.pt"}
    resumed = trained(5, folder=tmp_path).learner
    straight = trained(5, folder=tmp_path / "elsewhere").learner
    assert resumed.step == straight.step == 5
    for (name, left), right in zip(resumed.student.model.named_parameters(), straight.student.model.parameters(), strict=True):
        assert torch.equal(left, right), name


def test_stock_transformers_reads_a_result_and_computes_the_same(tmp_path: Path) -> None:
    checkpoints = trained(2, folder=tmp_path)
    ours = checkpoints.learner.student
    checkpoints.finish()
    stock, report = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", attn_implementation="eager", output_loading_info=True)
    assert not any(report.values()), report
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    before = AutoModelForImageTextToText.from_pretrained(folder_of("base"), attn_implementation="eager")
    for image in (False, True):
        problem = tiny_problem(0, "stock", 0, 2, image=image)
        prompt = Template(of=ours).render(problem)
        seen = {"pixel_values": prompt.patches, "image_grid_thw": prompt.grids} if image else {}
        ids = torch.tensor([prompt.ids])
        seen |= {"mm_token_type_ids": (ids == stock.config.image_token_id).int()} if image else {}
        with torch.no_grad():
            found, expected, base = (model.eval()(input_ids=ids, **seen).logits for model in (stock, ours.model, before))
        assert torch.equal(found, expected)
        assert not torch.equal(found, base)  # it was trained
        assert tokenizer.decode(prompt.ids) == ours.tokenizer.decode(prompt.ids)


def test_tokenizer_and_processor_are_copied_unchanged(uninterrupted: Path) -> None:
    base = folder_of("base")
    copied = {path.name for path in base.iterdir()} - {"model.safetensors", "config.json", "generation_config.json"}
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "preprocessor_config.json"} <= copied
    for folder in (uninterrupted / "sft" / "model", uninterrupted / "joint-both" / "model"):
        for name in copied:
            assert (folder / name).read_bytes() == (base / name).read_bytes(), name
        assert {path.name for path in folder.iterdir()} == {path.name for path in base.iterdir()}
