"""What a check has found, in the terminal: models, token tables, prompts side by side, data, overlaps, references."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vold.core.overlap import Findings
from vold.core.vocabulary import Comparison
from vold.report import overlaps, planned
from vold.report.planned import Planned

ABSENT = "–"
EXAMPLES = 3
"""Pairs of a kind that the terminal shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model as its folder tells."""

    role: str
    path: str
    folder: str
    kind: str
    rows: int
    words: int
    context: int
    sees: bool
    ends: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A token with a part to play: its id for the student (`given`: since it learned it) and for the teacher, None where it has none."""

    word: str
    student: int | None
    teacher: int | None
    given: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One problem as a model is shown it."""

    who: str
    problem: str
    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """A set of problems or traces: what was read of it, and how long its prompts are for the model that answers them."""

    where: str
    path: str
    read: str
    prompt_tokens: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Everything found; `refusals` are what a run would stop at."""

    recipe: str
    models: tuple[ModelFacts, ...]
    tokens: Comparison | None
    roles: tuple[Role, ...]
    prompts: tuple[Shown, ...]
    data: tuple[DataFacts, ...]
    overlaps: Findings | None
    """None where nothing was compared."""
    references: str | None
    plan: Planned | None
    """None where nothing is trained, or a model's shape is not known."""
    notes: tuple[str, ...]
    refusals: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "overlaps": None if self.overlaps is None else overlaps.to_json(self.overlaps),
            "plan": None if self.plan is None else self.plan.to_json(),
        }


def show(checked: Checked, console: Console | None = None) -> None:
    """Print what was found, section by section; what a run would stop at comes last."""
    console = console or Console(width=None if Console().is_terminal else 160, highlight=False)
    console.print(Text(f"recipe {checked.recipe}", style="bold"))
    _section(console, "models", [_models(checked.models)] if checked.models else [])
    if checked.tokens is not None:
        _section(console, "tokens", [*map(Text, _tokens(checked.tokens)), _roles(checked.roles), *_one_sided(checked.tokens)])
    if checked.prompts:
        _section(console, f"the prompt of {checked.prompts[0].problem}, as each model is shown it", [_side_by_side(checked.prompts)])
    _section(console, "data", [_data(checked.data)] if checked.data else [])
    if checked.overlaps is not None:
        _section(console, "training prompts that repeat a benchmark's question", list(map(Text, overlaps.lines(checked.overlaps, examples=EXAMPLES))))
    if checked.references is not None:
        _section(console, "references", [Text(checked.references)])
    if checked.plan is not None:
        _section(console, "plan", list(planned.lines(checked.plan)))
    for note in checked.notes:
        console.print(Text(f"note: {note}"))
    for refusal in checked.refusals:
        console.print(Text(f"refused: {refusal}", style="bold red"))
    if not checked.refusals:
        console.print(Text("a run can start", style="bold green"))


def _section(console: Console, title: str, parts: Sequence[Any]) -> None:
    if parts:
        console.print(Text(f"\n{title}", style="bold"))
        for part in parts:
            console.print(part)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _models(models: Sequence[ModelFacts]) -> Table:
    table = _table("", "path", "embedding rows", "words", "context", "ends with", "sees")
    for m in models:
        table.add_row(m.role, Text(m.path), f"{m.rows:,}", f"{m.words:,}", f"{m.context:,}", Text(m.ends or ABSENT), "yes" if m.sees else "no")
    return table


def _tokens(tokens: Comparison) -> list[str]:
    lines = [
        f"{tokens.shared:,} ids mean the same word to both; {len(tokens.one_sided)} are on one side; {len(tokens.clashes)} clash.",
        f"Padded rows, which no tokenizer can decode: {tokens.student_padded:,} of the student, {tokens.teacher_padded:,} of the teacher. They are "
        "never sampled and leave both softmaxes,",
        f"and so do the placeholders {', '.join(map(str, tokens.placeholders)) or 'of which there are none'}.",
        f"Both softmaxes run over {tokens.said:,} ids.",
    ]
    if tokens.student_rows != tokens.teacher_rows:
        lines.append(f"The embeddings have {tokens.student_rows:,} and {tokens.teacher_rows:,} rows; only rows of both are read.")
    return lines


def _roles(roles: Sequence[Role]) -> Table:
    table = _table("role", "student", "teacher")
    for role in roles:
        student = ABSENT if role.student is None else f"{role.student}{' (given)' if role.given else ''}"
        table.add_row(Text(role.word), student, ABSENT if role.teacher is None else str(role.teacher))
    return table


def _one_sided(tokens: Comparison) -> list[Any]:
    """Every clash, and the ids of one side only, each with what is done about it."""
    clashes = [
        Text(f"id {i}: {student!r} for the student, {teacher!r} for the teacher", style="bold red") for i, student, teacher in tokens.clashes[:10]
    ]
    if not tokens.one_sided:
        return clashes
    table = _table("id", "word", "only of the", "decision")
    for one in tokens.one_sided[:20]:
        table.add_row(str(one.id), Text(one.word), one.of, one.decision)
    return [*clashes, table]


def _side_by_side(prompts: Sequence[Shown]) -> Table:
    table = _table(*(shown.who for shown in prompts))
    table.add_row(*(Text(shown.text) for shown in prompts))
    table.add_row(*(Text(f"\n{len(shown.ids)} ids: {' '.join(map(str, shown.ids))}", style="dim") for shown in prompts))
    return table


def _data(data: Sequence[DataFacts]) -> Table:
    table = _table("data", "path", "read", "prompt tokens")
    for one in data:
        lengths = one.prompt_tokens
        told = f"median {lengths['median']:g}, longest {lengths['max']:g} (of {lengths['measured']:g})" if lengths else ABSENT
        table.add_row(one.where, Text(one.path or ABSENT), Text(one.read), told)
    return table
