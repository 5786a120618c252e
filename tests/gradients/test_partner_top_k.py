"""The pull toward a partner's likeliest ids: KL(φ‖π) over k + 1 outcomes, against twenty lines that form all logits of one rollout at a time.

The whole learner, with a teacher of another width and another number of rows that is asked as a run asks it; then the number itself.
"""

import itertools
import math
from dataclasses import replace
from functools import cached_property

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import variants as v
from support.variants import Build
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.teachers.tabular import TabularTeacher
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.types import Group
from vold.core.head import top_logprobs
from vold.core.objective import NO_CREDIT, REFERENCE, TEACHER, WRONG, Estimator, Objective, Pull, Want
from vold.core.plan import plan_of
from vold.core.pulls import Partner
from vold.core.reading import partner_top_k
from vold.stages.joint import scored, without_states

WITHIN = 1e-12
TEMPERATURE, CAP = 0.8, 9
WORDS = ("RWWw", "RRR", "WwW", "rRU", "UU", "WR")
BY = Estimator.PARTNER_TOP_K
SPOKEN = len(v.SPOKEN)


def coarse(log_pi_TS: Tensor, log_phi_TS: Tensor, top: int) -> Tensor:
    """Σ over k + 1 outcomes of φ log φ/π at each row: the k likeliest of φ, and whatever else there is."""
    found = []
    for log_pi, log_phi in zip(log_pi_TS, log_phi_TS, strict=True):
        order = log_phi.argsort(descending=True)
        first, others = order[:top], order[top:]
        value = (log_phi[first].exp() * (log_phi[first] - log_pi[first])).sum()
        if len(others):
            phi, pi = log_phi[others].exp().sum(), log_pi[others].exp().sum()
            value = value + phi * (phi / pi).log()
        found.append(value)
    return torch.stack(found)


def whole(log_pi_TS: Tensor, log_phi_TS: Tensor) -> Tensor:
    return (log_phi_TS.exp() * (log_phi_TS - log_pi_TS)).sum(-1)


# ---- the whole learner -------------------------------------------------------------------------------------------------------------------


class Scene:
    def __init__(self, build: Build, *, shared: bool) -> None:
        self.build, self.shared = build, shared

    @cached_property
    def student(self) -> LanguageModel:
        return v.student(self.build)

    @cached_property
    def teacher(self) -> LanguageModel:
        return v.teacher()

    @cached_property
    def reference(self) -> LanguageModel:
        return v.shifted(self.student, self.build, 0.05, seed=7)

    @cached_property
    def groups(self) -> list[Group]:
        return v.groups_for(self.student, *WORDS, temperature=TEMPERATURE, cap=CAP)

    @cached_property
    def banned(self) -> Tensor:
        return banned_ids(self.student, self.teacher)

    def scorer(self, partner: Partner) -> LocalTeacher:
        reader = self.teacher if partner is TEACHER else self.reference
        template = Template(of=reader, suffix=f" {v.SUFFIX}") if partner is TEACHER else None
        return LocalTeacher(
            reader=reader, template=template, banned_V=self.banned, temperature=TEMPERATURE, token_budget=90, shared_prompts=self.shared
        )

    def table(self, reader: LanguageModel, *, as_teacher: bool = False) -> v.Tables:
        return v.tables_of(reader, self.groups, TEMPERATURE, as_teacher=as_teacher)

    def found(self, *pulls: Pull) -> v.Gradient:
        """The program's gradient; no head of a partner is at hand."""
        plan = plan_of(Objective(NO_CREDIT, None, pulls), step=0, length_cap=CAP)
        groups = scored(self.groups, plan, self.scorer(TEACHER), self.scorer(REFERENCE))
        assert all(member.teacher_hidden is None and member.reference_hidden is None for group in groups for member in group.members)
        learner = SingleLearner(
            student=self.student, adam=Adam(), banned_V=self.banned, temperature=TEMPERATURE, token_budget=70, shared_prompts=self.shared
        )
        counts = plan.counts(groups)
        learner.accumulate(groups, plan, counts)
        return v.taken(self.student.model, counts.z)

    def dense(self, *pulls: Pull) -> v.Gradient:
        own = self.table(self.student)
        with torch.no_grad():
            said = {TEACHER: self.table(self.teacher, as_teacher=True), REFERENCE: self.table(self.reference)}
        loss, count = torch.zeros((), dtype=torch.float64), 0
        reads = any(pull.on is WRONG for pull in pulls)
        for member in (m for g in self.groups for m in g.members if m.judged or not reads):
            key = (member.rollout.problem.id, member.rollout.sample)
            kept = [t for t, sampled in enumerate(member.rollout.sampled) if sampled]
            for pull in pulls:
                if pull.on is not WRONG or member.wrong:
                    assert pull.top is not None
                    loss = loss + pull.beta * coarse(own[key][kept], said[pull.toward][key][kept], pull.top).sum()
            count += len(kept)
        return v.gradient_of(self.student.model, loss / count)


