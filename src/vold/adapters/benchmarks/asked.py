"""Benchmarks as a run meets them: rows read once, put to a model, and graded by the rule of a mode."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Literal

from vold.adapters.benchmarks import tables
from vold.adapters.benchmarks.reads import Reads, read_part
from vold.adapters.benchmarks.spec import Graded, Mode, Spec, Style, official
from vold.adapters.containers import Row
from vold.adapters.fields import BadRow, shown
from vold.adapters.problems.files import FileBenchmark
from vold.adapters.rows import DataSet
from vold.base.errors import DataError
from vold.base.seeds import seed_for
from vold.base.types import Item, Problem, Rollout, Ruling, Verdict
from vold.core.measures import Measure

Judged = tuple[Rollout, Verdict]
RIGHT: Mapping[Ruling, bool | None] = {Ruling.RIGHT: True, Ruling.WRONG: False, Ruling.UNJUDGED: None}


def graded(judged: Sequence[Judged], items: Mapping[str, Item]) -> list[Graded]:
    """Judged rollouts with their items."""
    return [
        Graded(item=items[rollout.problem.id], sample=rollout.sample, right=RIGHT[verdict.ruling], extracted=verdict.extracted)
        for rollout, verdict in judged
    ]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a published benchmark, read once. `size` 0 is all of them; `only` keeps those of these parts."""

    spec: Spec
    data: DataSet
    size: int = 0
    only: Mapping[str, str] = field(default_factory=dict)
    fits: Callable[[Item], str | None] = lambda item: None  # noqa: ARG005
    """Why an item cannot be put to the model; such a row is a broken one."""

    @cached_property
    def read(self) -> tuple[tuple[Item, ...], tuple[tuple[str, str], ...], int]:
        """(items that are asked, rows that cannot be and why, rows seen). Raises DataError where nothing can be asked."""
        items: dict[str, Item] = {}
        broken: list[tuple[str, str]] = []
        seen = 0
        for split, row in self._rows():
            seen += 1
            place = "/".join(filter(None, (self.spec.name, row.subset or split, str(row.number))))
            try:
                if row.why:
                    raise BadRow(row.why)
                if not isinstance(row.value, Mapping):
                    raise BadRow(f"no object but {shown(row.value)}")
                item = self.spec.item(row.value, row.subset or split, self.data.folder)
                if item.id in items:
                    raise BadRow(f"a second row is called {item.id}")
                if (why := self.fits(item)) is not None:
                    raise BadRow(why)
            except BadRow as error:
                broken.append((place, str(error)))
                continue
            items[item.id] = item
        asked = self._chosen(list(items.values()))
        if not asked:
            raise self._nothing(broken, len(items), seen)
        return tuple(asked), tuple(broken), seen

    def _nothing(self, broken: Sequence[tuple[str, str]], kept: int, seen: int) -> DataError:
        """What is said where no row is left: whether the rows are at fault, or what is wanted of them."""
        first = f" The first: {broken[0][0]}, {broken[0][1].removesuffix('.')}." if broken else ""
        found = f"{len(broken)} are broken" + (f", and only = {dict(self.only)} keeps none of the other {kept}" if kept else "")
        advice = "Choose another part of it" if kept else f"Repair what stands there, or give its rows as {self.spec.hub} has them"
        return DataError(f"{self.data.path}: of {seen} rows none can be asked as {self.spec.title} ({found}).{first} {advice}.")

    def _rows(self) -> Iterator[tuple[str, Row]]:
        """Every row with its split; of `a+b` each split is read by itself, so that a row's own is known. A file has no splits."""
        if self.data.here is not None and self.data.here.is_file():
            yield from ((self.data.split, row) for row in self.data.rows(self.spec.columns))
            return
        for split in self.data.split.split("+"):
            yield from ((split, row) for row in replace(self.data, split=split).rows(self.spec.columns))

    def _chosen(self, items: Sequence[Item]) -> list[Item]:
        """Those of the wanted parts, and of them `size` drawn by seed questions, in their own order."""
        kept = [item for item in items if all(item.parts.get(name) == value for name, value in self.only.items())]
        if not self.size or len(kept) <= self.size:
            return kept
        families: dict[str, list[Item]] = {}
        for item in kept:
            families.setdefault(item.cluster or item.id, []).append(item)
        drawn: set[str] = set()
        for name in Random(seed_for(0, "subset", self.spec.name)).sample(sorted(families), len(families)):
            if len(drawn) + len(families[name]) <= self.size or not drawn:
                drawn |= {item.id for item in families[name]}
        return [item for item in kept if item.id in drawn]


