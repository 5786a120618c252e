"""Stage 2: one set of student rollouts feeds both the reward and the teacher."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

from vold.base.errors import DataError, NothingJudged
from vold.base.seeds import seed_for
from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, StepStats, Verdict, View
from vold.core import stats
from vold.core.objective import Partner
from vold.core.plan import Counts, Plan
from vold.ports import Judge, Learner, Place, TeacherScorer
from vold.stages.joint_run import JointRun, Phase, Ports, Validation, beta_name, refuse_unfit
from vold.stages.left_out import verdicts_on

__all__ = ["JointRun", "Phase", "Ports", "Validation", "joint"]


def joint(run: JointRun, at: Ports) -> None:
    """Prompts, rollouts, verdicts, the teacher where the objective reads it, one update (or a few); then the next step."""
    refuse_unfit(run, at)
    start = at.checkpoints.restore()
    at.journal.rewind(start)
    for step in range(start, run.steps):
        plan = run.plan_at(step, at.checkpoints.kept)
        at.engine.adopt(at.learner.weights(), version=step)
        groups, updates, drawn = (streamed if run.stream and not run.reads_corpus(step) else learned)(run, at, plan)
        seen = validated(at, step=step) if due(step + 1, run.validate_every) or step + 1 == run.steps else {}
        values = stats.of_groups(groups, plan) | stats.of_updates(updates) | seen | {"lr": run.lr_at(step)}
        if run.reads_corpus(step):
            values = {name: value for name, value in values.items() if name not in stats.OF_OWN_TOKENS}
        else:
            follow(run, at.checkpoints.kept, plan, groups, updates)
        at.journal.write(StepStats(step=step, values=values | drawn), groups)
        at.checkpoints.after(step + 1)
        at.progress.update(step + 1, run.steps, "on the corpus" if run.reads_corpus(step) else f"reward {values['reward/mean']:.2f}")
    at.learner.verify_frozen()
    at.checkpoints.finish()


def learned(run: JointRun, at: Ports, plan: Plan) -> tuple[list[Group], list[dict[str, float]], dict[str, float]]:
    """One step: every rollout first, then every verdict, then the partners where the objective reads them, then the update (or a few)."""
    if run.reads_corpus(plan.step):
        groups, drawn = from_corpus(at, plan.step)
    else:
        groups, drawn = sampled(run, at, plan)
        drawn |= probed(at, groups, plan)
    groups = scored(groups, plan, at.teacher, at.reference)
    return groups, updated(run, at.learner, groups, plan), drawn


def streamed(run: JointRun, at: Ports, plan: Plan) -> tuple[list[Group], list[dict[str, float]], dict[str, float]]:
    """The same step by parts of `run.stream` problems: what is finished is judged, read and turned into gradient while the next part is generated.

    The weights do not change before the last part is in, so every rollout is of the same policy; parts follow one another in problem order.
    """
    problems = at.problems.for_step(plan.step)
    parts = [problems[start : start + run.stream] for start in range(0, len(problems), run.stream)]
    groups: list[Group] = []
    sums: dict[str, float] = {}

    def sample(part: Sequence[Problem]) -> list[Rollout]:
        return at.engine.sample(part, per_problem=run.group_size, sampling=run.sampling, place=(*run.place, plan.step))

    refuse_twins(problems)
    with ThreadPoolExecutor(max_workers=1) as beside:
        ahead = beside.submit(sample, parts[0])
        for place, part in enumerate(parts):
            rollouts = ahead.result()
            ahead = beside.submit(sample, parts[place + 1]) if place + 1 < len(parts) else ahead
            fresh = judged(part, rollouts, at.judge, truncated_reward=run.truncated_reward)
            fresh = scored(fresh, plan, at.teacher, at.reference)
            stats.add(sums, at.learner.accumulate(fresh, plan, plan.counts(fresh)))
            groups += map(without_states, fresh)
    counts = plan.counts(groups)
    refuse_unjudged(groups, plan, [counts])
    return groups, [{**sums, "z": float(counts.z), **at.learner.apply(counts.z, lr=run.lr_at(plan.step))}], probed(at, groups, plan)


def without_states(group: Group) -> Group:
    """A group whose gradient has been taken: partners' hidden states and likeliest ids are let go of."""

    def freed(member: ScoredRollout) -> ScoredRollout:
        return replace(member, teacher_hidden=None, teacher_likeliest=None, reference_hidden=None, reference_likeliest=None)

    return replace(group, members=tuple(map(freed, group.members)))


def sampled(run: JointRun, at: Ports, plan: Plan) -> tuple[list[Group], dict[str, float]]:
    """The step's judged groups. Dynamic sampling replaces groups that nothing would learn from; where no group is left, the first draw stands."""
    step = plan.step
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
    refuse_twins(problems)
    rollouts = at.engine.sample(problems, per_problem=run.group_size, sampling=run.sampling, place=place)
    return judged(problems, rollouts, at.judge, truncated_reward=run.truncated_reward)


def refuse_twins(problems: Sequence[Problem]) -> None:
    """Raise DataError where a step would ask one problem twice."""
    ids = [problem.id for problem in problems]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DataError(f"a step holds problem {twice} twice, and its rollouts could not be told apart. Give each problem an id of its own.")


