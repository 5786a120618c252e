"""Checks of what an objective can say. Each passes on the real code, and is run on planted mistakes by `planted/test_planted_objectives.py`."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from support import models as m
from support import records as r
from support.bigram import Bigram
from support.invariance import check_nothing_about_the_batch_matters
from support.objectives import STATED
from support.plans import plan_for
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.adapters.checkpoints import FolderCheckpoints
from vold.base.types import Problem
from vold.config.load import load
from vold.core.objective import TEACHER, Adaptive, Baseline, Credit, Objective, Partner, Pull, Schedule, TeacherRatio
from vold.core.zoo import ZOO
from vold.stages.joint import Phase, joint
from vold.wiring.parts import Parts

GROUPS = r.spoken(r.groups_of("RWWw", "RRR", "WwW", "RUW", "UU", "WR", "rRw", "w", inserted=True))
"""Every kind of group, every length from one token to the cap, and tokens that were not sampled."""


# -- one step --------------------------------------------------------------------------------------------------------------------------


def check_is_as_written(objective: Objective, *, temperature: float = 0.7) -> None:
    """The learner's gradient is that of the declaration: at the only update and at a later one, at the start and half-way through schedules."""
    student = Bigram(temperature=temperature)
    for step in (0, 5):
        for old in (None, student.moved_from(GROUPS)):
            found = student.by_the_program(student.plan(objective, step=step), GROUPS, old)
            m.assert_same_gradient(found, student.as_written(objective, GROUPS, old, step=step), within=1e-12)


def check_cut_order_and_ranks() -> None:
    """Nothing about a batch matters, with a pull over its own tokens, a factor of the group and a full divergence in play."""
    student = Bigram()
    for name in ("over pulled tokens", "by teacher perplexity", "two pulls", "weight by sequence"):
        for several in (False, True):
            check_nothing_about_the_batch_matters(student.learner, student.plan(STATED[name]), GROUPS, several=several)


# the group, and one mark a rollout: x where a partner is asked
ASKED = [
    ("VOLD", Partner.TEACHER, "RWUw", ".x.x"),
    ("VOLD", Partner.TEACHER, "RRR", "..."),
    ("VOLD", Partner.TEACHER, "WWw", "xxx"),
    ("VOLD", Partner.REFERENCE, "RWW", "..."),
    ("OPD", Partner.TEACHER, "RWU", "xxx"),
    ("HDPO", Partner.TEACHER, "RWW", "..."),
    ("HDPO", Partner.TEACHER, "WWU", "xx."),
    ("RLSD", Partner.TEACHER, "RWU", "xx."),
    ("RLSD", Partner.TEACHER, "WWW", "..."),
    ("VOLD_RL", Partner.TEACHER, "RWW", "..."),
    ("GRPO", Partner.REFERENCE, "RWU", "xx."),
    ("GRPO", Partner.TEACHER, "RWW", "..."),
]


def check_who_is_asked() -> None:
    """Teacher and reference read a rollout where its gradient contains what they say, and nowhere else."""
    for name, partner, word, marks in ASKED:
        (group,) = r.groups_of(word)
        plan = plan_for(ZOO[name])
        found = "".join("x" if plan.wants(partner, member, group) else "." for member in group.members)
        assert found == marks, f"whom the {partner} is asked about differs for {name} on {word}: {found}, expected {marks}"


# -- the stage -------------------------------------------------------------------------------------------------------------------------

DYNAMIC = {"VOLD": replace(ZOO["VOLD"], dynamic=True), "DAPO": ZOO["DAPO"]}


def named(*words: str, refill: int = 0) -> list[Problem]:
    """Problems that tell in their names how their answers will be judged."""
    return [r.problem(f"{word}-{refill}-{place}") for place, word in enumerate(words)]


def as_named(asked: Problem, sample: int) -> str:
    return "\\boxed{ 7 }" if asked.id[sample] == "R" else "\\boxed{ 6 }"


def check_refills_keep_what_a_pull_needs() -> None:
    """VOLD's dynamic sampling keeps what only the teacher can teach; DAPO's keeps what the reward tells apart, and nothing else."""
    groups = dict(zip(("mixed", "all wrong", "all right"), r.groups_of("RWW", "WWW", "RRR"), strict=True))
    found = {name: {kind for kind, group in groups.items() if plan_for(objective).keeps(group)} for name, objective in DYNAMIC.items()}
    assert found == {"VOLD": {"mixed", "all wrong"}, "DAPO": {"mixed"}}, f"kept groups differ: {found}"


def check_refills_stop(world: m.World) -> None:
    """After as many as allowed, with what there is."""
    for most in (0, 1, 4):
        recorder = Recorder(asked=named("RWW", "RRR", "WWW"), refills=lambda _, refill: named("RRR", refill=refill))
        joint(run_of(DYNAMIC["DAPO"], steps=1, max_refills=most), ports_of(world, recorder, None, script=as_named))
        (entry,) = recorder.of("accumulate")
        assert [name[:3] for name in entry[1]] == ["RWW"], f"the trained groups differ: {entry[1]}"
        found = recorder.of("more")
        assert len(found) == most, f"the refills differ: {len(found)}, expected {most}"


