"""The rules by which a setting is there and cannot act; `config/inert.py` refuses or tells what they find."""

from collections.abc import Iterator
from dataclasses import dataclass

from vold.config.kinds import Section
from vold.config.load import Resolved
from vold.config.objective_schema import ClipSettings, CreditSettings, PullSettings, TeacherRatioSettings
from vold.config.objectives import Placed, placed_in
from vold.config.schema import Settings
from vold.core.objective import Baseline, Estimator, Mask, Objective, Over, Overlong, Pull, Schedule, Weigh, Weight
from vold.core.weights import Adaptive, ends_of, words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Inert:
    """One setting without effect: where it stands, why it has none, and what would give it one."""

    name: str
    label: str
    """What a note calls it, together with its arm."""
    arm: str = ""
    why: str
    remedy: str
    because_of: str = ""
    """The setting that takes its effect away, if a single one does: who sets that in a later layer means to switch this one off."""
    stated: bool = True
    """Whether a layer states it at all. What comes with a named objective is only told."""


def inert(resolved: Resolved) -> Iterator[Inert]:
    """Everything that is set and cannot act."""
    s = resolved.settings
    placed_by_arm = {name: placed_in(name, arm, s.joint) for name, arm in s.active_arms().items()}
    objectives = [placed.objective for found in placed_by_arm.values() for placed in found]
    if s.teacher is not None and s.corpus.origin == "dataset" and not any(objective.needs_teacher for objective in objectives):
        why, remedy = "the corpus is ready-made and no arm reads a teacher", 'Run an arm that does, or set corpus.from = "teacher"'
        yield Inert(name="teacher", label="teacher", why=why, remedy=remedy)
    if "joint.max_refills" in resolved.sources and not any(objective.dynamic for objective in objectives):
        why, remedy = "no arm has dynamic sampling", "Set dynamic = true in one"
        yield Inert(name="joint.max_refills", label="joint.max_refills", why=why, remedy=remedy)
    if "joint.truncated_reward" in resolved.sources and not any(map(_reads_truncated, objectives)):
        why, remedy = "no arm's objective reads the verdict of a truncated rollout", 'Run an arm that does, such as base = "VOLD"'
        yield Inert(name="joint.truncated_reward", label="joint.truncated_reward", why=why, remedy=remedy)
    if s.joint.validation.benchmark is not None and not s.joint.validation.every:
        why, remedy = "with joint.validation.every = 0 it is never asked", "Set joint.validation.every"
        name = "joint.validation.benchmark"
        forgotten = resolved.user_of("joint.validation.every") is None  # an `every = 0` that somebody wrote is a switch
        yield Inert(name=name, label=name, why=why, remedy=remedy, stated=forgotten)
    if "engine.verify" in resolved.sources and s.engine.scripted == "all":
        why, remedy = "a script samples from no weights", 'Set engine.scripted = "none" or "half"'
        yield Inert(name="engine.verify", label="engine.verify", why=why, remedy=remedy, because_of="engine.scripted")
    yield from _of_data(resolved)
    yield from _of_engines(resolved)
    yield from _of_memory(resolved, any(objective.needs_teacher for objective in objectives))
    for arm, found in placed_by_arm.items():
        for placed in found:
            yield from _clip(arm, placed, s)
            yield from _credit(arm, placed)
            yield from _pulls(arm, placed)
            yield from _weighed(arm, placed, s)
            yield from _constant(arm, placed)
            if placed.settings.soft_buffer is not None and placed.objective.overlong is not Overlong.SOFT:
                why, remedy = f'overlong = "{placed.objective.overlong}" has no buffer', 'Set overlong = "soft"'
                yield Inert(name=f"{placed.where}.soft_buffer", label="soft_buffer", arm=arm, why=why, remedy=remedy)


