"""A student small enough to ask a thousand things: the next token depends on the last one. The real learner trains it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from support import records as r
from support import written
from support.plans import plan_for
from torch import Tensor, nn

from vold.adapters.learners.single import Adam, SingleLearner
from vold.base.types import Group, Rollout, ScoredRollout
from vold.core.objective import Objective
from vold.core.plan import Plan
from vold.core.pulls import Partner

VOCABULARY, WIDTH, PARTNER_ROWS, PARTNER_WIDTH = 36, 6, 41, 5
CAP = 9
"""As long as the longest hand-made rollout: the last fifth of it is reached."""
Gradient = dict[str, Tensor]


class Weights(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        embedding_VH, head_VH = torch.randn(2, VOCABULARY, WIDTH, generator=draw, dtype=torch.float64) * 0.6
        self.embedding_VH, self.head_VH = nn.Parameter(embedding_VH), nn.Parameter(head_VH)


@dataclass(eq=False)
class Bigram:
    """Stands for a LanguageModel before the learner. Partners have heads of another height and width."""

    seed: int = 0
    temperature: float = 0.7
    pad_id: int = r.PAD
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def model(self) -> Weights:
        return Weights(self.seed)

    @property
    def head(self) -> Tensor:
        return self.model.head_VH

    def packed(self, ids_T: Tensor, lengths: tuple[int, ...], *_: object) -> Tensor:
        assert sum(lengths) == len(ids_T)
        return self.model.embedding_VH[ids_T]

    quadratic = 0.0

    def frozen_parameters(self, *_: str) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(())

    def trainable_parameters(self, *_: str) -> list[tuple[str, nn.Parameter]]:
        return list(self.model.named_parameters())

    @cached_property
    def banned(self) -> Tensor:
        banned_V = torch.ones(VOCABULARY, dtype=torch.bool)
        banned_V[list({*r.SPEAKABLE, r.END})] = False
        return banned_V

    @cached_property
    def heads(self) -> Mapping[Partner, Tensor]:
        draws = {partner: torch.Generator().manual_seed(40 + place) for place, partner in enumerate(Partner)}
        return {partner: torch.randn(PARTNER_ROWS, PARTNER_WIDTH, generator=draw, dtype=torch.float64) for partner, draw in draws.items()}

    def learner(self, **settings: Any) -> SingleLearner:
        made = {"student": self, "adam": Adam(), "banned_V": self.banned, "temperature": self.temperature, "heads": self.heads}
        return SingleLearner(**(made | {"token_budget": 40} | settings))

    # -- as the written-out objective reads it -----------------------------------------------------------------------------------------

    def table(self, rollout: Rollout) -> Tensor:
        before = [rollout.prompt_ids[-1], *rollout.response_ids[:-1]]
        logits_TV = self.model.embedding_VH[before] @ self.model.head_VH.T / self.temperature
        return logits_TV.masked_fill(self.banned, float("-inf")).log_softmax(1)

    def partner_table(self, member: ScoredRollout, partner: Partner) -> Tensor:
        hidden_TK = member.teacher_hidden if partner is Partner.TEACHER else member.reference_hidden
        logits_TV = (hidden_TK @ self.heads[partner].T)[:, :VOCABULARY] / self.temperature
        return logits_TV.masked_fill(self.banned, float("-inf")).log_softmax(1)

    def with_likeliest(self, member: ScoredRollout) -> ScoredRollout:
        """The same rollout with the ids that its partners' hidden states make likeliest."""
        if member.teacher_hidden is None:
            return member
        of_teacher, of_reference = (r.likeliest(self.partner_table(member, partner)[:, r.MAY_SAY]) for partner in Partner)
        return replace(member, teacher_likeliest=of_teacher, reference_likeliest=of_reference)

    # -- gradients ---------------------------------------------------------------------------------------------------------------------

    def by_the_program(self, plan: Plan, groups: Sequence[Group], old: written.Old | None = None, **settings: Any) -> Gradient:
        learner = self.learner(**settings)
        learner.behaviour = None if old is None else dict(old)  # type: ignore[arg-type]
        groups = [replace(g, members=tuple(map(self.with_likeliest, g.members))) for g in groups]
        counts = plan.counts(groups)
        learner.accumulate(groups, plan, counts)
        return {name: grad / max(1, counts.z) for name, grad in self.taken().items()}

    def as_written(self, objective: Objective, groups: Sequence[Group], old: written.Old | None = None, *, step: int = 0) -> Gradient:
        loss = written.loss_of(objective, groups, self.table, self.partner_table, step=step, cap=CAP, old=old)
        if loss.requires_grad:
            loss.backward()
        return self.taken()

    def taken(self) -> Gradient:
        found = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in self.model.named_parameters()}
        self.model.zero_grad(set_to_none=True)
        return found

    def plan(self, objective: Objective, *, step: int = 0) -> Plan:
        return plan_for(objective, step=step, length_cap=CAP)

    def moved_from(self, groups: Sequence[Group], *, far: float = 0.4, seed: int = 0) -> dict[tuple[str, int], tuple[float, ...]]:
        """Log-probabilities of a policy some way off: what the clip compares with after a few updates."""
        draw = torch.Generator().manual_seed(seed)
        found = {}
        for member in (member for group in groups for member in group.members):
            rollout = member.rollout
            own_T = self.table(rollout).detach()[range(len(rollout.response_ids)), list(rollout.response_ids)]
            noise_T = torch.randn(len(own_T), generator=draw, dtype=torch.float64)
            found[rollout.problem.id, rollout.sample] = tuple((own_T + far * noise_T).tolist())
        return found
