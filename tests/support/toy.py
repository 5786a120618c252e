"""Worlds small enough to enumerate: every action, every answer, every group."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from support import records as r
from support.plans import plan_for
from torch import Tensor

from vold.adapters.teachers.tabular import TabularTeacher
from vold.base.types import Finish, Group, Ruling
from vold.core import batching
from vold.core.batching import Batch
from vold.core.objective import Objective
from vold.core.plan import Plan
from vold.core.reading import Reading
from vold.core.render import Rendered
from vold.stages.joint import scored

Rendering = Callable[[Plan, Batch, Reading], Rendered]


def one_action_each(logits_V: Tensor, teacher_V: Tensor, *, beta: float = 1.0, advantage_V: Tensor | None = None) -> tuple[Batch, Tensor]:
    """Every action once, its share its probability: a sum over this batch is an expectation over the policy. Also log π."""
    logprobs_V = logits_V.log_softmax(0)
    count = len(logits_V)
    ids = torch.arange(count)
    batch = Batch(
        ids_T=ids,
        spans=(1,) * count,
        before_N=ids,
        targets_N=ids,
        lengths=(1,) * count,
        advantage_N=torch.zeros_like(teacher_V) if advantage_V is None else advantage_V,
        share_N=logprobs_V.exp().detach(),
        weights_PN=torch.full((1, count), beta, dtype=teacher_V.dtype),
        teacher_N=teacher_V,
        reference_N=torch.full_like(teacher_V, float("nan")),
        sampler_N=torch.full_like(teacher_V, float("nan")),
        behaviour_N=None,
    )
    return batch, logprobs_V


@dataclass(frozen=True)
class Chain:
    """A policy that is a table: the next token depends on the one before. Token 0 ends an answer; `cap` cuts it."""

    size: int = 3
    cap: int = 3

    @property
    def start(self) -> int:
        return self.size - 1

    def answers(self) -> list[tuple[int, ...]]:
        """Every answer there is: ended by token 0, or cut at the cap."""
        whole = [y for n in range(1, self.cap + 1) for y in itertools.product(range(self.size), repeat=n)]
        return [y for y in whole if 0 not in y[:-1] and (y[-1] == 0 or len(y) == self.cap)]

    @staticmethod
    def right(answer: tuple[int, ...]) -> bool:
        return answer[-1] == 0 and 1 in answer

    def before(self, answer: tuple[int, ...]) -> tuple[int, ...]:
        return (self.start, *answer[:-1])


def enumerated(chain: Chain, logits_VV: np.ndarray, teacher_VV: np.ndarray, *, copies: int, beta: float, masked: bool) -> np.ndarray:
    """E over groups of (1/Z) Σ (−A + β (1−r) (log π − log φ)) ∇ log π, written without any of our code; `masked=False` drops (1−r)."""
    log_pi = logits_VV - np.log(np.exp(logits_VV).sum(1, keepdims=True))
    total = np.zeros_like(logits_VV)
    for group in itertools.product(chain.answers(), repeat=copies):
        steps = [list(zip(chain.before(y), y, strict=True)) for y in group]
        probability = math.exp(sum(log_pi[i, j] for pairs in steps for i, j in pairs))
        rewards = np.array([float(chain.right(y)) for y in group])
        advantages = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)
        z = sum(len(y) for y in group)
        for pairs, reward, advantage in zip(steps, rewards, advantages, strict=True):
            for i, j in pairs:
                pull = beta * (log_pi[i, j] - teacher_VV[i, j]) * (1 - reward if masked else 1)
                slope = -np.exp(log_pi[i])
                slope[j] += 1
                total[i] += probability / z * (pull - advantage) * slope
    return total


def expected(chain: Chain, logits_VV: Tensor, teacher_VV: Tensor, objective: Objective, rendering: Rendering, *, copies: int) -> Tensor:
    """The same expectation through plan, batching and rendering."""
    leaf_VV = logits_VV.clone().requires_grad_()
    log_pi_VV = leaf_VV.log_softmax(1)
    total = torch.zeros((), dtype=torch.float64)
    plan = plan_for(objective, length_cap=chain.cap)
    for groups, answers in _all_groups(chain, copies):
        judged = scored(groups, plan, TabularTeacher(logprobs_VV=teacher_VV))
        counts = plan.counts(judged)
        rows = batching.rows_of(judged, plan, counts)
        if not rows:
            continue
        batch = batching.batch_of(rows, pulls=len(objective.pulls), dtype=torch.float64)
        pairs = [(i, j) for y in answers for i, j in zip(chain.before(y), y, strict=True)]
        probability = sum(log_pi_VV[i, j].detach() for i, j in pairs).exp()
        logprobs_N = log_pi_VV[batch.ids_T[batch.before_N], batch.targets_N]
        total = total + probability / counts.z * rendering(plan, batch, Reading(logprobs_N=logprobs_N)).loss
    (gradient_VV,) = torch.autograd.grad(total, leaf_VV)
    return gradient_VV


def _all_groups(chain: Chain, copies: int) -> Iterator[tuple[list[Group], Sequence[tuple[int, ...]]]]:
    asked = r.problem()
    for answers in itertools.product(chain.answers(), repeat=copies):
        members = tuple(
            r.member(
                r.rollout(asked, i, [chain.start], y, finish=Finish.STOP if y[-1] == 0 else Finish.LENGTH),
                Ruling.RIGHT if chain.right(y) else Ruling.WRONG,
            )
            for i, y in enumerate(answers)
        )
        yield [Group(problem=asked, members=members)], answers
