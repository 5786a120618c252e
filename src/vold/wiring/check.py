"""What `vold check` finds out before anything is spent: models, token tables, prompts, data, overlaps and references, each on its own."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from vold.adapters.benchmarks.asked import PlainBenchmark, PublishedBenchmark
from vold.adapters.models import sees, tokenizer_at
from vold.adapters.readings import Reading
from vold.adapters.templates import Template
from vold.adapters.vocabulary import table_with
from vold.base.errors import Refusal
from vold.base.types import Problem
from vold.config import schema
from vold.config.explain import caveats, inactive, refuse_contradictions
from vold.config.load import Resolved
from vold.core.vocabulary import Comparison, compared
from vold.report.checked import Checked, DataFacts, ModelFacts, Role, Shown
from vold.wiring.contamination import acted_on, searched
from vold.wiring.fit import context_at
from vold.wiring.parts import Parts
from vold.wiring.planning import planned
from vold.wiring.preflight import refuse_unreadable
from vold.wiring.references import unreadable

ROLES = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|image_pad|>")
"""Tokens with a part to play, in the order the report shows them."""
MEASURED = 2000
"""Problems whose prompts are encoded for the lengths."""


def check(resolved: Resolved, *, root: Path, card: str | None = None) -> Checked:
    """Look at all of it, going on after what cannot be had: nothing is trained, no weights are loaded, nothing is written. The plan is for a `card`
    by its gigabytes, or for the device that is here."""
    s = resolved.settings
    parts = Parts(settings=s, root=root)
    refusals: list[str] = []

    def tried(look: Callable[[], Any], otherwise: Any = None) -> Any:
        try:
            return look()
        except Refusal as error:
            if str(error) not in refusals:
                refusals.append(str(error))
            return otherwise

    tried(lambda: refuse_contradictions(resolved))
    plan = tried(lambda: planned(s, card))
    models = tuple(facts for look in _models(parts) if (facts := tried(look)) is not None)
    tokens, roles = tried(lambda: _tokens(parts), (None, ()))
    prompts = tried(lambda: tuple(_prompts(parts)) if s.eval.trained else (), ())
    guard = tried(lambda: searched(parts))
    if guard is not None:
        tried(lambda: acted_on(guard.findings, parts))
    data = tuple(facts for look in _data(parts) if (facts := tried(look)) is not None)
    kinds = s.kinds
    references = tried(lambda: unreadable(parts, kinds), ())
    tried(lambda: refuse_unreadable(parts, kinds))
    parts.close()
    return Checked(
        recipe=s.name,
        models=models,
        tokens=tokens,
        roles=roles,
        prompts=prompts,
        data=data,
        overlaps=None if guard is None else guard.findings,
        plan=plan,
        references="; ".join(map(str, references)) or None,
        notes=(*caveats(s), *inactive(resolved)),
        refusals=tuple(refusals),
    )


def _models(parts: Parts) -> Iterator[Callable[[], ModelFacts]]:
    s = parts.settings
    yield lambda: _model("student", s.student, parts.student_folder)
    if s.teacher is not None and s.eval.trained:
        teacher = s.teacher
        yield lambda: _model("teacher", teacher, parts.teacher_folder)


def _model(role: str, settings: schema.ModelSettings, folder: Path) -> ModelFacts:
    tokenizer, rows = tokenizer_at(folder)
    return ModelFacts(
        role=role,
        path=settings.path,
        folder=str(folder),
        kind=type(tokenizer).__name__,
        rows=rows,
        words=len(tokenizer),
        context=context_at(folder),
        sees=sees(folder),
        ends=str(tokenizer.eos_token) if tokenizer.eos_token is not None else None,
    )


def _tokens(parts: Parts) -> tuple[Comparison | None, tuple[Role, ...]]:
    if not parts.teaches:
        return None, ()
    student, new = table_with(parts.student_folder, parts.teacher_folder if parts.extends else None)
    teacher, _ = table_with(parts.teacher_folder, None)
    spelled = parts.settings.student.think_marks == "spell-out"
    mine, theirs = ({word: i for i, word in table.words.items()} for table in (student, teacher))
    roles = tuple(Role(word=word, student=mine.get(word), teacher=theirs.get(word), given=mine.get(word) in new) for word in ROLES)
    return compared(student, teacher, added=new, spelled=spelled), roles


def _prompts(parts: Parts) -> Iterator[Shown]:
    """The first problem of stage 2 as the student and the teacher are shown it."""
    problem = next(iter(parts.joint_problems().all() or parts.joint_problems().for_step(0)))
    yield _shown("student", parts.student_fit.template, problem)
    if parts.teaches:
        yield _shown("teacher", parts.teacher_fit.template, problem)


def _shown(who: str, template: Template, problem: Problem) -> Shown:
    ids = template.ids(problem)
    pieces = tuple(str(template.of.tokenizer.decode([i])) for i in ids)
    return Shown(who=who, problem=problem.id, text=template.words(problem), ids=ids, pieces=pieces)


def _data(parts: Parts) -> Iterator[Callable[[], DataFacts]]:
    s = parts.settings
    yield from _training_data(parts) if s.eval.trained else ()
    held_out = s.joint.validation.benchmark if s.joint.validation.every and s.eval.trained else None
    for benchmark in (*([held_out] if held_out is not None else []), *s.eval.benchmarks):
        yield lambda benchmark=benchmark: _benchmark(benchmark, parts)  # type: ignore[misc]


def _training_data(parts: Parts) -> Iterator[Callable[[], DataFacts]]:
    s = parts.settings
    if s.corpus.origin == "dataset":
        yield lambda: DataFacts(where="corpus", path=s.corpus.path, read=_brief(parts.ready_made.survey.facts))
    else:
        yield lambda: _problems("corpus.problems", s.corpus.problems, parts.corpus_problems, parts)
    yield lambda: _problems("joint.problems", s.joint.problems, parts.joint_problems, parts)


def _problems(where: str, settings: schema.ProblemSettings, source: Callable[[], Any], parts: Parts) -> DataFacts:
    problems = source().all() or source().for_step(0)
    read = _brief(source().facts) if settings.kind != "tiny" else "drawn in the laptop world"
    template = parts.student_fit.template if where.startswith("joint") else parts.teacher_fit.template
    return DataFacts(where=where, path=settings.path, read=read, prompt_tokens=_lengths(template, problems))


def _benchmark(settings: schema.BenchmarkSettings, parts: Parts) -> DataFacts:
    benchmark = parts.benchmark(settings)
    problems = benchmark.problems()
    lengths = _lengths(parts.student_fit.template, problems)
    return DataFacts(where=f"benchmark {settings.name}", path=settings.path, read=_rows_of(benchmark), prompt_tokens=lengths)


def _rows_of(benchmark: PlainBenchmark | PublishedBenchmark) -> str:
    if isinstance(benchmark, PlainBenchmark):
        return "drawn in the laptop world" if benchmark.file is None else _brief(benchmark.file.facts)
    broken = benchmark.broken
    first = f", {len(broken)} broken (the first: {broken[0][0]}, {broken[0][1][:60]})" if broken else ""
    return f"{benchmark.seen} rows of {benchmark.title} read, {len(benchmark.problems())} asked{first}"


def _lengths(template: Template, problems: Sequence[Problem]) -> dict[str, float]:
    """Of the first problems' prompts, an image counted as one token."""
    lengths = [len(template.ids(problem)) for problem in problems[:MEASURED]]
    return {"median": median(lengths), "max": max(lengths), "measured": len(lengths)} if lengths else {}


def _brief(facts: Reading) -> str:
    """The counts, and the first reason for leaving something out."""
    first = f" (the first: {facts.bad[0][0]}, {facts.bad[0][1][:60]})" if facts.bad else ""
    duplicates = f", {facts.duplicates} repeat a question ({facts.conflicting} with another answer)" if facts.duplicates else ""
    unfit = "".join(f", {count} dropped ({why})" for why, count in facts.unfit.items())
    return f"{facts.rows} rows read, {facts.kept} used{duplicates}{unfit}" + (f", {len(facts.bad)} left out{first}" if facts.bad else "")
