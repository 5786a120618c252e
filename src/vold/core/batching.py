"""Groups to tensors: which tokens are trained, with what advantage, share and pull, laid flat so that nothing can broadcast by accident."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vold.base.types import Group, ScoredRollout
from vold.core.advantage import group_advantages
from vold.core.objective import Objective
from vold.core.plan import pull_weight, share_of, touches


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sequence to train on. `weights` is one pull weight a pull of the objective, in its order."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    sampled: tuple[bool, ...]
    advantage: float = 0.0
    share: float = 1.0
    weights: tuple[float, ...] = ()
    teacher_logprobs: tuple[float, ...] | None = None
    behaviour_logprobs: tuple[float, ...] | None = None
    """The log-probabilities the clip compares with; None at the only update of a batch, where the ratio is 1."""

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A padded micro-batch, and its N trained tokens laid flat.

    `before_BT` marks the position *before* each trained token: the hidden state there predicts it. The flat tensors are in that order, row
    by row. `weights_PN` holds one row a pull. Teacher and behaviour entries that nothing reads are NaN, so that a wrong reader shows.
    """

    ids_BT: Int[Tensor, "B T"]
    before_BT: Bool[Tensor, "B T"]
    targets_N: Int[Tensor, " N"]
    advantage_N: Float[Tensor, " N"]
    share_N: Float[Tensor, " N"]
    weights_PN: Float[Tensor, "P N"]
    teacher_N: Float[Tensor, " N"]
    behaviour_N: Float[Tensor, " N"] | None


def rows_of(
    groups: Sequence[Group],
    objective: Objective,
    *,
    step: int,
    length_cap: int,
    behaviour: dict[tuple[str, int], tuple[float, ...]] | None = None,
) -> list[Row]:
    """The rollouts that have a gradient, in problem order. `behaviour` is keyed by (problem id, sample)."""
    rows: list[Row] = []
    for group in groups:
        advantages = group_advantages(group, objective.credit)
        for member, advantage, touched in zip(group.members, advantages, touches(objective, group, step=step), strict=True):
            if touched:
                rows.append(_row(member, group, objective, advantage, step=step, length_cap=length_cap, behaviour=behaviour))
    return rows


def _row(
    member: ScoredRollout,
    group: Group,
    objective: Objective,
    advantage: float,
    *,
    step: int,
    length_cap: int,
    behaviour: dict[tuple[str, int], tuple[float, ...]] | None,
) -> Row:
    rollout = member.rollout
    return Row(
        prompt_ids=rollout.prompt_ids,
        response_ids=rollout.response_ids,
        sampled=rollout.sampled,
        advantage=advantage,
        share=share_of(member, objective, length_cap=length_cap),
        weights=tuple(pull_weight(pull, member, group, objective, step=step) for pull in objective.pulls),
        teacher_logprobs=member.teacher_logprobs,
        behaviour_logprobs=None if behaviour is None else behaviour[rollout.problem.id, rollout.sample],
    )


def cut(rows: Sequence[Row], token_budget: int) -> list[list[Row]]:
    """Micro-batches of at most `token_budget` padded tokens, longest rows together; a longer row stands alone. The gradient does not depend on it."""
    order = sorted(range(len(rows)), key=lambda place: (-rows[place].length, place))
    cuts: list[list[Row]] = []
    for place in order:
        row = rows[place]
        if cuts and cuts[-1][0].length * (len(cuts[-1]) + 1) <= token_budget:
            cuts[-1].append(row)
        else:
            cuts.append([row])
    return cuts


def batch_of(
    rows: Sequence[Row], *, pulls: int = 0, pad_id: int = 0, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Batch:
    """One padded micro-batch. Rows are right-padded: under a causal mask padding is never seen."""
    width = max(row.length for row in rows)
    ids_BT = torch.full((len(rows), width), pad_id)
    before_BT = torch.zeros((len(rows), width), dtype=torch.bool)
    advantage: list[float] = []
    share: list[float] = []
    teacher: list[float] = []
    behaviour: list[float] = []
    weights: list[list[float]] = [[] for _ in range(pulls)]
    for place, row in enumerate(rows):
        ids_BT[place, : row.length] = torch.tensor(row.prompt_ids + row.response_ids)
        assert row.prompt_ids, "a response is predicted from at least one prompt token"
        first = len(row.prompt_ids) - 1  # the hidden state at the last prompt token predicts the first response token
        before_BT[place, first : first + len(row.sampled)] = torch.tensor(row.sampled)
        kept = [t for t, was_sampled in enumerate(row.sampled) if was_sampled]
        advantage += [row.advantage] * len(kept)
        share += [row.share] * len(kept)
        teacher += [float("nan") if row.teacher_logprobs is None else row.teacher_logprobs[t] for t in kept]
        behaviour += [] if row.behaviour_logprobs is None else [row.behaviour_logprobs[t] for t in kept]
        for pull, weight in zip(weights, row.weights, strict=True):
            pull += [weight] * len(kept)
    after_BT = torch.roll(before_BT, 1, dims=1)

    def flat(values: list[float] | list[list[float]]) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    return Batch(
        ids_BT=ids_BT.to(device),
        before_BT=before_BT.to(device),
        targets_N=ids_BT[after_BT].to(device),
        advantage_N=flat(advantage),
        share_N=flat(share),
        weights_PN=flat(weights).reshape(pulls, len(advantage)),
        teacher_N=flat(teacher),
        behaviour_N=flat(behaviour) if behaviour else None,
    )
