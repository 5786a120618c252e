"""Checks that pass on the real code. Each is run on it by a test, and on planted mistakes by `planted/test_planted.py`."""

import torch
from support import dense
from support import models as m
from support import records as r
from support.plans import plan_for, z_of
from support.toy import Chain, Rendering, enumerated, expected, one_action_each
from torch import Tensor

from vold.adapters.learners.single import Adam
from vold.adapters.problems.tiny import tiny_problem
from vold.base.types import Group, Rollout, Ruling
from vold.core import render
from vold.core.objective import EVERY, K2, NO_CREDIT, TEACHER, WRONG, Z_SCORE, Objective, Pull
from vold.core.reading import Reading
from vold.core.zoo import OPD, VOLD, VOLD_RL, ZOO

MIXED = ("RWWw", "RRR", "WwW", "RUW", "UU", "WR")
TEXT = [tiny_problem(0, "check", place, k) for place, k in enumerate((1, 6, 3, 2))]
"""Problems of the laptop world whose prompts have different lengths."""


# ---- closed form ----------------------------------------------------------------------------------------------------------------------


def check_k2_gradient_of_the_loss() -> None:
    """E[∇ k2] = ∇ KL(student ‖ teacher), through the loss."""
    _check_k2_gradient(render.loss)


def check_k2_gradient_of_the_coefficient() -> None:
    """The same through the coefficient."""
    _check_k2_gradient(render.by_coefficient)


def _check_k2_gradient(rendering: Rendering) -> None:
    objective = Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, beta=1.0, by=K2, on=EVERY),))
    for seed in range(3):
        draw = torch.Generator().manual_seed(seed)
        logits_V = torch.randn(5, generator=draw, dtype=torch.float64).mul(1.5).requires_grad_()
        teacher_V = torch.randn(5, generator=draw, dtype=torch.float64).mul(1.5).log_softmax(0)
        batch, logprobs_V = one_action_each(logits_V, teacher_V)
        (found_V,) = torch.autograd.grad(rendering(plan_for(objective), batch, Reading(logprobs_N=logprobs_V)).loss, logits_V, retain_graph=True)
        reverse = (logprobs_V.exp() * (logprobs_V - teacher_V)).sum()
        (truth_V,) = torch.autograd.grad(reverse, logits_V)
        torch.testing.assert_close(found_V, truth_V, rtol=0, atol=1e-13)


CHAIN_OBJECTIVE = Objective(Z_SCORE, None, pulls=(Pull(TEACHER, beta=0.7, by=K2, on=WRONG),))


def chain_tables(chain: Chain) -> tuple[Tensor, Tensor]:
    """The student's logits and the teacher's log-probabilities, token before × token."""
    draw = torch.Generator().manual_seed(11)
    logits_VV, teacher_VV = torch.randn(2, chain.size, chain.size, generator=draw, dtype=torch.float64)
    return logits_VV, teacher_VV.log_softmax(1)


def check_expected_vold_gradient(cap: int = 2, copies: int = 3, rendering: Rendering = render.by_coefficient) -> None:
    """Masked VOLD's expected gradient over every group equals an enumeration in plain numpy."""
    chain = Chain(cap=cap)
    logits_VV, teacher_VV = chain_tables(chain)
    found = expected(chain, logits_VV, teacher_VV, CHAIN_OBJECTIVE, rendering, copies=copies)
    truth = enumerated(chain, logits_VV.numpy(), teacher_VV.numpy(), copies=copies, beta=0.7, masked=True)
    torch.testing.assert_close(found, torch.tensor(truth), rtol=0, atol=1e-10)


# ---- the step ----------------------------------------------------------------------------------------------------------------------


def check_step_equals_dense(world: m.World, name: str = "VOLD", words: tuple[str, ...] = MIXED, *, temperature: float = 1.0, **made: bool) -> None:
    """accumulate and one division equal the paper's equations on all logits, one rollout at a time."""
    groups = r.groups_of(*words, **made)
    learner = m.learner_of(world.student64, temperature=temperature, token_budget=60)
    found = m.gradient_of(learner, groups, ZOO[name], z=z_of(groups, ZOO[name]))
    model = world.student64.model
    dense.loss_of(model, groups, dense.METHODS[name], learner.banned_V, temperature=temperature).backward()
    m.assert_same_gradient(found, m.taken(model), within=1e-12)


def check_all_wrong_group_learns(world: m.World) -> None:
    """A group without a right answer has no credit, and all of the teacher's pull."""
    groups = r.groups_of("WWw")
    assert m.size_of(m.gradient_of(m.learner_of(world.student64), groups, VOLD)) > 1e-3, "an all-wrong group taught nothing"
    check_step_equals_dense(world, words=("WWw",))


def check_cut_changes_nothing(world: m.World) -> None:
    """The same gradient whether rollouts are read one by one, some together, or all at once."""
    groups = r.groups_of(*MIXED)
    whole = m.gradient_of(m.learner_of(world.student64, token_budget=10_000), groups, VOLD)
    for budget in (1, 37, 60):
        m.assert_same_gradient(m.gradient_of(m.learner_of(world.student64, token_budget=budget), groups, VOLD), whole, within=1e-12)


# ---- teacher, trainer, engine ----------------------------------------------------------------------------------------------------------


