"""Stage 2: one set of student rollouts feeds both the reward and the teacher."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from vold.base.errors import Diverged
from vold.base.seeds import seed_for
from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, StepStats, Verdict
from vold.core import stats
from vold.core.objective import Objective, Schedule, weight_at
from vold.core.plan import wants_teacher, z_of
from vold.ports import Checkpoints, Journal, Judge, Learner, Place, ProblemSource, Progress, RolloutEngine, Sampling, TeacherScorer


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
    validate_every: int = 0
    place: Place = ("joint",)

    def objective_at(self, step: int) -> Objective:
        return next(phase.objective for phase in self.phases if step < phase.until)

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


def joint(run: JointRun, at: Ports) -> None:
    """Prompts, rollouts, verdicts, the teacher where the objective reads it, one update (or a few); then the next step."""
    start = at.checkpoints.restore()
    at.journal.rewind(start)
    for step in range(start, run.steps):
        objective = run.objective_at(step)
        at.engine.adopt(at.learner.weights(), version=step)
        problems = at.problems.for_step(step)
        rollouts = at.engine.sample(problems, per_problem=run.group_size, sampling=run.sampling, place=(*run.place, step))
        groups = judged(problems, rollouts, at.judge, truncated_reward=run.truncated_reward)
        probe = alignment(groups, at.teacher) if step == 0 else {}
        groups = scored(groups, objective, at.teacher, step=step)
        update = updated(run, at.learner, groups, objective, step=step)
        seen = validated(at, step=step) if due(step + 1, run.validate_every) or step + 1 == run.steps else {}
        values = stats.of_groups(groups, objective, step=step) | update | probe | seen | {"lr": run.lr_at(step)}
        at.journal.write(StepStats(step=step, values=values), groups)
        at.checkpoints.after(step + 1)
        at.progress.update(step + 1, run.steps, f"reward {values['reward/mean']:.2f}")
    at.learner.verify_frozen()
    at.checkpoints.finish()


def judged(problems: Sequence[Problem], rollouts: Sequence[Rollout], judge: Judge, *, truncated_reward: str) -> list[Group]:
    """Rollouts with their verdicts, grouped by problem in problem order."""
    verdicts = [_ruled(rollout, verdict, truncated_reward) for rollout, verdict in zip(rollouts, judge.judge(rollouts), strict=True)]
    members: dict[str, list[ScoredRollout]] = {problem.id: [] for problem in problems}
    assert len(members) == len(problems), "a step never holds one problem twice"
    for rollout, verdict in zip(rollouts, verdicts, strict=True):
        members[rollout.problem.id].append(ScoredRollout(rollout=rollout, verdict=verdict))
    return [Group(problem=problem, members=tuple(members[problem.id])) for problem in problems]


def _ruled(rollout: Rollout, verdict: Verdict, truncated_reward: str) -> Verdict:
    """A rollout cut off by the length cap is wrong (the default), judged all the same, or left out as unjudged."""
    if rollout.finish is Finish.STOP or truncated_reward == "judge" or verdict.ruling is Ruling.UNJUDGED:
        return verdict
    ruling = Ruling.WRONG if truncated_reward == "wrong" else Ruling.UNJUDGED
    return replace(verdict, ruling=ruling, note=f"truncated; {verdict.note}".removesuffix("; "))


def scored(groups: Sequence[Group], objective: Objective, teacher: TeacherScorer | None, *, step: int) -> list[Group]:
    """The groups with the teacher's log-probabilities, asked only of rollouts whose coefficient contains them."""
    wanted = [m.rollout for g in groups for m in g.members if wants_teacher(objective, m, g, step=step)]
    if not wanted:
        return list(groups)
    assert teacher is not None, "an objective that needs a teacher is refused at start-up without one"
    answers = {(r.problem.id, r.sample): logprobs for r, logprobs in zip(wanted, teacher.score(wanted), strict=True)}
    return [
        replace(g, members=tuple(replace(m, teacher_logprobs=answers.get((m.rollout.problem.id, m.rollout.sample))) for m in g.members))
        for g in groups
    ]


def alignment(groups: Sequence[Group], teacher: TeacherScorer | None) -> dict[str, float]:
    """The mean log-ratio to the teacher over every rollout of the first step: a one-batch test of the alignment stage."""
    if teacher is None:
        return {}
    rollouts = [member.rollout for group in groups for member in group.members]
    return stats.log_ratio(rollouts, teacher.score(rollouts))


def updated(run: JointRun, learner: Learner, groups: Sequence[Group], objective: Objective, *, step: int) -> dict[str, float]:
    """The update(s) of one batch. With one update the ratio to the behaviour policy is 1 and no second pass is needed."""
    if run.updates_per_batch > 1:
        learner.freeze_behaviour(groups)
    parts = parts_of(groups, run.updates_per_batch, step=step)
    counted = [(part, z) for part in parts if (z := z_of(part, objective)) > 0]
    if not counted:
        raise Diverged(f"step {step}: no rollout could be judged, so there is nothing to learn from. Look at the judge's notes in the journal.")
    return stats.of_updates([_update(run, learner, part, objective, z=z, step=step) for part, z in counted])


def parts_of(groups: Sequence[Group], updates: int, *, step: int) -> list[list[Group]]:
    """A batch cut into one part an update, shuffled first: problems may come dealt by difficulty, and a part should not be all of one."""
    if updates == 1:
        return [list(groups)]
    shuffled = Random(seed_for(step, "updates")).sample(list(groups), len(groups))
    return [shuffled[place::updates] for place in range(updates)]


def _update(run: JointRun, learner: Learner, groups: Sequence[Group], objective: Objective, *, z: int, step: int) -> dict[str, float]:
    """Sums first, then one division by the update's own Z, clipping and the optimizer."""
    sums = learner.accumulate(groups, objective, step=step)
    return {**sums, "z": z, **learner.apply(z, lr=run.lr_at(step))}


def validated(at: Ports, *, step: int) -> dict[str, float]:
    """Greedy accuracy on the validation problems that could be judged, under the weights just updated."""
    if at.validation is None:
        return {}
    at.engine.adopt(at.learner.weights(), version=step + 1)
    rollouts = at.engine.sample(at.validation.problems, per_problem=1, sampling=at.validation.sampling, place=("validation",))
    rulings = [verdict.ruling for verdict in at.judge.judge(rollouts) if verdict.ruling is not Ruling.UNJUDGED]
    return {f"validation/{at.validation.name}": rulings.count(Ruling.RIGHT) / len(rulings)} if rulings else {}


def due(count: int, every: int) -> bool:
    return every > 0 and count % every == 0