SCENES = {name: Scene(build, shared=False) for name, build in v.BUILDS.items()} | {
    "shared prompts": Scene(next(iter(v.BUILDS.values())), shared=True),
}


@pytest.fixture(scope="module", params=SCENES)
def scene(request: pytest.FixtureRequest) -> Scene:
    return SCENES[request.param]


PULLS = {
    "the likeliest": (Pull(TEACHER, 1.0, BY, top=1),),
    "a few": (Pull(TEACHER, 1.0, BY, top=5),),
    "all but one": (Pull(TEACHER, 1.0, BY, top=SPOKEN - 1),),
    "all": (Pull(TEACHER, 1.0, BY, top=SPOKEN),),
    "more than there are": (Pull(TEACHER, 1.0, BY, top=10_000),),
    "on wrong answers, and two numbers of them": (Pull(TEACHER, 0.7, BY, WRONG, top=3), Pull(TEACHER, 0.2, BY, top=7)),
    "both partners": (Pull(TEACHER, 0.7, BY, WRONG, top=4), Pull(REFERENCE, 0.3, BY, top=2)),
}


@pytest.mark.parametrize("name", PULLS)
def test_gradient_equals_dense(scene: Scene, name: str) -> None:
    v.assert_close(scene.found(*PULLS[name]), scene.dense(*PULLS[name]), within=WITHIN)


def test_all_of_the_vocabulary_is_the_whole_divergence(scene: Scene) -> None:
    """The same gradient as from hidden states and heads."""
    pull = Pull(TEACHER, 1.0, Estimator.FULL_PARTNER_TO_STUDENT)
    plan = plan_of(Objective(NO_CREDIT, None, (pull,)), step=0, length_cap=CAP)
    groups = scored(scene.groups, plan, scene.scorer(TEACHER))
    learner = SingleLearner(
        student=scene.student, adam=Adam(), banned_V=scene.banned, temperature=TEMPERATURE, heads={TEACHER: scene.teacher.head.detach()}
    )
    learner.accumulate(groups, plan, plan.counts(groups))
    full = v.taken(scene.student.model, plan.counts(groups).z)
    v.assert_close(scene.found(Pull(TEACHER, 1.0, BY, top=SPOKEN)), full, within=WITHIN)


def test_what_the_teacher_says(scene: Scene) -> None:
    """Its likeliest ids at each response token with their log-probabilities, likeliest first, and none that may not be said."""
    rollouts = [m.rollout for g in scene.groups for m in g.members]
    with torch.no_grad():
        table = scene.table(scene.teacher, as_teacher=True)
    plain = scene.scorer(TEACHER).score(rollouts)
    for top in (1, 4, 10_000):
        for rollout, view, alone in zip(rollouts, scene.scorer(TEACHER).score(rollouts, want=Want.TOP_K, top=top), plain, strict=True):
            truth_TS = table[rollout.problem.id, rollout.sample]
            assert view.likeliest is not None
            assert view.logprobs == alone.logprobs
            assert view.hidden is alone.likeliest is None
            assert view.likeliest.ids.shape == view.likeliest.logprobs.shape == (len(rollout.response_ids), min(top, SPOKEN))
            assert set(view.likeliest.ids.flatten().tolist()) <= set(v.SPOKEN)
            places_Tk = truth_TS.argsort(1, descending=True)[:, :top]
            assert torch.equal(torch.tensor(v.SPOKEN)[places_Tk], view.likeliest.ids.long())
            torch.testing.assert_close(view.likeliest.logprobs, truth_TS.gather(1, places_Tk), rtol=0, atol=1e-12)


