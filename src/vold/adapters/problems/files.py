"""Problems from a file, from a folder, or from the hub, in the layouts of `layouts`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from random import Random

from vold.adapters.containers import Row
from vold.adapters.fields import BadRow, answer_of, text_of
from vold.adapters.problems.layouts import LAYOUTS, Draft, Layout, says_how
from vold.adapters.readings import REPEATS, BadRows, Reading
from vold.adapters.rows import DataSet
from vold.base.errors import DataError
from vold.base.seeds import seed_for
from vold.base.types import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The problems of a data set, and what was left out on the way."""

    problems: tuple[Problem, ...]
    facts: Reading


@dataclass(frozen=True, kw_only=True)
class ProblemFile:
    """Problems as somebody published them, read once. `limit` 0 is all; `distinct` drops every question but the first of its kind."""

    data: DataSet
    kind: str
    source: str
    limit: int = 0
    needs_answers: bool = True
    on_bad_row: str = "refuse"
    distinct: bool = True
    fits: tuple[Callable[[Problem], str | None], ...] = ()
    """Each says why a problem cannot be shown to a model, or None; such a problem is a bad row."""
    without: frozenset[str] = frozenset()
    """Ids of problems that are left out since they repeat a benchmark's question."""

    @cached_property
    def read(self) -> Read:
        """Raises DataError for bad rows that are not to be dropped, for two rows of one id, and where nothing is left."""
        return _read(self)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.read.problems

    @property
    def facts(self) -> Reading:
        return self.read.facts


