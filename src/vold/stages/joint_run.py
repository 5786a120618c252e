"""What a run of stage 2 is given, and what is refused before its first step."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vold.base.errors import ObjectiveError, SettingsError
from vold.base.types import Group, Problem
from vold.core.objective import Objective, Schedule, Want, refuse_impossible, unlike_stream, unlike_traces, weight_at
from vold.core.plan import Plan, plan_of
from vold.core.selfcheck import self_check
from vold.ports import Checkpoints, Journal, Judge, Learner, Place, ProblemSource, Progress, RolloutEngine, Sampling, TeacherScorer

TRUNCATED = ("wrong", "judge", "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """An objective and the step it holds until (counted from 0, not included)."""

    objective: Objective
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JointRun:
    """One run of the stage. Several phases make a sequence such as distillation first, reward second."""

    steps: int
    group_size: int
    lr: float | Schedule
    warmup: int
    sampling: Sampling
    phases: tuple[Phase, ...]
    updates_per_batch: int = 1
    truncated_reward: str = "wrong"
    max_refills: int = 10
    """How often a dynamic step may draw further problems."""
    on_corpus: float = 0.0
    """The share of steps trained on the corpus' traces instead of rollouts (GKD's second stream)."""
    validate_every: int = 0
    stream: int = 0
    """Problems of a part that is generated while the part before it is judged, read and turned into gradient; 0: a step is one part."""
    place: Place = ("joint",)

    def phase_at(self, step: int) -> int:
        return next(place for place, phase in enumerate(self.phases) if step < phase.until)

    def plan_at(self, step: int, kept: Mapping[str, float]) -> Plan:
        """The plan of one step; `kept` holds the present value of whatever follows the measured KL."""
        phase = self.phase_at(step)
        objective = self.phases[phase].objective
        betas = {place: kept[name] for place in range(len(objective.pulls)) if (name := beta_name(phase, place)) in kept}
        return plan_of(objective, step=step, length_cap=self.sampling.max_new_tokens, betas=betas)

    def reads_corpus(self, step: int) -> bool:
        """True at evenly spread steps that make up the share `on_corpus`."""
        return math.floor((step + 1) * self.on_corpus + 1e-9) > math.floor(step * self.on_corpus + 1e-9)

    def lr_at(self, step: int) -> float:
        """Linear warm-up to the (possibly scheduled) learning rate."""
        return weight_at(self.lr, step) * min(1.0, (step + 1) / max(1, self.warmup))


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Greedy accuracy on held-out problems: the role the visual Geometry3K has in the paper."""

    name: str
    problems: Sequence[Problem]
    sampling: Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that the stage meets."""

    problems: ProblemSource
    engine: RolloutEngine
    judge: Judge
    teacher: TeacherScorer | None
    learner: Learner
    journal: Journal
    checkpoints: Checkpoints
    progress: Progress
    validation: Validation | None = None
    reference: TeacherScorer | None = None
    """The student as it was when the stage began; only asked where an objective pulls toward it."""
    corpus: Callable[[int], Sequence[Group]] | None = None
    """The corpus' traces of one step as groups without verdicts, for `on_corpus`."""


def beta_name(phase: int, pull: int) -> str:
    """Under which name a checkpoint keeps the present strength of an adaptive pull."""
    return f"beta/{phase}/{pull}"


def refuse_unfit(run: JointRun, at: Ports) -> None:
    """Raise SettingsError for a run that contradicts itself, ObjectiveError where these ports cannot serve its objectives or their gradients
    are not what they say on a toy."""
    _refuse_unrunnable(run)
    for phase in run.phases:
        refuse_impossible(
            phase.objective,
            group_size=run.group_size,
            has_teacher=at.teacher is not None,
            teacher_gives=at.teacher.gives if at.teacher is not None else Want.SAMPLED,
            has_reference=at.reference is not None,
        )
        if run.on_corpus:
            unlike = unlike_traces(phase.objective) or (None if at.corpus is not None else "no corpus given")
            if unlike is not None:
                raise ObjectiveError(f"on_corpus = {run.on_corpus:g} trains on the corpus' traces, but there is {unlike}. Set on_corpus = 0.")
        unstreamed = unlike_stream(phase.objective, updates_per_batch=run.updates_per_batch)
        if run.stream and unstreamed is not None:
            raise ObjectiveError(f"stream = {run.stream} takes gradients before a step's last rollout is there, but {unstreamed}. Set stream = 0.")
        self_check(phase.objective, temperature=run.sampling.temperature, group_size=run.group_size)


def _refuse_unrunnable(run: JointRun) -> None:
    ends = [phase.until for phase in run.phases]
    if not ends or ends != sorted(set(ends)) or ends[0] < 1 or ends[-1] < run.steps:
        raise SettingsError(f"the phases end at steps {ends}; they must rise, and the last must reach the run's {run.steps} steps.")
    if min(run.steps, run.group_size, run.updates_per_batch) < 1:
        raise SettingsError(
            f"steps = {run.steps}, group_size = {run.group_size} and updates_per_batch = {run.updates_per_batch} must each be 1 or more."
        )
    if run.truncated_reward not in TRUNCATED:
        raise SettingsError(f"truncated_reward = {run.truncated_reward!r} is not one of: {', '.join(TRUNCATED)}.")
    if run.sampling.greedy or not run.sampling.whole:
        raise SettingsError(
            "rollouts must be drawn from the whole policy: the update assumes it. Set temperature above 0, top_p = 1.0 and top_k = 0."
        )
    if not 0 <= run.on_corpus <= 1:
        raise SettingsError(f"on_corpus = {run.on_corpus} is a share of the steps, from 0 to 1.")
