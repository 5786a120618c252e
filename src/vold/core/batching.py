"""Groups to tensors: which tokens are trained, with what advantage, share and pull, laid flat so that nothing can broadcast by accident."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vold.base.types import Group, Likeliest, Rollout, ScoredRollout
from vold.core.objective import Partner
from vold.core.packing import behind_prompts, end_to_end
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
    teacher_likeliest: Likeliest | None = None
    reference_likeliest: Likeliest | None = None
    sampler_logprobs: tuple[float, ...] | None = None
    """Those of the engine at the moment of sampling: what an importance correction compares with."""
    behaviour_logprobs: tuple[float, ...] | None = None
    """The log-probabilities the clip compares with; None at the only update of a batch, where the ratio is 1."""
    images: tuple[bytes, ...] = ()
    """The encoded image files that the prompt shows."""
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

    def part(self, start: int, stop: int) -> "Hidden":
        """Those of tokens [start, stop), counted from there."""
        within_M = (self.at_M >= start) & (self.at_M < stop)
        return Hidden(at_M=self.at_M[within_M] - start, states_MH=self.states_MH[within_M])


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """A partner's k likeliest ids at some of a batch's trained tokens, which `at_M` names; likeliest first."""

    at_M: Int[Tensor, " M"]
    ids_Mk: Int[Tensor, "M k"]
    logprobs_Mk: Float[Tensor, "M k"]

    def part(self, start: int, stop: int) -> "Top":
        """Those of tokens [start, stop), counted from there."""
        within_M = (self.at_M >= start) & (self.at_M < stop)
        return Top(at_M=self.at_M[within_M] - start, ids_Mk=self.ids_Mk[within_M], logprobs_Mk=self.logprobs_Mk[within_M])


@dataclass(frozen=True, slots=True, kw_only=True)
class Padded:
    """Right-padded rows: under a causal mask padding is never seen. `before_BT` marks the position before each trained token, in row order."""

    ids_BT: Int[Tensor, "B T"]
    before_BT: Bool[Tensor, "B T"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A packed micro-batch: whole sequences end to end, `spans` tokens each, and their N trained tokens laid flat.

    With shared prompts a span is a prompt, or a response that is read `behind` it: the place of its prompt's span, and None for a prompt.

    `before_N` is the position *before* each trained token: the hidden state there predicts it. The flat tensors are in that order, sequence
    by sequence, `lengths` tokens each. `weights_PN` holds one row a pull. Entries that nothing reads are NaN, so that a wrong reader shows.
    """

    ids_T: Int[Tensor, " T"]
    spans: tuple[int, ...]
    before_N: Int[Tensor, " N"]
    targets_N: Int[Tensor, " N"]
    lengths: tuple[int, ...]
    advantage_N: Float[Tensor, " N"]
    share_N: Float[Tensor, " N"]
    weights_PN: Float[Tensor, "P N"]
    teacher_N: Float[Tensor, " N"]
    reference_N: Float[Tensor, " N"]
    sampler_N: Float[Tensor, " N"]
    behaviour_N: Float[Tensor, " N"] | None
    to_sampler_N: Float[Tensor, " N"] | None = None
    to_behaviour_N: Float[Tensor, " N"] | None = None
    """Each response's mean log-ratio of the policy to its sampler and to the behaviour policy, at each of its tokens, where known beforehand."""
    hidden: Mapping[Partner, Hidden] = field(default_factory=dict)
    tops: Mapping[Partner, Top] = field(default_factory=dict)
    images: tuple[tuple[bytes, ...], ...] = ()
    """What each span shows."""
    behind: tuple[int | None, ...] = ()
    """Empty where every span is a whole sequence."""

    def padded(self, pad_id: int = 0) -> "Padded":
        """The same sequences as rows of one width, for a model that takes no others."""
        assert not self.behind, "a shared prompt has no row of its own"
        width = max(self.spans)
        ids_BT = self.ids_T.new_full((len(self.spans), width), pad_id)
        before_BT = torch.zeros((len(self.spans), width), dtype=torch.bool, device=self.ids_T.device)
        inside_BT = torch.arange(width, device=self.ids_T.device) < torch.tensor(self.spans, device=self.ids_T.device)[:, None]
        before_T = torch.zeros_like(self.ids_T, dtype=torch.bool).index_fill(0, self.before_N, True)
        ids_BT[inside_BT], before_BT[inside_BT] = self.ids_T, before_T
        return Padded(ids_BT=ids_BT, before_BT=before_BT)

    def part(self, start: int, stop: int) -> "Batch":
        """The flat numbers of trained tokens [start, stop), as one row."""
        hidden = {partner: of.part(start, stop) for partner, of in self.hidden.items()}
        tops = {partner: of.part(start, stop) for partner, of in self.tops.items()}
        return replace(
            self,
            before_N=self.before_N[start:stop],
            targets_N=self.targets_N[start:stop],
            lengths=(stop - start,),
            advantage_N=self.advantage_N[start:stop],
            share_N=self.share_N[start:stop],
            weights_PN=self.weights_PN[:, start:stop],
            teacher_N=self.teacher_N[start:stop],
            reference_N=self.reference_N[start:stop],
            sampler_N=self.sampler_N[start:stop],
            behaviour_N=None if self.behaviour_N is None else self.behaviour_N[start:stop],
            to_sampler_N=None if self.to_sampler_N is None else self.to_sampler_N[start:stop],
            to_behaviour_N=None if self.to_behaviour_N is None else self.to_behaviour_N[start:stop],
            hidden=hidden,
            tops=tops,
        )

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
        teacher_likeliest=member.teacher_likeliest,
        reference_likeliest=member.reference_likeliest,
        sampler_logprobs=rollout.logprobs,
        behaviour_logprobs=None if behaviour is None else behaviour[rollout.problem.id, rollout.sample],
        images=rollout.problem.images,
        name=f"{rollout.problem.id} sample {rollout.sample}",
    )