def _of_memory(resolved: Resolved, scores: bool) -> Iterator[Inert]:
    """How weights are held, where there is nothing to hold otherwise."""
    s = resolved.settings
    if "student.master_weights" in resolved.sources and s.student.dtype != "bfloat16":
        why, remedy = f'dtype = "{s.student.dtype}" is stepped as it is', 'Set student.dtype = "bfloat16"'
        yield Inert(name="student.master_weights", label="student.master_weights", why=why, remedy=remedy, because_of="student.dtype")
    if s.teacher is not None and s.teacher.offload and s.teacher.device == "cpu":
        why, remedy = "its weights are in host memory already", 'Set teacher.device = "cuda"'
        yield Inert(name="teacher.offload", label="teacher.offload", why=why, remedy=remedy, because_of="teacher.device")
    elif s.teacher is not None and s.teacher.offload and not scores:
        why, remedy = "no arm has the teacher score anything", 'Run an arm that does, such as base = "VOLD"'
        yield Inert(name="teacher.offload", label="teacher.offload", why=why, remedy=remedy)


OF_SERVER = frozenset({"url", "remote", "timeout", "retries", "workers", "tolerated"})
OF_ENGINE = {
    "transformers": frozenset({"rows"}),
    "vllm": frozenset({"tolerance", "context", "memory_share", "cache_gb", "eager", "gpus", "sleep"}),
    "vllm-server": OF_SERVER | {"rows", "tolerance", "exchange"},
}
"""What each kind of engine reads, beside `kind` and `scripted`."""


def _of_engines(resolved: Resolved) -> Iterator[Inert]:
    """Settings of another kind of engine or teacher than is used, or of another device."""
    s = resolved.settings
    for field in sorted(frozenset().union(*OF_ENGINE.values()) - OF_ENGINE[s.engine.kind] - {"rows"}):
        if f"engine.{field}" in resolved.sources:
            readers = " or ".join(f'"{kind}"' for kind, fields in OF_ENGINE.items() if field in fields)
            why, remedy, name = f'engine.kind = "{s.engine.kind}" does not read it', f"Set engine.kind = {readers}", f"engine.{field}"
            yield Inert(name=name, label=name, why=why, remedy=remedy, because_of="engine.kind")
    if s.engine.kind == "vllm":
        idle = ("memory_share", "gpus", "sleep") if s.student.device == "cpu" else ("cache_gb",)
        for field in idle:
            if f"engine.{field}" in resolved.sources:
                why, remedy, name = f'student.device = "{s.student.device}" has no use for it', "Set another student.device", f"engine.{field}"
                yield Inert(name=name, label=name, why=why, remedy=remedy, because_of="student.device")
    for field in sorted(OF_SERVER) if s.teacher is not None and s.teacher.kind == "local" else ():
        if f"teacher.{field}" in resolved.sources:
            why, remedy, name = 'teacher.kind = "local" has no server', 'Set teacher.kind = "vllm-server"', f"teacher.{field}"
            yield Inert(name=name, label=name, why=why, remedy=remedy, because_of="teacher.kind")


def _of_data(resolved: Resolved) -> Iterator[Inert]:
    """How rows are read, where none are."""
    s = resolved.settings
    if s.corpus.origin == "teacher":
        for field in ("kind", "subsets", "split", "on_bad_row"):
            if f"corpus.{field}" in resolved.sources:
                why, remedy = 'corpus.from = "teacher" reads no traces', 'Set corpus.from = "dataset"'
                yield Inert(name=f"corpus.{field}", label=f"corpus.{field}", why=why, remedy=remedy, because_of="corpus.from")
    for where, vision, words in (("sft", s.sft.vision, s.corpus.origin == "teacher"), ("joint", s.joint.vision, s.joint.problems.kind == "tiny")):
        if vision != "frozen" and words:
            remedy = 'Set corpus.from = "dataset" with pictures' if where == "sft" else "Set joint.problems.kind to a layout with pictures"
            yield Inert(name=f"{where}.vision", label=f"{where}.vision", why="nothing it is trained on shows a picture", remedy=remedy)
    for where, problems in (("corpus.problems", s.corpus.problems), ("joint.problems", s.joint.problems)):
        for field in ("subsets", "split", "on_bad_row"):
            if problems.kind == "tiny" and f"{where}.{field}" in resolved.sources:
                why, remedy, name = 'kind = "tiny" draws its problems', f"Set another {where}.kind", f"{where}.{field}"
                yield Inert(name=name, label=name, why=why, remedy=remedy, because_of=f"{where}.kind")


