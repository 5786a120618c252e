"""How a run's answers were judged, from the verdicts on disk: by which way, how often a comparison to the letter disagrees, what stayed unjudged."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vold.report.files import read_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdicts of one stage. `compared` are those in which an answer stood beside a reference, `disagree` the ones a letter-for-letter
    comparison would turn; `ways` counts rulings by how they were reached."""

    stage: str
    verdicts: int
    compared: int
    disagree: int
    unjudged: int
    ways: Counter[str]

    def __str__(self) -> str:
        rate = f"{100 * self.disagree / self.compared:.2g} % of {self.compared} answers" if self.compared else "no answer"
        return f"{self.stage}: {self.verdicts} verdicts, {self.unjudged} unjudged; a comparison to the letter would turn {rate}"


def judged(run: Path) -> list[Judged]:
    """One record a stage of the run that has judged anything."""
    return [_of(path, run) for path in sorted(run.glob("**/verdicts.jsonl")) if ".old-" not in str(path)]


def _of(path: Path, run: Path) -> Judged:
    rows = list(read_lines(path))
    compared = [row for row in rows if row.get("exact") is not None and row["extracted"] is not None and row["ruling"] != "unjudged"]
    return Judged(
        stage=str(path.parent.relative_to(run)),
        verdicts=len(rows),
        compared=len(compared),
        disagree=sum(row["exact"] != (row["ruling"] == "right") for row in compared),
        unjudged=sum(row["ruling"] == "unjudged" for row in rows),
        ways=Counter(f"{row['ruling']} ({row['note'].split(':')[0] or 'by number or notation'})" for row in rows),
    )
