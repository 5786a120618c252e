"""A verdict once used is never asked for again: a judge that rules otherwise after an interruption, on a busy machine, changes nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.runs import Interrupted, journal_of, results_of, run_here, unlike

from vold.base.types import Rollout, Ruling, Verdict
from vold.wiring import parts

SHORT = (
    "corpus.problems.count=32",
    "sft.steps=4",
    "sft.traces_per_step=4",
    "joint.steps=6",
    "joint.prompts_per_step=4",
    "joint.checkpoint_every=2",
    "joint.arms=['vold']",
    "joint.validation.every=0",
    "eval.samples=0",
    "joint.sampling.max_new_tokens=24",
    "eval.benchmarks=[{name='t', size=2}]",
)


class Busy:
    """Rules by the letters of an answer, and leaves every answer unjudged as soon as the machine is `busy`."""

    def __init__(self, *, busy: bool) -> None:
        self.busy, self.asked = busy, 0

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        self.asked += len(rollouts)
        return [self._verdict(rollout) for rollout in rollouts]

    def _verdict(self, rollout: Rollout) -> Verdict:
        if self.busy and rollout.problem.source == "joint":
            return Verdict(ruling=Ruling.UNJUDGED, extracted=None, note="deadline of 5 s passed")
        return Verdict(ruling=Ruling.RIGHT if len(rollout.text) % 2 else Ruling.WRONG, extracted=rollout.text[:1])

    def unreadable(self, golds: Sequence[str | None]) -> list[str | None]:
        return [None for _ in golds]

    def close(self) -> None:
        """Nothing to end."""


def run(monkeypatch: pytest.MonkeyPatch, root: Path, judge: Busy, *, stop: int | None = None) -> None:
    monkeypatch.setattr(parts, "judge_of", lambda _: judge)
    run_here("tiny", root, *SHORT, stop=None if stop is None else ("VOLD", stop))


@pytest.mark.long
def test_load_never_changes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after step 3, which no checkpoint holds: that step is done again, under a judge that has no time for anything."""
    root = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(monkeypatch, root, Busy(busy=False), stop=3)
    before = journal_of(root / "joint-vold")
    assert any(line["values"]["reward/mean"] for line in before)
    verdicts = (root / "joint-vold" / "verdicts.jsonl").read_bytes()

    busy = Busy(busy=True)
    with pytest.raises(Interrupted):
        run(monkeypatch, root, busy, stop=3)
    assert journal_of(root / "joint-vold") == before
    assert busy.asked == 0
    assert (root / "joint-vold" / "verdicts.jsonl").read_bytes() == verdicts

    run(monkeypatch, root, Busy(busy=False))
    run(monkeypatch, tmp_path / "whole", Busy(busy=False))
    assert unlike(results_of(tmp_path / "whole"), results_of(root)) == []


def test_the_test_would_notice_a_judge_that_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(monkeypatch, root, Busy(busy=False), stop=3)
    before = journal_of(root / "joint-vold")
    (root / "joint-vold" / "verdicts.jsonl").unlink()
    with pytest.raises(Exception, match="could be judged"):
        run(monkeypatch, root, Busy(busy=True), stop=3)
    assert journal_of(root / "joint-vold") != before