def _reads_truncated(objective: Objective) -> bool:
    """Whether the verdict of a rollout that hit the length cap has a say: an overlong mask leaves it only its part in what is said of its group."""
    masks, weighs = zip((objective.credit.on, objective.credit.weigh), *((pull.on, pull.weigh) for pull in objective.pulls), strict=True)
    of_group = objective.credit.compares or objective.dynamic or Mask.ALL_WRONG in masks or any(weigh.reads_verdict for weigh in weighs)
    return objective.reads_verdict and (objective.overlong is not Overlong.MASK or of_group)


def _clip(arm: str, placed: Placed, s: Settings) -> Iterator[Inert]:
    objective = placed.objective
    if objective.clip is None:
        return
    stated = isinstance(placed.settings.clip, ClipSettings)
    if s.joint.updates_per_batch == 1:
        yield Inert(
            name=f"{placed.where}.clip",
            label="clip",
            arm=arm,
            why="with joint.updates_per_batch = 1 every update uses fresh rollouts: the ratio of new to old policy is exactly 1 and never leaves it",
            remedy="Raise joint.updates_per_batch (recipe tiny-clip)",
            because_of="joint.updates_per_batch",
            stated=stated,
        )
    elif not _has_advantage(placed):
        why, remedy = "every advantage that it would bound has a weight of 0", "Raise credit.weight"
        because_of = f"{placed.where}.credit.weight"
        yield Inert(name=f"{placed.where}.clip", label="clip", arm=arm, why=why, remedy=remedy, because_of=because_of, stated=stated)


def _has_advantage(placed: Placed) -> bool:
    """Whether a clip has anything to bound: a credit, or a pull that is an advantage, that is not always 0."""
    objective = placed.objective
    of_pulls = any(pull.by is Estimator.K1_ADVANTAGE and not _powerless(pull.beta, placed) for pull in objective.pulls)
    return of_pulls or (objective.credit.present and not _powerless(objective.credit.weight, placed))


def _credit(arm: str, placed: Placed) -> Iterator[Inert]:
    credit, change, where = placed.objective.credit, placed.settings.credit, f"{placed.where}.credit"
    if not isinstance(change, CreditSettings):
        return
    if credit.present and _powerless(credit.weight, placed):
        for field in _stated(change):
            if field != "weight":
                why, remedy, because_of = "its weight is 0", "Raise credit.weight", f"{where}.weight"
                yield Inert(name=f"{where}.{field}", label=f"credit.{field}", arm=arm, why=why, remedy=remedy, because_of=because_of)
        return
    stated, ratio = isinstance(change.by_teacher, TeacherRatioSettings) and change.by_teacher.epsilon is not None, credit.by_teacher
    if stated and ratio is not None and _powerless(ratio.strength, placed):
        name, why, remedy = "credit.by_teacher.epsilon", "its strength is 0", "Raise credit.by_teacher.strength"
        yield Inert(name=f"{placed.where}.{name}", label=name, arm=arm, why=why, remedy=remedy, because_of=f"{where}.by_teacher.strength")
    if credit.by is Baseline.Z_SCORE:
        return
    why = f'a credit by "{credit.by}" divides by no deviation' if credit.present else "the objective has no credit"
    for field in _stated(change):
        if field in ("unbiased", "epsilon") or (field == "weight" and not credit.present):
            remedy, because_of = 'Set credit.by = "z-score"', f"{where}.by"
            yield Inert(name=f"{where}.{field}", label=f"credit.{field}", arm=arm, why=why, remedy=remedy, because_of=because_of)


