"""Real answers: our verdicts beside those of their publishers and of three published graders, with every disagreement written down.

`verdicts.json` holds the counts and the disagreements. To see and to write them again:

    python bench/judge.py --oracles ../shared/data --json tests/real_data/verdicts.json
"""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.real import DATA, needs

from vold.adapters.judges.equivalence import EquivalenceJudge

ROOT = Path(__file__).parents[2]

pytestmark = needs("scorer_vectors")
WRITTEN: dict[str, dict[str, Any]] = {
    row["row"]: row for row in json.loads((Path(__file__).parent / "verdicts.json").read_text(encoding="utf-8"))["rows"]
}


def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_judge", ROOT / "bench" / "judge.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


BENCH = bench()


@pytest.fixture(scope="module")
def judge() -> Iterator[EquivalenceJudge]:
    with EquivalenceJudge(deadline=20) as judge:
        yield judge


@pytest.mark.parametrize("name", ["gsm8k", "traces", "graders", "boxes", "letters"])
def test_every_disagreement_is_written_down(name: str, judge: EquivalenceJudge) -> None:
    for page in getattr(BENCH, name)(judge, DATA):
        written = WRITTEN[page.source]
        assert (page.compared, page.agree) == (written["compared"], written["agree"])
        assert page.disagreements == written["disagreements"]


@pytest.mark.parametrize("name", [pytest.param("orz57k/orz57k_prefix", marks=pytest.mark.long), "math500/test"])
def test_references_are_themselves_in_any_dress_and_not_their_near_misses(name: str, judge: EquivalenceJudge) -> None:
    readable, itself, rewritten, missed = BENCH.references(judge, DATA, names=[name])
    assert readable.disagreements == WRITTEN[readable.source]["disagreements"]
    assert len(readable.disagreements) <= 2
    assert itself.disagreements == rewritten.disagreements == missed.disagreements == []
    assert missed.compared > 1000


def test_where_the_truth_is_known_there_is_no_disagreement() -> None:
    """Published verdicts on GSM8K solutions and traces; options where both rules name one."""
    for source in ("gsm8k solutions: equal numbers", "responses of a trained 3B model: their verdict", "option letters: where both name one"):
        assert WRITTEN[source]["compared"] == WRITTEN[source]["agree"] >= 300


def test_no_near_miss_of_a_real_reference_is_right() -> None:
    pages = [row for source, row in WRITTEN.items() if source.endswith("near misses")]
    assert len(pages) == 4
    assert sum(row["compared"] for row in pages) > 30_000
    assert not [one for row in pages for one in row["disagreements"] if one["ours"] is True]


def test_three_graders_against_us_are_strict_about_something_else() -> None:
    """Where all three call a pair right and we do not, a unit or percent sign stands behind what cannot have one, or changes its value."""
    against = [one for one in WRITTEN["answer pairs: where all three agree"]["disagreements"] if one["theirs"] is True]
    assert 0 < len(against) < 40
    odd = (r"\%", r"\text{ cm}", r"^\circ", "x=x", "x= O", r"\parallel")
    assert [one for one in against if not any(sign in one["given"] for sign in odd)] == []
