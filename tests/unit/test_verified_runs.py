"""A whole run refuses a poisoned sampler and a lying teacher in the first step of stage 2, with the default settings."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.runs import SMALL, journal_of, run_here

from vold.adapters.engines.transformers import TransformersEngine
from vold.adapters.teachers.local import LocalTeacher
from vold.base.errors import LyingTeacher, StaleEngine
from vold.base.types import View

SETTINGS = (
    "joint.arms=['both']", "joint.steps=2", "joint.validation.every=0", "sft.steps=1", "corpus.problems.count=16", "joint.checkpoint_every=1",
    "arms.both.objective.dynamic=false", "eval.samples=0",
)  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def poison(patch: pytest.MonkeyPatch) -> None:
    """Log-probabilities as they were before an update: none fits."""
    plain = TransformersEngine._rollout

    def told(self: Any, *given: Any) -> Any:
        rollout = plain(self, *given)
        return replace(rollout, logprobs=tuple(1.3 * value - 0.02 for value in rollout.logprobs))

    patch.setattr(TransformersEngine, "_rollout", told)


def test_the_gap_is_told_and_the_journal_does_not_hold_it(recipe: Path, tmp_path: Path) -> None:
    run_here(recipe, tmp_path / "run", *SETTINGS)
    folder = tmp_path / "run" / "joint-both"
    times = [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]
    assert 0 <= times[0]["engine/gap"] < 1e-4
    assert "engine/gap" not in times[1]
    assert set(times[0]["bubble"]) == {"learner", "engine"}
    assert not any("gap" in name or "bubble" in name for line in journal_of(folder) for name in line["values"])


def test_a_poisoned_sampler_is_refused(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch)
    with pytest.raises(StaleEngine, match="not those of the weights it was given"):
        run_here(recipe, tmp_path / "run", *SETTINGS)
    assert not (tmp_path / "run" / "joint-both" / "journal.jsonl").exists()
    run_here(recipe, tmp_path / "run", *SETTINGS, "engine.verify=never")
    assert len(journal_of(tmp_path / "run" / "joint-both")) == 2


def test_a_lying_teacher_is_refused(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the reading of the student itself, which has no template."""
    plain = LocalTeacher._score

    def lying(self: LocalTeacher, *given: Any) -> Any:
        views = plain(self, *given)
        return views if self.template is None else [View(logprobs=(*view.logprobs[1:], -1.0), hidden=view.hidden) for view in views]

    monkeypatch.setattr(LocalTeacher, "_score", lying)
    with pytest.raises(LyingTeacher, match="contradicts itself"):
        run_here(recipe, tmp_path / "run", *SETTINGS)
    assert not (tmp_path / "run" / "joint-both" / "journal.jsonl").exists()
