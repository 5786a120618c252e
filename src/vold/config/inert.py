"""Settings that are there and cannot act: refused where the user set them, told where they were inherited."""

from collections.abc import Iterator
from dataclasses import dataclass

from vold.base.errors import SettingsError
from vold.config.kinds import Section
from vold.config.load import COMMAND_LINE, Resolved
from vold.config.objective_schema import ClipSettings, CreditSettings
from vold.config.objectives import Placed, placed_in
from vold.config.schema import Settings
from vold.core.objective import Baseline, Overlong, Pull
from vold.core.weights import ends_of


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
    if s.joint.validation.benchmark is not None and not s.joint.validation.every:
        why, remedy = "with joint.validation.every = 0 it is never asked", "Set joint.validation.every"
        name = "joint.validation.benchmark"
        forgotten = resolved.user_of("joint.validation.every") is None  # an `every = 0` that somebody wrote is a switch
        yield Inert(name=name, label=name, why=why, remedy=remedy, stated=forgotten)
    for arm, found in placed_by_arm.items():
        for placed in found:
            yield from _clip(arm, placed, s)
            yield from _credit(arm, placed)
            yield from _pulls(arm, placed)
            if placed.settings.soft_buffer is not None and placed.objective.overlong is not Overlong.SOFT:
                why, remedy = f'overlong = "{placed.objective.overlong}" has no buffer', 'Set overlong = "soft"'
                yield Inert(name=f"{placed.where}.soft_buffer", label="soft_buffer", arm=arm, why=why, remedy=remedy)


def _clip(arm: str, placed: Placed, s: Settings) -> Iterator[Inert]:
    if s.joint.updates_per_batch == 1 and placed.objective.clip is not None:
        yield Inert(
            name=f"{placed.where}.clip",
            label="clip",
            arm=arm,
            why="with joint.updates_per_batch = 1 every update uses fresh rollouts: the ratio of new to old policy is exactly 1 and never leaves it",
            remedy="Raise joint.updates_per_batch (recipe tiny-clip)",
            because_of="joint.updates_per_batch",
            stated=isinstance(placed.settings.clip, ClipSettings),
        )


def _credit(arm: str, placed: Placed) -> Iterator[Inert]:
    by, change = placed.objective.credit.by, placed.settings.credit
    if not isinstance(change, CreditSettings) or by is Baseline.Z_SCORE:
        return
    why = "the objective has no credit" if by is Baseline.NONE else f'a credit by "{by}" divides by no deviation'
    for field in _stated(change):
        if field in ("unbiased", "epsilon") or (field == "weight" and by is Baseline.NONE):
            name = f"{placed.where}.credit.{field}"
            yield Inert(name=name, label=f"credit.{field}", arm=arm, why=why, remedy='Set credit.by = "z-score"')


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
        powerless = [(place, own) for place, (own, pull) in enumerate(zip(settings.pulls, pulls, strict=True)) if _powerless(pull)]
        fields = [f"pulls.{place}.{field}" for place, own in powerless for field in _stated(own) if field not in ("toward", "beta")]
    elif all(map(_powerless, pulls)):
        fields = [*(f"pull.{field}" for field in patch if field != "beta"), *truncated]
    for field in fields:
        yield Inert(name=f"{placed.where}.{field}", label=field, arm=arm, why=why, remedy=remedy)


def _powerless(pull: Pull) -> bool:
    return not any(ends_of(pull.beta))


def _stated(table: Section) -> list[str]:
    """The fields a layer gave, in the order of the schema."""
    return [name for name in type(table).model_fields if name in table.model_fields_set]


def refuse_inert(resolved: Resolved) -> None:
    """Raise SettingsError for every inert setting that the user set, all at once."""
    s = resolved.settings
    lines = [
        f"{source}: {one.name} is set, but {one.why}, so it cannot act. {one.remedy}, or remove it."
        for one in inert(resolved)
        if (source := _at_fault(one, resolved)) is not None
    ]
    lines += [
        f"{source}: {key} is set, but joint.arms names {', '.join(s.joint.arms)} only, so it cannot act. Add {name} to joint.arms, or remove it."
        for name in s.arms
        for key, source in resolved.sources.items()
        if source == COMMAND_LINE and key.startswith(f"arms.{name}.") and name not in s.active_arms()
    ]
    if lines:
        raise SettingsError("\n".join(lines))


def _at_fault(one: Inert, resolved: Resolved) -> str | None:
    """The user's source that set it; None when it was inherited, or switched off by a later layer."""
    if one.name == "teacher":  # a file may name one for many runs; the command line names it for this run
        named = any(source == COMMAND_LINE and key.split(".")[0] == "teacher" for key, source in resolved.sources.items())
        return COMMAND_LINE if named else None
    source = resolved.user_of(one.name) if one.stated else None
    if source is not None and one.because_of and resolved.is_later(resolved.source_of(one.because_of), source):
        return None
    return source


def inert_notes(resolved: Resolved) -> list[str]:
    """A sentence for everything inert that was inherited; arms of which the same is true share one."""
    arms: dict[Inert, list[str]] = {}
    for one in inert(resolved):
        if _at_fault(one, resolved) is None:
            same = Inert(name="", label=one.label, why=one.why, remedy=one.remedy)
            arms.setdefault(same, []).append(one.arm)
    notes: list[str] = []
    for one, found in arms.items():
        whose = f" ({', '.join(dict.fromkeys(found))})" if any(found) else ""
        notes.append(f"{one.label}{whose}: inert. {one.why[0].upper()}{one.why[1:]}. {one.remedy} to make it act.")
    return notes