def check_no_problem_twice(world: m.World) -> None:
    """What a refill offers again is not asked again."""
    first = ["RWW", "RRR", "WRW", "RRR"]
    again = [replace(asked, id=f"{asked.id}/0") for asked in named(*first)]  # as the step itself calls them
    offers = {1: named("RRR", "WWR", refill=1), 2: named("RRR", "WWR", refill=1), 3: named("RRR", "WWR", refill=3)}
    recorder = Recorder(asked=named(*first), refills=lambda _, refill: [*again, *offers[refill]])
    joint(run_of(DYNAMIC["DAPO"], steps=1, max_refills=3), ports_of(world, recorder, None, script=as_named))
    (entry,) = recorder.of("accumulate")
    assert len(set(entry[1])) == len(entry[1]) == 4, f"the trained groups are not all different: {entry[1]}"
    tried = recorder.of("write")[0][2]["groups/tried"]
    assert tried == 4 + 2 + 0 + 2, f"the groups tried differ: {tried}"


def check_a_strength_follows_the_kl(world: m.World) -> None:
    """Above the target the strength is raised step by step, below it is lowered, by what six rollouts in a horizon of sixty allow."""
    objective = replace(ZOO["OPD"], pulls=(Pull(TEACHER, Adaptive(0.1, target=0.05, horizon=60)),))
    for kl, factor in ((1.0, 1.02), (0.0, 0.98), (0.06, 1.02), (0.05, 1.0), (0.045, 0.99)):
        recorder = Recorder(asked=[r.problem("a"), r.problem("b")], sums={"pulled_tokens/0": 40.0, "k3/0": 40.0 * kl})
        joint(run_of(objective, steps=4), ports_of(world, recorder, some_teacher()))
        found = [entry[2]["pull/beta"] for entry in recorder.of("write")]
        expected = [0.1 * factor**step for step in range(4)]
        apart = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        assert apart < 1e-12, f"at a KL of {kl} the strengths differ: {found}, expected {expected}"


def check_a_strength_is_saved(world: m.World) -> None:
    """A checkpoint brings back what the stage kept, and nothing of what it kept since."""
    learner = m.learner_of(world.student32)
    with TemporaryDirectory() as folder:
        saved = FolderCheckpoints(folder=Path(folder), learner=learner, every=1, kept={"beta/0/0": 0.25})
        saved.after(1)
        restored = FolderCheckpoints(folder=Path(folder), learner=learner, every=1, kept={"beta/1/0": 0.5})
        assert restored.restore() == 1, "the step differs"
        assert restored.kept == {"beta/0/0": 0.25}, f"what was kept differs: {restored.kept}"


def check_schedules() -> None:
    """Every number that may move is, at each step, where its formula puts it: KDRL's printed annealing, and lines that begin later."""
    later = Schedule(0.2, 1.0, begin=10, until=20)
    moving = Objective(Credit(Baseline.Z_SCORE, weight=later, by_teacher=TeacherRatio(later, 0.2)), None, entropy=later)
    run = run_of(steps=150, phases=(Phase(objective=ZOO["KDRL_ANNEALED"], until=120), Phase(objective=moving, until=150)))
    for step in range(120):
        (beta,) = run.plan_at(step, {}).betas
        assert abs(beta - max(5e-3 - 5e-5 * step, 1e-3)) < 1e-15, f"β differs at step {step}: {beta}"
    for step, expected in ((0, 0.2), (10, 0.2), (11, 0.28), (15, 0.6), (19, 0.92), (20, 1.0), (29, 1.0)):
        plan = run_of(steps=150, phases=(Phase(objective=moving, until=150),)).plan_at(step, {})
        for found in (plan.credit_weight, plan.teacher_ratio, plan.entropy):
            assert abs(found - expected) < 1e-15, f"a weight differs at step {step}: {found}, expected {expected}"
    assert run.plan_at(119, {}).objective is ZOO["KDRL_ANNEALED"], "the phases differ"
    assert run.plan_at(120, {}).objective is moving, "the phases differ"


def check_the_share_of_steps_on_the_corpus() -> None:
    """Exactly the share declared, spread evenly."""
    for share, expected in ((0.0, "........"), (0.25, "...x...x"), (0.5, ".x.x.x.x"), (0.75, ".xxx.xxx"), (1.0, "xxxxxxxx")):
        run = run_of(on_corpus=share)
        found = "".join("x" if run.reads_corpus(step) else "." for step in range(8))
        assert found == expected, f"steps on the corpus differ at a share of {share}: {found}, expected {expected}"


def check_the_reference_stays_where_it_was(world: m.World) -> None:
    """The student moves; the reference made from the same folder says of an answer what it said before."""
    parts = Parts(settings=load("tiny").settings, root=Path("nowhere"))
    student = parts.load(parts.settings.student, world.student_folder)
    learner = m.learner_of(student)
    reference = parts.reference(world.student_folder, learner.banned_V)
    groups = r.groups_of("RWW")
    answers = [member.rollout for member in groups[0].members]
    before = reference.score(answers)
    m.accumulate(learner, groups, ZOO["VOLD"])
    learner.apply(1.0, lr=1e-2)
    assert reference.score(answers) == before, "the reference moved with the student"
    learner.freeze_behaviour(groups)
    assert learner.behaviour is not None
    moved = [torch.tensor(learner.behaviour[x.problem.id, x.sample]) - torch.tensor(view.logprobs) for x, view in zip(answers, before, strict=True)]
    assert max(float(gap.abs().max()) for gap in moved) > 1e-3, "the student did not move: nothing was shown"