def _pulls(arm: str, placed: Placed) -> Iterator[Inert]:
    """Settings of pulls that are not there, that others replace, or that have no force."""
    settings, pulls = placed.settings, placed.objective.pulls
    patch = _stated(settings.pull)
    truncated = ["pull_truncated"] if settings.pull_truncated is not None else []
    fields: list[str] = []
    why, remedy = "its beta is 0", "Raise beta"
    if settings.pulls is not None and patch:
        instead = "the pulls that it would change are replaced by pulls"
        yield Inert(name=f"{placed.where}.pull", label="pull", arm=arm, why=instead, remedy="Move it into pulls")
    if not pulls:
        empty = " with pulls = []" if settings.pulls is not None else ""
        why, remedy = f"{settings.base}{empty} pulls toward nothing", 'Choose base = "VOLD"'
        fields = [*(["pull"] if patch and settings.pulls is None else []), *truncated]
    elif settings.pulls is not None:
        powerless = [(place, own) for place, (own, pull) in enumerate(zip(settings.pulls, pulls, strict=True)) if _powerless(pull.beta, placed)]
        fields = [f"pulls.{place}.{field}" for place, own in powerless for field in _stated(own) if field not in ("toward", "beta")]
    elif all(_powerless(pull.beta, placed) for pull in pulls):
        fields = [*(f"pull.{field}" for field in patch if field != "beta"), *truncated]
    for field in fields:
        yield Inert(name=f"{placed.where}.{field}", label=field, arm=arm, why=why, remedy=remedy)

    if pulls and placed.objective.overlong is Overlong.MASK and truncated and truncated[0] not in fields:
        why, remedy = 'overlong = "mask" leaves truncated rollouts out of every pull', 'Set overlong = "keep"'
        name, because_of = f"{placed.where}.pull_truncated", f"{placed.where}.overlong"
        yield Inert(name=name, label="pull_truncated", arm=arm, why=why, remedy=remedy, because_of=because_of)


def _weighed(arm: str, placed: Placed, s: Settings) -> Iterator[Inert]:
    """Weights that are the same number whatever the rollouts are, and pulls averaged over what they act on where that is everything."""
    objective, settings = placed.objective, placed.settings
    if objective.credit.present and not _powerless(objective.credit.weight, placed):
        stated = isinstance(settings.credit, CreditSettings) and "weigh" in _stated(settings.credit)
        yield from _constant_weight(arm, f"{placed.where}.credit", objective.credit.on, objective.credit.weigh, s.joint.group_size, stated=stated)
    for name, own, pull in _pulls_of(placed):
        if _powerless(pull.beta, placed):
            continue
        where = f"{placed.where}.{name}"
        yield from _constant_weight(arm, where, pull.on, pull.weigh, s.joint.group_size, stated="weigh" in _stated(own))
        everywhere = not pull.reads_verdict and (objective.pull_truncated or objective.overlong is Overlong.MASK)
        if pull.over is Over.PULLED and everywhere:
            why, remedy = "the pull acts on every rollout, and all tokens are pulled", 'Mask the pull, such as on = "wrong"'
            yield Inert(name=f"{where}.over", label=f"{name}.over", arm=arm, why=why, remedy=remedy, because_of=f"{where}.on")


