"""A teacher that is a table: the probability of a token given the one before it. Exact, instant, and every number of it is known."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from vold.base.types import Likeliest, Rollout, View
from vold.core.objective import Want


@dataclass(slots=True, kw_only=True)
class TabularTeacher:
    """Scores by `logprobs_VV[before, token]`. Keeps the rollouts it was asked about in `asked`, for tests of who asks.

    Its hidden states are the rows of the table themselves, so that its `head` is the identity.
    """

    logprobs_VV: Float[Tensor, "V V"]
    gives: Want = Want.HIDDEN
    asked: list[Rollout] = field(default_factory=list)

    @property
    def head(self) -> Float[Tensor, "V V"]:
        return torch.eye(len(self.logprobs_VV), dtype=self.logprobs_VV.dtype)

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View]:
        self.asked += rollouts
        return [self._view(rollout, want, top) for rollout in rollouts]

    def _view(self, rollout: Rollout, want: Want, top: int) -> View:
        before = [rollout.prompt_ids[-1], *rollout.response_ids[:-1]]
        logprobs = tuple(float(self.logprobs_VV[i, j]) for i, j in zip(before, rollout.response_ids, strict=True))
        table_TV = self.logprobs_VV[before]
        best = table_TV.topk(min(top, int(table_TV.isfinite().sum(1).max())), dim=1) if top else None
        return View(
            logprobs=logprobs,
            hidden=table_TV if want is Want.HIDDEN else None,
            likeliest=None if best is None else Likeliest(ids=best.indices.int(), logprobs=best.values),
        )
