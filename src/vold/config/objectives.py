"""From objective settings to the value they name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vold.base.errors import ObjectiveError, SettingsError
from vold.config.kinds import AdaptiveSettings, Number, ScheduleSettings, Section, Strength
from vold.config.load import meant
from vold.config.objective_schema import (
    ClampSettings,
    ClipSettings,
    CorrectionSettings,
    CreditSettings,
    ObjectiveSettings,
    PullSettings,
    TeacherRatioSettings,
)
from vold.config.schema import ArmSettings, JointSettings
from vold.core.objective import (
    NO_CREDIT,
    Adaptive,
    Baseline,
    Beyond,
    Clamp,
    Clip,
    Correction,
    Credit,
    Estimator,
    How,
    Level,
    Mask,
    Objective,
    Over,
    Overlong,
    Partner,
    Pull,
    Schedule,
    Share,
    TeacherRatio,
    Terms,
    Weigh,
    Weight,
)
from vold.core.zoo import RECIPES, ZOO

Converters = Mapping[str, Callable[[Any], Any]]


def as_weight(number: Number) -> Weight:
    if isinstance(number, ScheduleSettings):
        return Schedule(start=number.start, end=number.end, begin=number.begin, until=number.until)
    return number


def as_strength(strength: Strength) -> Weight | Adaptive:
    if isinstance(strength, AdaptiveSettings):
        return Adaptive(start=strength.start, target=strength.target, horizon=strength.horizon, reach=strength.reach)
    return as_weight(strength)


def _as_clamp(clamp: ClampSettings | str) -> Clamp | None:
    return Clamp(clamp.limit, Beyond(clamp.beyond)) if isinstance(clamp, ClampSettings) else None


def _as_dual(dual: float | str) -> float | None:
    return None if isinstance(dual, str) else dual


TEACHER_RATIO: Converters = {"strength": as_weight}
CREDIT: Converters = {"by": Baseline, "weight": as_weight, "on": Mask, "weigh": Weigh}
CLIP: Converters = {"dual": _as_dual, "level": Level}
PULL: Converters = {
    "toward": Partner, "beta": as_strength, "by": Estimator, "on": Mask, "over": Over, "weigh": Weigh, "clamp": _as_clamp,
}  # fmt: skip
CORRECTION: Converters = {"how": How, "level": Level, "on": Terms}
WHOLE: Converters = {"share": Share, "overlong": Overlong, "entropy": as_weight}


def _given(table: Section, converters: Converters, *, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a table sets, as values of the core, by the name of the field."""
    found = {name: getattr(table, name) for name in type(table).model_fields if name in table.model_fields_set and name not in but}
    return {name: converters.get(name, lambda same: same)(value) for name, value in found.items() if value is not None}


def objective_of(settings: ObjectiveSettings, *, where: str) -> Objective:
    """The named objective with the changes asked for. `where` names the table in messages."""
    base = _base(settings.base, where)
    try:
        pulls = _pulls(base, settings)
        return replace(
            base,
            credit=_credit(base.credit, settings.credit),
            clip=_clip(base, settings),
            pulls=pulls,
            correction=_correction(base, settings),
            **_given(settings, WHOLE, but=("base", "credit", "clip", "pull", "pulls", "correction", *(() if pulls else ("pull_truncated",)))),
        )
    except ObjectiveError as error:
        raise ObjectiveError(f"{where}: {error}") from error


def _base(name: str, where: str) -> Objective:
    if name in ZOO:
        return ZOO[name]
    if name in RECIPES:
        raise SettingsError(f"{where}.base = {name!r} is a sequence of objectives, not one. See `vold zoo {name}`, and give the arm phases.")
    near = meant(name, list(ZOO))
    raise SettingsError(f"{where}.base = {name!r} is not an objective{near}" + (f" Objectives: {', '.join(ZOO)}." if "did you" in near else ""))


def _credit(base: Credit, change: CreditSettings | str | None) -> Credit:
    if change is None:
        return base
    if isinstance(change, str):
        return NO_CREDIT if change == "none" else replace(base, by=Baseline(change))
    beside = NO_CREDIT if change.by == "none" else base  # without a credit, what the base had beside it cannot act
    return replace(beside, by_teacher=_teacher_ratio(beside, change), **_given(change, CREDIT, but=("by_teacher",)))