@dataclass(frozen=True, kw_only=True)
class PublishedBenchmark:
    """A published benchmark, asked in one style."""

    name: str
    rows: Rows
    style: Style = Style.REASONING

    @property
    def spec(self) -> Spec:
        return self.rows.spec

    @property
    def kind(self) -> str:
        return self.spec.name

    @property
    def title(self) -> str:
        return self.spec.title

    @property
    def modality(self) -> Literal["text", "image"]:
        return self.spec.modality

    @property
    def broken(self) -> Sequence[tuple[str, str]]:
        return self.rows.read[1]

    @property
    def seen(self) -> int:
        """How many rows were read, broken ones included."""
        return self.rows.read[2]

    @cached_property
    def items(self) -> Mapping[str, Item]:
        return {item.id: item for item in self.rows.read[0]}

    def problems(self) -> Sequence[Problem]:
        return self._problems

    @cached_property
    def _problems(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(
                id=item.id,
                prompt=self.spec.ask(item, self.style),
                answer=item.answer,
                source=self.name,
                images=item.images,
                instructed=self.style is not Style.REASONING,
                interleaved=self.spec.interleaved,
            )
            for item in self.items.values()
        )

    def measures(self, judged: Sequence[Judged]) -> Sequence[Measure]:
        return self.spec.measures(graded(judged, self.items))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleJudge:
    """The official or the strict rule of a published benchmark, over the part of a response that `reads` names."""

    of: PublishedBenchmark
    mode: Mode
    reads: Reads = "auto"

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [self._verdict(self.of.items[rollout.problem.id], rollout.text) for rollout in rollouts]

    def _verdict(self, item: Item, response: str) -> Verdict:
        if self.mode is Mode.STRICT:
            return self.of.spec.strict(item, response)
        return official(self.of.spec, item, read_part(response, self.reads, asked_for_box=self.of.style is Style.REASONING))


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingJudge:
    """The judge mode: a language model finds the answer, by the benchmark's own prompt."""

    of: PublishedBenchmark
    ask: Callable[[Spec, Sequence[tuple[Item, str]]], list[Verdict]]

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return self.ask(self.of.spec, [(self.of.items[rollout.problem.id], rollout.text) for rollout in rollouts])


@dataclass(frozen=True, kw_only=True)
class PlainBenchmark:
    """Problems of the laptop world or of a file, graded by the run's judge; the table breaks them down by difficulty."""

    name: str
    modality: Literal["text", "image"]
    read: Callable[[], Sequence[Problem]]
    """Their problems, whenever they are asked for."""
    file: FileBenchmark | None = None
    """Where they are read from, when they are not drawn."""
    kind: str = ""

    @property
    def title(self) -> str:
        return self.name

    @property
    def broken(self) -> Sequence[tuple[str, str]]:
        return ()

    @property
    def seen(self) -> int:
        return len(self.problems())

    def problems(self) -> Sequence[Problem]:
        return self.read()

    def measures(self, judged: Sequence[Judged]) -> Sequence[Measure]:
        items = {rollout.problem.id: _item(rollout.problem) for rollout, _ in judged}
        return tables.accuracy(graded(judged, items), parts=("difficulty",))


def _item(problem: Problem) -> Item:
    parts = {} if problem.difficulty is None else {"difficulty": str(problem.difficulty)}
    return Item(id=problem.id, question=problem.prompt, answer=problem.answer or "", images=problem.images, parts=parts)


def questions(benchmark: PublishedBenchmark) -> Iterator[tuple[str, str]]:
    """(id, question with its options) of every item: what training prompts are compared with."""
    for item in benchmark.items.values():
        yield item.id, "\n".join((item.question, *item.options))
