"""What may not change a gradient: how rollouts are cut, padded, ordered and dealt out to ranks."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from support import models as m
from support import records as r

from vold.adapters.learners.single import SingleLearner
from vold.base.types import Group
from vold.core.batching import Batch, Row
from vold.core.plan import Counts, Plan

Learners = Callable[..., SingleLearner]
"""Makes a learner of one student, given settings."""


class Accompanied(SingleLearner):
    """Puts a stranger's sequence, of words that answers contain, before and behind those of every micro-batch."""

    def _batch(self, rows: Sequence[Row], *, pulls: int = 0) -> Batch:
        return accompanied(super()._batch(rows, pulls=pulls))


def accompanied(batch: Batch) -> Batch:
    """The same trained tokens between sequences that are read and not trained."""
    stranger = torch.tensor(r.SPEAKABLE[3:8])
    return replace(
        batch,
        ids_T=torch.cat([stranger, batch.ids_T, stranger.flip(0)]),
        spans=(len(stranger), *batch.spans, len(stranger)),
        before_N=batch.before_N + len(stranger),
    )


def moved(learner: SingleLearner, groups: Sequence[Group], *, far: float = 0.4) -> dict[tuple[str, int], tuple[float, ...]]:
    """Log-probabilities of a policy some way off, the same for a rollout wherever it stands: what the clip compares with after an update."""
    learner.freeze_behaviour(groups)
    assert learner.behaviour is not None
    return {
        key: tuple(value + far * random.Random(f"{key} {t}").gauss(0, 1) for t, value in enumerate(row)) for key, row in learner.behaviour.items()
    }


def check_nothing_about_the_batch_matters(make: Learners, plan: Plan, groups: Sequence[Group], *, several: bool) -> m.Gradient:
    """One gradient, however it is come by: the only update's rendering, or with `several` the loss against another policy. Returns it."""
    learner = make(token_budget=10_000)
    old = moved(learner, groups) if several else None
    learner.behaviour = old
    counts = plan.counts(groups)
    whole = summed(learner, plan, [groups], counts)
    for what, found in _other_ways(make, plan, groups, counts, old):
        m.assert_same_gradient(found, whole, within=1e-12, what=what)
    return whole


def _other_ways(
    make: Learners, plan: Plan, groups: Sequence[Group], counts: Counts, old: dict[tuple[str, int], tuple[float, ...]] | None
) -> Iterator[tuple[str, m.Gradient]]:
    def of(parts: Sequence[Sequence[Group]], budget: int = 50) -> m.Gradient:
        learner = make(token_budget=budget)
        learner.behaviour = old
        return summed(learner, plan, parts, counts)

    for budget in (1, 37):
        yield f"at most {budget} tokens at a time", of([groups], budget)
    shuffled = [replace(g, members=tuple(random.Random(g.problem.id).sample(g.members, len(g.members)))) for g in reversed(groups)]
    yield "groups and members in another order", of([shuffled])
    yield "one group after the other, the last first", of([[group] for group in reversed(groups)])
    wide = make(token_budget=10_000)
    wide = Accompanied(**{name: getattr(wide, name) for name in ("student", "adam", "banned_V", "temperature", "token_budget", "heads")})
    wide.behaviour = old
    yield "strangers in the pack", summed(wide, plan, [groups], counts)
    for ranks in (2, 3):
        parts = [groups[rank::ranks] for rank in range(ranks)]
        together = Counts(z=0, pulled=(0,) * len(plan.betas))
        for part in parts:
            together += plan.counts(part)
        assert together == counts, f"the counts of {ranks} ranks add up to {together}, expected {counts}"
        apart = [of([part]) for part in parts]
        yield f"{ranks} ranks", {name: sum(each[name] for each in apart) for name in apart[0]}


def summed(learner: SingleLearner, plan: Plan, parts: Sequence[Sequence[Group]], counts: Counts) -> m.Gradient:
    """Several accumulates under common counts, one division."""
    learner.student.model.zero_grad(set_to_none=True)  # another test may have failed half-way on this model
    for part in parts:
        learner.accumulate(part, plan, counts)
    return m.taken(learner.student.model, z=max(1, counts.z))
