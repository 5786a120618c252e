"""Benchmark tables for a terminal, a log file, Markdown, a spreadsheet and the report's page: the same numbers each time.

`scores` are those of the models in the order of their rows. Each function gives the table of all benchmarks in the shape of the paper's Table 1;
with `parts=True` every benchmark's own table with all its parts follows.
"""

import csv as tables
import io
import math
from collections.abc import Callable, Sequence

from markupsafe import Markup
from rich.console import Console

from vold.report import escaping, sheets
from vold.report.benchmark_grid import Board, Entry, Line, details, overviews
from vold.report.benchmark_notes import MARK
from vold.report.benchmarks import Benchmark, Scores
from vold.report.escaping import shortened
from vold.report.sheets import Sheet

COUNTS = ("answers", "truncated", "unextracted", "unjudged", "broken")
"""What spreadsheets say of a whole benchmark beside its numbers: broken are rows, the others answers."""
NOTHING = "No results yet: no benchmark has been evaluated."
ABSENT = "–"


def show(scores: Sequence[Scores], console: Console | None = None, *, parts: bool = False, paper: bool = True) -> None:
    """Print the tables: drawn on a terminal, as plain aligned lines anywhere else."""
    console, boards = console or Console(), _boards(scores, parts, paper)
    for board in boards:
        sheets.show([sheet(board, bracketed), sheet(board, plus_minus)], console)
    if not boards:
        console.print(NOTHING)


def plain(scores: Sequence[Scores], *, parts: bool = False, paper: bool = True) -> str:
    """The tables as aligned lines of text."""
    return "\n\n".join(sheets.plain(sheet(board, bracketed)) for board in _boards(scores, parts, paper)) or NOTHING


def markdown(scores: Sequence[Scores], *, parts: bool = False, paper: bool = True) -> str:
    """The tables as Markdown, each with its captions below."""
    return "\n\n".join(sheets.markdown(sheet(board, bracketed)) for board in _boards(scores, parts, paper)) or NOTHING


def html(scores: Sequence[Scores], *, parts: bool = True, paper: bool = True) -> Markup:
    """The tables as a fragment of the report's page, those of all benchmarks unfolded."""
    boards = _boards(scores, parts, paper)
    return sheets.html([sheet(board, bracketed) for board in boards], opened=sum(board.overview for board in boards))


def _boards(scores: Sequence[Scores], parts: bool, paper: bool) -> list[Board]:
    return [*overviews(scores, paper=paper), *(details(scores, paper=paper) if parts else ())]


def sheet(board: Board, write: Callable[[Entry | None], str]) -> Sheet:
    """A board in words, with the number of items: below the columns of an overview, before the numbers of a benchmark's own table."""
    if board.overview:
        counts = ("items", "", *(_items([line.entries[place] for line in board.lines]) for place in range(len(board.columns))))
        heads, lines = board.heads, [*((*line.labels, *map(write, line.entries)) for line in board.lines), counts]
    else:
        heads, lines = (*board.heads, "items"), [(*line.labels, _items(line.entries), *map(write, line.entries)) for line in board.lines]
    return Sheet(
        title=board.title,
        heads=(*heads, *board.columns),
        left=len(board.heads),
        lines=tuple(lines),
        notes=board.notes,
        foot=int(board.overview),
    )


def bracketed(entry: Entry | None) -> str:
    """`62.1 [59.0 65.1]`, with ‡ where it was trained on; without brackets where nothing is known of its interval."""
    if entry is None or math.isnan(entry.value):
        return ABSENT
    interval = "" if math.isnan(entry.low) else f" [{_number(entry, entry.low)} {_number(entry, entry.high)}]"
    return f"{_number(entry, entry.value)}{MARK * entry.mark}{interval}"


def plus_minus(entry: Entry | None) -> str:
    """`62.1 ±3.1`; the longer side of the interval."""
    if entry is None or math.isnan(entry.value):
        return ABSENT
    interval = "" if math.isnan(entry.low) else f" ±{_number(entry, max(entry.value - entry.low, entry.high - entry.value))}"
    return f"{_number(entry, entry.value)}{MARK * entry.mark}{interval}"


def _number(entry: Entry, value: float) -> str:
    return f"{entry.scale * value:.1f}"


def _items(entries: Sequence[Entry | None]) -> str:
    """How many items or seed questions a column stands on: `600`, or `597–600` where some could not be judged."""
    counts = [entry.n for entry in entries if entry is not None and entry.n]
    if not counts:
        return ""
    return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)}–{max(counts)}"


def csv(scores: Sequence[Scores], *, paper: bool = True) -> str:
    """The table of all benchmarks for a spreadsheet: a line a model, five columns a number, then those of what each benchmark counts; what is not
    known is left empty."""
    boards = overviews(scores, paper=paper)
    columns = list(dict.fromkeys(column for board in boards for column in board.columns))
    suffixes = ("", " low", " high", " n", " contaminated")
    titles = list(dict.fromkeys(title for board in boards for line in board.lines for title in _counted(line)))
    heads = (f"{column}{suffix}" for column in columns for suffix in suffixes), (f"{title} {count}" for title in titles for count in COUNTS)
    rows = [_words("scoring", "way", "model", "images in tuning", *heads[0], *heads[1])]
    for board in boards:
        for line in board.lines:
            found, counted = dict(zip(board.columns, line.entries, strict=True)), _counted(line)
            numbers = [word for column in columns for word in _cells(found.get(column))]
            rows.append([*_words(*board.kind, *line.labels), *numbers, *(word for title in titles for word in _counts(counted.get(title)))])
    return _csv(rows)


def csv_of_parts(scores: Sequence[Scores], *, paper: bool = True) -> str:
    """All numbers of all benchmarks for a spreadsheet: a line a number, with the counts of its whole benchmark at the end."""
    rows = [_words("benchmark", "scoring", "way", "metric", "part", "model", "value", "low", "high", "n", "contaminated", *COUNTS)]
    for board in details(scores, paper=paper):
        for line in board.lines:
            found = zip(board.columns, line.entries, strict=True)
            rows += [
                [*_words(board.subject, *board.kind, *line.labels, column), *_cells(entry), *_counts(entry.of)]
                for column, entry in found
                if entry is not None
            ]
    return _csv(rows)


def _counted(line: Line) -> dict[str, Benchmark]:
    """The benchmarks of a model's line by their titles."""
    return {shortened(entry.of.title): entry.of for entry in line.entries if entry is not None and entry.of is not None}


def _counts(benchmark: Benchmark | None) -> list[str]:
    """The words under `COUNTS`; empty where nothing is known, as of a printed number."""
    if benchmark is None:
        return [""] * len(COUNTS)
    counts = (benchmark.answers, benchmark.truncated, benchmark.unextracted, benchmark.unjudged, len(benchmark.broken))
    return ["" if count is None else str(count) for count in counts]


def _cells(entry: Entry | None) -> list[str]:
    if entry is None or math.isnan(entry.value):
        return [""] * 5
    interval = [""] * 2 if math.isnan(entry.low) else [f"{entry.scale * end:.4f}" for end in (entry.low, entry.high)]
    return [f"{entry.scale * entry.value:.4f}", *interval, str(entry.n) if entry.n else "", "yes" if entry.mark else "no"]


def _words(*words: str) -> list[str]:
    return [escaping.csv(word) for word in words]


def _csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    tables.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