def _teacher_ratio(base: Credit, change: CreditSettings) -> TeacherRatio | None:
    if isinstance(change.by_teacher, TeacherRatioSettings):
        return replace(base.by_teacher or TeacherRatio(), **_given(change.by_teacher, TEACHER_RATIO))
    return base.by_teacher if change.by_teacher is None else None


def _clip(base: Objective, settings: ObjectiveSettings) -> Clip | None:
    if not isinstance(settings.clip, ClipSettings):
        return base.clip if settings.clip is None else None
    given, off = _given(settings.clip, CLIP), _off(settings.clip)
    if base.clip is not None and not off:
        return replace(base.clip, **given)
    if not {"low", "high"} <= given.keys():
        none = _none(settings, "clip", off=off)
        raise ObjectiveError(f"{none} has no clip that could be changed, so clip.low and clip.high are both needed. GRPO uses 0.2 and 0.2.")
    return Clip(**given)


def _correction(base: Objective, settings: ObjectiveSettings) -> Correction | None:
    if not isinstance(settings.correction, CorrectionSettings):
        return base.correction if settings.correction is None else None
    given, off = _given(settings.correction, CORRECTION), _off(settings.correction)
    if base.correction is not None and not off:
        return replace(base.correction, **given)
    if "how" not in given:
        none = _none(settings, "correction", off=off)
        raise ObjectiveError(f'{none} has no correction that could be changed, so correction.how is needed: "truncated" or "masked".')
    return Correction(**given)


def _off(table: Section) -> bool:
    """Whether a table was laid over a "none" and does not say all it has to: `load` leaves what is missing there without a value."""
    return any(getattr(table, name) is None for name in table.model_fields_set)


def _none(settings: ObjectiveSettings, what: str, *, off: bool) -> str:
    """Who has nothing that could be changed: the base, or what an earlier "none" has made of it."""
    return f'{settings.base} with {what} = "none" in an earlier layer' if off else settings.base


def _pulls(base: Objective, settings: ObjectiveSettings) -> tuple[Pull, ...]:
    if settings.pulls is not None:
        return tuple(Pull(**_given(pull, PULL)) for pull in settings.pulls)
    return tuple(_changed(pull, settings.pull) for pull in base.pulls)


def _changed(pull: Pull, change: PullSettings) -> Pull:
    """A pull with the changes asked for. What belongs to the base's estimator goes with it, unless the user gave it."""
    given = _given(change, PULL)
    by = given.get("by", pull.by)
    gone = {"mix": None} if by is not Estimator.JSD else {}
    gone |= {"top": None} if not by.takes_top else {}
    return replace(pull, **(gone | given))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An objective of an arm, the table it comes from, and the steps it holds: `begin` to `until` - 1, counted from the start of the stage."""

    where: str
    settings: ObjectiveSettings
    objective: Objective
    begin: int
    until: int


def placed_in(name: str, arm: ArmSettings, joint: JointSettings) -> list[Placed]:
    """The objectives of an arm in order; its phases must fill the stage exactly."""
    where = f"arms.{name}"
    if (arm.objective is None) == (not arm.phases):
        raise SettingsError(f"[{where}] needs either an objective or phases, found {'both' if arm.phases else 'neither'}. Keep one of them.")
    if arm.objective is not None:
        at = f"{where}.objective"
        return [Placed(where=at, settings=arm.objective, objective=objective_of(arm.objective, where=at), begin=0, until=joint.steps)]
    total = sum(phase.steps for phase in arm.phases)
    if total != joint.steps:
        raise SettingsError(
            f"the phases of [{where}] last {total} steps, but joint.steps = {joint.steps}. Make them equal, or name the arms to run in joint.arms."
        )
    found: list[Placed] = []
    for place, phase in enumerate(arm.phases):
        at, begin = f"{where}.phases.{place}.objective", found[-1].until if found else 0
        objective = objective_of(phase.objective, where=at)
        found.append(Placed(where=at, settings=phase.objective, objective=objective, begin=begin, until=begin + phase.steps))
    return found


def phases_of(name: str, arm: ArmSettings, joint: JointSettings) -> list[tuple[Objective, int]]:
    """Each objective of an arm with the step it holds until."""
    return [(placed.objective, placed.until) for placed in placed_in(name, arm, joint)]
