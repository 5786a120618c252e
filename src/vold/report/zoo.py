"""The named methods side by side: what differs between them is what one sees."""

from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from vold.core.objective import JSD, Adaptive, Clip, Level, Mask, Objective, Over, Overlong, Pull, Schedule, Weigh, Weight
from vold.core.weights import words_of
from vold.core.zoo import METHODS, RECIPES, Recipe

GROUPS = ("reward alone", "reward and teacher", "teacher alone")
HEADINGS = ("method", "credit", "clip", "pull", "on", "share", "what else")
YARDSTICK = "VOLD"
CAPTION = f"Dim is as in {YARDSTICK}, bright is not. `vold zoo NAME` shows one of them in full."
SEQUENCES = "sequences of objectives, or two streams of data"
ABSENT = "–"
ENOUGH = 18
"""Columns below which the last heading has no room of its own."""
LONG_PULL = 24


def group_of(objective: Objective) -> str:
    if not objective.needs_teacher:
        return GROUPS[0]
    return GROUPS[1] if objective.credit.present else GROUPS[2]


def cells(objective: Objective) -> tuple[str, ...]:
    """What stands under the headings after the first."""
    credit = objective.credit
    return (
        f"{credit.by} on {credit.on}" if credit.on is not Mask.EVERY else str(credit.by) if credit.present else ABSENT,
        _clip(objective.clip),
        "\n".join(map(_pull, objective.pulls)) or ABSENT,
        "\n".join(str(pull.on) for pull in objective.pulls) or ABSENT,
        str(objective.share),
        " · ".join(_else(objective)) or ABSENT,
    )


def _clip(clip: Clip | None) -> str:
    if clip is None:
        return ABSENT
    bounds = f"{_short(clip.low)}/{_short(clip.high)}"
    return bounds + (" by sequence" if clip.level is Level.SEQUENCE else "")


def _short(number: float) -> str:
    """`0.28`, `3e-4`"""
    return f"{number:g}" if number >= 1e-3 else f"{number:.0e}".replace("e-0", "e-")


def _pull(pull: Pull) -> str:
    inside = pull.mix if pull.by is JSD else pull.top
    return f"{words_of(pull.beta)} {pull.by}{'' if inside is None else f'({inside:g})'} → {pull.toward}"


def _else(objective: Objective) -> list[str]:
    """Whatever the other columns have no room for."""
    found = [*_of_credit(objective), *(words for pull in objective.pulls for words in _of_pull(pull))]
    if objective.clip is not None and objective.clip.dual is not None:
        found.append(f"dual clip {objective.clip.dual:g}")
    if not objective.pull_truncated:
        found.append("no pull on truncated")
    if objective.correction is not None:
        found.append(str(objective.correction))
    if objective.overlong is not Overlong.KEEP:
        found.append(f"{objective.overlong} overlong" + (f" {objective.soft_buffer:g}" if objective.overlong is Overlong.SOFT else ""))
    if objective.entropy != 0.0:
        found += [f"{words_of(objective.entropy)} entropy", *_moves("entropy", objective.entropy)]
    return [*found, "dynamic sampling"] if objective.dynamic else found


def _of_credit(objective: Objective) -> Iterator[str]:
    credit = objective.credit
    if not credit.present:
        return
    if not credit.unbiased:
        yield "biased deviation"
    if credit.epsilon != 1e-6:
        yield f"epsilon {credit.epsilon:g}"
    if credit.weight != 1.0:
        yield f"credit times {words_of(credit.weight)}"
        yield from _moves("credit", credit.weight)
    if credit.weigh is not Weigh.EVEN:
        yield f"credit by {credit.weigh}"
    if credit.by_teacher is not None:
        yield f"credit by teacher ratio {words_of(credit.by_teacher.strength)} ± {credit.by_teacher.epsilon:g}"
        yield from _moves("ratio", credit.by_teacher.strength)


def _of_pull(pull: Pull) -> Iterator[str]:
    yield from _moves("β", pull.beta)
    if pull.weigh is not Weigh.EVEN:
        yield f"pull by {pull.weigh}"
    if pull.over is Over.PULLED:
        yield "pull over pulled tokens"
    if pull.clamp is not None:
        yield f"pull clamped at {pull.clamp.limit:g}, {pull.clamp.beyond}"


def _moves(what: str, weight: Weight | Adaptive) -> list[str]:
    """How a number moves, beyond where it starts and ends."""
    match weight:
        case Schedule():
            return [f"{what} moves from step {weight.begin} to {weight.until}"]
        case Adaptive():
            return [f"{what} follows a KL of {weight.target:g} (horizon {weight.horizon}, reach {weight.reach:g})"]
        case _:
            return []


