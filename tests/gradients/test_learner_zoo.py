"""The learner's gradient under every named method equals a dense reference: one rollout at a time, all logits, the oracle's equations.

Real model classes, very small, in float64: tied and untied heads, biased projections, padded rows, grouped queries; the teacher has another width
and another number of rows, is read under its own prompt, and is asked through `scored` as a run asks it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from support import variants as v
from support.variants import Build, Seen
from torch import Tensor

from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.types import Group
from vold.core.objective import K2, NO_CREDIT, REFERENCE, TEACHER, Objective, Pull
from vold.core.plan import Plan, plan_of
from vold.core.pulls import Estimator, Partner, Want
from vold.core.zoo import ZOO
from vold.stages.joint import scored

WITHIN = 1e-10
CAP = 9
STEP = 40
TEMPERATURE = 0.9
WORDS = ("RWWw", "rRU", "WwW", "RR", "UU", "WR")


@dataclass
class Scene:
    """One student, its partners, its rollouts, and what a dense reading of them gives."""

    build: Build
    shared: bool = False
    """Whether prompts are read once a group."""

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

    @cached_property
    def learner(self) -> SingleLearner:
        heads = {Partner.TEACHER: self.teacher.head, Partner.REFERENCE: self.reference.head}
        settings = {"temperature": TEMPERATURE, "token_budget": 70, "shared_prompts": self.shared}
        return SingleLearner(student=self.student, adam=Adam(), banned_V=self.banned, heads=heads, **settings)  # type: ignore[arg-type]

    @cached_property
    def partners(self) -> tuple[LocalTeacher, LocalTeacher]:
        common = {"banned_V": self.banned, "temperature": TEMPERATURE, "token_budget": 90, "shared_prompts": self.shared}
        template = Template(of=self.teacher, suffix=f" {v.SUFFIX}")
        return LocalTeacher(reader=self.teacher, template=template, **common), LocalTeacher(reader=self.reference, template=None, **common)  # type: ignore[arg-type]

    def asked(self, plan: Plan) -> list[Group]:
        groups = [g for g in self.groups if plan.keeps(g)] if plan.objective.dynamic else self.groups
        return scored(groups, plan, *self.partners)

    def found(self, objective: Objective) -> v.Gradient:
        """The program's gradient, divided by the program's count."""
        plan = plan_of(objective, step=STEP, length_cap=CAP)
        groups = self.asked(plan)
        counts = plan.counts(groups)
        self.learner.accumulate(groups, plan, counts)
        return v.taken(self.student.model, counts.z)

    @cached_property
    def partner_tables(self) -> dict[str, v.Tables]:
        with torch.no_grad():
            return {
                "teacher": v.tables_of(self.teacher, self.groups, TEMPERATURE, as_teacher=True),
                "reference": v.tables_of(self.reference, self.groups, TEMPERATURE),
            }

    @cached_property
    def seen(self) -> list[Seen]:
        new = v.tables_of(self.student, self.groups, TEMPERATURE)
        return v.seen(self.groups, new=new, old=new, **self.partner_tables)


SCENES = {name: Scene(build) for name, build in v.BUILDS.items()} | {
    "shared prompts": Scene(next(iter(v.BUILDS.values())), shared=True),
}


@pytest.fixture(scope="module", params=SCENES)
def scene(request: pytest.FixtureRequest) -> Scene:
    return SCENES[request.param]


@pytest.mark.parametrize("name", ZOO)
def test_gradient_equals_dense(scene: Scene, name: str) -> None:
    found = scene.found(ZOO[name])
    v.assert_close(found, v.gradient_of(scene.student.model, v.dense_loss(name, scene.seen, cap=CAP, step=STEP)), within=WITHIN)


# ---- what no named method has ----------------------------------------------------------------------------------------------------------


def _reverse(r: Seen) -> Tensor:
    return v.kl(r.new, r.reference)


def _forward(r: Seen) -> Tensor:
    return v.kl(r.reference, r.new)


def _uneven(r: Seen) -> Tensor:
    middle = (0.2 * r.teacher.exp() + 0.8 * r.new.exp()).log()
    return 0.2 * v.kl(r.teacher, middle) + 0.8 * v.kl(r.new, middle)


def _top_5(r: Seen) -> Tensor:
    """Σ over the five likeliest of π sg[log π/φ], and ½(log π/φ)² of the sampled token where it is not one of them."""
    gap, out = r.new - r.teacher, []
    for t, i in enumerate(r.rollout.response_ids):
        best = r.new[t].detach().argsort(descending=True)[:5].tolist()
        exact = sum(r.new[t, s].exp() * gap[t, s].detach() for s in best)
        sampled = v.SPOKEN.index(i)
        out.append(exact if sampled in best else exact + 0.5 * gap[t, sampled] ** 2)
    return torch.stack(out)


def _entropy_and_k2(r: Seen) -> Tensor:
    k2 = 0.5 * (v.sampled_at(r.new, r.rollout) - v.sampled_at(r.teacher, r.rollout)) ** 2
    return 0.5 * k2 + 0.01 * (r.new.exp() * r.new).sum(-1)


OTHERS: dict[str, tuple[Objective, Callable[[Seen], Tensor]]] = {
    "full, to the reference": (Objective(NO_CREDIT, None, (Pull(REFERENCE, 1.0, Estimator.FULL_STUDENT_TO_PARTNER),)), _reverse),
    "full, from the reference": (Objective(NO_CREDIT, None, (Pull(REFERENCE, 1.0, Estimator.FULL_PARTNER_TO_STUDENT),)), _forward),
    "jsd, uneven": (Objective(NO_CREDIT, None, (Pull(TEACHER, 1.0, Estimator.JSD, mix=0.2),)), _uneven),
    "top 5": (Objective(NO_CREDIT, None, (Pull(TEACHER, 1.0, Estimator.TOP_K, top=5),)), _top_5),
    "entropy": (Objective(NO_CREDIT, None, (Pull(TEACHER, 0.5, K2),), entropy=0.01), _entropy_and_k2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_pulls_equal_dense(scene: Scene, name: str) -> None:
    """A token mean over every rollout, judged or not."""
    objective, value = OTHERS[name]
    tokens = sum(len(r.kept) for r in scene.seen)
    loss = torch.stack([value(r)[r.kept].sum() for r in scene.seen]).sum() / tokens
    v.assert_close(scene.found(objective), v.gradient_of(scene.student.model, loss), within=WITHIN)


# ---- how the partners are read ---------------------------------------------------------------------------------------------------------


def test_partners_say_what_a_dense_reading_says(scene: Scene) -> None:
    """Log-probabilities of every response token; and hidden states that their own head turns into the whole distribution."""
    rollouts = [m.rollout for g in scene.groups for m in g.members]
    for scorer, reader, name in zip(scene.partners, (scene.teacher, scene.reference), ("teacher", "reference"), strict=True):
        for want in Want:
            for rollout, view in zip(rollouts, scorer.score(rollouts, want=want, top=3 if want is Want.TOP_K else 0), strict=True):
                truth_TS = scene.partner_tables[name][rollout.problem.id, rollout.sample]
                torch.testing.assert_close(torch.tensor(view.logprobs, dtype=torch.float64), v.sampled_at(truth_TS, rollout), rtol=0, atol=1e-12)
                assert (view.hidden is None) == (want is not Want.HIDDEN)
                assert (view.likeliest is None) == (want is not Want.TOP_K)
                if view.hidden is not None:
                    spoken_TS = ((view.hidden @ reader.head.T)[:, v.SPOKEN] / TEMPERATURE).log_softmax(1)
                    torch.testing.assert_close(spoken_TS.detach(), truth_TS, rtol=0, atol=1e-12)


def test_what_is_banned(scene: Scene) -> None:
    assert (~scene.banned).nonzero().flatten().tolist() == v.SPOKEN


# ---- several updates -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def later() -> tuple[Scene, list[Seen]]:
    """A student that has moved since its behaviour was frozen, on the same rollouts."""
    scene = Scene(v.BUILDS["untied, rows beyond the teacher's"])
    partners = scene.partner_tables  # the reference is the student of this moment, some way off
    with torch.no_grad():
        old = v.tables_of(scene.student, scene.groups, TEMPERATURE)
    scene.learner.freeze_behaviour(scene.groups)
    v.shift(scene.student, 0.02, seed=11)
    new = v.tables_of(scene.student, scene.groups, TEMPERATURE)
    return scene, v.seen(scene.groups, new=new, old=old, **partners)


def test_the_student_has_moved_past_the_clip(later: tuple[Scene, Sequence[Seen]]) -> None:
    ratios = torch.cat([(r.said(r.new) - r.said(r.old)).exp().detach() for r in later[1]])
    assert bool((ratios > 1.3).any())
    assert bool((ratios < 0.8).any())
    assert bool(((ratios > 0.8) & (ratios < 1.2)).any())


@pytest.mark.parametrize("name", ZOO)
def test_later_updates_equal_dense(later: tuple[Scene, list[Seen]], name: str) -> None:
    scene, rollouts = later
    found = scene.found(ZOO[name])
    v.assert_close(found, v.gradient_of(scene.student.model, v.dense_loss(name, rollouts, cap=CAP, step=STEP)), within=WITHIN)
