"""What was read from a data set: how many rows, how many of them are used, and why the others are not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vold.adapters.containers import Row
from vold.adapters.rows import DataSet
from vold.base.errors import DataError

REPEATS = "repeats a question of a benchmark"
NAMED = 5
"""Bad rows that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counts of a data set as it was read. `duplicates` repeat a question (`conflicting`: with another answer); `bad` are (id, why); `unfit`
    counts traces that can be read and are none to learn from, by reason."""

    rows: int
    kept: int
    duplicates: int = 0
    conflicting: int = 0
    bad: tuple[tuple[str, str], ...] = ()
    unfit: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        said = f"{self.rows} rows read, {self.kept} used"
        if self.duplicates:
            said += f", {self.duplicates} repeat a question ({self.conflicting} of them with another answer)"
        for why, count in self.unfit.items():
            said += f", {count} dropped ({why})"
        if self.bad:
            said += f", {len(self.bad)} left out: {_listed(self.bad)}"
        return said

    def to_json(self) -> dict[str, Any]:
        """For a manifest or a record of a run."""
        counts = {"rows": self.rows, "kept": self.kept, "duplicates": self.duplicates, "conflicting": self.conflicting}
        return {**counts, "bad": dict(Counter(why for _, why in self.bad)), "bad_rows": dict(self.bad)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A row that cannot be used."""

    id: str
    why: str
    row: Row


class BadRows:
    """Collects bad rows: refuses them all at once at the end, or keeps their names."""

    def __init__(self, data: DataSet, *, wanted: str, refuse: bool) -> None:
        self.data, self.wanted, self.refuse = data, wanted, refuse
        self.found: list[tuple[str, str]] = []
        self.first: Bad | None = None

    def add(self, row: Row, name: str, why: str) -> None:
        why = why.removesuffix(".")  # it will stand inside a sentence
        self.first = self.first or Bad(id=name, why=why, row=row)
        self.found.append((name, why))

    def settle(self, *, rows: int, kept: int, otherwise: str = "") -> tuple[tuple[str, str], ...]:
        """The bad rows. Raises DataError where they are not to be left out, or where nothing else is there; `otherwise` says what is."""
        bad, data = tuple(self.found), self.data
        if self.first is not None and (self.refuse or not kept):
            one = self.first.row
            place = f"line {one.line}" if one.line is not None else f"row {one.number}" + (f" of subset {one.subset}" if one.subset else "")
            found = one.value if one.why else repr(one.value)
            repair = f"Repair or remove the {'line' if one.line is not None else 'row'}"
            advice = f'{repair}, or leave such rows out with on_bad_row = "drop".' if self.refuse else "Nothing is left. Repair the rows."
            raise DataError(
                f"{data.path}, {place}: found {_short(found)}, expected {self.wanted} ({self.first.why}). "
                f"{len(bad)} of {rows} rows cannot be used: {_listed(bad)}. {advice}"
            )
        if not kept:
            noun = "trace" if data.noun == "corpus" else data.noun
            raise DataError(f"{data.path} holds no {noun}{f' that can be used: {otherwise}' if otherwise else ''}. Give {self.wanted} in every row.")
        return bad


def _listed(bad: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in bad[:NAMED]) + ("; …" if len(bad) > NAMED else "")


def _short(text: str) -> str:
    """The beginning, in one line and in quotes."""
    return repr(text[:80])
