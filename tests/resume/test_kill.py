"""Killed without warning in every stage, and interrupted by hand: the same command goes on and ends where an undisturbed run ends."""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.runs import Ended, journal_of, lines_in, results_of, summary_of, unlike, vold

pytestmark = pytest.mark.faults  # minutes of whole runs: `make faults`


@dataclass(frozen=True)
class Blow:
    """When a run is struck, with what, and which stage must not be done by then."""

    when: Callable[[Path], bool]
    stage: str
    signal: int = signal.SIGKILL


BLOWS = {
    "corpus": Blow(lambda root: len(list((root / "corpus" / "traces").glob("*.jsonl"))) >= 2, "corpus"),
    "sft": Blow(lambda root: lines_in(root / "sft" / "timing.jsonl") >= 9, "sft"),
    "joint": Blow(lambda root: lines_in(root / "joint-both" / "timing.jsonl") >= 3, "joint-both"),
    "joint, by hand": Blow(lambda root: lines_in(root / "joint-reward" / "timing.jsonl") >= 3, "joint-reward", signal.SIGINT),
    "eval": Blow(lambda root: (root / "eval" / "base-direct" / "scores.json").exists(), "eval/joint-reward"),
}
"""In the order of the stages: each run goes on where the one before it was struck."""


@dataclass
class Survivor:
    """A run folder after all blows and the run that finished it."""

    root: Path
    blows: dict[str, Ended]
    done_when_struck: dict[str, bool]
    kept: dict[str, tuple[bytes, bytes]]
    """How long each step took, as noted when the stage was struck and at the end. No two runs of a step take equally long, so equal lines
    were written once."""
    last: Ended
    again: Ended


@pytest.fixture(scope="module")
def survivor(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Survivor:
    where = tmp_path_factory.mktemp("survivor")
    root = where / "runs" / "small"
    command = ("run", str(recipe), "--runs", "runs")
    blows: dict[str, Ended] = {}
    done: dict[str, bool] = {}
    kept: dict[str, bytes] = {}
    for name, blow in BLOWS.items():
        blows[name] = vold(*command, cwd=where, until=lambda blow=blow: blow.when(root), send=blow.signal)
        record = root / blow.stage / "stage.json"
        done[name] = record.exists() and json.loads(record.read_text())["done"]
        if (times := root / blow.stage / "timing.jsonl").exists():
            kept[str(times.relative_to(root))] = times.read_bytes()
    last = vold(*command, cwd=where)
    at_the_end = {name: (before, (root / name).read_bytes()) for name, before in kept.items()}
    return Survivor(root=root, blows=blows, done_when_struck=done, kept=at_the_end, last=last, again=vold(*command, cwd=where))


@pytest.mark.parametrize("name", BLOWS)
def test_the_blow_hit_the_stage(survivor: Survivor, name: str) -> None:
    """Else the tests below would show nothing."""
    ended = survivor.blows[name]
    assert ended.code == (-signal.SIGKILL if BLOWS[name].signal == signal.SIGKILL else 130), ended.err
    assert not survivor.done_when_struck[name]


def test_the_run_ends_byte_for_byte_like_one_never_stopped(survivor: Survivor, uninterrupted: Path) -> None:
    assert survivor.last.code == 0, survivor.last.err
    found, expected = results_of(survivor.root), results_of(uninterrupted)
    assert unlike(found, expected) == []
    # and what was compared is what matters
    assert {"sft/model/model.safetensors", "joint-both/model/model.safetensors", "joint-reward/model/model.safetensors"} <= set(found)
    assert {"corpus/traces/00007.jsonl", "sft/journal.jsonl", "joint-both/journal.jsonl", "eval/joint-both/answers.jsonl"} <= set(found)
    assert summary_of(survivor.root)["rows"] == summary_of(uninterrupted)["rows"]


@pytest.mark.parametrize(("stage", "every"), [("sft", 4), ("joint-both", 2), ("joint-reward", 2)])
def test_steps_before_the_last_checkpoint_were_not_done_again(survivor: Survivor, stage: str, every: int) -> None:
    """The checkpoint after a step is whole by the time the next step is noted."""
    when_struck, at_the_end = (data.split(b"\n")[:-1] for data in survivor.kept[f"{stage}/timing.jsonl"])
    saved = (len(when_struck) - 1) // every * every
    assert saved >= every
    assert when_struck[:saved] == at_the_end[:saved]
    assert len(at_the_end) > len(when_struck)


def test_a_strength_that_moved_went_on_from_where_it_was(survivor: Survivor) -> None:
    """It rises from its second step on, and the blow fell after it had: had it been forgotten, it would have begun again."""
    betas = [line["values"]["pull/beta"] for line in journal_of(survivor.root / "joint-reward")]
    assert len(set(betas)) == len(betas)
    assert betas[1:] == sorted(betas[1:])


def test_no_leftovers(survivor: Survivor) -> None:
    assert not [path.name for path in survivor.root.rglob(".*half*")]
    assert not list(survivor.root.rglob("checkpoints"))
    assert not list(survivor.root.glob("*.old-*"))


def test_an_interruption_by_hand_is_told_in_a_sentence(survivor: Survivor) -> None:
    ended = survivor.blows["joint, by hand"]
    assert ended.err.rstrip().endswith("interrupted: run the same command again to go on.")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("name", "stage"), [("sft", "corpus"), ("joint", "sft"), ("joint, by hand", "joint both"), ("eval", "joint reward")])
def test_the_next_run_goes_on_with_the_stage_that_was_struck(survivor: Survivor, name: str, stage: str) -> None:
    started = [line for line in survivor.blows[name].out.splitlines() if line.endswith((": going on", ": starting"))]
    assert started[0] == f"{stage}: going on"  # and nothing before it, which was done


def test_a_finished_run_has_nothing_to_do_and_says_so(survivor: Survivor) -> None:
    assert survivor.again.code == 0
    assert "nothing to do: every stage" in survivor.again.out
    assert "(9 skipped)" in survivor.again.out
    assert ": starting" not in survivor.again.out
    assert "Accuracy, greedy answers" in survivor.again.out  # the table is shown all the same
