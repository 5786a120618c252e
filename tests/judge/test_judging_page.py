"""Every example on the page about judging is true, both ways round."""

import re
from pathlib import Path

import pytest

from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.base.types import Ruling
from vold.config.schema import JudgeSettings
from vold.core.answers import FORMATS
from vold.core.latex import LONGEST

PAGE = Path(__file__).parents[2] / "docs" / "judging.md"


def examples(column: int) -> list[tuple[str, str]]:
    """The pairs of one column of the table of policies."""
    table = PAGE.read_text(encoding="utf-8").partition("| policy | same | not the same |")[2].partition("\n\n")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.strip().splitlines()[1:]]
    found = [re.findall(r"`([^`]+)` ~ `([^`]+)`", row[column]) for row in rows]
    return [(left.replace(r"\|", "|"), right.replace(r"\|", "|")) for pairs in found for left, right in pairs]


@pytest.mark.parametrize(("column", "ruling"), [(1, Ruling.RIGHT), (2, Ruling.WRONG)], ids=["same", "not the same"])
def test_policies(column: int, ruling: Ruling, judge: EquivalenceJudge) -> None:
    pairs = examples(column)
    assert len(pairs) > 30
    verdicts = judge.compare([*pairs, *(pair[::-1] for pair in pairs)])
    wanted = (ruling,) if ruling is Ruling.RIGHT else (Ruling.WRONG, Ruling.UNJUDGED)
    assert [(pair, v.note) for pair, v in zip(pairs * 2, verdicts, strict=True) if v.ruling not in wanted] == []


def test_settings_and_formats_on_the_page() -> None:
    text, settings = PAGE.read_text(encoding="utf-8"), JudgeSettings()
    assert all(f"| `{name}` |" in text for name in FORMATS)
    assert f"| `judge.deadline` | {settings.deadline:g} s |" in text
    assert f"| `judge.memory_mb` | {settings.memory_mb} |" in text
    assert f"| `judge.recycle` | {settings.recycle} |" in text
    assert f"{LONGEST:,} characters" in text
