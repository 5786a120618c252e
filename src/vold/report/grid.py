"""The result table as data: which numbers stand where, whatever they are later drawn with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vold.report.benchmarks import RULES
from vold.report.summary import Floors, Row, Summary

T = TypeVar("T")

PREFERRED = (1, 3, 5)
"""The difficulties shown where they were measured: one step, a short chain, a long one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One measured thing. `group` names what was answered, `difficulty` is None for all of it."""

    group: str
    benchmark: str
    modality: str
    difficulty: int | None

    @property
    def level(self) -> str:
        return "all" if self.difficulty is None else f"difficulty {self.difficulty}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One model under one prompt; a cell is None where it was not measured."""

    label: str
    cells: tuple[Row | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All rows measured by one metric and one way of answering."""

    metric: str
    way: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        return f"{self.metric.capitalize()}, {self.way} answers"

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Each group of columns and how many it has."""
        names = [column.group for column in self.columns]
        return tuple((name, names.count(name)) for name in unique(names))

    def only(self, group: str) -> "Grid":
        """The same lines with the columns of one group."""
        kept = [place for place, column in enumerate(self.columns) if column.group == group]
        return Grid(
            metric=self.metric,
            way=self.way,
            columns=tuple(self.columns[place] for place in kept),
            lines=tuple(Line(label=line.label, cells=tuple(line.cells[place] for place in kept)) for line in self.lines),
        )

    def problems(self, place: int) -> str:
        """How many problems a column stands on: `600`, or `597–600` where some answers could not be judged."""
        counts = [cell.n for line in self.lines if (cell := line.cells[place]) is not None]
        return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)}–{max(counts)}"


def grids(summary: Summary) -> tuple[Grid, ...]:
    """One grid a metric and way of answering, greedy answers first."""
    rows = [row for row in summary.rows if row.mode not in RULES]  # those have a table of their own
    kinds = unique((row.metric, row.way) for row in rows)
    return tuple(_grid(metric, way, rows) for metric, way in sorted(kinds, key=lambda kind: kind[1] != "greedy"))


def _grid(metric: str, way: str, rows: Sequence[Row]) -> Grid:
    rows = [row for row in rows if (row.metric, row.way) == (metric, way)]
    columns = _columns(rows)
    cells = {(row.row, row.benchmark, row.modality, row.difficulty): row for row in rows}
    return Grid(
        metric=metric,
        way=way,
        columns=columns,
        lines=tuple(
            Line(label=label, cells=tuple(cells.get((label, column.benchmark, column.modality, column.difficulty)) for column in columns))
            for label in unique(row.row for row in rows)
        ),
    )


def _columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Text before images; within a benchmark all difficulties together, then the shown ones."""
    sources = sorted(unique((row.modality, row.benchmark) for row in rows), key=lambda source: source[0] != "text")
    modalities = [modality for modality, _ in sources]
    columns: list[Column] = []
    for modality, benchmark in sources:
        measured = {row.difficulty for row in rows if (row.modality, row.benchmark) == (modality, benchmark)}
        levels: list[int | None] = [None] if None in measured else []
        group = modality if modalities.count(modality) == 1 else benchmark
        columns += [
            Column(group=group, benchmark=benchmark, modality=modality, difficulty=level)
            for level in [*levels, *shown_difficulties(level for level in measured if level is not None)]
        ]
    return tuple(columns)


def shown_difficulties(measured: Iterable[int]) -> tuple[int, ...]:
    """At most three: 1, 3 and 5 where all were measured, otherwise the easiest, the middle and the hardest."""
    levels = sorted(set(measured))
    if len(levels) <= 3:
        return tuple(levels)
    return PREFERRED if set(PREFERRED) <= set(levels) else (levels[0], levels[len(levels) // 2], levels[-1])


def captions(summary: Summary, grid: Grid) -> tuple[str, ...]:
    """What must be said beside the numbers: floors, intervals, seeds, and answers that were cut or could not be judged."""
    lines = [_floors(summary.floors, grid), f"Intervals are 95 % intervals over problems. {_seeds(grid)}"]
    lines += [_left_over(grid, "truncated", "Cut at the length cap"), _left_over(grid, "unjudged", "Not judged, and left out of the accuracy")]
    return tuple(line for line in lines if line)


def _floors(floors: Floors, grid: Grid) -> str:
    parts = [] if floors.constant is None else [f"A constant guess scores {short(floors.constant)}."]
    levels = unique(column.difficulty for column in grid.columns)
    best = [(level, shortcut) for level in levels if (shortcut := floors.best_shortcut(level)) is not None]
    named = []
    for name in unique(shortcut.name for _, shortcut in best):
        scores = [f"{short(one.value)} {'over all' if level is None else f'at difficulty {level}'}" for level, one in best if one.name == name]
        named.append(f"“{name}” {', '.join(scores)}")
    return " ".join(parts + [f"Best shortcut without reasoning: {'; '.join(named)}."] * bool(named))


def _seeds(grid: Grid) -> str:
    seeds = unique((line.label, cell.seeds) for line in grid.lines for cell in line.cells if cell is not None)
    same = {numbers for _, numbers in seeds}
    if len(same) == 1:
        return f"{_numbered(next(iter(same))).capitalize()}."
    return "Seeds: " + "; ".join(f"{label} {_numbered(numbers)}" for label, numbers in seeds) + "."


def _numbered(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _left_over(grid: Grid, kind: str, sentence: str) -> str:
    """Counts of one kind of answer by line, over the columns that hold all difficulties."""
    whole = [place for place, column in enumerate(grid.columns) if column.difficulty is None]
    counts = []
    for line in grid.lines:
        cells = [cell for place in whole if (cell := line.cells[place]) is not None]
        found = sum(getattr(cell, kind) for cell in cells)
        if found:
            answers = sum(cell.answers for cell in cells)
            counts.append(f"{line.label} {found}" + (f" of {answers}" if answers else ""))
    return f"{sentence}: {'; '.join(counts)}." if counts else ""


def short(share: float) -> str:
    """`.62`; `1.00` for everything."""
    return f"{share:.2f}".removeprefix("0")


def unique(values: Iterable[T]) -> list[T]:
    """The values without repeats, in order."""
    return list(dict.fromkeys(values))
