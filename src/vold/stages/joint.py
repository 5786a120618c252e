"""Stage 2: one set of student rollouts feeds both the reward and the teacher."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from vold.base.errors import Diverged
from vold.base.seeds import seed_for
from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, StepStats, Verdict, View
from vold.core import stats
from vold.core.objective import Adaptive, Objective, Partner, Schedule, Want, refuse_impossible, weight_at
from vold.core.plan import Counts, Plan, plan_of
from vold.core.selfcheck import self_check
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
    max_refills: int = 10
    """How often a dynamic step may draw further problems."""
    on_corpus: float = 0.0
    """The share of steps trained on the corpus' traces instead of rollouts (GKD's second stream)."""
    validate_every: int = 0
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


def joint(run: JointRun, at: Ports) -> None:
    """Prompts, rollouts, verdicts, the teacher where the objective reads it, one update (or a few); then the next step."""
    refuse_unfit(run, at)
    start = at.checkpoints.restore()
    at.journal.rewind(start)
    for step in range(start, run.steps):
        plan = run.plan_at(step, at.checkpoints.kept)
        at.engine.adopt(at.learner.weights(), version=step)
        groups, drawn = from_corpus(at, step) if run.reads_corpus(step) else sampled(run, at, plan, step=step)
        probe = alignment(groups, at.teacher) if step == 0 and not run.reads_corpus(step) else {}
        groups = scored(groups, plan, at.teacher, at.reference)
        updates = updated(run, at.learner, groups, plan)
        seen = validated(at, step=step) if due(step + 1, run.validate_every) or step + 1 == run.steps else {}
        values = stats.of_groups(groups, plan) | drawn | stats.of_updates(updates) | probe | seen | {"lr": run.lr_at(step)}
        follow(run, at.checkpoints.kept, plan, groups, updates)
        at.journal.write(StepStats(step=step, values=values), groups)
        at.checkpoints.after(step + 1)
        at.progress.update(step + 1, run.steps, "on the corpus" if run.reads_corpus(step) else f"reward {values['reward/mean']:.2f}")
    at.learner.verify_frozen()
    at.checkpoints.finish()


def refuse_unfit(run: JointRun, at: Ports) -> None:
    """Raise ObjectiveError where these ports cannot serve the run's objectives, or their gradients are not what they say on a toy."""
    for phase in run.phases:
        refuse_impossible(
            phase.objective,
            group_size=run.group_size,
            has_teacher=at.teacher is not None,
            teacher_gives=at.teacher.gives if at.teacher is not None else Want.SAMPLED,
            has_reference=at.reference is not None,
        )
        self_check(phase.objective, temperature=run.sampling.temperature, group_size=run.group_size)


def sampled(run: JointRun, at: Ports, plan: Plan, *, step: int) -> tuple[list[Group], dict[str, float]]:
    """The step's judged groups. Dynamic sampling replaces groups that nothing would learn from; where no group is left, the first draw stands."""
    problems = at.problems.for_step(step)
    first = answered(run, at, problems, place=(*run.place, step))
    if not plan.objective.dynamic:
        return first, {}
    tried, seen, refill = list(first), {problem.id for problem in problems}, 0
    kept = [group for group in first if plan.keeps(group)]
    while len(kept) < len(problems) and refill < run.max_refills:
        refill += 1
        more = [problem for problem in at.problems.more(step, refill) if problem.id not in seen]
        seen |= {problem.id for problem in more}
        fresh = answered(run, at, more, place=(*run.place, step, refill))
        tried += fresh
        kept += [group for group in fresh if plan.keeps(group)]
    passed = [member.reward for group in tried for member in group.members if member.judged]
    values = {"groups/tried": float(len(tried)), "groups/kept": float(len(kept)), "reward/tried": sum(passed) / max(1, len(passed))}
    return kept[: len(problems)] or first, values


def answered(run: JointRun, at: Ports, problems: Sequence[Problem], *, place: Place) -> list[Group]:
    """Rollouts of these problems with their verdicts."""
    if not problems:
        return []
    rollouts = at.engine.sample(problems, per_problem=run.group_size, sampling=run.sampling, place=place)
    return judged(problems, rollouts, at.judge, truncated_reward=run.truncated_reward)