def show(console: Console | None = None) -> None:
    """Print the zoo: drawn on a terminal, as plain aligned lines anywhere else."""
    console = console or Console()
    rows = {name: cells(method.objective) for name, method in METHODS.items()}
    if not console.is_terminal:
        console.out("\n".join(_plain(rows)), highlight=False)
        return
    for part in _drawn(rows, console.width):
        console.print(part)


def _plain(rows: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The table as aligned lines of text, one line a method."""
    lines = {name: (name, *(cell.replace("\n", " + ") for cell in row)) for name, row in rows.items()}
    widths = _widths([HEADINGS, *lines.values()])
    for names, title in _grouped().items():
        yield title
        for line in (HEADINGS, *(lines[name] for name in names)):
            yield "  ".join(f"{word:{width}}" for word, width in zip(line, widths, strict=True)).rstrip()
        yield ""
    yield SEQUENCES
    yield from (f"{name:{max(map(len, RECIPES))}}  {'; '.join(_phases(recipe))}" for name, recipe in RECIPES.items())


def _drawn(rows: Mapping[str, tuple[str, ...]], width: int) -> Iterator[RenderableType]:
    """The table as wide as it may be: on one line each, folded, or with the last column below each group."""
    lines, gap = {name: (name, *row) for name, row in rows.items()}, 2
    if sum(_widths([HEADINGS, *lines.values()])) + gap * len(HEADINGS) > width:
        lines = {name: _folded(line) for name, line in lines.items()}
    room = width - sum(_widths([HEADINGS, *lines.values()])[:-1]) - gap * (len(HEADINGS) - 1)
    below = room < ENOUGH
    if below:
        lines, gap = {name: _tight(line)[:-1] for name, line in lines.items()}, 1
    widths = _widths([HEADINGS[:-1] if below else HEADINGS, *lines.values()])
    if not below:
        widths[-1] = min(widths[-1], room)
    for names, title in _grouped().items():
        yield Text(title, style="bold")
        headings = [Text(word, style="dim italic") for word in HEADINGS[: len(widths)]]
        yield _grid(widths, gap, [headings, *([Text(lines[name][0]), *_lit(name, lines[name][1:], rows)] for name in names)])
        if below:
            yield from (Text(f"{name}: {rows[name][-1]}", style="bold") for name in names if rows[name][-1] != ABSENT)
        yield Text()
    yield Text(SEQUENCES, style="bold")
    yield _grid([max(map(len, RECIPES)), None], 2, [[Text(name), Text("\n".join(_phases(recipe)))] for name, recipe in RECIPES.items()])
    yield Text(f"\n{CAPTION}", style="dim")


def _lit(name: str, line: Sequence[str], rows: Mapping[str, tuple[str, ...]]) -> list[Text]:
    """The cells of a method: dim where it is as the yardstick, bright where it is not."""
    same = [cell == usual for cell, usual in zip(rows[name], rows[YARDSTICK], strict=True)]
    styles = ["" if name == YARDSTICK else "dim" if alike else "bold" for alike in same]
    return [Text(cell, style=style) for cell, style in zip(line, styles, strict=False)]


def _folded(line: tuple[str, ...]) -> tuple[str, ...]:
    """A row whose longest cells take two lines."""
    name, credit, clip, pull, on, share, others = line
    pull = pull.replace("-to-", "-\nto-")
    pull = "\n".join(part.replace(" → ", "\n→ ") if len(part) > LONG_PULL else part for part in pull.split("\n"))
    return (name, credit, clip.replace(" by ", "\nby "), pull, on, share, others.replace(" · ", "\n"))


def _tight(line: tuple[str, ...]) -> tuple[str, ...]:
    """A folded row as narrow as it gets: the teacher, whom the group's title names, is not said again."""
    name, credit, clip, pull, *others = line
    pull = pull.replace("\n→ teacher", "").replace(" → teacher", "").replace(" →", "\n→")
    return (name, credit.replace(" on ", "\non "), clip.replace("by ", ""), pull, *others)


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(cell_len(part) for cell in column for part in cell.split("\n")) for column in zip(*lines, strict=True)]


def _grid(widths: Sequence[int | None], gap: int, rows: Sequence[Sequence[Text]]) -> Table:
    """Aligned columns; a width of None takes what is left."""
    table = Table(box=None, show_header=False, padding=(0, gap, 0, 0), pad_edge=False)
    for width in widths:
        table.add_column(width=width)
    for row in rows:
        table.add_row(*row)
    return table


def _grouped() -> dict[tuple[str, ...], str]:
    """The names of each group, with its title."""
    kinds = {name: group_of(method.objective) for name, method in METHODS.items()}
    return {tuple(name for name, kind in kinds.items() if kind == group): group for group in GROUPS}


def _phases(recipe: Recipe) -> list[str]:
    return [f"{name}: {when}" for name, when in recipe.phases]
