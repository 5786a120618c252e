"""The result table for a terminal, a log file and a Markdown page: the same numbers each time."""

from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vold.report.grid import Grid, captions, grids, short
from vold.report.summary import Row, Summary

NO_RESULTS = "No results yet: this run has not been evaluated."
NOT_MEASURED = "–"


def bracketed(row: Row | None) -> str:
    """`.62 [.57 .67]`"""
    return NOT_MEASURED if row is None or row.n == 0 else f"{short(row.value)} [{short(row.low)} {short(row.high)}]"


def plus_minus(row: Row | None) -> str:
    """`.62 ±.05`; the longer side of the interval, which is not symmetric near 0 and 1."""
    return NOT_MEASURED if row is None or row.n == 0 else f"{short(row.value)} ±{short(max(row.value - row.low, row.high - row.value))}"


def show(summary: Summary, console: Console | None = None) -> None:
    """Print the table: drawn on a terminal, as plain aligned lines anywhere else."""
    console = console or Console()
    if not console.is_terminal:
        console.out(plain(summary), highlight=False)
        return
    if not summary.rows:
        console.print(NO_RESULTS)
    for grid in grids(summary):
        console.print(Text(grid.title, style="bold"))
        for table in _fitting(grid, console):
            console.print(table)
        for caption in captions(summary, grid):
            console.print(Text(caption, style="dim"))
        console.print()


def _fitting(grid: Grid, console: Console) -> list[Table]:
    """One table with intervals in brackets; shorter cells where that is too wide, and a table a group where that is still too wide."""
    unbounded = console.options.update(width=10_000)
    for write in (bracketed, plus_minus):
        table = _drawn(grid, write)
        if console.measure(table, options=unbounded).maximum <= console.width:
            return [table]
    return [_drawn(grid.only(group), plus_minus) for group, _ in grid.groups]


def _drawn(grid: Grid, write: Callable[[Row | None], str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    table.add_column("", "problems", no_wrap=True)
    for place, column in enumerate(grid.columns):
        heading = f"{column.group} {column.level}".replace(" ", "\n")  # one word a line keeps the columns narrow
        table.add_column(Text(heading), grid.problems(place), justify="right", no_wrap=True)
    for line in grid.lines:
        table.add_row(Text(line.label), *(Text(write(cell)) for cell in line.cells))
    return table


def plain(summary: Summary) -> str:
    """The table as aligned lines of text, without colour or box."""
    return "\n\n".join(_plain(summary, grid) for grid in grids(summary)) or NO_RESULTS


def _plain(summary: Summary, grid: Grid) -> str:
    lines = _words(grid)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = ["<", *[">"] * len(grid.columns)]
    aligned = ["  ".join(f"{word:{side}{width}}" for word, side, width in zip(line, sides, widths, strict=True)) for line in lines]
    return "\n".join([grid.title, *aligned, *captions(summary, grid)])


def markdown(summary: Summary) -> str:
    """The table as Markdown, with its captions below."""
    return "\n\n".join(_markdown(summary, grid) for grid in grids(summary)) or NO_RESULTS


def _markdown(summary: Summary, grid: Grid) -> str:
    header, *body = [[word.replace("|", "\\|") for word in line] for line in _words(grid)]
    rule = ["---", *["---:"] * len(grid.columns)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *body))
    return "\n\n".join([f"**{grid.title}**", table, *captions(summary, grid)])


def _words(grid: Grid) -> list[list[str]]:
    """Header, one line a model, and the number of problems."""
    return [
        ["", *(f"{column.group}, {column.level}" for column in grid.columns)],
        *([line.label, *map(bracketed, line.cells)] for line in grid.lines),
        ["problems", *(grid.problems(place) for place in range(len(grid.columns)))],
    ]
