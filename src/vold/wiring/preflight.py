"""What can be found out before the first stage: whatever is missing, empty or broken is refused while nothing has been spent."""

from collections.abc import Collection
from pathlib import Path

from vold.adapters.corpora import ReadyMadeTraces
from vold.adapters.models import sees, table_at
from vold.base.errors import DataError, ModelError
from vold.config import schema
from vold.config.objectives import phases_of
from vold.core.objective import refuse_impossible
from vold.core.selfcheck import self_check
from vold.core.vocabulary import TokenTable, refuse_disagreement
from vold.wiring.parts import Parts


def refuse_unreadable(parts: Parts, kinds: Collection[str]) -> None:
    """Open what these kinds of stages will read, weights excepted. Raises DataError or ModelError."""
    s = parts.settings
    refuse_unloadable(parts)
    if "corpus" in kinds and s.corpus.origin == "dataset":
        traces = ReadyMadeTraces(Path(s.corpus.path), s.corpus.problems.source).traces
        unanswered = [trace.problem.id for trace in traces if trace.problem.answer is None]
        if s.corpus.filter == "correct" and unanswered:
            raise DataError(
                f"{s.corpus.path}: {len(unanswered)} traces have no answer, the first is {unanswered[0]}, "
                'so corpus.filter = "correct" cannot judge them. Add `answer` to every line, or set corpus.filter = "none".'
            )
    if "corpus" in kinds and s.corpus.origin == "teacher":
        refuse_unreadable_problems(parts, s.corpus.problems, per_step=0, needs_answers=s.corpus.filter == "correct")
    if "joint" in kinds:
        refuse_unteachable(parts)
    for benchmark in tested_on(s, kinds):
        if benchmark.modality == "image" and not sees(parts.student_folder):
            raise ModelError(
                f"benchmark {benchmark.name} shows images, but the student in {parts.student_folder} has no vision tower. "
                'Choose a student that sees, or modality = "text".'
            )
        if benchmark.kind == "jsonl":
            parts.benchmark(benchmark).problems()


def tested_on(s: schema.Settings, kinds: Collection[str]) -> list[schema.BenchmarkSettings]:
    """The benchmarks that these kinds of stages answer."""
    found = list(s.eval.benchmarks) if "eval" in kinds else []
    held_out = s.joint.validation.benchmark
    return [*found, held_out] if "joint" in kinds and s.joint.validation.every and held_out is not None else found


def refuse_unloadable(parts: Parts) -> None:
    """Student and teacher have config, tokenizer and weights, and share their ids where the student is pulled toward the teacher."""
    s = parts.settings
    student = _table(parts.student_folder)
    pulled = any(objective.needs_teacher for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint))
    if s.teacher is not None and (pulled or s.corpus.origin == "teacher"):
        teacher = _table(parts.teacher_folder)
        if pulled:
            refuse_disagreement(student, teacher)


def refuse_unteachable(parts: Parts) -> None:
    """The joint stage's problems have what its objectives read, and the objectives' gradients are what they say on a toy."""
    s = parts.settings
    objectives = [objective for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint)]
    for objective in dict.fromkeys(objectives):
        self_check(objective, temperature=s.joint.sampling.temperature, group_size=s.joint.group_size)
    reads = any(objective.reads_verdict for objective in objectives)
    if reads and s.joint.problems.kind == "jsonl":
        problems = parts.problems(s.joint.problems, per_step=s.joint.prompts_per_step, needs_answers=False).all()
        answered = any(problem.answer is not None for problem in problems)
        for objective in objectives:
            refuse_impossible(objective, group_size=s.joint.group_size, has_teacher=s.teacher is not None, has_rewards=answered)
    refuse_unreadable_problems(parts, s.joint.problems, per_step=s.joint.prompts_per_step, needs_answers=reads)


def _table(folder: Path) -> TokenTable:
    if folder.is_dir() and not any([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        raise ModelError(f"{folder} holds no weights (*.safetensors). Point to the folder that save_pretrained wrote.")
    return table_at(folder)


def refuse_unreadable_problems(parts: Parts, settings: schema.ProblemSettings, *, per_step: int, needs_answers: bool) -> None:
    """A file's problems can be read, suffice for a step, and show no images: the teacher and the learner read text."""
    if settings.kind == "jsonl":
        problems = parts.problems(settings, per_step=per_step, needs_answers=needs_answers).all()
        seen = [problem.id for problem in problems if problem.images]
        if seen:
            raise DataError(f"{settings.path}: problem {seen[0]} shows an image, but training is on text. Leave `image` out, or drop the row.")
