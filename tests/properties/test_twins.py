"""A teacher that is the student pulls nowhere; engine, trainer and teacher give probability 0 to the same ids."""

from dataclasses import replace

import pytest
import torch
from support import models as m
from support import records as r
from support.checks import TEXT, check_teacher_reads_each_token, check_twin_teacher_gives_zero
from support.plans import plan_for

from vold.adapters.teachers.tabular import TabularTeacher
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import DataError
from vold.base.types import Group, Rollout, Ruling
from vold.core.objective import NO_CREDIT, Partner, Want
from vold.core.zoo import OPD, ZOO
from vold.stages.joint import alignment, scored


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_twin_teacher_gives_zero(world: m.World, temperature: float) -> None:
    check_twin_teacher_gives_zero(world, temperature=temperature)


def test_the_teacher_reads_each_token(world: m.World) -> None:
    check_teacher_reads_each_token(world)


@pytest.mark.parametrize("name", ["student", "teacher"])
def test_twins_end_to_end_in_float32(world: m.World, name: str) -> None:
    """Sampled by the engine, scored by a teacher of the same folder (with or without eyes), accumulated by the learner: no pull."""
    student, twin = world.fresh(name, dtype="float32"), world.fresh(name, dtype="float32")
    banned_V = banned_ids(student, twin)
    teacher = m.teacher_of(twin, banned_V=banned_V)
    rollouts = m.engine_of(student, banned_V=banned_V).sample(TEXT, per_problem=3, sampling=m.sampling(10), place=("joint", 0))
    groups = [Group(problem=p, members=tuple(r.member(x, Ruling.WRONG) for x in rollouts if x.problem is p)) for p in TEXT]
    sums = m.accumulate(m.learner_of(student, banned_V=banned_V), scored(groups, plan_for(OPD), teacher), OPD)
    assert sums["pulled_tokens"] == sum(len(x.response_ids) for x in rollouts)
    assert sums["log_ratio_max"] <= 1e-6
    assert m.size_of(m.taken(student.model)) < 1e-4
    assert alignment(groups, teacher)["teacher/log_ratio_start"] == pytest.approx(0.0, abs=1e-5)


def test_the_same_ids_are_out_in_engine_trainer_and_teacher(world: m.World) -> None:
    """One answer of one token for each row of the vocabulary: probability 0 for the banned ones, 1 in all for the others."""
    student, twin = world.student32, world.fresh("teacher", dtype="float32")
    banned_V = banned_ids(student, twin)
    engine, teacher, learner = m.engine_of(student, banned_V=banned_V), m.teacher_of(twin, banned_V=banned_V), m.learner_of(student)
    prompt = engine.template.render(TEXT[0]).ids
    answers = [r.rollout(TEXT[0], i, prompt, [i]) for i in range(len(banned_V))]
    learner.freeze_behaviour([Group(problem=TEXT[0], members=tuple(r.member(x, Ruling.WRONG) for x in answers))])
    assert learner.behaviour is not None
    by_trainer = torch.tensor([learner.behaviour[TEXT[0].id, i][0] for i in range(len(banned_V))])
    by_teacher = torch.tensor([view.logprobs[0] for view in teacher.score(answers)])
    drawn = engine.sample(TEXT[:1], per_problem=1024, sampling=m.sampling(1), place=("joint", 0))
    by_engine = torch.full_like(by_trainer, float("-inf"))
    for x in drawn:
        by_engine[x.response_ids[0]] = x.logprobs[0]

    assert 0 < int(banned_V.sum()) < len(banned_V)
    for logprobs_V in (by_trainer, by_teacher, by_engine):
        assert (logprobs_V[banned_V].exp() == 0).all()
    for logprobs_V in (by_trainer, by_teacher):
        assert float(logprobs_V.exp().sum()) == pytest.approx(1.0, abs=1e-5)
    seen_V = by_engine > float("-inf")
    torch.testing.assert_close(by_engine[seen_V], by_trainer[seen_V], rtol=0, atol=1e-5)
    assert float(by_trainer[seen_V].exp().sum()) > 0.9


def test_the_teacher_reads_its_own_template(world: m.World) -> None:
    """The prompt is rendered anew for the teacher: its suffix, and not the student's ids."""
    plain = m.teacher_of(world.teacher64)
    told = m.teacher_of(world.teacher64, template=Template(of=world.teacher64, suffix=" reason"))
    answer = r.rollout(TEXT[0], 0, [9, 9, 9], [10, 11, 2])
    other_ids = replace(answer, prompt_ids=plain.template.render(TEXT[0]).ids)
    assert plain.score([answer]) == plain.score([other_ids])
    assert plain.score([answer]) != told.score([answer])


