"""Stages run one by one, changed one by one: a result is never shown for settings it was not made with."""

import json
import shutil
from pathlib import Path

import pytest
from support.runs import Interrupted, results_of, run_here, summary_of, unlike

from vold import pipeline
from vold.adapters.learners.single import SingleLearner
from vold.base.errors import Refusal, SettingsError

pytestmark = pytest.mark.faults  # minutes of whole runs: `make faults`


@pytest.fixture
def root(uninterrupted: Path, tmp_path: Path) -> Path:
    """A finished run of one's own."""
    shutil.copytree(uninterrupted, tmp_path / "small")
    return tmp_path / "small"


def everything_in(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_stages_one_by_one_make_the_same_run(recipe: Path, uninterrupted: Path, tmp_path: Path) -> None:
    root = tmp_path / "small"
    for kind in ("corpus", "sft", "joint", "eval"):
        assert not (root / "summary.json").exists()
        done = run_here(recipe, root, only=kind)
        assert {name.split()[0] for name in done.ran} == {kind}
    assert unlike(results_of(root), results_of(uninterrupted)) == []
    assert summary_of(root)["recipe"] == summary_of(uninterrupted)["recipe"]


def test_a_refusal_touches_nothing(recipe: Path, root: Path) -> None:
    """Not even the record of settings, though the stage that changed is the last."""
    before = everything_in(root)
    with pytest.raises(SettingsError, match=r"stage eval base, direct .*settings\.eval\.samples: 2 -> 3"):
        run_here(recipe, root, "eval.samples=3")
    assert unlike(everything_in(root), before) == []


def test_what_changed_last_is_refused_before_what_comes_first_is_run(recipe: Path, root: Path) -> None:
    shutil.rmtree(root / "sft")
    with pytest.raises(SettingsError, match="stage eval base, direct"):
        run_here(recipe, root, "eval.samples=3")
    assert not (root / "sft").exists()


@pytest.mark.parametrize(("change", "kind", "stage"), [("sft.lr=2e-3", "joint", "sft"), ("joint.lr=1e-3", "eval", "joint both")])
@pytest.mark.parametrize("redo", [False, True])
def test_a_stage_does_not_build_on_one_made_with_other_settings(recipe: Path, root: Path, change: str, kind: str, stage: str, redo: bool) -> None:
    before = everything_in(root)
    with pytest.raises(SettingsError, match=f"holds stage {stage} made with other settings"):
        run_here(recipe, root, change, only=kind, redo=redo)
    assert unlike(everything_in(root), before) == []


def test_a_stage_done_again_alone_leaves_the_table_until_the_others_have_followed(recipe: Path, root: Path) -> None:
    before = summary_of(root)
    assert run_here(recipe, root, "sft.steps=6", only="sft", redo=True).ran == ("sft",)
    assert summary_of(root) == before  # its rows are not those of the new student
    with pytest.raises(SettingsError, match=r"stage joint both .*inputs\.sft: "):
        run_here(recipe, root, "sft.steps=6")
    done = run_here(recipe, root, "sft.steps=6", redo=True)
    assert set(done.ran) == {"joint both", "joint reward", "eval SFT", "eval VOLD", "eval GRPO"}
    assert set(done.skipped) == {"corpus", "sft", "eval base, direct", "eval base, reasoning"}
    assert summary_of(root)["recipe"]["hash"] != before["recipe"]["hash"]


@pytest.mark.parametrize("lost", ["summary.json", "report.html"])
def test_a_lost_summary_or_report_is_written_again(recipe: Path, root: Path, uninterrupted: Path, lost: str) -> None:
    (root / lost).unlink()
    assert run_here(recipe, root).ran == ()
    assert (root / lost).exists()
    assert summary_of(root)["rows"] == summary_of(uninterrupted)["rows"]


def test_a_summary_of_an_earlier_run_is_replaced(recipe: Path, root: Path, uninterrupted: Path) -> None:
    """As left by a run killed after its last stage and before its summary."""
    found = summary_of(root)
    found["rows"][0]["value"] = 0.99
    (root / "summary.json").write_text(json.dumps(found))
    run_here(recipe, root)
    assert summary_of(root)["rows"] == summary_of(uninterrupted)["rows"]


@pytest.mark.parametrize(("kind", "missing"), [("sft", "corpus"), ("joint", "sft"), ("eval", "joint-both")])
def test_a_stage_alone_needs_what_comes_before_it(recipe: Path, root: Path, kind: str, missing: str) -> None:
    shutil.rmtree(root / missing)
    with pytest.raises(Refusal, match=rf"stage {kind} reads what stage .* leaves in .*{missing}, and that is not done.*`vold run`"):
        run_here(recipe, root, only=kind)


def test_a_kill_between_the_result_and_its_record_costs_no_more_than_a_checkpoint(
    recipe: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is there, the record is not: the stage goes on from its newest checkpoint, and ends as if nothing had happened."""
    root = tmp_path / "small"
    run_here(recipe, root, only="corpus")
    whole = pipeline.digests
    monkeypatch.setattr(pipeline, "digests", lambda stage: (_ for _ in ()).throw(OSError("killed")) if stage.name == "sft" else whole(stage))
    with pytest.raises(OSError, match="killed"):
        run_here(recipe, root, only="sft")
    assert (root / "sft/model/model.safetensors").exists()
    assert list((root / "sft/checkpoints").glob("step-*"))
    monkeypatch.setattr(pipeline, "digests", whole)
    steps: list[int] = []
    original = SingleLearner.apply
    monkeypatch.setattr(SingleLearner, "apply", lambda self, z, *, lr: steps.append(self.step) or original(self, z, lr=lr))
    run_here(recipe, root)
    assert steps[0] == 0, "the joint stage begins afresh, the SFT stage has nothing left to do"
    assert not (root / "sft/checkpoints").exists()
    assert unlike(results_of(root), results_of(uninterrupted)) == []


def test_an_unfinished_stage_is_not_gone_on_with_on_another_number_of_threads(recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "small"
    with pytest.raises(Interrupted):
        run_here(recipe, root, stop=("SFT", 8))
    with pytest.raises(SettingsError, match=r"threads .*: 1 -> 2"):
        run_here(recipe, root, "threads=2")
    run_here(recipe, root, only="sft")


def test_edited_traces_are_not_trained_on_under_the_old_name(recipe: Path, root: Path) -> None:
    shard = next((root / "corpus/traces").glob("*.jsonl"))
    shard.write_text("".join(shard.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(Refusal, match=r"corpus leaves in .* has changed"):
        run_here(recipe, root, only="sft")
