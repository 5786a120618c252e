"""What can be found out before the first stage: whatever is missing, empty or broken is refused while nothing has been spent."""

import os
from collections.abc import Callable, Collection, Sequence
from typing import get_args

from vold.adapters.benchmarks.asked import PlainBenchmark, PublishedBenchmark
from vold.adapters.folders import refuse_damaged
from vold.adapters.models import sees
from vold.adapters.vocabulary import table_with
from vold.base.errors import DataError, ModelError, SettingsError
from vold.base.types import Problem
from vold.config import schema
from vold.config.objectives import phases_of
from vold.core.objective import Objective, refuse_impossible
from vold.core.selfcheck import self_check
from vold.core.vocabulary import refuse_disagreement
from vold.ports import ProblemSource
from vold.report.paper_numbers import plain
from vold.wiring.fit import spoken_to
from vold.wiring.parts import Parts, located
from vold.wiring.vllm import refuse_unserved

HELLO = Problem(id="hello", prompt="1", answer=None, source="hello")
"""Something to say when it is only a question of whether one can be spoken to."""


def refuse_unreadable(parts: Parts, kinds: Collection[str]) -> None:
    """Open what these kinds of stages will read, weights excepted. Raises DataError or ModelError."""
    s = parts.settings
    refuse_unserved(s)
    refuse_unloadable(parts)
    if "corpus" in kinds and s.corpus.origin == "dataset":
        found = parts.ready_made.survey
        if found.pictured is not None and not sees(parts.student_folder):
            raise ModelError(
                f"{s.corpus.path}: trace {found.pictured} shows an image, but the student in {parts.student_folder} has no vision tower. "
                "Choose a student that sees, or traces of text."
            )
        unanswered = found.facts.kept - found.answered
        if s.corpus.filter == "correct" and unanswered:
            raise DataError(
                f"{s.corpus.path}: {unanswered} traces have no answer, the first is {found.unanswered}, "
                'so corpus.filter = "correct" cannot judge them. Add `answer` to every line, leave such rows out with corpus.on_bad_row = "drop", '
                'or set corpus.filter = "none".'
            )
    if "corpus" in kinds and s.corpus.origin == "teacher":
        refuse_unusable(s.corpus.problems, parts.corpus_problems)
    if "joint" in kinds:
        refuse_unteachable(parts)
    for settings in tested_on(s, kinds):
        benchmark = parts.benchmark(settings)
        if benchmark.modality == "image" and not sees(parts.student_folder):
            raise ModelError(
                f"benchmark {benchmark.name} shows images, but the student in {parts.student_folder} has no vision tower. "
                'Choose a student that sees, or modality = "text".'
            )
        if settings.kind != "tiny":
            refuse_unaskable(parts, benchmark)
    if "eval" in kinds:
        refuse_unready_models(parts)


def refuse_unaskable(parts: Parts, benchmark: PlainBenchmark | PublishedBenchmark) -> None:
    """Every problem can be put to the student. Of a published benchmark what cannot has been counted among its broken rows."""
    problems = benchmark.problems()
    for problem in problems if isinstance(benchmark, PlainBenchmark) else ():
        if (why := parts.askable(problem)) is not None:
            raise DataError(f"benchmark {benchmark.name}: problem {problem.id} cannot be asked: {why}. Repair or drop the row.")


def refuse_unready_models(parts: Parts) -> None:
    """Further models are whole and can be spoken to, and the judge's key is there."""
    e = parts.settings.eval
    for name, model in e.models.items():
        _refuse_unknown(f"eval.models.{name}.contaminated", model.contaminated, e)
        folder = located(model.path)
        refuse_damaged(folder)
        spoken_to(model, folder).words(HELLO)
    if e.endpoint is not None and "judge" in e.modes and e.endpoint.key_env and not os.environ.get(e.endpoint.key_env):
        raise SettingsError(f"eval.endpoint.key_env names {e.endpoint.key_env}, and that variable is empty. Set it, or leave key_env out.")


def _refuse_unknown(setting: str, named: Sequence[str], e: schema.EvalSettings) -> None:
    """A benchmark that a model is said to have been trained on must be one, or no mark would ever be seen."""
    known = [*get_args(schema.Published), *(benchmark.name for benchmark in e.benchmarks)]
    strange = [name for name in named if plain(name) not in set(map(plain, known))]
    if strange:
        raise SettingsError(f"{setting} names {strange[0]!r}, and there is no such benchmark. Known are: {', '.join(known)}.")


def tested_on(s: schema.Settings, kinds: Collection[str]) -> list[schema.BenchmarkSettings]:
    """The benchmarks that these kinds of stages answer."""
    found = list(s.eval.benchmarks) if "eval" in kinds else []
    held_out = s.joint.validation.benchmark
    return [*found, held_out] if "joint" in kinds and s.joint.validation.every and held_out is not None else found


def refuse_unloadable(parts: Parts) -> None:
    """Student and teacher are whole, can be spoken to, and share their ids where the student is pulled toward the teacher."""
    s = parts.settings
    refuse_damaged(parts.student_folder)
    student, _ = table_with(parts.student_folder, parts.teacher_folder if parts.extends else None)
    parts.student_fit.template.words(HELLO)
    pulled = any(objective.needs_teacher for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint))
    if parts.teaches:
        refuse_damaged(parts.teacher_folder)
        teacher, _ = table_with(parts.teacher_folder, None)
        parts.teacher_fit.template.words(HELLO)
        if pulled:
            refuse_disagreement(student, teacher)


def refuse_unteachable(parts: Parts) -> None:
    """The joint stage's problems have what its objectives read, and the objectives' gradients are what they say on a toy."""
    s = parts.settings
    objectives = [objective for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint)]
    for objective in dict.fromkeys(objectives):
        self_check(objective, temperature=s.joint.sampling.temperature, group_size=s.joint.group_size)
    try:
        refuse_unusable(s.joint.problems, parts.joint_problems)
    except DataError:
        if parts.reads_verdicts and s.joint.problems.kind != "tiny":
            _refuse_unanswered(parts, objectives)
        raise


def _refuse_unanswered(parts: Parts, objectives: Sequence[Objective]) -> None:
    """Problems that an objective cannot use since none of them has an answer: said in its words rather than row by row."""
    j = parts.settings.joint
    problems = parts.problems(j.problems, per_step=j.prompts_per_step, needs_answers=False).all()
    answered = any(problem.answer is not None for problem in problems)
    for objective in objectives:
        refuse_impossible(objective, group_size=j.group_size, has_teacher=parts.settings.teacher is not None, has_rewards=answered)


def refuse_unusable(settings: schema.ProblemSettings, source: Callable[[], ProblemSource]) -> None:
    """A file's problems can be read, suffice for a step, and can be shown to whoever reads them."""
    if settings.kind != "tiny":
        source().all()
