"""The journal: the same bytes however often the stage was interrupted."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import groups_of

from vold.adapters.journals.jsonl import JsonlJournal
from vold.base.errors import RunError
from vold.base.types import StepStats


def write(journal: JsonlJournal, *steps: int, note: str = "") -> None:
    for step in steps:
        journal.write(StepStats(step=step, values={"reward/mean": step / 7, "clip/low": math.nan, f"validation/{note}": 1.0}))


def test_a_step_is_a_line(tmp_path: Path) -> None:
    journal = JsonlJournal(folder=tmp_path, show=1)
    journal.write(StepStats(step=3, values={"loss": 0.25, "nothing": math.nan, "too much": math.inf}), groups_of("RWw", "UR"))
    [line] = (json.loads(text) for text in (tmp_path / "journal.jsonl").read_text().splitlines())
    assert (line["step"], line["values"]) == (3, {"loss": 0.25, "nothing": None, "too much": None})  # JSON has no NaN
    assert [group["rulings"] for group in line["groups"]] == ["rww", "ur"]
    assert [shown["ruling"] for shown in line["groups"][0]["shown"]] == ["right", "wrong"]  # the best and the worst
    assert "shown" not in line["groups"][1]
    assert "seconds" not in (tmp_path / "journal.jsonl").read_text()  # times are kept apart


def test_the_journal_of_a_trace_is_json(tmp_path: Path) -> None:
    """A trace was sampled by nobody here: its log-probabilities are NaN, and JSON has no word for that."""
    (group,) = groups_of("U")
    (member,) = group.members
    nobodys = replace(member, rollout=replace(member.rollout, logprobs=(math.nan,) * len(member.rollout.response_ids)))
    JsonlJournal(folder=tmp_path).write(StepStats(step=0, values={"on_corpus": 1.0}), [replace(group, members=(nobodys,))])

    def no_such_word(word: str) -> None:
        raise AssertionError(f"the journal says {word}")

    line = json.loads((tmp_path / "journal.jsonl").read_text(), parse_constant=no_such_word)
    assert line["groups"][0]["shown"][0]["log_ratio"] is None


def test_going_back_drops_what_will_be_written_again(tmp_path: Path) -> None:
    whole, broken = JsonlJournal(folder=tmp_path / "whole"), JsonlJournal(folder=tmp_path / "broken")
    write(whole, *range(6))
    write(broken, *range(4))
    again = JsonlJournal(folder=tmp_path / "broken")
    again.rewind(2)
    assert [json.loads(line)["step"] for line in (tmp_path / "broken/journal.jsonl").read_text().splitlines()] == [0, 1]
    assert len((tmp_path / "broken/timing.jsonl").read_text().splitlines()) == 2
    write(again, *range(2, 6))
    assert (tmp_path / "broken/journal.jsonl").read_bytes() == (tmp_path / "whole/journal.jsonl").read_bytes()


def test_half_a_line_is_dropped(tmp_path: Path) -> None:
    journal = JsonlJournal(folder=tmp_path)
    write(journal, 0, 1)
    before = (tmp_path / "journal.jsonl").read_bytes()
    for half in ('{"step": 2, "values": {"rew', '{"step": 2, "values": {}}', "{"):  # the second is whole but for its line feed
        (tmp_path / "journal.jsonl").write_bytes(before + half.encode())
        journal.rewind(2)
        assert (tmp_path / "journal.jsonl").read_bytes() == before
    journal.rewind(0)
    assert (tmp_path / "journal.jsonl").read_bytes() == b""


def test_a_journal_with_a_gap_is_refused(tmp_path: Path) -> None:
    """A checkpoint says that steps 0 to 2 were written; a journal that lost one of them cannot be continued."""
    journal = JsonlJournal(folder=tmp_path)
    write(journal, 0, 2)
    with pytest.raises(RunError, match="steps 0 to 2"):
        journal.rewind(3)
    (tmp_path / "journal.jsonl").unlink()
    with pytest.raises(RunError, match="is gone"):
        journal.rewind(3)


def test_unusual_separators_stay_inside_their_line(tmp_path: Path) -> None:
    """A rollout may hold U+2028 or U+0085; a line of the journal ends at a line feed and nowhere else."""
    journal = JsonlJournal(folder=tmp_path)
    write(journal, 0, 1, 2, note="a\u2028b\u0085c\x0cd")
    before = (tmp_path / "journal.jsonl").read_text().split("\n")
    journal.rewind(2)
    assert (tmp_path / "journal.jsonl").read_text().split("\n") == [*before[:2], ""]


def test_going_back_before_anything_was_written_is_harmless(tmp_path: Path) -> None:
    JsonlJournal(folder=tmp_path / "new").rewind(0)
    assert not (tmp_path / "new" / "journal.jsonl").exists()