def _constant_weight(arm: str, where: str, on: Mask, weigh: Weigh, group_size: int, *, stated: bool) -> Iterator[Inert]:
    """A group's statistic that its mask, or the size of the group, leaves one value only."""
    of_wrong = on is Mask.ALL_WRONG or (on is Mask.WRONG and group_size == 1)
    of_right = on is Mask.RIGHT and group_size == 1
    because_of = "" if on is Mask.ALL_WRONG and weigh.reads_verdict else "joint.group_size"
    remedy = 'Choose on = "every"' if not because_of else "Raise joint.group_size"
    if weigh.reads_verdict and (of_wrong or of_right):
        always = 1 if of_wrong == (weigh is Weigh.FAIL_RATE) else 0
        size = "" if not because_of else f" in a group of {group_size}"
        why = f'on "{on}" rollouts{size} the {weigh} is always {always}' + ("" if always else ", and nothing is left")
    elif weigh in (Weigh.LOW_TEACHER_PERPLEXITY, Weigh.HIGH_STUDENT_PERPLEXITY) and group_size == 1:
        why = "perplexities are scaled to a mean of 1 in the group, and in a group of 1 each is 1"
    else:
        return
    label = f"{where.rpartition('.objective.')[2]}.weigh"
    yield Inert(name=f"{where}.weigh", label=label, arm=arm, why=why, remedy=remedy, because_of=because_of, stated=stated)


def _constant(arm: str, placed: Placed) -> Iterator[Inert]:
    """Schedules that do not move while their objective holds."""
    for name, weight, stated in _weights_of(placed):
        if isinstance(weight, Schedule) and len(set(_values(weight, placed))) == 1:
            value, last = weight.at(placed.begin), placed.until - 1
            why = (
                f"its schedule {words_of(weight)} from step {weight.begin} to {weight.until} stays at {value:g} "
                f"while the objective holds (steps {placed.begin} to {last} of the stage)"
            )
            remedy = "Let it move in those steps, which count from the start of the stage, or give a plain number"
            because_of = "joint.steps" if placed.begin == 0 else ""
            yield Inert(name=f"{placed.where}.{name}", label=name, arm=arm, why=why, remedy=remedy, because_of=because_of, stated=stated)


def _weights_of(placed: Placed) -> Iterator[tuple[str, Weight | Adaptive, bool]]:
    """(its name, the weight, whether a layer states it) for everything in an objective that may follow a schedule."""
    credit, change = placed.objective.credit, placed.settings.credit
    table = change if isinstance(change, CreditSettings) else CreditSettings()
    if credit.present:
        yield "credit.weight", credit.weight, table.weight is not None
    if credit.by_teacher is not None:
        stated = isinstance(table.by_teacher, TeacherRatioSettings) and table.by_teacher.strength is not None
        yield "credit.by_teacher.strength", credit.by_teacher.strength, stated
    for name, own, pull in _pulls_of(placed):
        yield f"{name}.beta", pull.beta, own.beta is not None
    yield "entropy", placed.objective.entropy, placed.settings.entropy is not None


def _pulls_of(placed: Placed) -> Iterator[tuple[str, PullSettings, Pull]]:
    """(its name, what layers say of it, the pull itself). Where `pull` changes several at once, they share its name."""
    settings, pulls = placed.settings, placed.objective.pulls
    if settings.pulls is None:
        yield from (("pull", settings.pull, pull) for pull in pulls)
    else:
        yield from ((f"pulls.{place}", own, pull) for place, (own, pull) in enumerate(zip(settings.pulls, pulls, strict=True)))


def _powerless(weight: Weight | Adaptive, placed: Placed) -> bool:
    """Whether a weight is 0 at every step its objective holds."""
    return not any(_values(weight, placed))


def _values(weight: Weight | Adaptive, placed: Placed) -> tuple[float, ...]:
    """The values a weight begins and ends with while its objective holds; what lies between them is between them."""
    return (weight.at(placed.begin), weight.at(placed.until - 1)) if isinstance(weight, Schedule) else ends_of(weight)


def _stated(table: Section) -> list[str]:
    """The fields a layer gave, in the order of the schema."""
    return [name for name in type(table).model_fields if name in table.model_fields_set and getattr(table, name) is not None]
