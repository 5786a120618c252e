"""Several seeds of one recipe in one table: the mean over seeds, how far seeds differ, and paired differences between rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vold.base.errors import DataError
from vold.report.benchmarks import RULES
from vold.report.summary import Row, Summary

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093)
"""The 97.5 % point of Student's t for 1 to 19 degrees of freedom."""

Cell = tuple[str, str, str, int | None]
"""Benchmark, modality, way of answering, difficulty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One number measured on several seeds. `half` is half the width of the 95 % t-interval of the mean over seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def half(self) -> float:
        n = len(self.values)
        if n < 2:
            return math.nan
        deviation = math.sqrt(math.fsum((v - self.mean) ** 2 for v in self.values) / (n - 1))
        return T_975[min(n - 2, len(T_975) - 1)] * deviation / math.sqrt(n)

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.half:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """Rows × cells, each a number a seed. Seeds are in the order of the runs."""

    recipe: str
    seeds: tuple[int, ...]
    rows: tuple[str, ...]
    cells: tuple[Cell, ...]
    found: dict[tuple[str, Cell], Spread]

    def difference(self, row: str, other: str, cell: Cell) -> Spread:
        """`row` minus `other`, seed by seed."""
        pairs = zip(self.found[row, cell].values, self.found[other, cell].values, strict=True)
        return Spread(values=tuple(a - b for a, b in pairs))


def across(summaries: Sequence[Summary]) -> Across:
    """Raises DataError unless the runs are of one recipe with one evaluation, and of different seeds."""
    first = summaries[0]
    seeds = tuple(summary.seed for summary in summaries)
    if len(set(seeds)) < len(seeds):
        raise DataError(f"found seeds {', '.join(map(str, seeds))}: the same seed twice says nothing new. Give runs of different seeds.")
    for summary in summaries[1:]:
        if summary.recipe != first.recipe or _measured(summary) != _measured(first):
            raise DataError(f"the runs of seeds {first.seed} and {summary.seed} differ in more than the seed. Run one recipe, changing only seed=N.")
    shown = [(place, row) for place, row in enumerate(first.rows) if row.metric == "accuracy" and row.mode not in RULES]
    return Across(
        recipe=first.recipe.name,
        seeds=seeds,
        rows=tuple(dict.fromkeys(row.row for row in first.rows)),
        cells=tuple(dict.fromkeys(_cell(row) for _, row in shown)),
        found={(row.row, _cell(row)): Spread(values=tuple(s.rows[place].value for s in summaries)) for place, row in shown},
    )


def _measured(summary: Summary) -> list[tuple[object, ...]]:
    return [(row.row, row.benchmark, row.modality, row.way, row.difficulty, row.n) for row in summary.rows]


def _cell(row: Row) -> Cell:
    return row.benchmark, row.modality, row.way, row.difficulty


def markdown(table: Across, *, way: str = "greedy") -> str:
    """The table, and below it the paired differences of each later row from the ones before it that it is compared with."""
    cells = [cell for cell in table.cells if cell[2] == way]
    heads = _heads(cells)
    lines = [f"| {way} | {' | '.join(heads)} |", f"|---|{'---:|' * len(cells)}"]
    lines += [f"| {row} | {' | '.join(str(table.found[row, cell]) for cell in cells)} |" for row in table.rows]
    lines += ["", f"Mean over seeds {', '.join(map(str, table.seeds))} ± half the 95 % t-interval of that mean.", ""]
    last = table.rows[-1]
    lines += [f"| {last} minus … | {' | '.join(heads)} |", f"|---|{'---:|' * len(cells)}"]
    lines += [f"| {row} | {' | '.join(_signed(table.difference(last, row, cell)) for cell in cells)} |" for row in table.rows[:-1]]
    return "\n".join(lines)


def _heads(cells: Sequence[Cell]) -> list[str]:
    """The modality names a column where it is enough, else the benchmark."""
    names = {benchmark: modality for benchmark, modality, _, _ in cells}
    plain = len(set(names.values())) == len(names)
    return [f"{modality if plain else benchmark}{', all' if k is None else f' k={k}'}" for benchmark, modality, _, k in cells]


def _signed(spread: Spread) -> str:
    ahead = sum(value > 0 for value in spread.values)
    return f"{spread.mean:+.3f} ± {spread.half:.3f} ({ahead}/{len(spread.values)})"
