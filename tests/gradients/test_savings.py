"""Every exact saving alone, and all of them together, against twenty lines that know none: the same gradient of VOLD to rounding.

Without any, each rollout is a pack of its own, the teacher reads all of them, all are trained, the policy that sampled is read in a pass of its own,
and the head is formed twice. The models are untied and tied, with biases, padded rows and grouped queries; the teacher has another width.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import pytest
import torch
from support import variants as v
from support.variants import Build
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel
from vold.adapters.recompute import recomputed
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.types import Group
from vold.core import render
from vold.core.batching import Batch, Row, batch_of, rows_of
from vold.core.descent import descend
from vold.core.packing import pack
from vold.core.plan import Counts, Plan, plan_of
from vold.core.reading import read
from vold.core.zoo import VOLD
from vold.stages.joint import scored

WITHIN = 1e-12
CAP = 9
WORDS = ("RWWw", "RRR", "WwW", "RR", "WR")
SAVINGS = ("packing", "shared prompts", "lazy teacher", "skipped groups", "no pass before", "one sweep", "group by group", "light", "full")
TOGETHER = tuple(name for name in SAVINGS if name != "full")


@dataclass
class Scene:
    build: Build

    @cached_property
    def student(self) -> LanguageModel:
        return v.student(self.build)

    @cached_property
    def teacher(self) -> LanguageModel:
        return v.teacher()

    @cached_property
    def banned(self) -> Tensor:
        return banned_ids(self.student, self.teacher)

    @cached_property
    def groups(self) -> list[Group]:
        return v.groups_for(self.student, *WORDS, temperature=1.0, cap=CAP)

    @cached_property
    def plan(self) -> Plan:
        return plan_of(VOLD, step=0, length_cap=CAP)

    @cached_property
    def scorer(self) -> LocalTeacher:
        return LocalTeacher(reader=self.teacher, template=Template(of=self.teacher, suffix=f" {v.SUFFIX}"), banned_V=self.banned)

    @cached_property
    def dense(self) -> v.Gradient:
        """Rollout by rollout, a full forward of the whole model, all logits, the paper's loss with its ratio and its clip."""
        teacher = v.tables_of(self.teacher, self.groups, 1.0, as_teacher=True)
        loss, count = torch.zeros((), dtype=torch.float64), 0
        for group in self.groups:
            rewards = [1.0 if m.right else 0.0 for m in group.members]
            mean = sum(rewards) / len(rewards)
            deviation = math.sqrt(sum((r - mean) ** 2 for r in rewards) / (len(rewards) - 1))
            for member, reward in zip(group.members, rewards, strict=True):
                rollout, kept = member.rollout, [t for t, sampled in enumerate(member.rollout.sampled) if sampled]
                new = v.sampled_at(v.table_of(self.student, rollout.prompt_ids, rollout, 1.0), rollout)[kept]
                phi = v.sampled_at(teacher[rollout.problem.id, rollout.sample], rollout)[kept].detach()
                advantage = 0.0 if deviation == 0.0 else (reward - mean) / (deviation + 1e-6)
                ratio = (new - new.detach()).exp()
                credit = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.3) * advantage)
                loss = loss + (-credit + 0.1 * (1 - reward) * 0.5 * (new - phi) ** 2).sum()
                count += len(kept)
        return v.gradient_of(self.student.model, loss / count)

    def found(self, savings: Sequence[str]) -> v.Gradient:
        plan = self.plan
        learner = SingleLearner(student=self.student, adam=Adam(), banned_V=self.banned)
        told = scored(self.groups, plan, self.scorer) if "lazy teacher" in savings else self._all_scored()
        counts = plan.counts(told)
        if "no pass before" not in savings:
            learner.freeze_behaviour(told)
        for part in [[group] for group in told] if "group by group" in savings else [told]:
            for chosen in pack(self._rows(part, counts, learner, savings), 70 if "packing" in savings else 1, shared="shared prompts" in savings):
                self._backward(chosen, learner, savings)
        return v.taken(self.student.model, counts.z)

    def _all_scored(self) -> list[Group]:
        members = [m for group in self.groups for m in group.members]
        views = iter(self.scorer.score([m.rollout for m in members]))
        return [replace(g, members=tuple(replace(m, teacher_logprobs=next(views).logprobs) for m in g.members)) for g in self.groups]

    def _rows(self, groups: Sequence[Group], counts: Counts, learner: SingleLearner, savings: Sequence[str]) -> list[Row]:
        plan = self.plan if "skipped groups" in savings else _Everybody(**{name: getattr(self.plan, name) for name in self.plan.__slots__})
        return rows_of(groups, plan, counts, behaviour=learner.behaviour)

    def _backward(self, rows: Sequence[Row], learner: SingleLearner, savings: Sequence[str]) -> None:
        level = next((name for name in ("light", "full") if name in savings), None)
        head = self.student.head
        batch: Batch = batch_of(rows, pulls=1, shared="shared prompts" in savings, dtype=torch.float64)
        with recomputed(self.student.body, level) if level else nullcontext():  # type: ignore[arg-type]
            hidden_NH = self.student.packed(batch.ids_T, batch.spans, batch.images, batch.behind)[batch.before_N]
        if "one sweep" in savings:
            if head.grad is None:
                head.grad = torch.zeros_like(head)
            only = learner.behaviour is None
            swept = descend(self.plan, batch, hidden_NH.detach(), head.detach(), only_update=only, grad_VH=head.grad, banned_V=self.banned)
            hidden_NH.backward(swept.grad_NH)
        else:
            render.loss(self.plan, batch, read(self.plan, batch, hidden_NH, head, banned_V=self.banned)).loss.backward()