def from_corpus(at: Ports, step: int) -> tuple[list[Group], dict[str, float]]:
    assert at.corpus is not None, "a run with on_corpus is given the corpus"
    return list(at.corpus(step)), {"on_corpus": 1.0}


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


def scored(groups: Sequence[Group], plan: Plan, teacher: TeacherScorer | None, reference: TeacherScorer | None = None) -> list[Group]:
    """The groups with what teacher and reference say, each asked only of rollouts whose gradient contains it."""
    for partner, scorer in ((Partner.TEACHER, teacher), (Partner.REFERENCE, reference)):
        wanted = {id(m): m.rollout for g in groups for m in g.members if plan.wants(partner, m, g)}
        if wanted:
            assert scorer is not None, f"an objective that needs a {partner} is refused at start-up without one"
            views = scorer.score(list(wanted.values()), want=plan.objective.wants(partner) or Want.SAMPLED)
            groups = _told(groups, partner, dict(zip(wanted, views, strict=True)))
    return list(groups)


def _told(groups: Sequence[Group], partner: Partner, views: Mapping[int, View]) -> list[Group]:
    def told(member: ScoredRollout) -> ScoredRollout:
        view = views.get(id(member))
        if view is None:
            return member
        if partner is Partner.TEACHER:
            return replace(member, teacher_logprobs=view.logprobs, teacher_hidden=view.hidden)
        return replace(member, reference_logprobs=view.logprobs, reference_hidden=view.hidden)

    return [replace(group, members=tuple(map(told, group.members))) for group in groups]


def alignment(groups: Sequence[Group], teacher: TeacherScorer | None) -> dict[str, float]:
    """The mean log-ratio to the teacher over every rollout of the first step: a one-batch test of the alignment stage."""
    if teacher is None:
        return {}
    rollouts = [member.rollout for group in groups for member in group.members]
    return stats.log_ratio(rollouts, [view.logprobs for view in teacher.score(rollouts)])


def updated(run: JointRun, learner: Learner, groups: Sequence[Group], plan: Plan) -> list[dict[str, float]]:
    """The update(s) of one batch, each with its sums. With one update the ratio to the behaviour policy is 1 and no second pass is needed."""
    if run.updates_per_batch > 1:
        learner.freeze_behaviour(groups)
    parts = parts_of(groups, run.updates_per_batch, step=plan.step)
    counted = [(part, counts) for part in parts if (counts := plan.counts(part)).z > 0]
    if not counted:
        raise Diverged(f"step {plan.step}: no rollout could be judged, so there is nothing to learn from. Look at the judge's notes in the journal.")
    return [_update(run, learner, part, plan, counts) for part, counts in counted]


def parts_of(groups: Sequence[Group], updates: int, *, step: int) -> list[list[Group]]:
    """A batch cut into one part an update, shuffled first: problems may come dealt by difficulty, and a part should not be all of one."""
    if updates == 1:
        return [list(groups)]
    shuffled = Random(seed_for(step, "updates")).sample(list(groups), len(groups))
    return [shuffled[place::updates] for place in range(updates)]


def _update(run: JointRun, learner: Learner, groups: Sequence[Group], plan: Plan, counts: Counts) -> dict[str, float]:
    """Sums first, then one division by the update's own Z, clipping and the optimizer."""
    sums = learner.accumulate(groups, plan, counts)
    return {**sums, "z": float(counts.z), **learner.apply(counts.z, lr=run.lr_at(plan.step))}


def follow(run: JointRun, kept: dict[str, float], plan: Plan, groups: Sequence[Group], updates: Sequence[Mapping[str, float]]) -> None:
    """Move each adaptive strength by this step's KL, where its pull acted on anything."""
    rollouts = sum(len(group.members) for group in groups)
    for place, pull in enumerate(plan.objective.pulls):
        kl = stats.kl_of(updates, place)
        if isinstance(pull.beta, Adaptive) and kl is not None:
            kept[beta_name(run.phase_at(plan.step), place)] = pull.beta.after(plan.betas[place], kl=kl, rollouts=rollouts)


def beta_name(phase: int, pull: int) -> str:
    return f"beta/{phase}/{pull}"


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
