"""What `vold show` says: every value and who set it, what cannot act and why; and the refusals that need the whole recipe."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from vold.base.errors import ObjectiveError, SettingsError
from vold.config.inert import inert_notes, refuse_inert
from vold.config.load import Resolved
from vold.config.objectives import Placed, as_weight, placed_in
from vold.config.schema import JointSettings, Published, Settings
from vold.core.objective import Mask, Objective, Want, refuse_impossible, unlike_stream, unlike_traces


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
        yield prefix, _given(value)


def _given(value: Any) -> Any:
    """An array of tables without the fields that nobody gave."""
    if isinstance(value, list):
        return [_given(inner) for inner in value]
    if isinstance(value, dict):
        return {key: given for key, inner in value.items() if (given := _given(inner)) not in (None, {})}
    return value


def _ancestry(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])


def refuse_contradictions(resolved: Resolved) -> None:
    """Raise SettingsError (or ObjectiveError) for what each setting allows and all together do not."""
    s = resolved.settings
    if s.eval.trained:
        _refuse_arms(s)
        _refuse_sources(s)
        _refuse_models(s)
        _refuse_joint(s.joint)
        _refuse_scripted(s)
    _refuse_engine(s)
    _refuse_tests(s)
    refuse_inert(resolved)


def _refuse_arms(s: Settings) -> None:
    """Arms that are not there, or that their surroundings cannot serve."""
    unknown = [name for name in s.joint.arms if name not in s.arms]
    if unknown:
        raise SettingsError(f"joint.arms names {unknown[0]!r}, which is not an arm of the recipe. Arms: {', '.join(s.arms)}.")
    for name, arm in s.active_arms().items():
        for placed in placed_in(name, arm, s.joint):
            try:
                gives = Want.SAMPLED if s.teacher is not None and s.teacher.kind == "vllm-server" else Want.HIDDEN
                refuse_impossible(placed.objective, group_size=s.joint.group_size, has_teacher=s.teacher is not None, teacher_gives=gives)
            except ObjectiveError as error:
                raise ObjectiveError(f"{placed.where}: {error}") from error
            unstreamed = unlike_stream(placed.objective, updates_per_batch=s.joint.updates_per_batch)
            if s.joint.stream and unstreamed is not None:
                raise SettingsError(
                    f"joint.stream = {s.joint.stream} takes gradients before a step's last rollout is there, but in {placed.where} {unstreamed}. "
                    "Set joint.stream = 0."
                )
            found = unlike_traces(placed.objective)
            if arm.on_corpus and found is not None:
                raise SettingsError(
                    f"arms.{name}.on_corpus = {arm.on_corpus:g} trains on the corpus' traces, but {placed.where} has {found}. "
                    "Set on_corpus = 0, or choose an objective whose only terms are full-vocabulary pulls on every rollout, with strengths set "
                    'beforehand, such as base = "GKD".'
                )


def _refuse_sources(s: Settings) -> None:
    """A corpus or problems that cannot come from where they are said to."""
    if s.reads_corpus:
        _refuse_corpus(s)
    asked = ("corpus.problems", s.corpus.problems), ("joint.problems", s.joint.problems)
    for where, problems in asked if s.reads_corpus else asked[1:]:
        if problems.kind != "tiny" and not problems.path:
            raise SettingsError(f'{where}.kind = "{problems.kind}" needs {where}.path, a file, a folder or a hub id with its problems. Set it.')
        if problems.kind == "tiny" and problems.path:
            raise SettingsError(f'{where}.path is set, but {where}.kind = "tiny" draws its problems. Remove it, or set kind = "jsonl" or another.')


def _refuse_corpus(s: Settings) -> None:
    if s.corpus.origin == "teacher" and s.teacher is None:
        raise SettingsError(
            'corpus.from = "teacher", but no [teacher] is set. Add one, or set corpus.from = "dataset" and corpus.path, or sft.steps = 0 for no '
            "alignment."
        )
    if s.corpus.origin == "dataset" and not s.corpus.path:
        raise SettingsError('corpus.from = "dataset" needs corpus.path, a file, a folder or a hub id of ready-made traces. Set it.')
    if s.corpus.origin == "teacher" and s.corpus.path:
        raise SettingsError('corpus.path is set, but corpus.from = "teacher" does not read it. Remove it, or set corpus.from = "dataset".')
    if s.corpus.origin == "teacher" and s.corpus.problems.kind == "tiny" and s.corpus.problems.count == 0:
        raise SettingsError("corpus.problems.count is 0, so the teacher would be asked nothing. Set it to 1 or more.")


def _refuse_models(s: Settings) -> None:
    """Number formats that cannot be trained or computed in."""
    for where, model in (("student", s.student), ("teacher", s.teacher)):
        if model is not None and model.dtype == "float64" and model.attention == "eager":
            raise SettingsError(f'{where}.dtype = "float64" with attention = "eager" overflows on padded rows. Set {where}.attention = "sdpa".')


def _refuse_joint(joint: JointSettings) -> None:
    """Sampling, learning rate and updates of stage 2 that do not fit together."""
    if joint.sampling.temperature == 0:
        raise SettingsError(
            "joint.sampling.temperature = 0 gives every rollout of a group the same answer and the policy no gradient. Set it above "
            "0 (the paper's reading: 1.0)."
        )
    if joint.sampling.top_p < 1 or joint.sampling.top_k:
        raise SettingsError(
            "joint.sampling cuts the distribution (top_p or top_k), but the update assumes samples of the whole policy: its "
            "gradient would be biased. Set top_p = 1.0 and top_k = 0."
        )
    try:
        as_weight(joint.lr)
    except ObjectiveError as error:
        raise SettingsError(f"joint.lr: {error}") from error
    if joint.updates_per_batch > joint.prompts_per_step:
        raise SettingsError(
            f"joint.updates_per_batch = {joint.updates_per_batch} cannot divide {joint.prompts_per_step} prompts. Lower it, or "
            "raise joint.prompts_per_step."
        )
    if joint.validation.every and joint.validation.benchmark is None:
        raise SettingsError("joint.validation.every is set, but joint.validation.benchmark is not. Name the problems, or set every = 0.")


def _refuse_scripted(s: Settings) -> None:
    """A script samples nothing, so nothing can be corrected by how likely its answers were; and half of the problems is every other one."""
    if s.engine.scripted == "half" and s.joint.stream % 2:
        raise SettingsError(
            f'joint.stream = {s.joint.stream} makes parts of odd size, and engine.scripted = "half" answers every other problem of a part. '
            "Set an even joint.stream, or 0."
        )
    corrected = [name for name, arm in s.active_arms().items() for placed in placed_in(name, arm, s.joint) if placed.objective.correction is not None]
    if s.engine.scripted != "none" and corrected:
        raise SettingsError(
            f"engine.scripted = {s.engine.scripted!r} answers from a script, but arm {corrected[0]} corrects for the sampler's probabilities, and a "
            'script has none. Set engine.scripted = "none", or correction = "none".'
        )


def _refuse_engine(s: Settings) -> None:
    """Servers without an address, and number formats that vLLM does not have."""
    for where, kind, url in (("engine", s.engine.kind, s.engine.url), *((("teacher", s.teacher.kind, s.teacher.url),) if s.teacher else ())):
        if kind == "vllm-server" and not url:
            raise SettingsError(f'{where}.kind = "vllm-server" needs {where}.url, the address of the server, such as http://127.0.0.1:8000. Set it.')
    if s.teacher is not None and s.engine.kind == s.teacher.kind == "vllm-server" and s.engine.url == s.teacher.url:
        raise SettingsError(f"engine.url and teacher.url are both {s.engine.url!r}, and a server has one model. Start a second one for the teacher.")
    if s.engine.kind != "transformers" and s.student.dtype == "float64":
        raise SettingsError(f'engine.kind = "{s.engine.kind}" has no float64. Set student.dtype = "float32", or engine.kind = "transformers".')


def _refuse_tests(s: Settings) -> None:
    """Benchmarks that are missing, mixed up or never asked."""
    if not s.eval.benchmarks:
        raise SettingsError("eval.benchmarks is empty, so there is nothing to test on. Name at least one.")
    names = [benchmark.name for benchmark in s.eval.benchmarks]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"two of eval.benchmarks are called {twice!r}, so their scores would be added up. Give each its own name.")
    for benchmark in (*s.eval.benchmarks, *([s.joint.validation.benchmark] if s.joint.validation.benchmark else [])):
        if benchmark.kind not in get_args(Published) and (benchmark.kind != "tiny") != bool(benchmark.path):
            raise SettingsError(
                f"benchmark {benchmark.name}: kind = {benchmark.kind!r} and path = {benchmark.path!r} do not fit. "
                'A file, a folder or a hub id needs a path and a kind that is its layout, such as kind = "jsonl"; the laptop world needs neither.'
            )
    if "judge" in s.eval.modes and s.eval.endpoint is None:
        raise SettingsError('eval.modes has "judge", but no [eval.endpoint] is set. Give its url and model, or leave "judge" out.')
    if s.eval.think_budget >= s.eval.sampling.max_new_tokens:
        raise SettingsError(
            f"eval.think_budget = {s.eval.think_budget} leaves no token of eval.sampling.max_new_tokens = {s.eval.sampling.max_new_tokens} for the "
            "answer. Lower it, or raise the cap."
        )
    labels = [model.label for model in s.eval.models.values()]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise SettingsError(f"two of eval.models are labelled {twice!r}, so their rows could not be told apart. Give each its own label.")
    if not s.eval.trained and not s.eval.base and not s.eval.models:
        raise SettingsError("eval.trained = false and eval.base = false leave no model to evaluate. Name some in eval.models.")
    if not s.eval.greedy and s.eval.samples == 0:
        raise SettingsError("eval.greedy = false and eval.samples = 0 leave nothing to evaluate. Set one of them.")


def caveats(s: Settings) -> list[str]:
    """What a reader must know before believing the numbers of a run."""
    told = [s.caveat] if s.caveat else []
    if s.eval.trained and s.student.dtype == "bfloat16" and not s.student.master_weights:
        told.append(
            "The student was trained in bfloat16 without master weights (student.master_weights = false): an update below a 256th of a weight is "
            "rounded away, and at a learning rate of 6e-6 nearly every one is. A run that learned nothing says nothing about its method."
        )
    if s.engine.scripted != "none":
        answered = "Half of the problems" if s.engine.scripted == "half" else "All problems"
        told.append(f"{answered} of stage 2 were answered from a script (engine.scripted): this run shows that a path works, not what a method does.")
    return told


def inactive(resolved: Resolved) -> list[str]:
    """Sentences about settings that are there and cannot act, or hardly."""
    s = resolved.settings
    notes = inert_notes(resolved)
    if s.eval.trained and not s.sft.steps:
        notes.append(f"sft{'' if s.reads_corpus else ' and corpus'}: not run. With sft.steps = 0 stage 2 begins with the student as it is.")
    idle = [name for name in s.arms if name not in s.active_arms()]
    if idle:
        notes.append(f"arms {', '.join(idle)}: not run. joint.arms names {', '.join(s.joint.arms)} only.")
    placed = [(name, placed.objective) for name, arm in s.active_arms().items() for placed in placed_in(name, arm, s.joint)]
    corrected = dict.fromkeys(name for name, objective in placed if objective.correction is not None)
    if corrected and s.engine.kind == "transformers":
        notes.append(f"correction ({', '.join(corrected)}): nearly inert with the transformers engine, which samples from the trainer's own weights.")
    if any(pull.on is Mask.RIGHT for _, objective in placed for pull in objective.pulls):
        notes.append("pull on right rollouts: unusual. The paper's mask is the other one (on = wrong).")
    return notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How the gradient of an objective is formed, and why so."""

    kind: Literal["coefficient", "loss"]
    why: str


def rendering_of(objective: Objective, *, updates_per_batch: int = 1) -> Rendering:
    """One number a sampled token where that says it all, else the differentiable loss."""
    if objective.no_coefficient is not None:
        return Rendering(kind="loss", why=objective.no_coefficient)
    if updates_per_batch > 1:
        return Rendering(kind="loss", why=f"with joint.updates_per_batch = {updates_per_batch} the policy leaves the one that sampled")
    return Rendering(kind="coefficient", why="one update a batch, and no term looks beyond the sampled token")


def renderings_of(resolved: Resolved) -> list[tuple[str, Placed, Rendering]]:
    """(arm, objective, how it is rendered) for every phase of every arm that is run."""
    s = resolved.settings
    return [
        (name, placed, rendering_of(placed.objective, updates_per_batch=s.joint.updates_per_batch))
        for name, arm in s.active_arms().items()
        for placed in placed_in(name, arm, s.joint)
    ]