def check_teacher_reads_each_token(world: m.World) -> None:
    """The teacher's numbers are those of a full forward of prompt and response, token by token."""
    teacher = m.teacher_of(world.teacher64, token_budget=80)
    rollouts = _answers(teacher.template)
    for rollout, found in zip(rollouts, teacher.score(rollouts), strict=True):
        with torch.no_grad():
            truth = dense.logprobs_of(world.teacher64.model, rollout, teacher.banned_V)
        assert len(found.logprobs) == len(rollout.response_ids)
        torch.testing.assert_close(torch.tensor(found.logprobs, dtype=torch.float64), truth, rtol=0, atol=1e-12)


def _answers(template: m.Template) -> list[Rollout]:
    """Hand-made answers of different lengths to the problems, prompts as this template renders them."""
    made = [mem.rollout for g in r.groups_of("WW", "WW", "WW", "WW") for mem in g.members]
    asked = [problem for problem in TEXT for _ in range(2)]
    return [r.rollout(problem, old.sample, template.render(problem).ids, old.response_ids) for problem, old in zip(asked, made, strict=True)]


def check_twin_teacher_gives_zero(world: m.World, *, temperature: float = 1.0) -> None:
    """A teacher that is the student: log-ratio and pull are 0, so both softmaxes run over the same ids at the same temperature."""
    student = world.fresh("teacher")
    learner = m.learner_of(student, temperature=temperature)
    teacher = m.teacher_of(world.teacher64, temperature=temperature)
    rollouts = _answers(teacher.template)
    views = dict(zip([(x.problem.id, x.sample) for x in rollouts], teacher.score(rollouts), strict=True))
    groups = [
        Group(
            problem=problem,
            members=tuple(r.member(x, Ruling.WRONG, views[x.problem.id, x.sample].logprobs) for x in rollouts if x.problem is problem),
        )
        for problem in TEXT
    ]
    sums = m.accumulate(learner, groups, OPD)
    assert sums["pulled_tokens"] == sum(len(x.response_ids) for x in rollouts)
    assert sums["log_ratio_max"] < 1e-12, f"a teacher equal to the student differs by {sums['log_ratio_max']:.3g}"
    assert m.size_of(m.taken(student.model)) < 1e-10


def check_engine_equals_trainer(world: m.World, *, temperature: float = 1.0, copies: int = 3, budget: int = 100) -> None:
    """The log-probabilities recorded while sampling are those the trainer finds for the same tokens."""
    student = world.student32
    rollouts = m.engine_of(student).sample(TEXT, per_problem=copies, sampling=m.sampling(14, temperature), place=("check",))
    groups = [Group(problem=p, members=tuple(r.member(x, Ruling.WRONG) for x in rollouts if x.problem is p)) for p in TEXT]
    learner = m.learner_of(student, temperature=temperature, token_budget=budget)
    learner.freeze_behaviour(groups)
    assert learner.behaviour is not None
    for x in rollouts:
        recorded, found = (torch.tensor(row, dtype=torch.float64) for row in (x.logprobs, learner.behaviour[x.problem.id, x.sample]))
        torch.testing.assert_close(recorded, found, rtol=0, atol=1e-5)


def check_samples_of_a_problem_differ(world: m.World) -> None:
    """The rollouts of one group are drawn apart."""
    rollouts = m.engine_of(world.student32).sample(TEXT[:2], per_problem=4, sampling=m.sampling(12), place=("check",))
    for problem in TEXT[:2]:
        answers = {x.response_ids for x in rollouts if x.problem is problem}
        assert len(answers) == 4, f"4 rollouts of {problem.id} are {len(answers)} different answers"


# ---- the tower ----------------------------------------------------------------------------------------------------------------------


def check_tower_takes_no_gradient(world: m.World) -> None:
    """No parameter of the tower asks for a gradient or lies in the optimizer; every other parameter does both."""
    student = world.fresh(dtype="float32")
    learner = m.learner_of(student)
    held = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    tower = {id(p) for p in student.model.model.visual.parameters()}
    for name, parameter in student.model.named_parameters():
        trained = id(parameter) not in tower
        assert parameter.requires_grad == trained, f"{name} has requires_grad = {parameter.requires_grad}"
        assert (id(parameter) in held) == trained, f"{name} is {'in' if id(parameter) in held else 'not in'} the optimizer"


def check_tower_keeps_its_bytes(world: m.World) -> None:
    """After updates with weight decay the tower is the same to the byte, and the rest is not."""
    student = world.fresh(dtype="float32")
    before = {name: p.detach().clone() for name, p in student.model.named_parameters()}
    learner = m.learner_of(student, adam=Adam(weight_decay=0.5))
    groups = r.groups_of(*MIXED)
    for step in range(2):
        m.accumulate(learner, groups, VOLD, step=step)
        learner.apply(z_of(groups, VOLD), lr=1e-2)
    for name, parameter in student.model.named_parameters():
        assert torch.equal(parameter, before[name]) == (".visual." in name), f"{name} {'moved' if '.visual.' in name else 'did not move'}"
    learner.verify_frozen()


def check_reward_alone_needs_no_teacher(world: m.World) -> None:
    """The gradient of VOLD without its pull, on groups the teacher never saw."""
    groups = r.with_teacher(r.groups_of(*MIXED), lambda _: None)
    assert m.size_of(m.gradient_of(m.learner_of(world.student64), groups, VOLD_RL)) > 1e-3
