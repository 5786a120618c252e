"""Groups to tensors: which tokens are trained, with what advantage, share and pull, laid flat so that nothing can broadcast by accident."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vold.base.types import Group, ScoredRollout
from vold.core.objective import Partner
from vold.core.plan import Counts, Plan

Behaviour = Mapping[tuple[str, int], tuple[float, ...]]
"""Log-probabilities of response tokens by (problem id, sample)."""

PARTNERS = tuple(Partner)


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
    reference_logprobs: tuple[float, ...] | None = None
    teacher_hidden: Tensor | None = None
    reference_hidden: Tensor | None = None
    sampler_logprobs: tuple[float, ...] | None = None
    """Those of the engine at the moment of sampling: what an importance correction compares with."""
    behaviour_logprobs: tuple[float, ...] | None = None
    """The log-probabilities the clip compares with; None at the only update of a batch, where the ratio is 1."""
    name: str = ""
    """Whose it is, for messages: the problem and the sample."""

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)

    @property
    def kept(self) -> list[int]:
        """Places of the response tokens that were sampled."""
        return [place for place, sampled in enumerate(self.sampled) if sampled]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A partner's hidden states at some of a batch's trained tokens, which `at_M` names."""

    at_M: Int[Tensor, " M"]
    states_MH: Float[Tensor, "M H"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A padded micro-batch, and its N trained tokens laid flat.

    `before_BT` marks the position *before* each trained token: the hidden state there predicts it. The flat tensors are in that order, row
    by row, `lengths` tokens each. `weights_PN` holds one row a pull. Entries that nothing reads are NaN, so that a wrong reader shows.
    """

    ids_BT: Int[Tensor, "B T"]
    before_BT: Bool[Tensor, "B T"]
    targets_N: Int[Tensor, " N"]
    lengths: tuple[int, ...]
    advantage_N: Float[Tensor, " N"]
    share_N: Float[Tensor, " N"]
    weights_PN: Float[Tensor, "P N"]
    teacher_N: Float[Tensor, " N"]
    reference_N: Float[Tensor, " N"]
    sampler_N: Float[Tensor, " N"]
    behaviour_N: Float[Tensor, " N"] | None
    hidden: Mapping[Partner, Hidden] = field(default_factory=dict)

    def of_partner(self, partner: Partner) -> Float[Tensor, " N"]:
        return self.teacher_N if partner is Partner.TEACHER else self.reference_N


def rows_of(groups: Sequence[Group], plan: Plan, counts: Counts, *, behaviour: Behaviour | None = None) -> list[Row]:
    """The rollouts that have a gradient, in problem order. `counts` are those of the whole update, on all ranks."""
    scales = plan.pull_scales(counts)
    return [row for group in groups for row in _rows(group, plan, scales, behaviour)]


def _rows(group: Group, plan: Plan, scales: Sequence[float], behaviour: Behaviour | None) -> list[Row]:
    touched = plan.touches(group)
    if not any(touched):
        return []
    told = zip(group.members, touched, plan.advantages(group), plan.pull_weights(group), strict=True)
    return [
        _row(member, group, plan, advantage, tuple(w * s for w, s in zip(weights, scales, strict=True)), behaviour)
        for member, touch, advantage, weights in told
        if touch
    ]


def _row(member: ScoredRollout, group: Group, plan: Plan, advantage: float, weights: tuple[float, ...], behaviour: Behaviour | None) -> Row:
    rollout = member.rollout
    return Row(
        prompt_ids=rollout.prompt_ids,
        response_ids=rollout.response_ids,
        sampled=rollout.sampled,
        advantage=advantage,
        share=plan.share_of(member, group),
        weights=weights,
        teacher_logprobs=member.teacher_logprobs,
        reference_logprobs=member.reference_logprobs,
        teacher_hidden=member.teacher_hidden,
        reference_hidden=member.reference_hidden,
        sampler_logprobs=rollout.logprobs,
        behaviour_logprobs=None if behaviour is None else behaviour[rollout.problem.id, rollout.sample],
        name=f"{rollout.problem.id} sample {rollout.sample}",
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
    for place, row in enumerate(rows):
        assert row.prompt_ids, "a response is predicted from at least one prompt token"
        ids_BT[place, : row.length] = torch.tensor(row.prompt_ids + row.response_ids)
        first = len(row.prompt_ids) - 1  # the hidden state at the last prompt token predicts the first response token
        before_BT[place, first : first + len(row.sampled)] = torch.tensor(row.sampled)
    after_BT = torch.roll(before_BT, 1, dims=1)
    lengths = tuple(len(row.kept) for row in rows)

    def flat(values: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    def laid(of_rows: Sequence[tuple[float, ...] | None]) -> Tensor:
        return flat([value for row, values in zip(rows, of_rows, strict=True) for value in _kept(row, values)])

    def spread(of_rows: Sequence[float]) -> list[float]:
        return list(chain.from_iterable([value] * length for value, length in zip(of_rows, lengths, strict=True)))

    behaviour = [row.behaviour_logprobs for row in rows]
    return Batch(
        ids_BT=ids_BT.to(device),
        before_BT=before_BT.to(device),
        targets_N=ids_BT[after_BT].to(device),
        lengths=lengths,
        advantage_N=flat(spread([row.advantage for row in rows])),
        share_N=flat(spread([row.share for row in rows])),
        weights_PN=flat([spread([row.weights[p] for row in rows]) for p in range(pulls)]).reshape(pulls, sum(lengths)),
        teacher_N=laid([row.teacher_logprobs for row in rows]),
        reference_N=laid([row.reference_logprobs for row in rows]),
        sampler_N=laid([row.sampler_logprobs for row in rows]),
        behaviour_N=None if behaviour[0] is None else laid(behaviour),
        hidden=_hidden_of(rows, device),
    )


def _kept(row: Row, values: tuple[float, ...] | None) -> list[float]:
    return [float("nan") if values is None else values[place] for place in row.kept]


def _hidden_of(rows: Sequence[Row], device: torch.device | str) -> dict[Partner, Hidden]:
    found: dict[Partner, Hidden] = {}
    for partner in PARTNERS:
        states = [row.teacher_hidden if partner is Partner.TEACHER else row.reference_hidden for row in rows]
        at: list[int] = []
        parts: list[Tensor] = []
        start = 0
        for row, of_row in zip(rows, states, strict=True):
            if of_row is not None:
                at += range(start, start + len(row.kept))
                parts.append(of_row[row.kept])
            start += len(row.kept)
        if parts:
            found[partner] = Hidden(at_M=torch.tensor(at, device=device), states_MH=torch.cat(parts).to(device))
    return found
