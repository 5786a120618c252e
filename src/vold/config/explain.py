"""What `vold show` says: every value and who set it, what cannot act and why; and the refusals that need the whole recipe."""

from collections.abc import Iterator
from typing import Any

from vold.base.errors import SettingsError
from vold.config.load import Resolved
from vold.config.objectives import as_weight, phases_of
from vold.core.objective import Mask, refuse_impossible


def values_of(resolved: Resolved) -> Iterator[tuple[str, Any, str]]:
    """(dotted name, value, who set it), in the order of the schema."""
    tree = resolved.settings.model_dump(mode="json", by_alias=True)
    for name, value in _leaves(tree, ""):
        source = next((resolved.sources[key] for key in _ancestry(name) if key in resolved.sources), "default")
        yield name, value, source


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def _ancestry(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])


def refuse_contradictions(resolved: Resolved) -> None:
    """Raise SettingsError (or ObjectiveError) for what each setting allows and all together do not."""
    s = resolved.settings
    unknown = [name for name in s.joint.arms if name not in s.arms]
    if unknown:
        raise SettingsError(f"joint.arms names {unknown[0]!r}, which is not an arm of the recipe. Arms: {', '.join(s.arms)}.")
    for name, arm in s.active_arms().items():
        for objective, _ in phases_of(name, arm, s.joint):
            refuse_impossible(objective, group_size=s.joint.group_size, has_teacher=s.teacher is not None)
    if s.corpus.origin == "teacher" and s.teacher is None:
        raise SettingsError('corpus.from = "teacher", but no [teacher] is set. Add one, or set corpus.from = "dataset" and corpus.path.')
    if s.corpus.origin == "dataset" and not s.corpus.path:
        raise SettingsError('corpus.from = "dataset" needs corpus.path, a JSONL file of ready-made traces. Set it.')
    if s.corpus.origin == "teacher" and s.corpus.path:
        raise SettingsError('corpus.path is set, but corpus.from = "teacher" does not read it. Remove it, or set corpus.from = "dataset".')
    for where, problems in (("corpus.problems", s.corpus.problems), ("joint.problems", s.joint.problems)):
        if problems.kind == "jsonl" and not problems.path:
            raise SettingsError(f'{where}.kind = "jsonl" needs {where}.path, a file with a prompt and an answer on every line. Set it.')
        if problems.kind == "tiny" and problems.path:
            raise SettingsError(f'{where}.path is set, but {where}.kind = "tiny" draws its problems. Remove it, or set kind = "jsonl".')
    if s.corpus.origin == "teacher" and s.corpus.problems.kind == "tiny" and s.corpus.problems.count == 0:
        raise SettingsError("corpus.problems.count is 0, so the teacher would be asked nothing. Set it to 1 or more.")
    if s.student.dtype == "bfloat16":
        raise SettingsError(
            'student.dtype = "bfloat16" would train weights that round away updates of this size: they need 32-bit '
            'master weights, which this version does not keep beside them. Set student.dtype = "float32".'
        )
    for where, model in (("student", s.student), ("teacher", s.teacher)):
        if model is not None and model.dtype == "float64" and model.attention == "eager":
            raise SettingsError(f'{where}.dtype = "float64" with attention = "eager" overflows on padded rows. Set {where}.attention = "sdpa".')
    if s.joint.sampling.temperature == 0:
        raise SettingsError(
            "joint.sampling.temperature = 0 gives every rollout of a group the same answer and the policy no gradient. Set it above "
            "0 (the paper's reading: 1.0)."
        )
    if s.joint.sampling.top_p < 1 or s.joint.sampling.top_k:
        raise SettingsError(
            "joint.sampling cuts the distribution (top_p or top_k), but the update assumes samples of the whole policy: its "
            "gradient would be biased. "
            "Set top_p = 1.0 and top_k = 0."
        )
    as_weight(s.joint.lr)
    if s.joint.updates_per_batch > s.joint.prompts_per_step:
        raise SettingsError(
            f"joint.updates_per_batch = {s.joint.updates_per_batch} cannot divide {s.joint.prompts_per_step} prompts. Lower it, or "
            "raise joint.prompts_per_step."
        )
    if s.joint.validation.every and s.joint.validation.benchmark is None:
        raise SettingsError("joint.validation.every is set, but joint.validation.benchmark is not. Name the problems, or set every = 0.")
    if not s.eval.benchmarks:
        raise SettingsError("eval.benchmarks is empty, so there is nothing to test on. Name at least one.")
    names = [benchmark.name for benchmark in s.eval.benchmarks]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"two of eval.benchmarks are called {twice!r}, so their scores would be added up. Give each its own name.")
    for benchmark in (*s.eval.benchmarks, *([s.joint.validation.benchmark] if s.joint.validation.benchmark else [])):
        if (benchmark.kind == "jsonl") != bool(benchmark.path):
            raise SettingsError(
                f"benchmark {benchmark.name}: kind = {benchmark.kind!r} and path = {benchmark.path!r} do not fit. "
                'A file needs kind = "jsonl" and a path; the laptop world needs neither.'
            )
    if not s.eval.greedy and s.eval.samples == 0:
        raise SettingsError("eval.greedy = false and eval.samples = 0 leave nothing to evaluate. Set one of them.")


def inactive(resolved: Resolved) -> list[str]:
    """Sentences about settings that are there and cannot act."""
    s = resolved.settings
    notes: list[str] = []
    phases = [(name, objective) for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint)]
    clipped = sorted({name for name, objective in phases if objective.clip is not None})
    if s.joint.updates_per_batch == 1 and clipped:
        notes.append(
            f"clip ({', '.join(clipped)}): inert. With joint.updates_per_batch = 1 every update uses fresh rollouts, so the ratio "
            "of new to old policy is "
            "exactly 1 and never leaves the clip's bounds. It acts from 2 updates on (recipe tiny-clip)."
        )
    idle = [name for name in s.arms if name not in s.active_arms()]
    if idle:
        notes.append(f"arms {', '.join(idle)}: not run. joint.arms names {', '.join(s.joint.arms)} only.")
    if s.teacher is not None and s.corpus.origin == "dataset" and not any(objective.needs_teacher for _, objective in phases):
        notes.append("teacher: inert. The corpus is ready-made and no arm pulls toward a teacher, so it is never loaded.")
    if any(pull.on is Mask.RIGHT for _, objective in phases for pull in objective.pulls):
        notes.append("pull on right rollouts: unusual. The paper's mask is the other one (on = wrong).")
    return notes