def row_of(rollout: Rollout) -> Row:
    """A rollout to be read rather than trained on, every token of its response."""
    ids = rollout.response_ids
    return Row(prompt_ids=rollout.prompt_ids, response_ids=ids, sampled=(True,) * len(ids), images=rollout.problem.images)


def batch_of(
    rows: Sequence[Row], *, pulls: int = 0, shared: bool = False, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Batch:
    """One packed micro-batch of these rows, in their order; with `shared` prompts each different one lies in it once."""
    assert all(row.prompt_ids for row in rows), "a response is predicted from at least one prompt token"
    laid_out = behind_prompts(rows) if shared else end_to_end(rows)
    ids_T = torch.tensor(laid_out.ids)
    # the hidden state at the last prompt token predicts the first response token
    where = [(last, first, place) for last, first, row in zip(laid_out.last, laid_out.first, rows, strict=True) for place in row.kept]
    before_N = torch.tensor([first + place - 1 if place else last for last, first, place in where], dtype=torch.long)
    targets_N = ids_T[torch.tensor([first + place for _, first, place in where], dtype=torch.long)]
    lengths = tuple(len(row.kept) for row in rows)

    def flat(values: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    def laid(of_rows: Sequence[tuple[float, ...] | None]) -> Tensor:
        return flat([value for row, values in zip(rows, of_rows, strict=True) for value in _kept(row, values)])

    def spread(of_rows: Sequence[float]) -> list[float]:
        return list(chain.from_iterable([value] * length for value, length in zip(of_rows, lengths, strict=True)))

    behaviour = [row.behaviour_logprobs for row in rows]
    return Batch(
        ids_T=ids_T.to(device),
        spans=laid_out.spans,
        before_N=before_N.to(device),
        targets_N=targets_N.to(device),
        lengths=lengths,
        advantage_N=flat(spread([row.advantage for row in rows])),
        share_N=flat(spread([row.share for row in rows])),
        weights_PN=flat([spread([row.weights[p] for row in rows]) for p in range(pulls)]).reshape(pulls, sum(lengths)),
        teacher_N=laid([row.teacher_logprobs for row in rows]),
        reference_N=laid([row.reference_logprobs for row in rows]),
        sampler_N=laid([row.sampler_logprobs for row in rows]),
        behaviour_N=None if behaviour[0] is None else laid(behaviour),
        hidden=_hidden_of(rows, device),
        tops=_tops_of(rows, device),
        images=laid_out.images,
        behind=laid_out.behind,
    )


def _kept(row: Row, values: tuple[float, ...] | None) -> list[float]:
    return [float("nan") if values is None else values[place] for place in row.kept]


def _hidden_of(rows: Sequence[Row], device: torch.device | str) -> dict[Partner, Hidden]:
    found: dict[Partner, Hidden] = {}
    for partner in PARTNERS:
        states = [row.teacher_hidden if partner is Partner.TEACHER else row.reference_hidden for row in rows]
        parts = [of_row[row.kept] for row, of_row in zip(rows, states, strict=True) if of_row is not None]
        if parts:
            found[partner] = Hidden(at_M=_places(rows, states, device), states_MH=torch.cat(parts).to(device))
    return found


def _tops_of(rows: Sequence[Row], device: torch.device | str) -> dict[Partner, Top]:
    found: dict[Partner, Top] = {}
    for partner in PARTNERS:
        said = [row.teacher_likeliest if partner is Partner.TEACHER else row.reference_likeliest for row in rows]
        parts = [(of_row.ids[row.kept], of_row.logprobs[row.kept]) for row, of_row in zip(rows, said, strict=True) if of_row is not None]
        if parts:
            ids_Mk, logprobs_Mk = (torch.cat(of_rows).to(device) for of_rows in zip(*parts, strict=True))
            found[partner] = Top(at_M=_places(rows, said, device), ids_Mk=ids_Mk, logprobs_Mk=logprobs_Mk)
    return found


def _places(rows: Sequence[Row], given: Sequence[object | None], device: torch.device | str) -> Tensor:
    """Where among a batch's trained tokens those of the rows are that a partner has given something for."""
    at: list[int] = []
    start = 0
    for row, of_row in zip(rows, given, strict=True):
        stop = start + len(row.kept)
        at += range(start, stop) if of_row is not None else ()
        start = stop
    return torch.tensor(at, dtype=torch.long, device=device)