def from_corpus(at: Ports, step: int) -> tuple[list[Group], dict[str, float]]:
    assert at.corpus is not None, "a run with on_corpus is given the corpus"
    return list(at.corpus(step)), {"on_corpus": 1.0}


def judged(problems: Sequence[Problem], rollouts: Sequence[Rollout], judge: Judge, *, truncated_reward: str) -> list[Group]:
    """Rollouts with their verdicts, grouped by problem in problem order."""
    verdicts = [_ruled(rollout, verdict, truncated_reward) for rollout, verdict in zip(rollouts, verdicts_on(rollouts, judge), strict=True)]
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
        asked: set[tuple[str, int]] = set()
        # of those who are left when somebody could not be read, one may be wanted that was not before
        while wanted := {id(m): m.rollout for g in groups for m in g.members if _key(m) not in asked and plan.wants(partner, m, g)}:
            assert scorer is not None, f"an objective that needs a {partner} is refused at start-up without one"
            asked |= {(rollout.problem.id, rollout.sample) for rollout in wanted.values()}
            views = scorer.score(list(wanted.values()), want=plan.asks(partner), top=plan.top(partner))
            groups = _told(groups, partner, dict(zip(wanted, views, strict=True)))
    return list(groups)


def _key(member: ScoredRollout) -> tuple[str, int]:
    return member.rollout.problem.id, member.rollout.sample


def _told(groups: Sequence[Group], partner: Partner, views: Mapping[int, View | None]) -> list[Group]:
    def told(member: ScoredRollout) -> ScoredRollout:
        if id(member) not in views:
            return member
        view = views[id(member)]
        if view is None:
            return replace(member, excluded=partner.value)
        if partner is Partner.TEACHER:
            return replace(member, teacher_logprobs=view.logprobs, teacher_hidden=view.hidden, teacher_likeliest=view.likeliest)
        return replace(member, reference_logprobs=view.logprobs, reference_hidden=view.hidden, reference_likeliest=view.likeliest)

    return [replace(group, members=tuple(map(told, group.members))) for group in groups]


def probed(at: Ports, groups: Sequence[Group], plan: Plan) -> dict[str, float]:
    """In the first step, how far the student is from its teacher."""
    return {} if plan.step else alignment(groups, at.teacher)


def alignment(groups: Sequence[Group], teacher: TeacherScorer | None) -> dict[str, float]:
    """The mean log-ratio to the teacher over every rollout of the first step: a one-batch test of the alignment stage."""
    if teacher is None:
        return {}
    rollouts = [member.rollout for group in groups for member in group.members if not member.left_out]
    read = [(rollout, view.logprobs) for rollout, view in zip(rollouts, teacher.score(rollouts), strict=True) if view is not None]
    return stats.log_ratio([rollout for rollout, _ in read], [logprobs for _, logprobs in read])


def updated(run: JointRun, learner: Learner, groups: Sequence[Group], plan: Plan) -> list[dict[str, float]]:
    """The update(s) of one batch, each with its sums. With one update the ratio to the behaviour policy is 1 and no second pass is needed."""
    if run.updates_per_batch > 1:
        learner.freeze_behaviour(groups)
    parts = [(part, plan.counts(part)) for part in parts_of(groups, run.updates_per_batch, step=plan.step)]
    refuse_unjudged(groups, plan, [counts for _, counts in parts])
    return [_update(run, learner, part, plan, counts) for part, counts in parts if counts.z > 0]


def refuse_unjudged(groups: Sequence[Group], plan: Plan, of_updates: Sequence[Counts]) -> None:
    """Raise NothingJudged where no update of a step has anything to divide by."""
    if not any(counts.z > 0 for counts in of_updates):
        first = next((m for g in groups for m in g.members), None)
        raise NothingJudged(
            f"step {plan.step}: none of its {sum(len(g.members) for g in groups)} rollouts could be judged, so there is nothing to learn from"
            f"{f' (the first, {first.rollout.problem.id}: {first.verdict.note})' if first else ''}. The notes of all are in the stage's "
            "verdicts.jsonl. Mend the judge or the references, delete that file, and run again: this step is then judged anew."
        )


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
    for place, beta in stats.betas_after(plan.objective, dict(enumerate(plan.betas)), updates, rollouts=rollouts).items():
        kept[beta_name(run.phase_at(plan.step), place)] = beta


def validated(at: Ports, *, step: int) -> dict[str, float]:
    """Greedy accuracy on the validation problems that could be judged, under the weights just updated."""
    if at.validation is None:
        return {}
    at.engine.adopt(at.learner.weights(), version=step + 1)
    rollouts = at.engine.sample(at.validation.problems, per_problem=1, sampling=at.validation.sampling, place=("validation",))
    rulings = [verdict.ruling for verdict in verdicts_on(rollouts, at.judge) if verdict.ruling is not Ruling.UNJUDGED]
    return {f"validation/{at.validation.name}": rulings.count(Ruling.RIGHT) / len(rulings)} if rulings else {}


def due(count: int, every: int) -> bool:
    return every > 0 and count % every == 0