def test_hidden_states_are_those_the_numbers_come_from(world: m.World) -> None:
    """Under the teacher's own head, at the temperature, over the allowed ids; and they come only where they are wanted."""
    teacher = m.teacher_of(world.teacher64, temperature=0.7, token_budget=50)
    answers = [x.rollout for group in r.groups_of("WW", "W") for x in group.members]
    assert teacher.gives is Want.HIDDEN
    assert all(view.hidden is None for view in teacher.score(answers))
    for answer, view in zip(answers, teacher.score(answers, want=Want.HIDDEN), strict=True):
        logits_TV = (view.hidden @ world.teacher64.head.T / 0.7).masked_fill(teacher.banned_V, float("-inf"))
        said_T = logits_TV.log_softmax(1)[range(len(answer.response_ids)), list(answer.response_ids)]
        torch.testing.assert_close(said_T.detach(), torch.tensor(view.logprobs, dtype=torch.float64), rtol=0, atol=1e-12)
    table = TabularTeacher(logprobs_VV=torch.randn(64, 64, dtype=torch.float64).log_softmax(1))
    (view,) = table.score(answers[:1], want=Want.HIDDEN)
    said_T = (view.hidden @ table.head.T)[range(len(view.logprobs)), list(answers[0].response_ids)]
    assert said_T.tolist() == pytest.approx(view.logprobs, abs=1e-15)


@pytest.mark.parametrize("name", ["VOLD_FULL", "GKD"])
def test_twins_disagree_nowhere_in_the_vocabulary(world: m.World, name: str) -> None:
    """A teacher that is the student pulls with no force over the whole distribution either; nor is it trained."""
    student, twin = world.fresh("teacher"), world.teacher64
    teacher, plan = m.teacher_of(twin, temperature=0.7), plan_for(replace(ZOO[name], credit=NO_CREDIT, clip=None))
    learner = m.learner_of(student, temperature=0.7, heads={Partner.TEACHER: twin.head})
    rollouts = [r.rollout(p, i, teacher.template.render(p).ids, ids) for p in TEXT[:2] for i, ids in enumerate([(9, 10, 2), (12,)])]
    groups = [Group(problem=p, members=tuple(r.member(x, Ruling.WRONG) for x in rollouts if x.problem is p)) for p in TEXT[:2]]
    groups = scored(groups, plan, teacher)
    learner.accumulate(groups, plan, plan.counts(groups))
    assert m.size_of(m.taken(student.model)) < 1e-12
    assert all(parameter.grad is None for parameter in twin.model.parameters())


def test_scores_keep_the_order_of_the_question(world: m.World) -> None:
    """Rows are sorted by length and cut for the model's sake only."""
    answers: list[Rollout] = [x.rollout for group in r.groups_of("WWW", "WWW") for x in group.members]
    alone = [m.teacher_of(world.teacher64).score([x])[0] for x in answers]
    for budget in (1, 40, 10_000):
        together = m.teacher_of(world.teacher64, token_budget=budget).score(answers)
        assert [len(view.logprobs) for view in together] == [len(x.response_ids) for x in answers]
        for one, other in zip(together, alone, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-12)


@pytest.mark.parametrize("rows", [50, 80])
def test_a_teacher_may_have_other_padded_rows(world: m.World, rows: int) -> None:
    """Real pairs do: embeddings are padded to different sizes. The same words are allowed, so the numbers are the same."""
    padded = world.fresh("teacher")
    banned_V = banned_ids(world.student32, padded)
    padded.model.resize_token_embeddings(rows, mean_resizing=False)
    assert banned_ids(world.student32, padded).tolist() == banned_V.tolist()
    answers = [x.rollout for group in r.groups_of("WW", "WW") for x in group.members]
    for found, expected in zip(m.teacher_of(padded, banned_V=banned_V).score(answers), m.teacher_of(world.teacher64).score(answers), strict=True):
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-12)


def test_a_text_only_teacher_refuses_pictures(world: m.World) -> None:
    shown = replace(TEXT[0], images=(b"png",))
    with pytest.raises(DataError, match="shows an image"):
        m.teacher_of(world.teacher64).score([r.rollout(shown, 0, [9], [10])])
