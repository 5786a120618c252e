"""The result of a run as one small file: what the terminal, the page and every later comparison read."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from vold.base.errors import DataError
from vold.base.files import write_text
from vold.core.measures import Measure, estimate
from vold.report.benchmarks import RULES, Benchmark
from vold.report.files import read_object

SCHEMA = 1

Record = TypeVar("Record", "Row", "Recipe", "Shortcut", "Arm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of the result table: who answered, what, how, and how sure we are. `low` and `high` are its 95 % interval."""

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
    """Answers cut at the length cap; told over all difficulties together."""
    unjudged: int = 0
    """Answers left out of `value` because the judge failed or the reference could not be read; told over all difficulties together."""
    answers: int = 0
    mode: str = ""
    """How answers were scored: the name of the run's judge, or one of a published benchmark's rules."""


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


def rows_of(label: str, benchmarks: Sequence[Benchmark], seeds: Sequence[int]) -> list[Row]:
    """One row a number: of problems without rules of their own by difficulty too, of published benchmarks the main number of every mode."""
    return [
        _row(label, benchmark, measure, tuple(seeds))
        for benchmark in benchmarks
        for place, measure in enumerate(benchmark.measures)
        if benchmark.mode not in RULES or place == 0
    ]


LEVEL = "difficulty: "


def _row(label: str, of: Benchmark, measure: Measure, seeds: tuple[int, ...]) -> Row:
    found = estimate(measure)
    whole = not measure.part.startswith(LEVEL)
    return Row(
        row=label,
        metric=measure.metric,
        benchmark=of.name,
        modality=of.modality,
        way=of.way,
        mode=of.mode,
        difficulty=None if whole else int(measure.part.removeprefix(LEVEL)),
        value=0.0 if math.isnan(found.value) else found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        seeds=seeds,
        truncated=(of.truncated or 0) if whole else 0,
        unjudged=of.unjudged if whole else 0,
        answers=of.answers if whole else found.n * of.samples,
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
