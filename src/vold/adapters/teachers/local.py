"""A text-only teacher in this process: it reads what the student wrote, under its own template, and says how likely each token is."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vold.adapters.models import LanguageModel, Template
from vold.base.errors import DataError
from vold.base.types import Rollout
from vold.core.batching import Row, batch_of, cut
from vold.core.head import token_logprobs


@dataclass(slots=True, kw_only=True)
class LocalTeacher:
    """Scores rollouts. `banned_V` is the student's: both softmaxes run over the same ids. `temperature` is the student's too."""

    reader: LanguageModel
    template: Template
    banned_V: Tensor
    temperature: float = 1.0
    token_budget: int = 16_384

    @torch.no_grad()
    def score(self, rollouts: Sequence[Rollout]) -> list[tuple[float, ...]]:
        blind = [rollout.problem.id for rollout in rollouts if rollout.problem.images]
        if blind:
            raise DataError(
                f"a text-only teacher was asked to score problem {blind[0]}, which shows an image. Use text problems for the joint stage."
            )
        rows = [
            Row(prompt_ids=self.template.render(r.problem).ids, response_ids=r.response_ids, sampled=(True,) * len(r.response_ids)) for r in rollouts
        ]
        place_of = {id(row): place for place, row in enumerate(rows)}
        banned_V = fitted(self.banned_V, self.reader.head)
        found: list[tuple[float, ...]] = [()] * len(rows)
        for chosen in cut(rows, self.token_budget):
            batch = batch_of(chosen, pad_id=self.reader.pad_id, device=self.reader.device)
            hidden_NH = self.reader.hidden(batch.ids_BT)[batch.before_BT]
            logprobs = token_logprobs(hidden_NH, self.reader.head, batch.targets_N, banned_V=banned_V, temperature=self.temperature).tolist()
            start = 0
            for row in chosen:
                found[place_of[id(row)]] = tuple(logprobs[start : start + len(row.response_ids)])
                start += len(row.response_ids)
        return found


def fitted(banned_V: Tensor, head_VH: Tensor) -> Tensor:
    """The mask for a head with more or fewer padded rows: a row the student does not have is banned."""
    shared = min(len(banned_V), len(head_VH))
    fitted_V = torch.ones(len(head_VH), dtype=torch.bool, device=head_VH.device)
    fitted_V[:shared] = banned_V[:shared].to(head_VH.device)
    return fitted_V