def test_they_come_with_hidden_states_where_both_are_wanted(scene: Scene) -> None:
    (view,) = scene.scorer(TEACHER).score([scene.groups[0].members[0].rollout], want=Want.HIDDEN, top=2)
    assert view.hidden is not None
    assert view.likeliest is not None


def test_they_are_let_go_of(scene: Scene) -> None:
    pulls = PULLS["both partners"]
    groups = scored(scene.groups, plan_of(Objective(NO_CREDIT, None, pulls), step=0, length_cap=CAP), scene.scorer(TEACHER), scene.scorer(REFERENCE))
    assert any(m.teacher_likeliest is not None and m.reference_likeliest is not None for g in groups for m in g.members)
    freed = [m for g in map(without_states, groups) for m in g.members]
    assert all(m.teacher_likeliest is m.reference_likeliest is None for m in freed)
    assert any(m.teacher_logprobs is not None for m in freed)


# ---- the number itself -------------------------------------------------------------------------------------------------------------------

SCORES = st.lists(st.floats(-30, 30), min_size=2, max_size=9)


def of(log_pi: Tensor, log_phi: Tensor, top: int, banned_V: Tensor | None = None) -> Tensor:
    best = log_phi.topk(min(top, int(log_phi.isfinite().sum())))
    return partner_top_k(Pull(TEACHER, 1.0, BY, top=top), log_pi[None], best.indices[None], best.values[None], banned_V)[0]


@given(scores=SCORES, draw=st.randoms(use_true_random=False))
def test_it_is_a_divergence_below_the_whole_one_and_grows_with_k(scores: list[float], draw: object) -> None:
    log_pi = torch.tensor(scores, dtype=torch.float64).log_softmax(0)
    log_phi = torch.tensor([draw.uniform(-30, 30) for _ in scores], dtype=torch.float64).log_softmax(0)  # type: ignore[attr-defined]
    full = float(whole(log_pi, log_phi))
    found = [float(of(log_pi, log_phi, top)) for top in range(1, len(scores) + 1)]
    slack = 1e-12 * max(1.0, full)
    assert found[0] >= -slack
    assert all(more >= less - slack for less, more in itertools.pairwise(found))
    assert found[-1] == pytest.approx(full, rel=1e-12, abs=1e-12)
    assert all(abs(float(of(log_pi, log_pi, top))) < 1e-12 for top in range(1, len(scores) + 1))


@given(scores=SCORES, seed=st.integers(0, 99), top=st.integers(1, 9))
def test_its_gradient_is_the_reference_s(scores: list[float], seed: int, top: int) -> None:
    logits = torch.tensor(scores, dtype=torch.float64).requires_grad_()
    log_phi = torch.randn(len(scores), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).log_softmax(0)
    (found,) = torch.autograd.grad(of(logits, log_phi, top), logits)
    (truth,) = torch.autograd.grad(coarse(logits.log_softmax(0)[None], log_phi[None], top).sum(), logits)
    torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-12)


def test_a_sharp_student_and_a_sharp_teacher_keep_their_numbers() -> None:
    """The tail of π is summed and not subtracted: 1 - Σ would be 0 here, and the divergence infinite. In single precision."""
    log_pi = torch.tensor([0.0, -60.0, -61.0, -62.0]).requires_grad_()
    log_phi = torch.tensor([0.5, 0.3, 0.1, 0.1]).log()
    found = of(log_pi, log_phi, 1)
    assert float(found.detach()) == pytest.approx(0.5 * math.log(0.5) + 0.5 * (math.log(0.5) + 59.59), rel=1e-3)
    (slope,) = torch.autograd.grad(found, log_pi)
    assert torch.isfinite(slope).all()
    assert slope.tolist() == pytest.approx([0.5, -0.3326, -0.1224, -0.045], abs=1e-3)
    sure = torch.tensor([50.0, 0.0, -1.0, -2.0]).log_softmax(0)
    assert float(of(torch.zeros(4), sure, 1)) == pytest.approx(math.log(4), rel=1e-6)


