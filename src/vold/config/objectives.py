"""From objective settings to the value they name; what was set but cannot act is refused."""

from dataclasses import replace

from vold.base.errors import SettingsError
from vold.config.schema import ArmSettings, JointSettings, Number, ObjectiveSettings, ScheduleSettings
from vold.core.objective import Baseline, Clip, Credit, Estimator, Mask, Objective, Pull, Schedule, Share, Weight
from vold.core.zoo import ZOO


def as_weight(number: Number) -> Weight:
    if isinstance(number, ScheduleSettings):
        if number.until <= number.begin:
            raise SettingsError(f"a schedule must end after it begins, found begin = {number.begin} and until = {number.until}. Raise until.")
        return Schedule(start=number.start, end=number.end, begin=number.begin, until=number.until)
    return number


def objective_of(settings: ObjectiveSettings, *, where: str) -> Objective:
    """The named objective with the changes asked for. `where` names the table in messages."""
    if settings.base not in ZOO:
        raise SettingsError(f"{where}.base = {settings.base!r} is not an objective. Objectives: {', '.join(ZOO)}.")
    base = ZOO[settings.base]
    changed = replace(
        base,
        credit=base.credit if settings.credit is None else Credit(Baseline(settings.credit)),
        clip=_clip(base, settings),
        pulls=tuple(_pull(pull, settings) for pull in base.pulls),
        share=base.share if settings.share is None else Share(settings.share),
        pull_truncated=base.pull_truncated if settings.pull_truncated is None else settings.pull_truncated,
    )
    if not base.pulls and (settings.pull.model_fields_set or settings.pull_truncated is not None):
        raise SettingsError(f'{where}.pull is set, but {settings.base} pulls toward nothing, so it cannot act. Remove it, or choose base = "VOLD".')
    return changed


def _clip(base: Objective, settings: ObjectiveSettings) -> Clip | None:
    if settings.clip is None:
        return base.clip
    return None if settings.clip == "none" else Clip(settings.clip.low, settings.clip.high)


def _pull(pull: Pull, settings: ObjectiveSettings) -> Pull:
    change = settings.pull
    return replace(
        pull,
        beta=pull.beta if change.beta is None else as_weight(change.beta),
        by=pull.by if change.by is None else Estimator(change.by),
        on=pull.on if change.on is None else Mask(change.on),
    )


def phases_of(name: str, arm: ArmSettings, joint: JointSettings) -> list[tuple[Objective, int]]:
    """Each objective of an arm with the step it holds until; the phases must fill the stage exactly."""
    where = f"arms.{name}"
    if (arm.objective is None) == (not arm.phases):
        raise SettingsError(f"[{where}] needs either an objective or phases, found {'both' if arm.phases else 'neither'}. Keep one of them.")
    if arm.objective is not None:
        return [(objective_of(arm.objective, where=f"{where}.objective"), joint.steps)]
    total = sum(phase.steps for phase in arm.phases)
    if total != joint.steps:
        raise SettingsError(
            f"the phases of [{where}] last {total} steps, but joint.steps = {joint.steps}. Make them equal, or name the arms to run in joint.arms."
        )
    found: list[tuple[Objective, int]] = []
    for place, phase in enumerate(arm.phases):
        until = (found[-1][1] if found else 0) + phase.steps
        found.append((objective_of(phase.objective, where=f"{where}.phases.{place}.objective"), until))
    return found
