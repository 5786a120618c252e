"""The result of a run as one small file: what the terminal, the page and every later comparison read."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from vold.base.errors import DataError
from vold.base.files import write_text
from vold.core.stats import Tally, wilson
from vold.report.files import read_object

SCHEMA = 1

Record = TypeVar("Record", "Row", "Recipe", "Shortcut", "Arm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of the result table: who answered, what, how, and how sure we are. `low` and `high` are the 95 % Wilson interval."""

    row: str
    metric: str
    benchmark: str
    modality: str
    way: str
    difficulty: int | None
    """None: over all difficulties."""
    value: float
    low: float
    high: float
    n: int
    """Problems with at least one judged answer. The same problem under several seeds counts once."""
    seeds: tuple[int, ...]
    truncated: int = 0
    """Answers cut at the length cap."""
    unjudged: int = 0
    """Answers left out of `value` because the judge failed or the reference could not be read."""
    answers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """`hash` is over every setting but the seed, so that runs which differ in the seed alone can be told."""

    name: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """A rule that answers without reasoning, and what it scores at one difficulty (None: over all)."""

    name: str
    difficulty: int | None
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """What can be scored without reasoning. A constant guess is None where answers are open."""

    constant: float | None = None
    shortcuts: tuple[Shortcut, ...] = ()

    def best_shortcut(self, difficulty: int | None) -> Shortcut | None:
        """The highest shortcut measured at one difficulty."""
        measured = [shortcut for shortcut in self.shortcuts if shortcut.difficulty == difficulty]
        return max(measured, key=lambda shortcut: shortcut.value, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One run of the joint stage. `label` is its name in tables, `folder` where its journal lies, relative to the run."""

    name: str
    label: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything a run has to say about its results. `rows` and `arms` are in the order they are shown."""

    recipe: Recipe
    seed: int
    versions: Mapping[str, Any]
    hardware: Mapping[str, Any]
    rows: tuple[Row, ...]
    floors: Floors = field(default_factory=Floors)
    arms: tuple[Arm, ...] = ()


def rows_of(label: str, tallies: Sequence[Tally], seeds: Sequence[int]) -> list[Row]:
    """One row a benchmark, way and difficulty, in the order they first appear. Tallies of several seeds may be given one after another.

    The value is the mean over all scores given. Every seed answers the same problems, so the interval is that of the problems of one seed:
    more seeds sharpen the value, they do not add problems.
    """
    grouped: dict[tuple[str, str, str, int | None], list[Tally]] = {}
    for tally in tallies:
        grouped.setdefault((tally.benchmark, tally.modality, tally.way, tally.difficulty), []).append(tally)
    return [_row(label, same, tuple(seeds)) for same in grouped.values()]


def _row(label: str, same: Sequence[Tally], seeds: tuple[int, ...]) -> Row:
    first = same[0]
    scores = [score for tally in same for score in tally.scores]
    value = math.fsum(scores) / len(scores) if scores else 0.0
    n = max(len(tally.scores) for tally in same)
    low, high = wilson(value, n)
    return Row(
        row=label,
        metric="accuracy",
        benchmark=first.benchmark,
        modality=first.modality,
        way=first.way,
        difficulty=first.difficulty,
        value=value,
        low=low,
        high=high,
        n=n,
        seeds=seeds,
        truncated=sum(tally.truncated for tally in same),
        unjudged=sum(tally.unjudged for tally in same),
        answers=sum(tally.answers for tally in same),
    )


def save(summary: Summary, path: Path) -> None:
    """Write `summary` as JSON, atomically."""
    write_text(path, json.dumps({"schema": SCHEMA} | asdict(summary), indent=1, ensure_ascii=False) + "\n")


def load(path: Path) -> Summary | None:
    """Read what `save` wrote; None when there is no such file. Keys it does not know are ignored."""
    found = read_object(path)
    if found is None:
        return None
    if found.get("schema") != SCHEMA:
        raise DataError(f"{path} has schema {found.get('schema')!r}, this version reads {SCHEMA}. Evaluate the run again to rewrite it.")
    try:
        return _summary(found)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is not a complete summary ({error}). Evaluate the run again to rewrite it.") from error


def _summary(found: Mapping[str, Any]) -> Summary:
    floors = found.get("floors") or {}
    return Summary(
        recipe=_of(Recipe, found["recipe"]),
        seed=found["seed"],
        versions=found.get("versions") or {},
        hardware=found.get("hardware") or {},
        rows=tuple(_of(Row, row | {"seeds": tuple(row["seeds"])}) for row in found["rows"]),
        floors=Floors(constant=floors.get("constant"), shortcuts=tuple(_of(Shortcut, one) for one in floors.get("shortcuts", ()))),
        arms=tuple(_of(Arm, arm) for arm in found.get("arms", ())),
    )


def _of(kind: type[Record], found: Mapping[str, Any]) -> Record:
    return kind(**{one.name: found[one.name] for one in fields(kind) if one.name in found})