def test_what_is_banned_has_no_part_in_it() -> None:
    banned_V = torch.tensor([False, True, False, False, True, True])
    logits = torch.tensor([0.3, 9.0, -0.2, 0.1, 5.0, 7.0], dtype=torch.float64).requires_grad_()
    log_phi = torch.tensor([0.1, 0.0, 0.7, -0.4, 0.0, 0.0], dtype=torch.float64).masked_fill(banned_V, float("-inf")).log_softmax(0)
    kept = (~banned_V).nonzero().flatten()
    for top in (1, 2, 3, 6):
        value = of(logits, log_phi, top, banned_V)
        torch.testing.assert_close(value, coarse(logits[kept].log_softmax(0)[None], log_phi[kept][None], top)[0], rtol=1e-12, atol=0)
        (slope,) = torch.autograd.grad(value, logits)
        assert (slope[banned_V] == 0).all()
        assert torch.isfinite(slope).all()


def test_fewer_than_asked_for_are_not_taken_for_all() -> None:
    """A server may give no more than twenty: that is another divergence, and no run should find out from its results."""
    pull, best = Pull(TEACHER, 1.0, BY, top=4), torch.zeros(9).log_softmax(0).topk(3)
    with pytest.raises(ValueError, match="sums over 4 of the teacher's likeliest ids, but only 3 are given"):
        partner_top_k(pull, torch.zeros(1, 9), best.indices[None], best.values[None], None)


def test_a_table_names_its_likeliest_ids(scene: Scene) -> None:
    table_VV = torch.randn(64, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    table_VV[:, 5:60] = float("-inf")
    rollout = replace(scene.groups[0].members[0].rollout, prompt_ids=(1,), response_ids=(2, 3), sampled=(True, True))
    (view,) = TabularTeacher(logprobs_VV=table_VV.log_softmax(1)).score([rollout], want=Want.TOP_K, top=20)
    assert view.likeliest is not None
    assert view.likeliest.ids.shape == (2, 9)
    assert torch.equal(view.likeliest.logprobs, table_VV.log_softmax(1)[[1, 2]].gather(1, view.likeliest.ids.long()))


# ---- what it costs -----------------------------------------------------------------------------------------------------------------------


class Largest(TorchDispatchMode):
    numbers = 0

    def __torch_dispatch__(self, func: object, types: object, args: tuple[object, ...] = (), kwargs: object = None) -> object:
        out = func(*args, **(kwargs or {}))  # type: ignore[operator,misc]
        for tensor in out if isinstance(out, tuple | list) else (out,):
            self.numbers = max(self.numbers, tensor.numel() if isinstance(tensor, Tensor) else 0)
        return out


def test_the_teachers_side_makes_nothing_as_large_as_two_chunks_of_logits() -> None:
    """And its answer is k numbers a token; that of the learner's side is in `test_descent.py`."""
    draw, tokens, rows, chunk, top = torch.Generator().manual_seed(1), 64, 300, 4, 3
    hidden_NH, head_VH = (torch.randn(n, 5, generator=draw, dtype=torch.float64) for n in (tokens, rows))
    banned_V = torch.zeros(rows, dtype=torch.bool).index_fill(0, torch.tensor([0, 17, 299]), True)
    targets_N = torch.ones(tokens, dtype=torch.long)
    with Largest() as watch:
        said = top_logprobs(hidden_NH, head_VH, targets_N, top, banned_V=banned_V, temperature=0.7, chunk=chunk)
    assert watch.numbers < 2 * chunk * rows
    truth_NV = (hidden_NH @ head_VH.T / 0.7).masked_fill(banned_V, float("-inf")).log_softmax(1)
    assert torch.equal(said.ids_Nk.long(), truth_NV.topk(top, dim=1).indices)
    torch.testing.assert_close(said.top_Nk, truth_NV.topk(top, dim=1).values, rtol=0, atol=1e-12)
    torch.testing.assert_close(said.logprobs_N, truth_NV[:, 1], rtol=0, atol=1e-12)
    assert said.ids_Nk.dtype == torch.int32


def test_half_precision_is_told_in_single() -> None:
    draw = torch.Generator().manual_seed(3)
    hidden_NH, head_VH = (torch.randn(n, 16, generator=draw).bfloat16() for n in (6, 40))
    said = top_logprobs(hidden_NH, head_VH, torch.zeros(6, dtype=torch.long), 40)
    assert said.top_Nk.dtype == torch.float32
    torch.testing.assert_close(said.top_Nk.exp().sum(1), torch.ones(6), rtol=0, atol=1e-5)
