"""A table of words for every place it is shown in: terminal, log file, Markdown, HTML. Words are escaped here, for each place in its own way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vold.report import escaping


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """`left` columns of words, then columns of numbers; `foot` lines at the end are counts. Nothing in it is escaped yet."""

    title: str
    heads: tuple[str, ...]
    left: int
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    foot: int = 0

    def only(self, columns: Sequence[int]) -> "Sheet":
        """The words and some of the columns of numbers, without notes."""
        kept = [*range(self.left), *columns]
        return replace(self, heads=tuple(self.heads[at] for at in kept), lines=tuple(tuple(line[at] for at in kept) for line in self.lines), notes=())

    @property
    def cleaned(self) -> "Sheet":
        """Every word on one line and printable."""
        return Sheet(
            title=escaping.one_line(self.title),
            heads=tuple(map(escaping.one_line, self.heads)),
            left=self.left,
            lines=tuple(tuple(map(escaping.one_line, line)) for line in self.lines),
            notes=tuple(map(escaping.one_line, self.notes)),
            foot=self.foot,
        )


def show(forms: Sequence[Sheet], console: Console) -> None:
    """Print one table, given from its widest form to its narrowest: drawn on a terminal, as plain aligned lines anywhere else."""
    if not console.is_terminal:
        console.out(plain(forms[0]), highlight=False)
        return
    sheets = [form.cleaned for form in forms]
    console.print(Text(sheets[0].title, style="bold"))
    for table in _fitting(sheets, console):
        console.print(table)
    for note in sheets[0].notes:
        console.print(Text(note, style="dim"))
    console.print()


def _fitting(forms: Sequence[Sheet], console: Console) -> list[Table]:
    """The widest form that fits; else the narrowest, cut into tables of as many columns as fit."""
    for form in forms:
        if _width(form, console) <= console.width:
            return [_drawn(form)]
    form, groups = forms[-1], [[forms[-1].left]]
    for column in range(form.left + 1, len(form.heads)):
        if _width(form.only([*groups[-1], column]), console) <= console.width:
            groups[-1].append(column)
        else:
            groups.append([column])
    return [_drawn(form.only(group)) for group in groups]


def _width(sheet: Sheet, console: Console) -> int:
    return console.measure(_drawn(sheet), options=console.options.update(width=100_000)).maximum


def _drawn(sheet: Sheet) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, head in enumerate(sheet.heads):
        heading = Text(head if place < sheet.left else head.replace(" ", "\n"))  # one word a line keeps columns of numbers narrow
        table.add_column(heading, justify="left" if place < sheet.left else "right", no_wrap=place >= sheet.left)
    for place, line in enumerate(sheet.lines):
        style = "dim" if place >= len(sheet.lines) - sheet.foot else ""
        table.add_row(*(Text(word) for word in line), style=style)
    return table


def plain(sheet: Sheet) -> str:
    """Aligned lines of text, without colour or box."""
    clean = sheet.cleaned
    lines = [clean.heads, *clean.lines]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    aligned = ["  ".join(_padded(word, widths[at], left=at < clean.left) for at, word in enumerate(line)).rstrip() for line in lines]
    return "\n".join([clean.title, *aligned, *clean.notes])


def _padded(word: str, width: int, *, left: bool) -> str:
    blanks = " " * (width - cell_len(word))
    return word + blanks if left else blanks + word


def markdown(sheet: Sheet) -> str:
    """Title, table and notes as Markdown."""
    header, *body = [[escaping.markdown(word) for word in line] for line in (sheet.heads, *sheet.lines)]
    rule = ["---" if at < sheet.left else "---:" for at in range(len(header))]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *body))
    return "\n\n".join([f"**{escaping.markdown(sheet.title)}**", table, *map(escaping.markdown, sheet.notes)])


def html(sheets: Sequence[Sheet], *, opened: int = 1) -> Markup:
    """The tables as a fragment of the report's page, the first `opened` unfolded. Everything in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return Markup(environment.get_template("sheets.html.j2").render(sheets=[sheet.cleaned for sheet in sheets], opened=opened))