@dataclass(frozen=True, kw_only=True)
class FileProblems:
    """Problems for training. Every epoch is a seeded permutation, cut into whole steps: a step never holds a problem twice, and what is left
    over at the end of an epoch waits for the next."""

    of: ProblemFile
    seed: int
    per_step: int

    def for_step(self, step: int) -> Sequence[Problem]:
        epoch, place = divmod(step, len(self._problems) // self.per_step)
        order = self._order(epoch)[place * self.per_step : (place + 1) * self.per_step]
        return [self._problems[i] for i in order]

    def more(self, step: int, refill: int) -> Sequence[Problem]:
        order = Random(seed_for(self.seed, self.of.source, "refill", step, refill)).sample(range(len(self._problems)), self.per_step)
        return [self._problems[i] for i in order]

    def all(self) -> Sequence[Problem]:
        return self._problems

    @property
    def facts(self) -> Reading:
        return self.of.facts

    def _order(self, epoch: int) -> list[int]:
        return Random(seed_for(self.seed, self.of.source, "epoch", epoch)).sample(range(len(self._problems)), len(self._problems))

    @cached_property
    def _problems(self) -> Sequence[Problem]:
        problems = self.of.problems
        if len(problems) < self.per_step:
            raise DataError(
                f"{self.of.data.path} holds {len(problems)} problems, but a step reads {self.per_step} different ones. "
                "Give more, or lower joint.prompts_per_step."
            )
        return problems


@dataclass(frozen=True, kw_only=True)
class FileBenchmark:
    """Problems answered zero-shot, repeated questions included; `image` benchmarks show a picture with every one."""

    of: ProblemFile
    modality: str

    @property
    def name(self) -> str:
        return self.of.source

    @property
    def facts(self) -> Reading:
        return self.of.facts

    def problems(self) -> Sequence[Problem]:
        blind = [problem.id for problem in self.of.problems if self.modality == "image" and not problem.images]
        if blind:
            raise DataError(
                f"{self.of.data.path}: {len(blind)} problems show no image, the first is {blind[0]}, but the benchmark's modality is image. "
                "Add `image`."
            )
        return self.of.problems


def _read(of: ProblemFile) -> Read:
    layout = LAYOUTS[of.kind]
    wanted = layout.wanted if of.needs_answers else layout.wanted.split(" and ")[0]
    bad = BadRows(of.data, wanted=wanted, refuse=of.on_bad_row == "refuse")
    problems: list[Problem] = []
    first: dict[bytes, str | None] = {}  # each question, and the answer that it had first
    own: set[str] = set()
    rows = duplicates = conflicting = repeating = 0
    folder = of.data.folder
    for row in of.data.rows(layout.columns, otherwise=layout.otherwise):
        rows += 1
        try:
            problem = _problem(of, layout, row, folder)
        except BadRow as error:
            own_id = row.value.get("id") if layout.named and isinstance(row.value, Mapping) else None
            bad.add(row, _called(of.source, row, layout, own_id), str(error))
            continue
        why = next((why for fits in of.fits if (why := fits(problem)) is not None), None)
        if why is not None:
            bad.add(row, problem.id, why)
            continue
        if problem.id in own:
            raise DataError(
                f"{of.data.path}: two problems are called {problem.id} (a row without an id is called by its line). Ids must differ, since they seed "
                "the rollouts; give every row one, or none to number the lines."
            )
        own.add(problem.id)
        if problem.id in of.without:
            repeating += 1
            continue
        question = _question(problem) if of.distinct else b""
        if of.distinct and question in first:
            duplicates += 1
            conflicting += None not in (problem.answer, first[question]) and problem.answer != first[question]
            continue
        first[question] = problem.answer
        problems.append(problem)
        if len(problems) == of.limit:
            break
    left_out = bad.settle(rows=rows, kept=len(problems))
    unfit = {REPEATS: repeating} if repeating else {}
    facts = Reading(rows=rows, kept=len(problems), duplicates=duplicates, conflicting=conflicting, bad=left_out, unfit=unfit)
    return Read(problems=tuple(problems), facts=facts)


def _problem(of: ProblemFile, layout: Layout, row: Row, folder: Path | None) -> Problem:
    if row.why:
        raise BadRow(row.why)
    draft = layout.draft(row.value, row.subset, folder)
    return Problem(
        id=_name(of.source, row, layout, draft.id),
        prompt=draft.prompt,
        answer=_answer(draft, needed=of.needs_answers),
        source=of.source,
        difficulty=draft.difficulty,
        images=draft.images,
        system=draft.system,
        instructed=says_how(draft),
        origin=draft.origin,
    )


def _answer(draft: Draft, *, needed: bool) -> str | None:
    try:
        answer = answer_of(draft.answer)
    except BadRow:
        if needed:
            raise
        return None
    if needed and answer is None:
        raise BadRow(draft.why if draft.answer is None else "the answer is empty")
    return answer


def _name(source: str, row: Row, layout: Layout, own: object = None) -> str:
    """Source and row: the row's own id, its line, or its place in the data set or subset. Raises BadRow for an id that is no name."""
    if own is not None and own != "":
        if isinstance(own, bool) or not isinstance(own, str | int):
            raise BadRow(f"id is neither text nor a whole number but {own!r:.60}")
        return f"{source}/{text_of(str(own), 'id')}"
    return _place(source, row, layout)


def _called(source: str, row: Row, layout: Layout, own: object) -> str:
    """What a bad row is called: as it calls itself where that is a name."""
    try:
        return _name(source, row, layout, own)
    except BadRow:
        return _place(source, row, layout)


def _place(source: str, row: Row, layout: Layout) -> str:
    if layout.named and row.line is not None:
        return f"{source}/{row.line}"
    return f"{source}/{row.subset}/{row.number}" if row.subset else f"{source}/{row.number}"


def _question(problem: Problem) -> bytes:
    """The same for equal questions: blanks do not count, pictures do."""
    parts = [" ".join(problem.prompt.split()), " ".join(problem.system.split()), *(blake2b(image).hexdigest() for image in problem.images)]
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def problem_file(
    path: str | Path,
    *,
    kind: str,
    source: str,
    subsets: tuple[str, ...] = (),
    split: str = "train",
    limit: int = 0,
    needs_answers: bool = True,
    on_bad_row: str = "refuse",
    distinct: bool = True,
    fits: tuple[Callable[[Problem], str | None], ...] = (),
    without: frozenset[str] = frozenset(),
) -> ProblemFile:
    """The problems of a path or hub id, in one of the layouts; nothing is opened yet."""
    data = DataSet(path=str(path), subsets=subsets, split=split, usual=LAYOUTS[kind].usual)
    return ProblemFile(
        data=data,
        kind=kind,
        source=source,
        limit=limit,
        needs_answers=needs_answers,
        on_bad_row=on_bad_row,
        distinct=distinct,
        fits=fits,
        without=without,
    )