class _Everybody(Plan):
    """Nobody is skipped."""

    __slots__ = ()

    def touches(self, group: Group) -> tuple[bool, ...]:
        return (True,) * len(group.members)


@pytest.fixture(scope="module", params=v.BUILDS)
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(v.BUILDS[request.param])


@pytest.mark.parametrize("savings", [(), *((name,) for name in SAVINGS), TOGETHER], ids=lambda names: " and ".join(names) or "none")
def test_a_saving_changes_nothing(scene: Scene, savings: tuple[str, ...]) -> None:
    v.assert_close(scene.found(savings), scene.dense, within=WITHIN)


def test_the_learner_takes_them_all(scene: Scene) -> None:
    told = scored(scene.groups, scene.plan, scene.scorer)
    right = [m for group in told for m in group.members if m.right]
    assert right
    assert all(m.teacher_logprobs is None for m in right)  # which a batch holds as NaN: it must not come near a gradient
    for shared in (False, True):
        learner = SingleLearner(
            student=scene.student, adam=Adam(), banned_V=scene.banned, token_budget=70, shared_prompts=shared, recompute="light"
        )  # fmt: skip
        counts = scene.plan.counts(told)
        learner.accumulate(told, scene.plan, counts)
        v.assert_close(v.taken(scene.student.model, counts.z), scene.dense, within=WITHIN)


def test_skipped_groups_cost_nothing(scene: Scene) -> None:
    """Operations of a step with all-right groups in it are those of the step without them."""

    def flops(groups: Sequence[Group]) -> int:
        learner = SingleLearner(student=scene.student, adam=Adam(), banned_V=scene.banned, token_budget=70)
        with FlopCounterMode(display=False) as counter:
            told = scored(groups, scene.plan, scene.scorer)
            learner.accumulate(told, scene.plan, scene.plan.counts(told))
        scene.student.model.zero_grad(set_to_none=True)
        return counter.get_total_flops()

    without = [group for group in scene.groups if not all(m.right for m in group.members)]
    assert len(without) < len(scene.groups)
    assert flops(scene.groups) == flops(without) > 0
