"""Verdicts are on disk before they are used, and are said again on resumption."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.records import problem, rollout

from vold.adapters.journals.verdicts import JournalledJudge
from vold.base.types import Rollout, Ruling, Verdict


@dataclass
class Moody:
    """Never rules the same way twice, and remembers what was on the disk when it was asked."""

    path: Path
    asked: list[str] = field(default_factory=list)
    fails: bool = False

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        self.asked += [r.text for r in rollouts]
        if self.fails:
            raise KeyboardInterrupt
        return [
            Verdict(ruling=list(Ruling)[len(self.asked) % 3], extracted=r.text, note=f"{len(self.asked)} \u2028 \ud800", exact=False)
            for r in rollouts
        ]


def said(*texts: str) -> list[Rollout]:
    return [rollout(problem("p"), place, (1,), (5, 2), text=text) for place, text in enumerate(texts)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stage" / "verdicts.jsonl"


def judge(path: Path, identity: str = "x") -> tuple[JournalledJudge, Moody]:
    moody = Moody(path)
    return JournalledJudge(inner=moody, path=path, identity=identity), moody


def test_what_was_said_once_is_said_again_by_this_and_by_the_next_process(path: Path) -> None:
    first, moody = judge(path)
    before = first.judge(said("a", "b"))
    assert first.judge(said("b", "a")) == before[::-1]
    assert moody.asked == ["a", "b"]
    second, other = judge(path)
    assert second.judge(said("a", "c", "b"))[::2] == before
    assert (other.asked, second.replayed) == (["c"], 2)


def test_verdicts_are_on_disk_when_they_are_returned(path: Path) -> None:
    first, _ = judge(path)
    [verdict] = first.judge(said("a"))
    [row] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (row["problem"], row["sample"], row["ruling"], row["extracted"]) == ("p", 0, verdict.ruling.value, "a")


def test_equal_answers_of_one_batch_are_judged_once(path: Path) -> None:
    first, moody = judge(path)
    one, two = first.judge(said("a", "a"))
    assert (one, moody.asked) == (two, ["a"])


def test_another_reference_or_another_way_of_judging_is_another_question(path: Path) -> None:
    judge(path)[0].judge(said("a"))
    again, moody = judge(path, identity="y")
    again.judge(said("a"))
    again.judge([rollout(replace(problem("p"), answer="8"), 0, (1,), (5, 2), text="a")])
    assert moody.asked == ["a", "a"]


def test_a_line_cut_off_by_a_kill_is_removed_and_judged_anew(path: Path) -> None:
    judge(path)[0].judge(said("a", "b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    again, moody = judge(path)
    again.judge(said("a"))
    assert path.read_bytes() == whole[: whole.index(b"\n") + 1]
    again.judge(said("b"))
    assert moody.asked == ["b"]
    assert [json.loads(line)["sample"] for line in path.read_text().splitlines()] == [0, 0]


def test_nothing_is_written_where_the_judge_was_interrupted(path: Path) -> None:
    first, moody = judge(path)
    moody.fails = True
    with pytest.raises(KeyboardInterrupt):
        first.judge(said("a"))
    assert not path.exists()


def test_any_text_can_be_kept(path: Path) -> None:
    texts = ("\udc80 lone", "\x00", "\u202eright to left", "\u2028")
    before = judge(path)[0].judge(said(*texts))
    again, moody = judge(path)
    assert (again.judge(said(*texts)), moody.asked) == (before, [])
